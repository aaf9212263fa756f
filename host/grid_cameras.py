"""The cameras of a grid for Wan's Fun-camera weights: for each stream its own, fixed along time, moving along views; and as one path.

Letters: V views, L latent frames of a view, H W pixels, F = 4 frames in a latent frame, N frames of a video.
"""

import comfy.conds
import numpy as np
import torch
from einops import rearrange

from ..fourreal_core.geometry.gauge import between
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


def path_embedding(grid: FrameGrid, width: int, height: int, length: int, scale: float) -> torch.Tensor:
    """A video's way through the views as ComfyUI's WanCameraEmbedding lays it out, [1, 6 F, L, height, width].

    length: frames, F n + 1, evenly spread from the first view to the last; places between views are linear, turns the shortest way. scale: of
    places. Cameras of cells of another shape are stretched with them. ValueError for a grid without cameras or with one view, and for
    another length.
    """
    if grid.cameras is None or grid.views < 2:
        raise ValueError(
            "expected a grid of at least 2 views with cameras: connect 4Real Estimate Cameras before this node"
        )
    if length < 1 or (length - 1) % PACKED:
        raise ValueError(f"expected {PACKED} n + 1 frames, got {length}: choose {length - (length - 1) % PACKED}")
    poses, lenses = (part.double().numpy() for part in (grid.cameras.world_to_camera, grid.cameras.intrinsics))
    poses = poses @ np.linalg.inv(poses[0])
    poses[:, :3, 3] *= scale
    views = [*range(grid.views)]
    cameras = [
        (poses[int(place)], lenses[int(place)]) if place == int(place) else between(poses, lenses, views, place)
        for place in np.linspace(0, grid.views - 1, length).tolist()
    ]
    poses_N44, lenses_N33 = (torch.from_numpy(np.stack(parts)).float() for parts in zip(*cameras))
    lenses_N33[:, 0] *= width / grid.width
    lenses_N33[:, 1] *= height / grid.height
    rays_N6HW = pluecker_rays(Cameras(poses_N44, lenses_N33), height, width)
    whole_N6HW = torch.cat(
        [rays_N6HW[:1].expand(PACKED - 1, -1, -1, -1), rays_N6HW]
    )  # the first latent frame has one frame
    return rearrange(whole_N6HW, "(l f) c h w -> 1 (c f) l h w", f=PACKED)
