"""One real ComfyUI for all host tests, with two small videos in its input folder and a tiny untrained model to sample with."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from comfyui import running_host
from environment import TOOLS, Environment, find_or_build

from fourreal_core.batch.server import Host
from fourreal_core.files.video import write_video
from fourreal_core.model.config import ModelConfig
from fourreal_core.model.two_stream import GridModel
from fourreal_core.model.weights import save_checkpoint

TINY = "tiny.safetensors"


@pytest.fixture(scope="session")
def environment() -> Environment:
    return find_or_build(TOOLS)


@pytest.fixture(scope="session")
def host(environment: Environment) -> Iterator[Host]:
    with running_host(environment) as running:
        moving_square_HWC = torch.zeros(10, 32, 48, 3)
        for frame, picture_HWC in enumerate(moving_square_HWC):
            picture_HWC[8:20, 4 + 2 * frame : 16 + 2 * frame] = torch.tensor([1.0, 0.5, 0.0])
        write_video(running.base / "input" / "small_fixed_view.mp4", moving_square_HWC, fps=12)
        write_video(running.base / "input" / "small_freeze_time.mp4", moving_square_HWC.roll(1, 0).flip(0), fps=12)
        models = running.base / "models" / "fourreal"
        models.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        config = ModelConfig(width=32, depth=1, head_width=16, mlp_width=64, fine_width=8, middle_width=16)
        save_checkpoint(models / TINY, GridModel(config))
        yield running


@pytest.fixture(scope="session")
def object_info(host: Host) -> dict[str, Any]:
    return host.object_info()
