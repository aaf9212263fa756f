"""ComfyUI imported into the test process, so that tests can call single nodes and look at grids and models."""

import asyncio
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp.web
import pytest
import torch
from environment import PACK, Environment

sys.path.append(str(Path(__file__).resolve().parent))  # tiny_backbones
EXTRAS = ("nodes_custom_sampler", "nodes_model_advanced", "nodes_video")


class InsideHost:
    """The host with the pack and a few of its own node files loaded. `events` collects what it would send to a browser."""

    client_id = last_node_id = last_prompt_id = None

    def __init__(self, comfyui: Path, base: Path):
        self.base, self.events, self.sockets_metadata = base, [], {}
        sys.path.insert(0, str(comfyui))  # before the checkout, whose folder `nodes` has the name of a host module
        given, sys.argv = sys.argv, [sys.argv[0], "--cpu", "--base-directory", str(base)]
        import comfy.options

        comfy.options.enable_args_parsing(True)
        import execution
        import server

        import nodes

        sys.argv = given
        server.PromptServer.instance = self
        self.routes = aiohttp.web.RouteTableDef()
        self.execution, self.node_classes = execution, nodes.NODE_CLASS_MAPPINGS
        folder = base / "custom_nodes" / "ComfyUI-4Real-Video"
        folder.symlink_to(PACK, target_is_directory=True)
        assert asyncio.run(nodes.load_custom_node(str(folder), module_parent="custom_nodes"))
        for name in EXTRAS:
            file = comfyui / "comfy_extras" / f"{name}.py"
            assert asyncio.run(nodes.load_custom_node(str(file), module_parent="comfy_extras"))
        self.package = str(folder).replace(".", "_x_")

    def core(self, name: str) -> ModuleType:
        """A module of the pack's own fourreal_core, whose classes its nodes know."""
        return importlib.import_module(f"{self.package}.fourreal_core.{name}")

    def pack_nodes(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.nodes.{name}")

    def pack_host(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.host.{name}")

    def call(self, node: str, **inputs: Any) -> tuple:
        """Execute one node as the host does, and return its outputs."""
        kind = self.node_classes[node]
        runner = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {}}) if hasattr(kind, "PREPARE_CLASS_CLONE") else kind()
        with torch.inference_mode():
            result = getattr(runner, kind.FUNCTION)(**inputs)
        return result if isinstance(result, tuple) else tuple(result.result or ())

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Run a whole prompt and return its outputs by node id; RuntimeError with the first problem."""
        valid, error, outputs, node_errors = asyncio.run(self.execution.validate_prompt("test", prompt, None))
        if not valid or node_errors:
            raise RuntimeError(f"refused: {error} {node_errors}")
        cache = {"ram": 1, "ram_inactive": 1, "lru": 0}
        executor = self.execution.PromptExecutor(self, cache_type=self.execution.CacheType.CLASSIC, cache_args=cache)
        executor.execute(prompt, "test", {}, outputs)
        for kind, data in executor.status_messages:
            if kind == "execution_error":
                raise RuntimeError(data["exception_message"].strip())
            if kind == "execution_interrupted":
                raise RuntimeError("interrupted")
        return executor.history_result["outputs"]

    def send_sync(self, *event: Any) -> None:
        self.events.append(event)

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        self.events.append(("text", text, node_id))


@pytest.fixture(scope="session")
def comfy_inside(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> InsideHost:
    base = tmp_path_factory.mktemp("inside")
    for folder in ("custom_nodes", "input", "output", "models/fourreal", "models/loras"):
        (base / folder).mkdir(parents=True)
    torch.set_num_threads(1)  # grids are tiny here: more threads only wait for each other
    return InsideHost(environment.comfyui, base)


@pytest.fixture(scope="session")
def tiny_model(comfy_inside) -> str:
    """The name of an untrained checkpoint in models/fourreal; all of its weights, also those that start at 0, do something."""
    generator = torch.Generator().manual_seed(0)
    config = comfy_inside.core("model.config").tiny()
    two_stream, weights = comfy_inside.core("model.two_stream"), comfy_inside.core("model.weights")
    model = two_stream.initialize_grid_model(two_stream.GridModel(config), generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    weights.save_checkpoint(comfy_inside.base / "models" / "fourreal" / "tiny.safetensors", model)
    return "tiny.safetensors"


@pytest.fixture
def two_streams(comfy_inside):
    """4Real Two-Stream as a function of a MODEL and its settings; hard unless told."""

    def patch(model, **settings):
        settings = {"sync": "hard", "strength": 1.0, "output": "mean"} | settings
        return comfy_inside.call("FourRealTwoStream", model=model, **settings)[0]

    return patch


@pytest.fixture
def videos() -> tuple[torch.Tensor, torch.Tensor]:
    """A fixed-view video [5, 16, 24, 3] and a freeze-time video [3, 16, 24, 3] that share their first frame."""
    picture = torch.rand(16, 36, 3, generator=torch.Generator().manual_seed(0))
    fixed_view = torch.stack([picture[:, time : time + 24] for time in range(5)])
    freeze_time = torch.stack([picture[:, 2 * view : 2 * view + 24] for view in range(3)])
    return fixed_view, freeze_time


@pytest.fixture
def grid(comfy_inside, videos):
    return comfy_inside.core("grid").FrameGrid.from_videos(*videos, fps=6.0)
