"""Sockets and the conversions between host types and the core's grid. Every node file starts from here.

Letters: N frames of one video, H W pixels, C colours.
"""

import logging
from collections.abc import Mapping

import comfy.model_management
import comfy.utils
import torch
from comfy_api.v0_0_2 import Types, io
from server import PromptServer

from ..fourreal_core.files.sound import Sound
from ..fourreal_core.files.video import frame_rate
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.paths import drawn
from .written_video import CancellableVideo

log = logging.getLogger(__name__)

Grid = io.Custom("FOURREAL_GRID")
DrawnPath = io.Custom("FOURREAL_PATH")
Footage = io.Custom("FOURREAL_FOOTAGE")  # an `EncodedFootage`, see training/footage.py
Sync = io.Custom("FOURREAL_SYNC")  # a ModelPatcher of trained `SyncLayers`, see load_sync.py

GRID_TOOLTIP = "A view x time grid, for example from 4Real Build Conditioning Grid."


def frames_to_video(frames_NHWC: torch.Tensor, fps: float, sound: Sound | None = None) -> CancellableVideo:
    """A VIDEO of even size."""
    audio = None if sound is None else {"waveform": sound.samples[None], "sample_rate": sound.rate}
    parts = Types.VideoComponents(images=even_frames(frames_NHWC), frame_rate=frame_rate(fps), audio=audio)
    return CancellableVideo(parts)


def even_frames(frames_NHWC: torch.Tensor) -> torch.Tensor:
    """Frames of even size: video codecs refuse odd ones, so the last line of pixels is repeated where needed."""
    height, width = frames_NHWC.shape[1:3]
    frames_NHWC = torch.cat([frames_NHWC, frames_NHWC[:, -1:]], dim=1) if height % 2 else frames_NHWC
    return torch.cat([frames_NHWC, frames_NHWC[:, :, -1:]], dim=2) if width % 2 else frames_NHWC


def expect_grid(value, name: str = "grid") -> FrameGrid:
    """The value itself if it is a grid; ValueError otherwise."""
    if not isinstance(value, FrameGrid):
        raise ValueError(f"expected {name} to be a 4Real grid, got {type(value).__name__}")
    return value


def expect_drawn_path(value) -> drawn.DrawnPath:
    """The value itself if it is a drawn path; ValueError otherwise."""
    if not isinstance(value, drawn.DrawnPath):
        raise ValueError(f"expected camera_path to come from 4Real Path, got {type(value).__name__}")
    return value


def with_provenance(grid: FrameGrid, facts: Mapping) -> FrameGrid:
    """The grid with these facts added to where it came from."""
    return grid.replace(provenance={**grid.provenance, **facts})


def counting_progress():
    """report(done, total): a progress bar on the running node that also stops it when the user cancels."""
    bar = comfy.utils.ProgressBar(1)

    def report(done, total):
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return report


def tell(node, text: str, level: int = logging.WARNING) -> None:
    """Show one sentence on the running node and in the log; a copy of a node, which knows its prompt (`hidden.dynprompt`), shows it on the node itself."""
    log.log(level, "%s", text)
    server = getattr(PromptServer, "instance", None)
    if server is not None and node.hidden.unique_id is not None:
        prompt = getattr(node.hidden, "dynprompt", None)
        shown = node.hidden.unique_id if prompt is None else prompt.get_display_node_id(node.hidden.unique_id)
        server.send_progress_text(text, shown)
