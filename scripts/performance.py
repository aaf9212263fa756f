"""Measures what every fill costs on this machine, against cells and pixels, and what detail, seams and large files cost; writes every table of docs/performance.md.

    python scripts/performance.py                                   all that has no result yet, then the tables
    python scripts/performance.py --only "fill 8x8 *" --most 2      two more cases whose name fits a pattern
    python scripts/performance.py --write docs/performance.md --results docs/performance.jsonl

For the table of large cells against truth it needs rendered grids, which take a few minutes, and fills every second view and time of them:

    python scripts/render.py --models "glb/*.glb" --env env --seed 910000 --count 3 --per-shard 1 --size 288x512 --output truth
    python scripts/performance.py --truth truth --picture docs/images/detail.jpg ...

Each case runs in a process of its own, with one thread but for those by the clock, on the example videos. Results are added to --results as they come, so
that a run can be stopped and taken up; to measure a case again, delete its line. Rows of another state of the code than the last one have a mark. CPU seconds, because other work on the machine changes them less; memory
is the peak of the process above what it had before the fill, the grid that comes out included. Reads memory from Linux.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from environment import PACK, enter_or_stop
from performance_tables import every_case, left, name_of, parts

CODE = ("geometry", "model", "sampling", "transport")  # folders of fourreal_core that fills are made of
NO_FILL = "budget.py"  # says what they take
CHILD = """
import json, sys
sys.path[:0] = [{pack!r}, {pack!r} + "/scripts"]
import cv2, torch
torch.set_num_threads({threads})
cv2.setNumThreads({threads})
from performance_cases import run
print("RESULT" + json.dumps(run({case!r}, {truth!r}, {picture!r})))
"""


def run_case(case: tuple, truth: Path | None, picture: Path | None) -> dict:
    threads, load = (os.cpu_count() or 1) if case[0] == "all cores" else 1, os.getloadavg()[0]
    paths = {name: path and str(path.resolve()) for name, path in (("truth", truth), ("picture", picture))}
    program = CHILD.format(pack=str(PACK), threads=threads, case=case, **paths)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    if "RESULT" not in done.stdout:
        sys.exit(f"performance.py: measuring {name_of(case)} failed: {done.stderr[-2000:]}")
    about = {"case": name_of(case), "threads": threads, "load": load, "machine": machine(), "code": code()}
    return {**about, **json.loads(done.stdout.split("RESULT")[1])}


def code() -> str:
    """A digest of what fills are made of, so that tables tell which rows are of an earlier state."""
    files = sorted(file for folder in CODE for file in (PACK / "fourreal_core" / folder).rglob("*.py"))
    files = [file for file in files if file.name != NO_FILL]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def machine() -> str:
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return f"{names[0] if names else model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="only cases whose name fits this pattern, such as 'fill 8x8 *'")
    parser.add_argument("--most", type=int, help="how many cases are measured in this run; 0 writes the tables alone")
    parser.add_argument("--results", type=Path, default=Path("performance.jsonl"))
    parser.add_argument("--truth", type=Path, help="folder of rendered grids; without it detail is not measured")
    parser.add_argument(
        "--picture", type=Path, help="a JPEG with a row for each rendered grid, made when the last of them is measured"
    )
    parser.add_argument("--write", type=Path, help="the document whose tables are replaced")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    enter_or_stop()
    sys.path.insert(0, str(PACK))
    from fourreal_core.data.shards import iterate_grids
    from fourreal_core.files.marked_part import write_part
    from fourreal_core.files.records import add_record, read_records

    try:
        found = {record["case"]: record for record in read_records(arguments.results)}
        rendered = sum(1 for _ in iterate_grids(arguments.truth)) if arguments.truth else 0
        for case in left(every_case(rendered), found, arguments.only, arguments.most):
            found[name_of(case)] = run_case(case, arguments.truth, arguments.picture)
            add_record(arguments.results, found[name_of(case)])
            print(json.dumps(found[name_of(case)]), flush=True)
        if arguments.picture:
            from performance_detail import joined

            joined(arguments.picture, rendered)
        for part, text in parts(found).items():
            print(text, end="\n\n")
            if arguments.write:
                write_part(arguments.write, part, text)
    except (ValueError, OSError) as error:
        sys.exit(f"performance.py: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
