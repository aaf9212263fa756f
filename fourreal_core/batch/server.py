"""A ComfyUI of its own, started on a free port, and a client for its API. Workflows become prompts in prompt.py.

aiohttp, which ComfyUI brings, is imported where it is needed: everything else here does without.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prompt import Prompt

Event = dict[str, Any]
START_S = 300
GUARD = Path(__file__).with_name("guard.py")
GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, within Windows
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands between us and this machine


class HostProblem(RuntimeError):
    """ComfyUI did not start, or stopped by itself; the message ends with its last log lines."""


class HostNotStarted(HostProblem):
    """It did not start."""


class RunProblem(RuntimeError):
    """A prompt was refused or a node failed; the message says which and why."""


class RunInterrupted(RunProblem):
    """Someone interrupted the run."""


@dataclass(frozen=True)
class Host:
    address: str
    base: Path  # holds input/, output/, temp/, custom_nodes/
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def get(self, route: str) -> bytes:
        """Raises urllib.error.HTTPError when the server has no such route."""
        with DIRECT.open(self.address + route, timeout=60) as answer:
            return answer.read()

    def get_json(self, route: str) -> Any:
        return json.loads(self.get(route))

    def post(self, route: str, data: Any) -> None:
        body = json.dumps(data).encode()
        request = urllib.request.Request(self.address + route, body, {"Content-Type": "application/json"})
        with DIRECT.open(request, timeout=60):
            pass

    def object_info(self) -> dict[str, Any]:
        return self.get_json("/object_info")

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    def run(self, prompt: Prompt, on_event: Callable[[Event], None] = lambda event: None) -> dict[str, Any]:
        """Run a prompt to its end and return its outputs by node id; `on_event` sees every websocket message about it.

        Raises RunProblem when it is refused or fails, RunInterrupted when it is interrupted, HostProblem when ComfyUI dies.
        """
        import aiohttp

        try:
            return asyncio.run(self._run(prompt, on_event))
        except aiohttp.ClientError as problem:
            raise HostProblem(f"ComfyUI no longer answers ({problem}).\n{last_lines(self.log_file)}") from problem

    async def _run(self, prompt: Prompt, on_event: Callable[[Event], None]) -> dict[str, Any]:
        import aiohttp

        client, identity = str(uuid.uuid4()), str(uuid.uuid4())
        async with (
            aiohttp.ClientSession(self.address, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.ws_connect(f"/ws?clientId={client}", max_msg_size=0) as messages,
        ):
            async with session.post(
                "/prompt", json={"prompt": prompt, "client_id": client, "prompt_id": identity}
            ) as answer:
                check_accepted(await answer.json(), prompt)
            async for message in messages:
                if message.type != aiohttp.WSMsgType.TEXT:  # previews are binary
                    continue
                event = json.loads(message.data)
                if event["data"].get("prompt_id") != identity:
                    continue
                on_event(event)
                if (
                    event["type"] == "executing" and event["data"]["node"] is None
                ):  # the history is complete from here on
                    break
            else:
                raise HostProblem(f"ComfyUI stopped during the run.\n{last_lines(self.log_file)}")
            async with session.get(f"/history/{identity}") as answer:
                return outputs_of((await answer.json())[identity])

    def files(self, outputs: dict[str, Any]) -> list[Path]:
        """Every file that a run's outputs name."""
        named = [item for output in outputs.values() for items in output.values() for item in items]
        saved = [item for item in named if isinstance(item, dict) and "filename" in item]
        return [self.base / item["type"] / item.get("subfolder", "") / item["filename"] for item in saved]


def check_accepted(answer: dict[str, Any], prompt: Prompt) -> None:
    """A prompt is accepted only if no node of it was dropped: the server answers 200 when some outputs can still run."""
    for identity, problem in (answer.get("node_errors") or {}).items():
        details = "; ".join(f"{error['message']}: {error['details']}" for error in problem["errors"])
        raise RunProblem(f"Node {identity} ({prompt[identity]['class_type']}) was refused: {details}")
    if answer.get("error"):
        raise RunProblem(f"ComfyUI refused the workflow: {answer['error'].get('message', answer['error'])}")


def outputs_of(history: dict[str, Any]) -> dict[str, Any]:
    for kind, data in history["status"]["messages"]:
        if kind == "execution_error":
            raise RunProblem(
                f"Node {data['node_id']} ({data['node_type']}) failed: {data['exception_message'].strip()}"
            )
        if kind == "execution_interrupted":
            raise RunInterrupted("The run was interrupted.")
    return history["outputs"]


@contextlib.contextmanager
def started(
    python: Path, comfyui: Path, base: Path, options: list[str], meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Host]:
    """Start the ComfyUI in a folder, which holds main.py, and end it with all it started when the block or this process ends, however that goes.

    base: an existing folder, for its log and, by `options`, for what it reads and writes. `meanwhile` is called while it starts; what
    it raises ends the start and is raised again. Raises HostNotStarted when it does not answer within five minutes.
    """
    port = free_port()
    host = Host(f"http://127.0.0.1:{port}", base, base / "comfyui.log")
    fixed = ["--port", str(port), "--database-url", "sqlite:///:memory:", "--disable-auto-launch"]
    with open(host.log_file, "wb") as log:
        process = subprocess.Popen(
            [str(python), str(GUARD), str(comfyui / "main.py"), *fixed, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,  # Ctrl+C is for us, and what ComfyUI starts ends with it
        )
    try:
        meanwhile()
        wait_until_ready(host, process)
        yield host
    finally:
        process.communicate()  # closes what the guard waits for
        if os.name != "nt":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind


def has_gpu() -> bool:
    """Whether PyTorch can use a GPU. Without a driver it cannot, and need not be asked."""
    if sys.platform == "linux" and not any(os.path.exists(driver) for driver in GPU_DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(host: Host, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise HostNotStarted(f"ComfyUI stopped with exit code {process.returncode}.\n{last_lines(host.log_file)}")
        try:
            host.get("/system_stats")
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.25)
    raise HostNotStarted(f"ComfyUI did not answer within {START_S} s.\n{last_lines(host.log_file)}")


def last_lines(log_file: Path, count: int = 15) -> str:
    return "\n".join(log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
