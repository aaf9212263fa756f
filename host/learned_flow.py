"""Optical flow by ComfyUI's own model: RAFT from Load Optical Flow Model (Teed and Deng, ECCV 2020).

Letters: T times, H W pixels of the frames, h w pixels that the model sees.
"""

from collections.abc import Callable

import comfy.model_management
import torch
import torch.nn.functional as F

from .cancel import cancellable

LEAST_SIDE, MOST_SIDE, STEP = 128, 768, 8  # RAFT takes multiples of 8 and nothing smaller than 128


def flows_to_base(patcher, frames_THW3: torch.Tensor, base: int, on_share: Callable[[float], None]) -> torch.Tensor:
    """[T, h, w, 2] pixels (x, y) of its own size: where each pixel of a time was at the base time; zero at the base time.

    frames float32 0..1, not written to. on_share(share done) is called before each time and may raise to cancel. Raises ValueError
    for a model that is no RAFT.
    """
    model = getattr(patcher, "model", None)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "update_block"):
        raise ValueError(
            f"expected flow to be a RAFT model from Load Optical Flow Model, got {type(model or patcher).__name__}."
        )
    times, height, width, _ = frames_THW3.shape
    size = flow_size(height, width)
    comfy.model_management.load_model_gpu(patcher)
    device = comfy.model_management.get_torch_device()
    model = model.to(device).eval()
    pictures = F.interpolate(frames_THW3.movedim(-1, 1), size=size, mode="bilinear", antialias=True) * 2 - 1
    flows = torch.zeros(times, *size, 2)
    first = pictures[base : base + 1].to(device)
    for time in range(times):
        on_share(time / times)
        if time != base:
            with cancellable(model):
                found = model(pictures[time : time + 1].to(device), first)[-1][0]
            flows[time] = found.movedim(0, -1).float().cpu()
    on_share(1.0)
    return flows


def flow_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) near the frame's aspect that RAFT takes: multiples of 8, from 128 on, and not much above 768."""
    scale = max(LEAST_SIDE / min(height, width), min(1.0, MOST_SIDE / max(height, width)))
    sides = (max(LEAST_SIDE, STEP * round(side * scale / STEP)) for side in (height, width))
    height, width = (min(side, 4 * MOST_SIDE) for side in sides)
    return height, width
