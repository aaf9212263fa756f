"""Takes the pictures of the help pages: every node of the pack in the real editor of a real ComfyUI, after a real run.

    python scripts/pictures.py                    all of them
    python scripts/pictures.py FourRealSampler    some of them

They go to web/docs/pictures. Needs Node.js and Chromium (see browser.py). What is in them: tests/web/exhibits.mjs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import PACK, TOOLS, enter_or_stop

TARGET = PACK / "web" / "docs" / "pictures"
SCRIPT = PACK / "tests" / "web" / "node_pictures.mjs"
QUALITY = 78
VIEWS, TIMES, HEIGHT, WIDTH = 8, 8, 144, 256
SPLAT_STEPS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", metavar="NODE", help="node ids (default: every node)")
    arguments = parser.parse_args()
    environment = enter_or_stop(TOOLS)
    from browser import BrowserProblem, find_browser
    from comfyui import running_host

    from fourreal_core.batch.server import HostProblem

    try:
        browser = find_browser()
        with running_host(environment) as host, tempfile.TemporaryDirectory() as folder:
            provide_inputs(host.base, splats=not arguments.nodes or any("Splat" in node for node in arguments.nodes))
            variables = {**browser.variables(), "FOURREAL_HOST": host.address, "FOURREAL_PICTURES": folder}
            subprocess.run([str(browser.node), str(SCRIPT), *arguments.nodes], env=variables, check=True)
            keep(Path(folder))
    except (BrowserProblem, HostProblem, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def example_grid():
    """The FrameGrid of the example videos, 8 x 8 cells of 256x144, filled without a model."""
    sys.path.insert(0, str(PACK))
    from fourreal_core.files.recording import read_video
    from fourreal_core.files.video import fit_frames, pick_frames
    from fourreal_core.geometry.fill import fill_grid
    from fourreal_core.grid import FrameGrid

    fixed_view, fps = read_video(PACK / "example_inputs" / "fixed_view.mp4")
    freeze_time, _ = read_video(PACK / "example_inputs" / "freeze_time.mp4")
    fixed_view = fit_frames(pick_frames(fixed_view, TIMES), HEIGHT, WIDTH)
    freeze_time = fit_frames(pick_frames(freeze_time, VIEWS), HEIGHT, WIDTH)
    return fill_grid(FrameGrid.from_videos(fixed_view, freeze_time, fps=fps / 5)).grid


def provide_inputs(base: Path, *, splats: bool) -> None:
    """A filled grid of the example videos, the same grid as the folder of a camera rig and, slowest, as splats, and the name of trained layers."""
    grid = example_grid()
    from fourreal_core.files.video import write_video
    from fourreal_core.grid_file import save_grid
    from fourreal_core.splats.fit import fit_splats
    from fourreal_core.splats.splat_file import save_splats

    save_grid(grid, base / "input" / "example.grid.safetensors")
    if splats:
        save_splats(fit_splats(grid, steps=SPLAT_STEPS).splats, base / "input" / "example.splats.safetensors")
    (base / "input" / "example_rig").mkdir(exist_ok=True)
    for view in range(VIEWS):
        write_video(base / "input" / "example_rig" / f"camera_{view}.mp4", grid.frames[view], grid.fps)
    layers = base / "models" / "fourreal_sync" / "my_sync.safetensors"
    layers.parent.mkdir(parents=True, exist_ok=True)
    layers.touch()  # for the list of files; 4Real Load Sync does not run


def keep(folder: Path) -> None:
    """Turn the screenshots into small files, each whole or not at all."""
    from PIL import Image

    TARGET.mkdir(exist_ok=True)
    for screenshot in sorted(folder.glob("*.png")):
        part = folder / f"{screenshot.stem}.webp"
        Image.open(screenshot).convert("RGB").save(part, quality=QUALITY, method=6)
        target = TARGET / part.name
        (TARGET / f".{part.name}.part").write_bytes(part.read_bytes())
        os.replace(TARGET / f".{part.name}.part", target)
        print(target.relative_to(PACK), f"{target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
