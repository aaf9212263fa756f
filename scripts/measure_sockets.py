#!/usr/bin/env python3
"""Measures what 4Real Fill gains from depth, masks and flow of ComfyUI's own nodes, at best: by connecting exact ones, in those nodes' types.

    python scripts/train_geometry.py render --models "held_out/*.glb" --env env --count 6 --seed 900000 --whole-every 1 --output data/ladder
    python scripts/measure_sockets.py --scenes data/ladder --results sockets.jsonl

Depth comes as the geometry of Depth Anything 3, in mono mode and in multiview mode with its cameras, masks as those of SAM 3, flow as a RAFT
model. Prints a Markdown table. Results are saved as they come: stop at any time and run the same command to continue.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from environment import PACK, enter_or_stop
from pack import part

sys.path.insert(0, str(PACK))

WAYS = {  # what is connected
    "nothing": (),
    "depth, mono": ("depth",),
    "depth, mono, 5 % wrong": ("depth", 0.05),
    "depth, mono, 10 % wrong": ("depth", 0.1),
    "depth, multiview with cameras": ("depth", "cameras"),
    "masks of what moves": ("moving",),
    "flow": ("flow",),
    "depth with cameras, masks and flow": ("depth", "cameras", "moving", "flow"),
}
EDGE = 0.01  # of the picture's width: how far depth that is not exact is smeared over edges
PATCHES = 4  # errors of depth that is not exact change over a picture's side so many times
FLICKER = 0.3  # share of these errors that is another at each time
MEASURED = {"all": "dB, all", "moving": "dB, moving", "sharpness": "sharpness"}


def main() -> None:
    arguments = parse()
    environment = enter_or_stop()
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, str(environment.comfyui))
    import comfy.options
    import torch

    comfy.options.enable_args_parsing(True)
    torch.set_num_threads(1)
    try:
        print(table(measure(arguments.scenes, arguments.count, arguments.results)))
    except (ValueError, OSError) as error:
        sys.exit(f"measure_sockets.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to continue")


def measure(scenes: Path, count: int | None, results: Path) -> list[dict[str, Any]]:
    """A record per scene and way, from the file where it has one."""
    files, records = part("fourreal_core.data.rendered.exact_files"), part("fourreal_core.files.records")
    found = [file for file in files.exact_files(scenes) if files.is_whole(file)]
    done = records.read_records(results) if results.exists() else []
    for file in islice(found, count):
        exact = files.load_exact(file)
        for way, connected in WAYS.items():
            if not any((each["scene"], each["way"]) == (file.stem, way) for each in done):
                done.append({"scene": file.stem, "way": way, **filled(exact, connected)})
                records.add_record(results, done[-1])
                print(f"{file.stem}  {way}: {done[-1]['all']:.2f} dB", flush=True)
    return done


def filled(exact: Any, connected: tuple[str | float, ...]) -> dict[str, float]:
    """What the fill of the scene's two videos scores with these exact answers connected; a number is the share by which depth is wrong."""
    image, truth = part("fourreal_core.evaluation.image"), exact.grid().replace(cameras=None)
    grid = part("fourreal_core.evaluation.measure").hide(truth)
    wrong = next((each for each in connected if isinstance(each, float)), 0.0)
    sockets = {
        "depth": depth_anything(exact, "cameras" in connected, wrong) if "depth" in connected else None,
        "moving": exact.geometry.mover_THW.float() if "moving" in connected else None,
        "flow": exact_raft(exact) if "flow" in connected else None,
    }
    given = part("host.known_geometry").known_geometry(grid, **sockets, on_share=lambda name, share: None)
    made = part("fourreal_core.geometry.fill").fill_grid(grid, **given).grid.frames
    unknown, moving = ~grid.known, image.moving_pixels(truth.frames)[~grid.known]
    pair = (made[unknown], truth.frames[unknown])
    return {"all": image.psnr(*pair), "moving": image.psnr(*pair, moving), "sharpness": image.sharpness(*pair, moving)}


def depth_anything(exact: Any, with_cameras: bool, wrong: float = 0.0) -> dict[str, Any]:
    """DA3_GEOMETRY of the known frames: depth from the camera; of the multiview mode with one camera for each."""
    import torch

    inverse = torch.cat([exact.geometry.view_depth_VHW, exact.geometry.time_depth_THW[1:]])
    if wrong:
        inverse = inexact(inverse, wrong, len(exact.freeze_VHW3))
    geometry: dict[str, Any] = {"depth": 1 / inverse, "mode": "multiview" if with_cameras else "mono"}
    if with_cameras:
        views = [*range(len(exact.freeze_VHW3)), *[0] * (len(exact.fixed_THW3) - 1)]
        geometry |= {
            "extrinsics": exact.world_to_camera_V44[views, :3][None],
            "intrinsics": exact.intrinsics_V33[views][None],
        }
    return geometry


def inexact(inverse_NHW: Any, wrong: float, views: int) -> Any:
    """Depth as a network may give it: edges smeared, and too near here and too far there, by much the same at all times of the base view.

    wrong: the standard deviation of the error as a share of the depth; it changes smoothly over about a quarter of the picture. views: how
    many maps come first, each with errors of its own.
    """
    import torch
    from torchvision.transforms.functional import gaussian_blur

    size = inverse_NHW.shape[-2:]
    reach = max(EDGE * size[1], 0.5)
    smeared = gaussian_blur(inverse_NHW, 2 * round(2 * reach) + 1, reach)
    coarse = torch.randn(len(inverse_NHW), 1, PATCHES, PATCHES, generator=torch.Generator().manual_seed(0))
    coarse[views:] = FLICKER * coarse[views:] + (1 - FLICKER**2) ** 0.5 * coarse[:1]
    error = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[:, 0]
    return smeared * torch.exp(wrong * error / error.std())


def exact_raft(exact: Any) -> Any:
    """A model in RAFT's place that knows the scene's frames and what moved where."""
    import comfy.model_management
    import comfy.model_patcher
    import torch

    class Raft(torch.nn.Module):
        update_block = None  # by which the pack knows a RAFT

        def forward(self, pictures: Any, base: Any) -> list[Any]:
            size = pictures.shape[-2:]
            frames = torch.nn.functional.interpolate(
                exact.fixed_THW3.movedim(-1, 1).float() / 255, size=size, mode="bilinear", antialias=True
            )
            time = int((frames * 2 - 1 - pictures.cpu()).square().flatten(1).mean(1).argmin())
            flow = exact.geometry.flow_THW2[time].movedim(-1, 0)[None]
            scale = torch.tensor([size[1] / flow.shape[3], size[0] / flow.shape[2]])
            return [torch.nn.functional.interpolate(flow, size=size, mode="nearest") * scale[:, None, None]]

    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(Raft(), load_device=device, offload_device=torch.device("cpu"))


def table(records: list[dict[str, Any]]) -> str:
    """Means over the scenes, a row per way."""
    lines = ["| connected | " + " | ".join(MEASURED.values()) + " |", "| --- |" + " ---: |" * len(MEASURED)]
    for way in WAYS:
        mine = [each for each in records if each["way"] == way]
        if mine:
            values = (f"{fmean(each[key] for each in mine):.2f}" for key in MEASURED)
            lines.append(f"| {way} | " + " | ".join(values) + " |")
    scenes = len({each["scene"] for each in records})
    return "\n".join([*lines, "", f"Means over {scenes} rendered grids."])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenes", type=Path, required=True, help="folder written by train_geometry.py render with --whole-every 1"
    )
    parser.add_argument("--results", type=Path, required=True, help="file for results, which is added to")
    parser.add_argument("--count", type=int, help="scenes to measure (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
