"""What demo.py does once its environment stands: start ComfyUI and look at the videos meanwhile, run the workflow, collect the results.

PyTorch takes seconds to load, so nothing here loads it before ComfyUI is starting; what needs it is in demo_files.py.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from comfyui import running_host
from environment import PACK, Environment

from fourreal_core.batch.prompt import Prompt, WorkflowProblem, set_inputs, workflow_to_prompt
from fourreal_core.batch.server import Event, Host, RunProblem, has_gpu

WORKFLOW = PACK / "workflows" / "01_two_videos_to_bullet_time.json"


class InputProblem(ValueError):
    """A video or the output folder cannot be used; the message is one sentence for the user."""


def run(arguments: argparse.Namespace, environment: Environment) -> list[Path]:
    """Run the demo and return the files it wrote into `arguments.output`.

    Raises InputProblem, or what starting the host and running the prompt raise (see fourreal_core/batch/server.py).
    """
    lay_out: list = []

    def look() -> None:
        try:
            import demo_files

            lay_out.append(demo_files.checked(arguments.fixed_view, arguments.freeze_time))
            arguments.output.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError) as problem:
            raise InputProblem(problem) from problem

    print("Starting ComfyUI ...", flush=True)
    with running_host(environment, cpu=not has_gpu(), meanwhile=look) as host:
        import demo_files

        lay_out[0](host.base / "input")
        prompt = prompt_for(arguments, host)
        outputs = host.run(prompt, Progress(prompt))
        for remark in remarks(prompt, outputs):
            print(f"Note: {remark}", file=sys.stderr)
        return demo_files.collect(host.files(outputs), arguments.output)


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
