"""A VIDEO of frames whose writing ends when the user cancels: ComfyUI's own Save Video does not ask while it encodes."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from comfy_api.v0_0_2 import InputImpl


class CancellableVideo(InputImpl.VideoFromComponents):
    """As its parent; whoever has it written to a file leaves no half file behind where that fails or the user cancels."""

    def save_to(self, path: Any, *given: Any, **named: Any) -> None:
        parts = self.get_components()
        asking: Any = _AskingFrames(parts.images)
        video = InputImpl.VideoFromComponents(dataclasses.replace(parts, images=asking))
        before = isinstance(path, (str, Path)) and Path(path).exists()
        try:
            video.save_to(path, *given, **named)
        except BaseException:
            if isinstance(path, (str, Path)) and not before:
                Path(path).unlink(missing_ok=True)
            raise


class _AskingFrames:
    """Frames [N, H, W, C] one after the other; before each it is asked whether the user has cancelled."""

    def __init__(self, frames_NHWC: torch.Tensor):
        self.frames_NHWC, self.shape = frames_NHWC, frames_NHWC.shape

    def __iter__(self) -> Iterator[torch.Tensor]:
        for frame_HWC in self.frames_NHWC:
            comfy.model_management.throw_exception_if_processing_interrupted()
            yield frame_HWC
