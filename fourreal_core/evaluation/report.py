"""What compare.py measured, as markdown tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from PIL import Image

from ..files.atomic import save_picture
from ..grid import FrameGrid
from ..model.two_stream import GridModel
from ..sampling.sample import sample_grid
from ..show.contact_sheet import contact_sheet
from ..transport import transport_fill
from .compare import CONDITIONS, FEW_STEPS, LARGE, TASK, TRAINED, Record, stream_distances
from .image import grid_psnr
from .measure import hide
from .plots import above, beside, line_plot, picture_of

SIGMAS = (1.0, 0.75, 0.5, 0.25, 0.1)
SHEET_STEPS = 4
SHEETS = 6
JPEG_QUALITY = 85


def tables(records: Sequence[Record]) -> str:
    """All tables as one markdown text."""
    parts = [f"## {title}\n\n{text}" for title, text in _sections(records) if text]
    return "\n\n".join(parts) + "\n"


def _sections(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    task = [record for record in records if record["condition"] == TASK]
    baselines = [record for record in task if record["steps"] == 0]
    yield "Baselines", variants_table(baselines)
    for steps in sorted({record["steps"] for record in task} - {0}):
        yield (
            f"{steps} {'step' if steps == 1 else 'steps'}",
            variants_table([record for record in task if record["steps"] == steps]),
        )
    yield "Paired differences", differences_table(task)
    yield f"Other known cells, {FEW_STEPS} steps", conditions_table(records)
    large = [record for record in records if record["condition"] == LARGE]
    yield f"Grids larger than trained, {FEW_STEPS} steps", variants_table(large)
    yield "PSNR by distance from cell (0, 0) in larger grids", distance_table(large)


def variants_table(records: Sequence[Record]) -> str:
    """One line per variant: means over grids and seeds."""
    lines = []
    for name, group in grouped(records, "variant").items():
        flops = [record["flops"] for record in group if "flops" in record]
        means = [
            f"{mean(group, 'all'):.2f}",
            f"{mean(group, 'moving'):.2f}",
            f"{mean(group, 'ssim'):.4f}",
            f"{mean(group, 'seconds'):.1f}",
        ]
        lines.append([name, *means, f"{fmean(flops) / 1e12:.2f}" if flops else "", str(len(grouped(group, "grid")))])
    return markdown(["variant", "PSNR all", "PSNR moving", "SSIM", "s per grid", "TFLOP", "grids"], lines)


def differences_table(records: Sequence[Record]) -> str:
    """Paired differences, mean over grids and its standard error; each grid's value is the mean over its seeds."""
    names = list(grouped(records, "variant"))
    pairs = [(name, "transport") for name in names if name not in ("copy", "additive", "transport")]
    trained = [kind for kind in reversed(TRAINED) if kind in names]
    pairs += [(a, b) for index, a in enumerate(trained) for b in trained[index + 1 :]]
    pairs += [(kind, other) for kind in trained for other in ("hard, untrained", "off")]
    lines = []
    for steps in sorted({record["steps"] for record in records} - {0}):
        for first, second in pairs:
            numbers = [paired(records, first, second, steps, number) for number in ("all", "moving", "ssim")]
            found = [number for number in numbers if number is not None]
            if numbers[0]:
                cells = [
                    f"{value:+.{digits}f} ± {error:.{digits}f}" for (value, error, _), digits in zip(found, (3, 3, 5))
                ]
                lines.append([f"{first} - {second}", str(steps), *cells, str(found[0][2])])
    return markdown(["difference", "steps", "PSNR all", "PSNR moving", "SSIM", "grids"], lines)


def paired(
    records: Sequence[Record], first: str, second: str, steps: int, number: str
) -> tuple[float, float, int] | None:
    """(mean, standard error, grids) of `first` minus `second` over the grids that have both; None without such a grid.

    Variants that take no steps count at every number of steps. The error of a single grid is NaN.
    """
    sides = []
    for name in (first, second):
        group = [record for record in records if record["variant"] == name and record["steps"] in (0, steps)]
        sides.append({grid: mean(part, number) for grid, part in grouped(group, "grid").items()})
    differences = [sides[0][grid] - sides[1][grid] for grid in sides[0] if grid in sides[1]]
    differences = [value for value in differences if value == value]  # a grid in which nothing moves has no such number
    if not differences:
        return None
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return fmean(differences), error, len(differences)


def conditions_table(records: Sequence[Record]) -> str:
    """PSNR of all and of moving pixels per set of known cells and variant."""
    lines = []
    for condition in (TASK, *CONDITIONS):
        group = [record for record in records if record["condition"] == condition and record["steps"] in (0, FEW_STEPS)]
        for name, part in grouped(group, "variant").items():
            if condition != TASK or name in ("transport", "off", "hard, untrained", *TRAINED):
                lines.append(
                    [
                        condition,
                        name,
                        f"{mean(part, 'all'):.2f}",
                        f"{mean(part, 'moving'):.2f}",
                        f"{mean(part, 'ssim'):.4f}",
                    ]
                )
    return markdown(["known cells", "variant", "PSNR all", "PSNR moving", "SSIM"], lines)


def distance_table(records: Sequence[Record]) -> str:
    """One line per variant, one number per distance max(v, t)."""
    curves = distance_curves(records)
    longest = max((len(curve) for curve in curves.values()), default=0)
    lines = [[name, *(f"{y:.1f}" for _, y in curve)] for name, curve in curves.items()]
    return markdown(["max(v, t)", *map(str, range(1, longest + 1))], lines)


def distance_curves(records: Sequence[Record]) -> dict[str, list[tuple[float, float]]]:
    """Variant -> (distance, mean PSNR over grids and seeds)."""
    curves = {}
    for name, group in grouped(records, "variant").items():
        length = min(len(record["by_distance"]) for record in group)
        curves[name] = [(d + 1, fmean(record["by_distance"][d] for record in group)) for d in range(length)]
    return curves


def gain_curves(curves: dict[str, list[tuple[float, float]]]) -> dict[str, list[tuple[float, float]]]:
    """Each curve minus Transport's, as far as both go; empty without Transport."""
    base = dict(curves.get("transport", []))
    others = {name: curve for name, curve in curves.items() if name != "transport"}
    return {name: [(x, y - base[x]) for x, y in curve if x in base] for name, curve in others.items()} if base else {}


def steps_curves(records: Sequence[Record], number: str) -> dict[str, list[tuple[float, float]]]:
    """Off and all synchronizations -> (number of steps, mean over grids and seeds); Transport as a level line."""
    task = [record for record in records if record["condition"] == TASK]
    counts = sorted({record["steps"] for record in task} - {0})
    curves = {}
    for name, group in grouped(task, "variant").items():
        by_steps = grouped(group, "steps")
        if name == "transport":
            curves[name] = [(count, mean(group, number)) for count in counts]
        elif 0 not in by_steps and not name.endswith(" only"):
            curves[name] = [(count, mean(by_steps[count], number)) for count in counts if count in by_steps]
    return curves


def write_figures(folder: Path, model: GridModel, truths: Sequence[FrameGrid], records: Sequence[Record]) -> None:
    """quality_by_steps.png, larger_grids.png and stream_distance.png, as far as they were measured."""
    curves = steps_curves(records, "moving")
    if any(curves.values()):
        plot = line_plot(curves, title="PSNR of moving pixels by sampling steps, dB", x_label="steps", size=(720, 420))
        save_picture(plot, folder / "quality_by_steps.png")
    gains = gain_curves(distance_curves([record for record in records if record["condition"] == LARGE]))
    if gains:
        plot = line_plot(gains, title="PSNR above Transport by distance from cell (0, 0), dB", x_label="max(v, t)")
        save_picture(plot, folder / "larger_grids.png")
    kinds = [kind for kind in ("soft", "hard") if kind in model.config.sync]
    plots = {kind: _distance_plot(model, truths, kind) for kind in kinds}
    if plots:
        save_picture(beside(plots), folder / "stream_distance.png")


def _distance_plot(model: GridModel, truths: Sequence[FrameGrid], kind: str) -> Image.Image:
    found = [stream_distances(model, truth, kind, SIGMAS) for truth in truths]  # [grid][sigma][layer]
    lines = {}
    for index, sigma in enumerate(SIGMAS):
        layers = zip(*(curves[index] for curves in found))
        lines[f"sigma {sigma:g}"] = [(layer, fmean(values)) for layer, values in enumerate(layers, start=1)]
    return line_plot(lines, title="relative distance of the streams before sync", x_label="layer", size=(520, 360))


def write_sheets(folder: Path, model: GridModel, truths: Sequence[FrameGrid], seed: int) -> None:
    """grid_1.jpg ...: truth, Transport and model as contact sheets, and below each its last cell."""
    for number, truth in enumerate(truths[:SHEETS], start=1):
        save_picture(comparison(model, truth, seed), folder / f"grid_{number}.jpg", quality=JPEG_QUALITY)


def comparison(model: GridModel, truth: FrameGrid, seed: int) -> Image.Image:
    """Truth, Transport and model side by side, named with PSNR of all and of moving pixels."""
    task = hide(truth)
    fills = {
        "Transport": transport_fill(task)[0],
        "Model": sample_grid(model, task, model.best_sync, steps=SHEET_STEPS, seed=seed),
    }
    named = {"Truth": truth.replace(known=task.known)}
    for name, filled in fills.items():
        quality = grid_psnr(filled, truth)
        named[f"{name}: {quality['all']:.2f} dB, moving {quality['moving']:.2f} dB"] = filled
    return beside({name: _sheet_and_last_cell(grid) for name, grid in named.items()})


def _sheet_and_last_cell(grid: FrameGrid) -> Image.Image:
    sheet = picture_of(contact_sheet(grid, max_side=600))
    last = picture_of(grid.frames[-1, -1])
    return above(
        sheet, last.resize((sheet.width, round(sheet.width * last.height / last.width)), Image.Resampling.BICUBIC)
    )


def grouped(records: Iterable[Record], field: str) -> dict[str, list[Record]]:
    """Records by one field, in the order in which its values first appear."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record[field], []).append(record)
    return groups


def mean(records: Iterable[Record], number: str) -> float:
    """Mean of one number, leaving NaN out; NaN when there is none."""
    values = [record[number] for record in records if record[number] == record[number]]
    return fmean(values) if values else float("nan")


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table, numbers to the right; empty without lines."""
    if not lines:
        return ""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
