"""What scripts/performance.py measures, and the tables of docs/performance.md that it makes of the results. A case is (kind, *its arguments), kinds as in performance_cases.py."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from math import ceil

FILLS = ("transport", "fill", "detail", "model")
SMALL, SIZES = (72, 128), ((72, 128), (144, 256), (288, 512), (720, 1280))
CELLS = (4, 8, 16, 32)
COSTS = [("cost", fill, cells, *SMALL) for cells in CELLS for fill in FILLS]
COSTS += [("cost", fill, 8, *size) for size in SIZES[1:] for fill in FILLS]
COUNTS = [("counted", *case[1:]) for case in COSTS if case[1] != "transport"]
CORES = [("all cores", fill, 8, *size) for size in SIZES[2:] for fill in FILLS[1:]]
SEAMS = [
    ("seams", fill, where, which)
    for fill, which in (("fill", "the example"), ("model", "the example"), ("fill", "the hard example"))
    for where in ("tiles", "at once")
    if (fill, where) != ("model", "at once")
]
TILES = [("tiles", side) for side in (8, 15, 22, 29)]  # views and times of grids in tiles of 8
WHOLE = [("whole", "fill", *size) for size in ((8, 8), (15, 15), (32, 32), (64, 81))]
WHOLE += [("whole", "fill", side, side, 288, 512) for side in (8, 15)]
WHOLE += [("whole", "model", side, side) for side in (8, 15, 29)]
WORDS = {
    "transport": "Transport",
    "fill": "4Real Fill",
    "detail": "4Real Detail",
    "model": "4Real Sampler, 1 step",
}
WAYS = {
    "enlarged": "the model at 128x72, enlarged",
    "full": "the model at full size, 1 step",
    "sampler": "4Real Sampler: the model at 128x72, its changes carried out at full size",
    "fill": "4Real Fill, without a model",
    "detail": "4Real Detail from the model's 128x72",
    "detail of truth": "4Real Detail from the true grid at 128x72",
    "truth enlarged": "the true grid at 128x72, enlarged",
}
OTHER_STATE = " †"  # after the name of what was measured with another state of the code than the last row
Records = dict[str, dict]  # results by name of case, in the order in which they were measured


def every_case(rendered: int) -> list[tuple]:
    """rendered: how many rendered grids there are to measure detail on."""
    return [*COSTS, *COUNTS, *CORES, *SEAMS, *TILES, *WHOLE, *(("detail", number) for number in range(rendered))]


def name_of(case: Sequence) -> str:
    kind, *rest = case
    if kind in ("cost", "counted", "all cores"):
        fill, cells, height, width = rest
        start = "" if kind == "cost" else f"{kind} "
        return f"{start}{fill} {cells}x{cells} {width}x{height}"
    return " ".join(map(str, case))


def left(cases: Sequence[tuple], found: Records, pattern: str, most: int | None) -> list[tuple]:
    """The cases to measure now: those whose name fits the pattern and that have no result yet, `most` at most."""
    wanted = [case for case in cases if fnmatchcase(name_of(case), pattern) and name_of(case) not in found]
    return wanted[:most]


def parts(found: Records) -> dict[str, str]:
    """The text of each marked part of the document for which there are results."""
    made = {
        "costs": cost_tables(found),
        "growth": growth_table(found),
        "cores": cores_table(found),
        "detail": detail_table(found),
        "seams": seam_table(found),
        "tiles": tile_table(found),
    }
    return {name: text for name, text in made.items() if text}


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table; the first columns, `words` of them, hold words, the others numbers. Empty without rows."""
    lines = [heads, ["---"] * words + ["---:"] * (len(heads) - words), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines).replace("|  |", "| |") if rows else ""


def cost_tables(found: Records) -> str:
    """One table against cells, one against pixels."""
    costs = [found[name_of(case)] for case in COSTS if name_of(case) in found]
    if not costs:
        return ""
    matrix, bandwidth = (max(result[name] for result in costs) for name in ("matrix", "bandwidth"))
    lines = [
        f"One thread of {costs[0]['machine']}, PyTorch {costs[0]['torch']}: {matrix / 1e9:.0f} GFLOP/s in large float32 matrix products, "
        f"{bandwidth / 1e9:.1f} GB/s in copying (read and written), the best that any of the cases' processes measured.",
        "",
    ]
    for title, cases in (
        ("cells of 128x72", [case for case in COSTS if case[3:] == SMALL]),
        ("8x8 cells", [case for case in COSTS if case[2] == 8]),
    ):
        heads = [title, "grid", "cells", "CPU s", "ms per cell and 100x100 pixels", "peak memory, MiB"]
        rows = [
            _cost_row(case, found, matrix, bandwidth)
            for fill in FILLS
            for case in cases
            if case[1] == fill and name_of(case) in found
        ]
        lines += [_table([*heads, "of the matrix peak", "of the bandwidth"], rows, words=3), ""]
    if any(OTHER_STATE in line for line in lines):
        lines.append(f"{OTHER_STATE.strip()} Measured with another state of the code than the other rows.")
    return "\n".join(lines)


def _mark(code: str | None, found: Records) -> str:
    last = [record for record in found.values() if "matrix" in record][-1]
    return "" if code == last.get("code") else OTHER_STATE


def _cost_row(case: tuple, found: Records, matrix: float, bandwidth: float) -> list[str]:
    _, fill, cells, height, width = case
    result, shares = found[name_of(case)], ["-", "-"]
    counted = found.get(name_of(("counted", *case[1:])))
    if counted and counted.get("code") == result.get("code"):
        peaks = {"flops": matrix, "bytes": bandwidth}
        shares = [f"{100 * counted[what] / result['cpu'] / peak:.0f} %" for what, peak in peaks.items()]
    small = f", from {'64x36' if (height, width) == SMALL else '128x72'}" if fill == "detail" else ""
    per_cell = 1000 * result["cpu"] / (cells - 1) ** 2 / (height * width / 1e4)
    numbers = [f"{result['cpu']:.1f}", f"{per_cell:.0f}", f"{result['memory'] / 2**20:.0f}"]
    name = WORDS[fill] + small + _mark(result.get("code"), found)
    return [name, f"{cells}x{cells}", f"{width}x{height}", *numbers, *shares]


def growth_table(found: Records) -> str:
    """Seconds of cells of 128x72 as a + b * cells, and what each cell more costs from one grid to the next larger one."""
    steps = [f"each cell more, {less}x{less} to {more}x{more}, ms" for less, more in pairwise(CELLS)]
    rows = []
    for fill in FILLS:
        of_code: dict[str | None, dict[int, float]] = {}  # never two states of the code in one row
        for cells in CELLS:
            if result := found.get(name_of(("cost", fill, cells, *SMALL))):
                of_code.setdefault(result.get("code"), {})[(cells - 1) ** 2] = result["cpu"]
        code, seconds = max(of_code.items(), key=lambda item: len(item[1]), default=(None, {}))
        if len(seconds) < 3:
            continue
        once, each, worst = fitted(seconds)
        growth = ["-"] * len(steps)
        for place, (less, more) in enumerate(pairwise(CELLS)):
            first, last = (less - 1) ** 2, (more - 1) ** 2
            if first in seconds and last in seconds:
                growth[place] = f"{1000 * (seconds[last] - seconds[first]) / (last - first):.0f}"
        name = WORDS[fill] + _mark(code, found)
        rows.append([name, f"{once:.1f}", f"{1000 * each:.0f}", f"{100 * worst:.0f} %", *growth])
    return _table(["", "per grid, s", "per cell, ms", "largest error of that", *steps], rows)


def fitted(seconds: dict[int, float]) -> tuple[float, float, float]:
    """(a, b, largest relative error) of a + b * cells, by least squares of the relative errors. seconds: by number of cells, at least two."""
    import numpy as np

    cells, cost = np.array(list(seconds), float), np.array(list(seconds.values()))
    terms = np.stack([1 / cost, cells / cost], 1)
    (once, each), *_ = np.linalg.lstsq(terms, np.ones(len(cost)), rcond=None)
    return float(once), float(each), float(np.abs((once + each * cells) / cost - 1).max())


def cores_table(found: Records) -> str:
    """Seconds by the clock with all cores."""
    rows = []
    for case in CORES:
        if name_of(case) in found:
            result, (_, fill, cells, height, width) = found[name_of(case)], case
            numbers = [f"{result['wall']:.0f}", f"{result['cpu']:.0f}", f"{result['load']:.1f}"]
            grid = f"{cells}x{cells} cells of {width}x{height}"
            rows.append([WORDS[fill] + _mark(result.get("code"), found), grid, str(result["threads"]), *numbers])
    return _table(["", "grid", "threads", "s by the clock", "CPU s", "load before"], rows, words=2)


def detail_table(found: Records) -> str:
    """Large cells against truth."""
    records = [result for name, result in found.items() if name.startswith("detail ") and "scores" in result]
    rows = []
    for way, words in WAYS.items():
        scores = [record["scores"][way] for record in records if way in record["scores"]]
        if scores:
            means = [sum(score[key] for score in scores) / len(scores) for key in ("all", "moving", "sharp", "cpu")]
            rows.append([words, *(f"{mean:.{digits}f}" for mean, digits in zip(means, (2, 2, 2, 0)))])
    if not rows:
        return ""
    count = "1 rendered grid" if len(records) == 1 else f"{len(records)} rendered grids, means"
    heads = ["", "PSNR, all", "PSNR, moving", "sharpness of what moves", "CPU s"]
    return f"{count}, {records[0]['grid']}.\n\n{_table(heads, rows)}"


def seam_table(found: Records) -> str:
    """How much cells differ across a seam over how much they do beside it, what movement is left in later tiles, and both in a grid filled at once."""
    rows = []
    for case in SEAMS:
        if name_of(case) in found:
            result, (_, fill, where, which) = found[name_of(case)], case
            numbers = ["-" if number is None else f"{number:.2f}" for number in (*result["jumps"], result["moved"])]
            words = [f"{WORDS[fill]}, {where}, {which}", result["cells"]]
            rows.append([*words, *numbers, f"{result['cpu']:.0f}"])
    heads = ["", "grid", "across seams between views", "across seams between times", "movement in later tiles", "CPU s"]
    return _table(heads, rows, words=2)


def tile_table(found: Records) -> str:
    """Memory against cells and tiles."""
    heads = ["", "cells", "tiles of 8x8", "peak memory of one's own above that before, MiB"]
    rows = []
    for case in [*TILES, *WHOLE]:
        if name_of(case) in found:
            fill, views, times, *size = ("transport", case[1], case[1]) if case[0] == "tiles" else case[1:]
            height, width = size or SMALL
            at_once = fill == "fill"
            count = "-" if at_once else str(ceil((views - 1) / 7) * ceil((times - 1) / 7))
            way = f"{WORDS[fill]}, {'at once' if at_once else 'in tiles'}"
            memory = f"{found[name_of(case)]['memory'] / 2**20:.0f}"
            rows.append([way, f"{views}x{times} of {width}x{height}", count, memory])
    return _table(heads, rows, words=2)
