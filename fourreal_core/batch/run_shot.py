"""One shot through a workflow in a real ComfyUI, its results in a folder, its scores. The ComfyUI of a process is started once and serves all its shots.

What a shot leaves: OUTPUT/NAME/ with the files that the workflow saved, and shot.json, which is there when the shot is whole. Next to read: spread.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.agreement.measure import measure_agreement
from ..evaluation.collection import SUFFIX
from ..evaluation.contest import as_json
from ..evaluation.heat import heat, heat_plot, heat_sheet
from ..files.atomic import part_of, remove_left_behind, save_picture, write_text
from ..grid_file import load_grid
from .inputs import lay_out
from .prompt import Prompt, WorkflowProblem, set_inputs, workflow_to_prompt
from .server import Host, HostNotStarted, HostProblem, has_gpu, started
from .shots import ROLES, Shot

FACTS, SHEET, PLOT = "shot.json", "sheet.jpg", "plot.png"
TRIES = 3  # of a shot whose ComfyUI dies
FILE_INPUTS = ("file", "video", "image")  # of nodes that load a file from the input folder
SHEET_SIDE, QUALITY = 1000, 82  # pixels, and of JPEG


@dataclass(frozen=True)
class Plan:
    """What the shots of a batch share. workflow: as the editor saves it, or as its API takes it. comfyui: the folder of main.py, with this pack among its
    custom nodes. options: of ComfyUI. scores: whether the grids that the workflow saves are measured."""

    workflow: dict[str, Any]
    comfyui: Path
    output: Path
    options: tuple[str, ...] = ()
    scores: bool = True

    def digest(self, shot: Shot) -> str:
        """Names what a shot's results follow from: the workflow, its settings and its recordings, by size and time of change."""
        stamps = [
            [str(file), file.stat().st_size, file.stat().st_mtime_ns]
            for role in ROLES
            for file in _files(getattr(shot, role))
        ]
        return hashlib.sha256(json.dumps([self.workflow, shot.settings, stamps], sort_keys=True).encode()).hexdigest()


def _files(recording: Path) -> list[Path]:
    return sorted(recording.iterdir()) if recording.is_dir() else [recording]


def facts_of(folder: Path) -> dict[str, Any] | None:
    """What shot.json in a shot's folder says; None where there is none that can be read."""
    try:
        return json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def run_shot(shot: Shot, plan: Plan) -> dict[str, Any]:
    """Runs the workflow on a shot's pair and gives its facts: digest, seconds, files (names in its folder), scores (as `contest.as_json`).

    A ComfyUI that dies is started again. Raises WorkflowProblem, RunProblem or ValueError for what this shot cannot do, HostNotStarted,
    HostProblem where ComfyUI dies each time, OSError.
    """
    start, target = time.monotonic(), plan.output / shot.name
    made, outputs = _run(shot, plan)
    plan.output.mkdir(parents=True, exist_ok=True)
    remove_left_behind(plan.output)
    part = part_of(target)
    try:
        files = [file.relative_to(made) for file in outputs if file.is_relative_to(made)]
        for file in files:
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made / file, part / file)
        facts = {"digest": plan.digest(shot), "files": sorted(file.as_posix() for file in files)}
        facts["scores"] = _scores(part, facts["files"]) if plan.scores else {}
        facts["seconds"] = round(time.monotonic() - start, 1)
        write_text(part / FACTS, json.dumps(facts))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return facts


def _run(shot: Shot, plan: Plan, left: int = TRIES - 1) -> tuple[Path, list[Path]]:
    """(folder of the shot's results, the files that the workflow's outputs name). left: further tries where ComfyUI dies."""
    try:
        host = _servers.running(plan)
        made = host.base / "output" / shot.name
        shutil.rmtree(made, ignore_errors=True)  # of a try that failed
        made.mkdir()
        return made, host.files(host.run(prompt_for(shot, plan.workflow, host)))
    except HostProblem as problem:
        _servers.stop()
        if not left or isinstance(problem, HostNotStarted):
            raise
        logging.getLogger(__name__).warning("starting ComfyUI again for %s: %s", shot.name, problem)
    return _run(shot, plan, left - 1)


def _scores(folder: Path, files: list[str]) -> dict[str, Any]:
    """Numbers of the first grid among the files, with a sheet and a plot beside it; none where there is no grid that can be measured."""
    found = [name for name in files if name.endswith(SUFFIX)]
    if not found:
        return {}
    grid = load_grid(folder / found[0])
    try:
        numbers = measure_agreement(grid)
    except ValueError:  # cells without a picture, or too small
        return {}
    save_picture(heat_sheet(grid, heat(grid, numbers), SHEET_SIDE), folder / SHEET, quality=QUALITY)
    save_picture(heat_plot(numbers), folder / PLOT)
    return as_json(numbers)


def prompt_for(shot: Shot, workflow: dict[str, Any], host: Host) -> Prompt:
    """The workflow as a prompt on a shot's recordings, which are laid into ComfyUI's input folder, with its settings and names of its own for results.

    Raises WorkflowProblem where nothing in it loads one of the recordings, or a setting has no node.
    """
    prompt = (
        workflow_to_prompt(workflow, host.object_info()) if "nodes" in workflow else json.loads(json.dumps(workflow))
    )
    for role in ROLES:
        loader, name = loader_of(prompt, role)
        loader["inputs"][name] = _laid_out(getattr(shot, role), host.base / "input", f"{shot.name}_{role}")
    for kind, name, value in shot.settings:
        prompt = set_inputs(prompt, kind, **{name: value})
    for node in prompt.values():
        if isinstance(node["inputs"].get("filename_prefix"), str):
            node["inputs"]["filename_prefix"] = f"{shot.name}/{node['inputs']['filename_prefix']}"
    return prompt


def loader_of(prompt: Prompt, role: str) -> tuple[dict[str, Any], str]:
    """(node, name of its input) that loads a file for an input called `role`, directly or through other nodes. Raises WorkflowProblem."""
    for node in prompt.values():
        waiting, seen = deque([node["inputs"].get(role)]), set()
        while waiting:
            link = waiting.popleft()
            if not isinstance(link, list) or len(link) != 2 or str(link[0]) in seen:
                continue
            seen.add(str(link[0]))
            source = prompt[str(link[0])]
            name = next((name for name in FILE_INPUTS if isinstance(source["inputs"].get(name), str)), None)
            if name is not None:
                return source, name
            waiting.extend(source["inputs"].values())
    raise WorkflowProblem(
        f"the workflow has no node that loads a file for an input called {role}: connect a Load Video to it."
    )


def _laid_out(recording: Path, folder: Path, name: str) -> str:
    """Its name in ComfyUI's input folder."""
    target = folder / (name + (".mkv" if recording.is_dir() else recording.suffix))
    lay_out(recording, target, link=True)
    return target.name


class Servers:
    """The ComfyUI that this process has running, if any; it ends with the process, however that goes."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._open = contextlib.ExitStack()
        self._host: Host | None = None

    def running(self, plan: Plan) -> Host:
        """Raises HostNotStarted."""
        if self._host is None or self._plan != plan:
            self.stop()
            self._host, self._plan = self._open.enter_context(_own_server(plan)), plan
        return self._host

    def stop(self) -> None:
        self._open.close()
        self._host = None


_servers = Servers()
stop_server = _servers.stop


@contextlib.contextmanager
def _own_server(plan: Plan) -> Iterator[Host]:
    """ComfyUI with its own custom nodes and models, and a temporary folder for what it reads and writes."""
    with tempfile.TemporaryDirectory(prefix="fourreal-batch-", ignore_cleanup_errors=True) as temporary:
        base = Path(temporary).resolve()
        for name in ("input", "output", "user"):
            (base / name).mkdir()
        places = {
            "--input-directory": base / "input",
            "--output-directory": base / "output",
            "--user-directory": base / "user",
        }
        options = [word for option, folder in places.items() for word in (option, str(folder))]
        options += [
            "--temp-directory",
            str(base),
            *plan.options,
            *([] if has_gpu() or "--cpu" in plan.options else ["--cpu"]),
        ]
        with started(Path(sys.executable), plan.comfyui, base, options) as host:
            yield host
