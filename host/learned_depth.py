"""Depth by ComfyUI's own model: Depth Anything 3 from Load Depth Anything 3 (Lin et al., arXiv 2511.10647).

Letters: N frames, H W pixels of them, h w pixels that the model sees.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import torch
from comfy.ldm.depth_anything_3 import preprocess
from comfy_api.v0_0_2 import io

from .cancel import cancellable

Da3Model = io.Custom("DA3_MODEL")  # a ModelPatcher of Depth Anything 3
DA3_SIDE = 504  # pixels of the longer side that it sees, as its own node has it


def da3_network(patcher) -> Any | None:
    """The network of a DA3_MODEL; None for anything else."""
    network = getattr(getattr(patcher, "model", None), "diffusion_model", None)
    return network if hasattr(network, "head_type") else None


def da3_pictures(frames_NHW3: torch.Tensor, network) -> torch.Tensor:
    """[N, 3, h, w] as the network takes them, on its device. frames float32 0..1, not written to."""
    device, dtype = comfy.model_management.get_torch_device(), network.dtype or torch.float32
    seen = preprocess.preprocess_image(frames_NHW3.to(device), process_res=DA3_SIDE, method="upper_bound_resize")
    return seen.to(dtype)


def single_depths(patcher, frames_NHW3: torch.Tensor, on_share: Callable[[float], None]) -> dict[str, torch.Tensor]:
    """DA3_GEOMETRY of frames seen one by one, which every checkpoint can: depth [N, h, w], larger is farther, and sky [N, h, w], 0..1, if told.

    patcher: a DA3_MODEL. frames float32 0..1, not written to. on_share(share done) is called before each frame and may raise to cancel.
    """
    network = da3_network(patcher)
    assert network is not None
    comfy.model_management.load_model_gpu(patcher)
    found: dict[str, list[torch.Tensor]] = {}
    for number in range(len(frames_NHW3)):
        on_share(number / len(frames_NHW3))
        picture = da3_pictures(frames_NHW3[number : number + 1], network)
        with cancellable(network), torch.no_grad():
            out = network(picture)
        for name in {"depth", "sky"} & out.keys():
            found.setdefault(name, []).append(out[name].float().reshape(-1, *out[name].shape[-2:]).cpu())
    on_share(1.0)
    return {name: torch.cat(maps) for name, maps in found.items()}
