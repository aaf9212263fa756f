"""Measures how well cameras are estimated, on rendered arcs, arcs degraded the way generated video is, and real clips.

    python scripts/measure_cameras.py --models GLB_FOLDER --environments HDR_FOLDER [--clip NAME=FILE_OR_FOLDER ...] [--out cameras.json]

A clip is a video, a folder of images, or a nerfstudio dataset, whose poses then serve as ground truth. Results are written to --out
(JSON) as they come, and existing ones are not measured again; the table of docs/cameras.md is printed at the end.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

PACK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACK))

from fourreal_core.data.rendered.scenes import random_scene, render_grid  # noqa: E402
from fourreal_core.exchange.nerfstudio_reading import read_dataset  # noqa: E402
from fourreal_core.files.recording import Measured, Recording  # noqa: E402
from fourreal_core.files.video import pick_frames  # noqa: E402
from fourreal_core.geometry.cameras import CamerasNotFound, estimate_cameras  # noqa: E402
from fourreal_core.geometry.gauge import aligned, arc_degrees  # noqa: E402

WORSE = {  # (warp in % of the width, blur in pixels of a 128-wide frame, change of colour)
    "warp 0.25 %": (0.25, 0.0, 0.0),
    "warp 0.5 %": (0.5, 0.0, 0.0),
    "warp 0.25 %, blur 0.7 px, colour 10 %": (0.25, 0.7, 0.1),
}
ARC, FINE = "rendered, 8 frames", "rendered, 29 frames, 8 of them views"


def made_worse(frames_NHWC: np.ndarray, warp: float, blur: float, colour: float, seed: int) -> np.ndarray:
    """Every frame but the first with smooth random shifts, blur and a change of colour of its own, as generated video has."""
    rng, out = np.random.default_rng(seed), [frames_NHWC[0]]
    height, width = frames_NHWC.shape[1:3]
    for frame in frames_NHWC[1:]:
        coarse = rng.normal(0, 1, (5, 7, 2)).astype(np.float32)
        shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        shift *= warp / 100 * width / np.sqrt((shift**2).sum(-1).mean())
        y, x = np.mgrid[:height, :width].astype(np.float32)
        moved = cv2.remap(frame, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        if blur:
            moved = cv2.GaussianBlur(moved, (0, 0), blur * width / 128)
        out.append(np.clip(moved * (1 + rng.uniform(-colour, colour, 3)), 0, 1).astype(np.float32))
    return np.stack(out)


def measured(frames, true=None, lenses=None, views=None) -> dict:
    """One line of the results: errors against the truth where there is one, else what the estimate says of itself."""
    start = time.process_time()
    try:
        found = estimate_cameras(frames, views=views)
    except CamerasNotFound as problem:
        return {"failed": str(problem), "seconds": time.process_time() - start}
    line = {
        "views": f"{len(found.cameras.world_to_camera) - len(found.guessed)}/{len(found.cameras.world_to_camera)}",
        "frames": f"{len(found.placed)}/{len(found.looked_at)}",
        "error": found.error,
        "points": len(found.points),
        "arc": arc_degrees(found.cameras),
        "zoomed": found.zoomed,
        "notes": found.notes,
        "seconds": time.process_time() - start,
    }
    if true is not None:
        _, line["turn"], line["place"] = aligned(found.cameras.world_to_camera.double().numpy(), true)
        ratio = found.cameras.intrinsics[:, 0, 0].numpy() / lenses[:, 0, 0]
        line["focal"] = float(np.exp(np.log(ratio).mean()))
    return line


def rendered(seed: int, views: int, models: list[Path], environments: Path):
    grid = render_grid(random_scene(seed, models, environments), views, 1, 72, 128)
    return grid.frames[:, 0].numpy(), grid.cameras.world_to_camera.double().numpy(), grid.cameras.intrinsics.numpy()


def clip_frames(source: Path):
    """(frames, true poses and lenses or None)."""
    known = read_dataset(source).cameras if (source / "transforms.json").is_file() else None
    recording = Measured(Recording.at(source if known is None else source / "images"))
    frames, _ = recording.read(recording.pick(0))
    return frames, known and known.world_to_camera.double().numpy(), known and known.intrinsics.numpy()


def cases(arguments):
    """(group, name, what makes the line)."""
    models = sorted(arguments.models.glob("*.glb"))
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.arcs):
        yield ARC, str(seed), lambda seed=seed: measured(*rendered(seed, 8, models, arguments.environments))
    for name, amounts in WORSE.items():
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.worse):

            def worse(seed=seed, amounts=amounts):
                frames, *truth = rendered(seed, 8, models, arguments.environments)
                return measured(made_worse(frames, *amounts, seed), *truth)

            yield f"{ARC}, {name}", str(seed), worse
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.fine):

        def fine(seed=seed):
            frames, poses, lenses = rendered(seed, 29, models, arguments.environments)
            return measured(frames, poses[::4], lenses[::4], views=list(range(0, 29, 4)))

        yield FINE, str(seed), fine
    for clip in arguments.clip:
        name, _, source = clip.partition("=")
        yield "real", f"{name}, 8 frames", lambda source=source: of_clip(Path(source), True)
        yield "real", f"{name}, all frames", lambda source=source: of_clip(Path(source), False)


def of_clip(source: Path, only_views: bool) -> dict:
    frames, poses, lenses = clip_frames(source)
    views = pick_frames(list(range(len(frames))), min(8, len(frames)))
    truth = (poses[views], lenses[views]) if poses is not None and lenses is not None else (None, None)
    return measured(frames[torch.tensor(views)], *truth) if only_views else measured(frames, *truth, views=views)


def table(results: dict) -> str:
    """The groups of arcs as medians and worst, clips line by line."""
    lines = [
        "| frames | found | rotation, degrees: median, worst | position, % of the baseline: median, worst | focal length, %: median | CPU s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for group in {group: None for group, _ in results if group != "real"}:
        all_of = [line for (name, _), line in results.items() if name == group]
        good = [line for line in all_of if "turn" in line]
        turn, place = ([line[key] for line in good] for key in ("turn", "place"))
        focal = np.median([abs(line["focal"] - 1) for line in good])
        seconds = np.median([line["seconds"] for line in all_of])
        lines.append(
            f"| {group} | {len(good)} of {len(all_of)} | {np.median(turn):.2f}, {max(turn):.1f} | "
            f"{100 * np.median(place):.2f}, {100 * max(place):.1f} | {100 * focal:.0f} | {seconds:.1f} |"
        )
    lines += [
        "",
        "| real frames | views, frames placed | reprojection error, px | arc, degrees | against known poses: rotation, position, focal length | CPU s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (group, name), line in results.items():
        if group == "real" and "failed" in line:
            lines.append(f"| {name} | none: {line['failed']} | | | | {line['seconds']:.0f} |")
        elif group == "real":
            truth = f"{line['turn']:.2f}°, {100 * line['place']:.1f} %, {line['focal']:.2f}" if "turn" in line else ""
            lines.append(
                f"| {name} | {line['views']}, {line['frames']} | {line['error']:.2f} | {line['arc']:.0f} | {truth} | {line['seconds']:.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder with .glb files")
    parser.add_argument("--environments", type=Path, required=True, help="folder with .hdr panoramas and ground_*.jpg")
    parser.add_argument("--clip", action="append", default=[], metavar="NAME=PATH", help="a real clip; may be repeated")
    parser.add_argument("--arcs", type=int, default=20)
    parser.add_argument("--worse", type=int, default=8, help="arcs that are degraded in every way")
    parser.add_argument("--fine", type=int, default=4, help="arcs that use all frames of a video")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("cameras.json"))
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    results = {(group, name): line for group, name, line in stored}
    for group, name, measure in cases(arguments):
        if (group, name) not in results:
            results[group, name] = measure()
            print(group, name, results[group, name], flush=True)
            arguments.out.write_text(json.dumps([[*key, line] for key, line in results.items()], indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
