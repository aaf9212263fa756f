"""The demo's videos on their way into ComfyUI, and its results on their way out. Loads PyTorch."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from environment import PACK

sys.path.insert(0, str(PACK))

import torch

from fourreal_core.batch.inputs import lay_out
from fourreal_core.batch.server import RunProblem
from fourreal_core.files.recording import Measured, Recording
from fourreal_core.files.video import write_video
from fourreal_core.grid_file import load_grid
from fourreal_core.paths.presets import fixed_view, slice_grid
from fourreal_core.paths.sound import sound_along

RESULTS = {".png": "contact_sheet.png", ".mp4": "bullet_time.mp4", ".safetensors": "grid.grid.safetensors"}


def checked(fixed_view: Path, freeze_time: Path) -> Callable[[Path], None]:
    """A function that puts both videos into ComfyUI's input folder under the names that the workflow asks for.

    Raises ValueError or OSError when a video cannot be read.
    """
    videos = {"4real_fixed_view.mp4": fixed_view, "4real_freeze_time.mp4": freeze_time}
    for path in videos.values():
        Measured(Recording.at(path)).read(range(1), (8, 8))

    def lay_out_all(folder: Path) -> None:
        for name, path in videos.items():
            lay_out(path, folder / name)

    return lay_out_all


def collect(files: list[Path], output: Path) -> list[Path]:
    """Put the workflow's results and one video per view into the output folder, each file whole or not at all."""
    with tempfile.TemporaryDirectory(dir=output) as temporary:
        part = Path(temporary)
        for file in files:
            if file.suffix in RESULTS:
                shutil.copyfile(file, part / RESULTS[file.suffix])
        missing = [name for name in RESULTS.values() if not (part / name).is_file()]
        if missing:
            raise RunProblem(f"The workflow left no {', '.join(missing)}.")
        grid = load_grid(part / RESULTS[".safetensors"])
        for view in range(grid.views):
            path = fixed_view((grid.views, grid.times), view)
            sound = sound_along(grid, path, grid.fps)
            write_video(part / f"view_{view:02}.mp4", even(slice_grid(grid, path)), grid.fps, sound=sound)
        done = sorted(part.iterdir())
        for stale in output.glob("view_[0-9][0-9].mp4"):  # of an earlier run with more views
            stale.unlink()
        for file in done:
            os.replace(file, output / file.name)
    return [output / file.name for file in done]


def even(frames_THWC: torch.Tensor) -> torch.Tensor:
    """H.264 wants an even width and height: cut one pixel where needed."""
    return frames_THWC[:, : frames_THWC.shape[1] // 2 * 2, : frames_THWC.shape[2] // 2 * 2]
