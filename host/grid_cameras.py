"""The cameras of a grid for Wan's Fun-camera weights, for each stream its own: fixed along time, moving along views.

Letters: V views, L latent frames of a view, H W pixels, F = 4 frames in a latent frame.
"""

import comfy.conds
import torch

from ..fourreal_core.geometry.plucker import pluecker_rays
from ..fourreal_core.grid import Cameras, FrameGrid
from .two_stream.host_call import VIEW_CAMERA

CAMERA = "camera_conditions"  # as the host's own camera nodes name it
PACKED = 4  # frames that these weights see in one latent frame


def with_cameras(
    model, conditioning: list, grid: FrameGrid, latent_shape: tuple[int, ...], pixels_per_latent: int
) -> list:
    """The conditioning with the grid's cameras, where the weights take cameras and the grid has some; an entry with its own keeps it.

    In the time stream each view is a video from a fixed camera. In the view stream each moment is a video whose camera goes from view to
    view, under VIEW_CAMERA in `model_conds`. latent_shape: [V, C, L, h, w].
    """
    if getattr(model.model.diffusion_model, "control_adapter", None) is None or grid.cameras is None:
        return conditioning
    views, _, frames, *sides = latent_shape
    height, width = (side * pixels_per_latent for side in sides)
    still = Cameras(torch.eye(4).expand(views, -1, -1), grid.cameras.intrinsics)
    along_time, along_views = (_packed(cameras, height, width, frames) for cameras in (still, grid.cameras))
    ours = {VIEW_CAMERA: comfy.conds.CONDRegular(along_views)}
    return [
        [text, values]
        if CAMERA in values
        else [text, {**values, CAMERA: along_time, "model_conds": {**values.get("model_conds", {}), **ours}}]
        for text, values in conditioning
    ]


def _packed(cameras: Cameras, height: int, width: int, frames: int) -> torch.Tensor:
    """[V, 6 F, L, H, W]: a view's camera in each of the frames of each latent frame; channels are those of a frame F times, as the host has them."""
    rays_V6HW = pluecker_rays(cameras, height, width)
    return rays_V6HW.repeat_interleave(PACKED, 1)[:, :, None].expand(-1, -1, frames, -1, -1)
