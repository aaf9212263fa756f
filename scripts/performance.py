"""Measures what every fill costs on this machine, against cells and pixels, and what detail, seams and large files cost; writes docs/performance.md.

    python scripts/performance.py                       all that is not in the results yet, then the tables
    python scripts/performance.py --only fill --most 2  two more cases whose name holds a text
    python scripts/performance.py --results F --write docs/performance.md

Each case runs in a process of its own, with one thread unless --threads says otherwise, on the example videos. Results are added to --results as they
come, so that a run can be stopped and taken up. CPU seconds, because other work on the machine does not change them; memory is the peak of the
process above what it had before the fill, the grid that comes out included. Reads memory from Linux.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from environment import PACK, enter_or_stop

FILLS = ("transport", "fill", "detail", "model")
SMALL, SIZES = (72, 128), ((72, 128), (144, 256), (288, 512), (720, 1280))
CELLS = (4, 8, 16, 32)
CASES = [(fill, cells, *SMALL) for cells in CELLS for fill in FILLS if fill != "detail"]
CASES += [(fill, 8, *size) for size in SIZES[1:] for fill in FILLS]
COUNTED = (8, *SMALL)  # the cells, and their size, of which operations are counted, in a second run
SEAMS = [
    ("seams", fill, where, which)
    for fill, which in (("fill", "the example"), ("model", "the example"), ("fill", "the hard example"))
    for where in ("tiles", "at once")
    if (fill, where) != ("model", "at once")
]
TILES = [("tiles", str(side)) for side in (8, 15, 22, 29)]  # views and times of grids in tiles of 8
WORDS = {
    "transport": "Transport",
    "fill": "4Real Fill",
    "detail": "4Real Detail, from 128x72",
    "model": "4Real Sampler, 1 step",
}
CHILD = """
import json, sys, time
sys.path[:0] = [{pack!r}, {pack!r} + "/scripts"]
import torch
torch.set_num_threads({threads})
import cv2
cv2.setNumThreads({threads})
from performance_cases import measured, seams, tiles
print("RESULT" + json.dumps({call}))
"""


def name_of(case: tuple) -> str:
    if case[0] in ("seams", "tiles"):
        return " ".join(case)
    fill, cells, height, width = case
    return f"{fill} {cells}x{cells} {width}x{height}"


def run_case(case: tuple, threads: int) -> dict:
    call = f"{case[0]}{case[1:]!r}" if case[0] in ("seams", "tiles") else f"measured{(*case, case[1:] == COUNTED)!r}"
    code = CHILD.format(pack=str(PACK), threads=threads, call=call)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "RESULT" not in done.stdout:
        raise RuntimeError(f"measuring {name_of(case)} failed: {done.stderr[-2000:]}")
    return {"case": name_of(case), "threads": threads, **json.loads(done.stdout.split("RESULT")[1])}


def machine() -> str:
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return f"{names[0] if names else model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def tables(found: dict[str, dict]) -> str:
    """One table against cells, one against pixels, from results by name of case."""
    told = [result for result in found.values() if "matrix" in result]
    matrix, bandwidth = (max(result[name] for result in told) for name in ("matrix", "bandwidth"))
    lines = [
        f"One thread of {machine()}, PyTorch {told[0]['torch']}: {matrix / 1e9:.0f} GFLOP/s in large float32 matrix products, "
        f"{bandwidth / 1e9:.1f} GB/s in copying (read and written), the best that any of the cases' processes measured.",
        "",
    ]
    for title, cases in (
        ("cells of 128x72", [case for case in CASES if case[2:] == SMALL]),
        ("8x8 cells", [case for case in CASES if case[1] == 8]),
    ):
        lines += [
            f"| {title} | grid | cells | CPU s | ms per cell and 100x100 pixels | peak memory, MiB | of the matrix peak | of the bandwidth |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for fill in FILLS:
            lines += [
                row(case, found[name_of(case)], matrix, bandwidth)
                for case in cases
                if case[0] == fill and name_of(case) in found
            ]
        lines.append("")
    return "\n".join(lines)


def seam_table(found: dict[str, dict]) -> str:
    """How much cells differ across a seam over how much they do beside it, what movement is left in later tiles, and both in a grid filled at once."""
    lines = [
        "| | across seams between views | across seams between times | movement in later tiles | cells | CPU s |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for case in SEAMS:
        if name_of(case) in found:
            result = found[name_of(case)]
            numbers = ("-" if number is None else f"{number:.2f}" for number in (*result["jumps"], result["moved"]))
            lines.append(
                f"| {WORDS[case[1]]}, {case[2]} | {' | '.join(numbers)} | {case[3]}, {result['cells']} | {result['cpu']:.0f} |"
            )
    return "\n".join(lines)


def tile_table(found: dict[str, dict]) -> str:
    lines = [
        "| grid, cells of 128x72 | tiles of 8x8 | peak memory of one's own above that before, MiB |",
        "| --- | ---: | ---: |",
    ]
    for case in TILES:
        if name_of(case) in found:
            result = found[name_of(case)]
            lines.append(f"| {case[1]}x{case[1]} | {result['tiles']} | {result['memory'] / 2**20:.0f} |")
    return "\n".join(lines)


def row(case: tuple, result: dict, matrix: float, bandwidth: float) -> str:
    fill, cells, height, width = case
    made = (cells - 1) ** 2
    shares = ["-", "-"]
    if result.get("flops"):
        rates = (
            result["flops"] / result["cpu"] / matrix,
            result["bytes"] / result["cpu"] / bandwidth,
        )
        shares = [f"{100 * rate:.0f} %" for rate in rates]
    per_cell = 1000 * result["cpu"] / made / (height * width / 1e4)
    parts = [WORDS[fill], f"{cells}x{cells}", f"{width}x{height}", f"{result['cpu']:.1f}", f"{per_cell:.0f}"]
    return "| " + " | ".join([*parts, f"{result['memory'] / 2**20:.0f}", *shares]) + " |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only cases whose name holds this text, such as 8x8 or 'fill 8x8'")
    parser.add_argument("--most", type=int, help="how many cases are measured in this run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("performance.jsonl"))
    parser.add_argument("--write", type=Path, help="the document whose tables are replaced")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    enter_or_stop()
    sys.path.insert(0, str(PACK))
    from fourreal_core.files.marked_part import write_part
    from fourreal_core.files.records import add_record, read_records

    found = {record["case"]: record for record in read_records(arguments.results)}
    left = [case for case in [*CASES, *SEAMS, *TILES] if arguments.only in name_of(case) and name_of(case) not in found]
    for case in left[: arguments.most]:
        found[name_of(case)] = run_case(case, arguments.threads)
        add_record(arguments.results, found[name_of(case)])
        print(json.dumps(found[name_of(case)]), flush=True)
    if found:
        for part, text in (("costs", tables(found)), ("seams", seam_table(found)), ("tiles", tile_table(found))):
            print(text)
            if arguments.write:
                write_part(arguments.write, part, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
