"""Measures the detail of large cells against truth: what the bundled model makes through a small copy, at full size, and enlarged, and 4Real Detail.

    python scripts/render.py --models "glb/*.glb" --env env --count 3 --per-shard 1 --size 288x512 --output truth
    python scripts/measure_detail.py truth --results detail.jsonl --write docs/performance.md --picture docs/images/detail.jpg

Every second view and time of each rendered grid, because the model at full size takes minutes for those alone. Results are added as they come, so that
a run can be stopped and taken up, or cut into pieces by --most. CPU seconds of one thread; PSNR in dB over the unknown cells, all pixels and moving
pixels; sharpness of what moves, 1 where it is the truth's.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from environment import PACK, enter_or_stop

WAYS = {
    "enlarged": "the model at 128x72, enlarged",
    "full": "the model at full size, 1 step",
    "sampler": "4Real Sampler: the model at 128x72, its changes carried out at full size",
    "fill": "4Real Fill, without a model",
    "detail": "4Real Detail from the model's 128x72",
    "detail of truth": "4Real Detail from the true grid at 128x72",
    "truth enlarged": "the true grid at 128x72, enlarged",
}
SMALL = (72, 128)


def half(truth):
    """Every second view and time."""
    from fourreal_core.grid import Cameras

    cameras = Cameras(truth.cameras.world_to_camera[::2], truth.cameras.intrinsics[::2])
    frames, known = (part[::2, ::2].contiguous() for part in (truth.frames, truth.known))
    return truth.replace(frames=frames, known=known, cameras=cameras)


def made(truth, full: bool) -> dict:
    """Frames and CPU seconds of each way."""
    import torch

    from fourreal_core.geometry.fill import detail_grid, fill_grid, find_sources
    from fourreal_core.grid import task_known
    from fourreal_core.model.weights import load_model
    from fourreal_core.sampling.lifted import lifted
    from fourreal_core.sampling.sample import sample_grid

    size, known = (truth.height, truth.width), task_known(truth.views, truth.times)
    task = truth.replace(frames=torch.where(known[..., None, None, None], truth.frames, 0.0), known=known)
    model, found = load_model(), {}

    def timed(name: str, work) -> None:
        start = time.process_time()
        found[name] = (work(), time.process_time() - start)

    def through_copy():
        sources = find_sources(task)
        drawn = lifted(task, sources.predictions, None, lambda g, told, _: sample_grid(model, g, predictions=told))
        return sources.fill(drawn.frames).grid

    small_truth = truth.resized(*SMALL, fit="stretch")
    timed("small", lambda: sample_grid(model, task.resized(*SMALL, fit="stretch")))
    small = found.pop("small")
    timed("enlarged", lambda: task.filled(small[0].resized(*size, fit="stretch").frames))
    timed("sampler", through_copy)
    timed("fill", lambda: fill_grid(task).grid)
    timed("detail", lambda: detail_grid(task, small[0]).grid)
    timed("detail of truth", lambda: detail_grid(task, small_truth).grid)
    timed("truth enlarged", lambda: task.filled(small_truth.resized(*size, fit="stretch").frames))
    if full:
        timed("full", lambda: sample_grid(model, task, steps=1))
    for name in ("enlarged", "detail"):  # the model's work at the small size is part of them
        found[name] = (found[name][0], found[name][1] + small[1])
    return found


def scored(truth, found: dict) -> dict:
    from fourreal_core.evaluation.image import grid_psnr, moving_pixels, sharpness
    from fourreal_core.grid import task_known

    known = task_known(truth.views, truth.times)
    moving = moving_pixels(truth.frames)[~known]
    scores = {}
    for name, (grid, seconds) in found.items():
        psnr = grid_psnr(grid.replace(known=known), truth)
        sharp = sharpness(grid.frames[~known], truth.frames[~known], moving)
        scores[name] = {"all": psnr["all"], "moving": psnr["moving"], "sharp": sharp, "cpu": seconds}
    return scores


def pictured(truth, found: dict, path: Path) -> None:
    """The last cell: truth and each way, cut out around what moves."""
    import torch
    from PIL import Image

    from fourreal_core.evaluation.image import moving_pixels
    from fourreal_core.files.atomic import save_picture

    cell = (truth.views - 1, truth.times - 1)
    ys, xs = moving_pixels(truth.frames)[cell].nonzero().unbind(1)
    top = min(max(int(ys.float().median()) - 72, 0), truth.height - 144)
    left = min(max(int(xs.float().median()) - 96, 0), truth.width - 192)
    shown = [
        truth,
        *(found[name][0] for name in ("enlarged", "full", "sampler", "detail", "detail of truth") if name in found),
    ]
    cuts = [grid.frames[cell][top : top + 144, left : left + 192] for grid in shown]
    save_picture(Image.fromarray((torch.cat(cuts, 1) * 255).round().byte().numpy()), path, quality=88)


def table(records: list[dict]) -> str:
    lines = [
        f"{len(records)} rendered {'grid' if len(records) == 1 else 'grids, means'}, {records[0]['grid']}.",
        "",
        "| | PSNR, all | PSNR, moving | sharpness of what moves | CPU s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, words in WAYS.items():
        rows = [record["scores"][name] for record in records if name in record["scores"]]
        if rows:
            means = [sum(row[key] for row in rows) / len(rows) for key in ("all", "moving", "sharp", "cpu")]
            count = "" if len(rows) == len(records) else f" ({len(rows)} of the grids)"
            lines.append(f"| {words}{count} | {means[0]:.2f} | {means[1]:.2f} | {means[2]:.2f} | {means[3]:.0f} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="folder of rendered grids")
    parser.add_argument("--most", type=int, help="how many grids are measured in this run")
    parser.add_argument("--without-full", action="store_true", help="leave out the model at full size")
    parser.add_argument("--results", type=Path, default=Path("detail.jsonl"))
    parser.add_argument("--write", type=Path, help="the document whose table is replaced")
    parser.add_argument("--picture", type=Path, help="a JPEG of the first grid that is measured in this run")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    enter_or_stop()
    sys.path.insert(0, str(PACK))
    import torch

    from fourreal_core.data.shards import iterate_grids
    from fourreal_core.files.marked_part import write_part
    from fourreal_core.files.records import add_record, read_records

    torch.set_num_threads(1)
    records, picture, measured = read_records(arguments.results), arguments.picture, 0
    for number, whole in enumerate(iterate_grids(arguments.shards)):
        if number < len(records) or measured == arguments.most:
            continue
        truth = half(whole)
        found = made(truth, not arguments.without_full)
        shape = f"{truth.views}x{truth.times} cells of {truth.width}x{truth.height}"
        records.append({"grid": shape, "scores": scored(truth, found)})
        add_record(arguments.results, records[-1])
        print(json.dumps(records[-1]), flush=True)
        if picture:
            pictured(truth, found, picture)
        picture, measured = None, measured + 1
    if records:
        print(table(records))
        if arguments.write:
            write_part(arguments.write, "detail", table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
