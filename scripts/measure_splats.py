"""Measures 4D splats: on rendered grids against the truth, from true and from filled cells, and on grid files of real recordings.

    python scripts/measure_splats.py --models GLB_FOLDER --environments HDR_FOLDER [--grids 6] [--grid NAME=PATH ...] [--results splats.json] [--pictures FOLDER]

PATH is a grid file, a folder of recordings or a nerfstudio dataset (one view each), or a video of a still scene, whose frames are the views. With one time,
one view in eight is kept out. Results are written to --results as they come, and existing ones are not measured again, so that a run can be stopped and
taken up, or cut into pieces by --most; the tables of docs/splats.md are printed at the end. Seconds are those of one CPU core.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import torch
from PIL import Image

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from fourreal_core.data.rendered.scenes import random_scene, render_grid  # noqa: E402
from fourreal_core.evaluation.image import moving_pixels, psnr  # noqa: E402
from fourreal_core.exchange.rig import RigPick, plan_rig, read_rig  # noqa: E402
from fourreal_core.files.recording import Measured, Recording  # noqa: E402
from fourreal_core.geometry.fill import fill_grid  # noqa: E402
from fourreal_core.grid import FrameGrid, task_known  # noqa: E402
from fourreal_core.grid_file import load_grid  # noqa: E402
from fourreal_core.splats.exports import LibraryMissing, write_4dgs, write_glb, write_ply, write_usd  # noqa: E402
from fourreal_core.splats.fit import fit_splats  # noqa: E402
from fourreal_core.splats.gaussians import Splats  # noqa: E402
from fourreal_core.splats.splat_file import SUFFIX, save_splats  # noqa: E402
from fourreal_core.splats.views import draw, orbit, shots_along  # noqa: E402

FIRST_SEED = 900_000  # scenes that no network was trained on
SIDES = (15.0, 40.0)  # degrees beyond the ends of the arc that are drawn


def all_cells(splats: Splats, grid: FrameGrid) -> torch.Tensor:
    positions = [(float(view), float(moment)) for view in range(grid.views) for moment in range(grid.times)]
    return draw(splats, shots_along(splats, positions), (grid.height, grid.width)).unflatten(
        0, (grid.views, grid.times)
    )


def measured(
    grid: FrameGrid,
    confidence: torch.Tensor | None,
    truth: FrameGrid | None,
    arguments: argparse.Namespace,
    picture: Path | None,
) -> dict:
    """One line of the results."""
    start = time.process_time()
    fitted = fit_splats(grid, confidence=confidence, steps=arguments.steps, longest=arguments.longest)
    line = {"seconds": time.process_time() - start, **fitted.splats.facts["score"], "report": fitted.report}
    line |= {name: fitted.splats.facts[name] for name in ("gaussians", "moving", "nodes", "fitted_size")}
    line |= {"cells": [grid.views, grid.times], "steps": arguments.steps}
    if truth is not None:
        drawn, moving = all_cells(fitted.splats, truth), moving_pixels(truth.frames)
        unknown = ~task_known(truth.views, truth.times)
        line["truth"] = psnr(drawn, truth.frames)
        line["truth_unknown"] = psnr(drawn[unknown], truth.frames[unknown])
        line["truth_moving"] = psnr(drawn[unknown], truth.frames[unknown], moving[unknown])
        if grid is not truth:
            line["filled"] = psnr(grid.frames[unknown], truth.frames[unknown])
            line["filled_moving"] = psnr(grid.frames[unknown], truth.frames[unknown], moving[unknown])
    line |= sizes(fitted.splats)
    if picture is not None:
        save_splats(fitted.splats, picture.with_suffix(SUFFIX))
        pixels = (sheet(fitted.splats, grid) * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(picture)
    return line


def sizes(splats: Splats) -> dict:
    """Bytes of each format; None where the library is missing."""
    with tempfile.TemporaryDirectory() as folder:
        place, found = Path(folder), {}
        once = {"own": save_splats, "4dgs": write_4dgs, "usd": write_usd}
        per_time = {"ply": partial(write_ply, splats.at(0)), "glb": partial(write_glb, splats, 0)}
        for kind, write in {**{kind: partial(write, splats) for kind, write in once.items()}, **per_time}.items():
            file = place / f"a.{'usdc' if kind == 'usd' else kind}"
            try:
                write(file)
                found[kind] = file.stat().st_size * (splats.times if kind in per_time else 1)
            except LibraryMissing:
                found[kind] = None
    return {"bytes": found}


def sheet(splats: Splats, grid: FrameGrid) -> torch.Tensor:
    """Cells above what the splats show of them, the middle between two views, and beyond both ends of the arc."""
    views, times = grid.views - 1, grid.times - 1
    cells = [(0, 0), (views // 2, times // 2), (views, times)]
    top = torch.cat([*(grid.frames[cell] for cell in cells), torch.zeros_like(grid.frames[0, 0])], 1)
    middle = draw(splats, shots_along(splats, [*((float(v), float(t)) for v, t in cells), (views / 2, times / 2)]))
    turned = orbit(splats, views / 2, [-SIDES[1], -SIDES[0], SIDES[0], SIDES[1]], [times / 2] * 4)
    return torch.cat([top, torch.cat(list(middle), 1), torch.cat(list(draw(splats, turned)), 1)], 0)


Case = tuple[FrameGrid, torch.Tensor | None, FrameGrid | None]  # what is fitted, how sure its cells are, and the truth


@lru_cache(maxsize=1)
def rendered(seed: int, models: tuple[Path, ...], environments: Path, height: int, width: int) -> FrameGrid:
    return render_grid(random_scene(seed, models, environments), 8, 8, height, width)


def from_truth(truth: FrameGrid) -> Case:
    return truth, None, truth


def from_fill(truth: FrameGrid) -> Case:
    """The first view and the first time are given, the rest is filled; cameras are exact."""
    known = task_known(truth.views, truth.times)
    task = truth.replace(known=known, frames=torch.where(known[..., None, None, None], truth.frames, 0.0))
    filled = fill_grid(task)
    return filled.grid, filled.confidence, truth


def recorded(path: Path, most: int) -> Case:
    """What lies at a path as a grid; of more views than `most`, so many at even distances."""
    if path.is_dir():
        plan = plan_rig(path)
        return read_rig(plan if len(plan.recordings) <= most else plan_rig(path, RigPick(views=most))), None, None
    if path.name.endswith(".grid.safetensors"):
        return load_grid(path), None, None
    video = Measured(Recording.at(path))
    frames, _ = video.read(video.pick(min(most, video.length)))
    return FrameGrid.from_views(list(frames[:, None])), None, None


def cases(arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Case]]]:
    """(group/name, what makes the case)."""
    models = tuple(sorted(arguments.models.glob("*.glb"))) if arguments.models else ()
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.grids * bool(models)):
        truth = partial(rendered, seed, models, arguments.environments, *arguments.size)
        yield f"true/{seed}", lambda truth=truth: from_truth(truth())
        yield f"filled/{seed}", lambda truth=truth: from_fill(truth())
    for grid in arguments.grid:
        name, _, path = grid.partition("=")
        yield f"recorded/{name}", partial(recorded, Path(path), arguments.views)


def tables(results: dict) -> str:
    lines = [
        "| grid | from | views x times, pixels, steps | own grid | kept out / beside | truth, all cells | truth, unknown cells / moving | the fill itself | Gaussians (moving) | CPU s |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for key, line in results.items():
        group, name = key.split("/", 1)
        held = "-" if line["held_out_db"] is None else f"{line['held_out_db']:.1f} / {line['beside_db']:.1f}"
        truth = ["-"] * 3
        if "truth" in line:
            fill = f"{line['filled']:.1f} / {line['filled_moving']:.1f}" if "filled" in line else "-"
            truth = [f"{line['truth']:.1f}", f"{line['truth_unknown']:.1f} / {line['truth_moving']:.1f}", fill]
        (views, times), (height, width) = line["cells"], line["fitted_size"]
        shape = f"{views} x {times}, {width}x{height}, {line['steps']}"
        counts = f"{line['gaussians']} ({line['moving']})"
        lines.append(
            "| "
            + " | ".join(
                [name, group, shape, f"{line['fitted_db']:.1f}", held, *truth, counts, f"{line['seconds']:.0f}"]
            )
            + " |"
        )
    lines += [
        "",
        "| grid | from | .splats.safetensors | .4dgs | .usdc | PLY, all times | GLB, all times |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, line in results.items():
        group, name = key.split("/", 1)
        shown = [
            "-" if line["bytes"].get(kind) is None else f"{line['bytes'][kind] / 1e6:.2f} MB"
            for kind in ("own", "4dgs", "usd", "ply", "glb")
        ]
        lines.append(f"| {name} | {group} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="folder of animated GLB files")
    parser.add_argument("--environments", type=Path, help="folder of HDR files")
    parser.add_argument("--grids", type=int, default=6, help="how many grids are rendered")
    parser.add_argument("--size", type=int, nargs=2, default=(72, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--grid", action="append", default=[], metavar="NAME=PATH", help="a recording")
    parser.add_argument("--views", type=int, default=32, help="most views of a recording")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--longest", type=int, default=512)
    parser.add_argument("--most", type=int, help="how many lines are measured in this run")
    parser.add_argument("--results", type=Path, default=Path("splats.json"))
    parser.add_argument("--pictures", type=Path, help="folder for a picture and the splats of each fit")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    results = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    left = [(key, make) for key, make in cases(arguments) if key not in results]
    for key, make in left[: arguments.most]:
        picture = arguments.pictures / f"{key.replace('/', '_')}.png" if arguments.pictures else None
        results[key] = measured(*make(), arguments, picture)
        arguments.results.write_text(json.dumps(results, indent=1))
        print(key, results[key]["report"].replace("\n", "; "), file=sys.stderr, flush=True)
    print(tables(results))


if __name__ == "__main__":
    main()
