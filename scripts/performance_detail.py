"""The cases of scripts/performance.py that need truth: what the bundled model makes through a small copy, at full size, and enlarged, and 4Real Detail.

Every second view and time of each rendered grid, because the model at full size takes minutes for those alone. CPU seconds; PSNR in dB over the unknown
cells, all pixels and moving pixels; sharpness of what moves, 1 where it is the truth's.
"""

import time
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from fourreal_core.data.shards import iterate_grids
from fourreal_core.evaluation.image import grid_psnr, moving_pixels, sharpness
from fourreal_core.files.atomic import save_picture
from fourreal_core.geometry.fill import detail_grid, fill_grid, find_sources
from fourreal_core.grid import Cameras, FrameGrid, task_known
from fourreal_core.model.weights import load_model
from fourreal_core.sampling.lifted import lifted
from fourreal_core.sampling.sample import sample_grid

SMALL = (72, 128)
CUT = (192, 208)  # height, width of the parts that the picture shows
SHOWN = ("enlarged", "full", "sampler", "detail", "detail of truth")  # after truth
Found = dict[str, tuple[FrameGrid, float]]  # grid and CPU seconds of each way


def detail(folder: str, number: int, picture: str | None) -> dict:
    """Scores of each way on one of the rendered grids. picture: where its row of the picture goes, see `joined`."""
    truth = half(next(islice(iterate_grids(folder), number, None)))
    found = made(truth)
    if picture:
        pictured(truth, found, row_of(Path(picture), number))
    shape = f"{truth.views}x{truth.times} cells of {truth.width}x{truth.height}"
    return {"grid": shape, "scores": scored(truth, found)}


def half(truth: FrameGrid) -> FrameGrid:
    """Every second view and time."""
    cameras = Cameras(truth.cameras.world_to_camera[::2], truth.cameras.intrinsics[::2])
    frames, known = (part[::2, ::2].contiguous() for part in (truth.frames, truth.known))
    return truth.replace(frames=frames, known=known, cameras=cameras)


def made(truth: FrameGrid) -> Found:
    """The grid filled in each way."""
    size, known = (truth.height, truth.width), task_known(truth.views, truth.times)
    task = truth.replace(frames=torch.where(known[..., None, None, None], truth.frames, 0.0), known=known)
    model, found = load_model(), {}

    def timed(name: str, work) -> None:
        start = time.process_time()
        found[name] = (work(), time.process_time() - start)

    def through_copy():
        sources = find_sources(task, predicted=SMALL)
        told = sources.predictor.all_cells(size=SMALL)
        changes = lifted(task, told, None, lambda g, told, _: sample_grid(model, g, predictions=told))
        return sources.fill(changes.drawn).grid

    small_truth = truth.resized(*SMALL, fit="stretch")
    timed("small", lambda: sample_grid(model, task.resized(*SMALL, fit="stretch")))
    small = found.pop("small")
    timed("enlarged", lambda: task.filled(small[0].resized(*size, fit="stretch").frames))
    timed("sampler", through_copy)
    timed("fill", lambda: fill_grid(task).grid)
    timed("detail", lambda: detail_grid(task, small[0]).grid)
    timed("detail of truth", lambda: detail_grid(task, small_truth).grid)
    timed("truth enlarged", lambda: task.filled(small_truth.resized(*size, fit="stretch").frames))
    timed("full", lambda: sample_grid(model, task, steps=1))
    for name in ("enlarged", "detail"):  # the model's work at the small size is part of them
        found[name] = (found[name][0], found[name][1] + small[1])
    return found


def scored(truth: FrameGrid, found: Found) -> dict:
    known = task_known(truth.views, truth.times)
    moving = moving_pixels(truth.frames)[~known]
    scores = {}
    for name, (grid, seconds) in found.items():
        psnr = grid_psnr(grid.replace(known=known), truth)
        sharp = sharpness(grid.frames[~known], truth.frames[~known], moving)
        scores[name] = {"all": psnr["all"], "moving": psnr["moving"], "sharp": sharp, "cpu": seconds}
    return scores


def pictured(truth: FrameGrid, found: Found, path: Path) -> None:
    """The last cell: truth and each way, cut out around what moves."""
    cell = (truth.views - 1, truth.times - 1)
    ys, xs = moving_pixels(truth.frames)[cell].nonzero().unbind(1)
    height, width = CUT
    top = min(max(int(ys.float().median()) - height // 2, 0), truth.height - height)
    left = min(max(int(xs.float().median()) - width // 2, 0), truth.width - width)
    shown = [truth, *(found[name][0] for name in SHOWN)]
    cuts = [grid.frames[cell][top : top + height, left : left + width] for grid in shown]
    save_picture(Image.fromarray((torch.cat(cuts, 1) * 255).round().byte().numpy()), path)


def row_of(picture: Path, number: int) -> Path:
    """The row of one grid, until all are there."""
    return picture.with_name(f"{picture.stem}_{number}.png")


def joined(picture: Path, count: int) -> None:
    """One row per grid as one picture; where a row is missing, those that are there stay for a later run."""
    files = [row_of(picture, number) for number in range(count)]
    if not files or not all(file.exists() for file in files):
        return
    rows = [Image.open(file).convert("RGB") for file in files]
    whole = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for number, row in enumerate(rows):
        whole.paste(row, (0, sum(above.height for above in rows[:number])))
    save_picture(whole, picture, quality=90)
    for file in files:
        file.unlink()
