"""What demo.py does once its environment stands: check the videos, run the workflow in ComfyUI, collect the results."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from comfyui import Event, Host, RunProblem, running_host
from environment import PACK, Environment
from workflow_prompt import Prompt, WorkflowProblem, set_inputs, workflow_to_prompt

sys.path.insert(0, str(PACK))

import torch

from fourreal_core.files.recording import Measured, Recording
from fourreal_core.files.video import write_video
from fourreal_core.grid_file import load_grid
from fourreal_core.paths.presets import fixed_view, slice_grid
from fourreal_core.paths.sound import sound_along

WORKFLOW = PACK / "workflows" / "01_two_videos_to_bullet_time.json"
LARGEST = 1920  # pixels on the longer side of images that become a video
RESULTS = {".png": "contact_sheet.png", ".mp4": "bullet_time.mp4", ".safetensors": "grid.grid.safetensors"}


class InputProblem(ValueError):
    """A video or the output folder cannot be used; the message is one sentence for the user."""


def run(arguments: argparse.Namespace, environment: Environment) -> list[Path]:
    """Run the demo and return the files it wrote into `arguments.output`.

    Raises InputProblem, or what starting the host and running the prompt raise (see comfyui.py).
    """
    try:
        videos = {
            "4real_fixed_view.mp4": Measured(Recording.at(arguments.fixed_view)),
            "4real_freeze_time.mp4": Measured(Recording.at(arguments.freeze_time)),
        }
        for video in videos.values():
            video.read(range(1), (8, 8))
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as problem:
        raise InputProblem(problem) from problem
    print("Starting ComfyUI ...", flush=True)
    with running_host(environment, cpu=not torch.cuda.is_available()) as host:
        for (name, video), path in zip(videos.items(), (arguments.fixed_view, arguments.freeze_time)):
            lay_out(path, video, host.base / "input" / name)
        prompt = prompt_for(arguments, host)
        outputs = host.run(prompt, Progress(prompt))
        for remark in remarks(prompt, outputs):
            print(f"Note: {remark}", file=sys.stderr)
        return collect(host.files(outputs), arguments.output)


def lay_out(path: Path, video: Measured, target: Path) -> None:
    """Put a video where ComfyUI finds it; what it is, its bytes say. A folder of images becomes one without loss, at a moderate size."""
    if not path.is_dir():
        shutil.copyfile(path, target)
        return
    height, width = video.size
    scale = min(1.0, LARGEST / max(height, width))
    frames, _ = video.read(range(video.length), (max(1, round(height * scale)), max(1, round(width * scale))))
    lossless = target.with_suffix(".mkv")
    write_video(lossless, frames, video.fps, lossless=True)
    os.replace(lossless, target)


def remarks(prompt: Prompt, outputs: dict) -> list[str]:
    """What the node that builds the grid says of the videos."""
    nodes = [key for key, node in prompt.items() if node["class_type"] == "FourRealBuildGrid"]
    return [text for key in nodes for text in outputs.get(key, {}).get("text", ())]


def prompt_for(arguments: argparse.Namespace, host: Host) -> Prompt:
    """The bundled workflow with the settings that were given."""
    try:
        prompt = workflow_to_prompt(json.loads(WORKFLOW.read_text(encoding="utf-8")), host.object_info())
        for class_type, names in (
            ("FourRealBuildGrid", ("views", "times", "width", "height", "fit")),
            ("FourRealSampler", ("steps", "sync", "seed")),
        ):
            given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
            if class_type == "FourRealBuildGrid":
                given = {"height": 0, **({"width": 0} if "height" in given else {}), **given}
            prompt = set_inputs(prompt, class_type, **given)
    except WorkflowProblem as problem:
        raise RunProblem(f"{WORKFLOW.name}: {problem}") from problem
    return prompt


class Progress:
    """Prints one line per node of the prompt, and on a terminal its steps as they go."""

    def __init__(self, prompt: Prompt) -> None:
        self.titles = {key: node["_meta"]["title"] for key, node in prompt.items()}
        self.live = sys.stdout.isatty()
        self.node: str | None = None
        self.started = 0.0

    def __call__(self, event: Event) -> None:
        kind, data = event["type"], event["data"]
        if kind == "executing":
            self.finish_line()
            self.node, self.started = data["node"], time.monotonic()
            self.show("...", end="")
        elif kind == "progress" and data["node"] == self.node:
            self.show(f"{data['value']}/{data['max']}", end="")

    def finish_line(self) -> None:
        self.show(f"{time.monotonic() - self.started:.1f} s", end="\n")

    def show(self, state: str, end: str) -> None:
        if self.node is not None and (self.live or end):
            start = "\r" if self.live else ""
            print(f"{start}{self.titles[self.node]:40} {state:12}", end=end, flush=True)


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
