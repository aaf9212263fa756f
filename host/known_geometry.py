"""What ComfyUI's depth, mask and flow nodes know about the known cells of a grid, as `fourreal_core.fill_grid` takes it.

Letters: V views, T times, N maps of a batch, h w pixels of a map.
"""

from collections.abc import Callable

import torch
from comfy_api.v0_0_2 import io

from ..fourreal_core.geometry.bases import base_cell
from ..fourreal_core.grid import Cameras, FrameGrid
from .learned_depth import da3_network, single_depths
from .learned_flow import flows_to_base

DepthGeometry = io.Custom(
    "DA3_GEOMETRY"
)  # Depth Anything 3: depth [N, h, w], larger is farther; cameras with several views
PointGeometry = io.Custom("MOGE_GEOMETRY")  # MoGe: depth [N, h, w], larger is farther, infinite where there is none
OpticalFlow = io.Custom("OPTICAL_FLOW")  # a ModelPatcher of RAFT

CLOSEST = 1e-3  # depths below this share of a map's median count as this: they are noise
SKY = 0.5  # probability from which a pixel is sky


def known_geometry(grid: FrameGrid, depth, moving, flow, on_share: Callable[[str, float], None]) -> dict:
    """Arguments of `fill_grid` from what is connected; None is not. Nothing is written to.

    depth: DA3_MODEL, which is run here on the known frames, DA3_GEOMETRY, MOGE_GEOMETRY or IMAGE; moving: MASK; flow: OPTICAL_FLOW.
    on_share(name, share done) may raise to cancel.
    Raises ValueError with what was expected, and SceneUnknown when the grid has no view known at all times with a time known from
    all views.
    """
    given, base = {}, base_cell(grid)
    if depth is not None:
        if da3_network(depth) is not None:
            frames_NHW3 = torch.stack([grid.frames[cell] for cell in _known_cells(grid, base)])
            depth = single_depths(depth, frames_NHW3, lambda share: on_share("given depth", share))
        given["depth"] = _known_maps(depth, grid, base)
        cameras = None if grid.cameras is not None else _cameras(depth, grid, base)
        if cameras is not None:
            given["cameras"] = cameras
    if moving is not None:
        given["moving"] = _moving(moving, grid, base[0])
    if flow is not None:
        given["flow"] = flows_to_base(flow, grid.frames[base[0]], base[1], lambda share: on_share("flow", share))
    return given


def _known_maps(depth, grid: FrameGrid, base: tuple[int, int]) -> torch.Tensor:
    """[N, h, w] inverse depth of the known cells, 0 where nothing is near, up to a scale per map."""
    if isinstance(depth, dict):
        return _of_geometry(depth, grid, base)
    if not isinstance(depth, torch.Tensor) or depth.ndim != 4 or depth.shape[-1] not in (1, 3, 4):
        got = list(depth.shape) if isinstance(depth, torch.Tensor) else type(getattr(depth, "model", depth)).__name__
        raise ValueError(
            "expected depth to be the model of Load Depth Anything 3, the geometry of Run Depth Anything 3 or Run MoGe, or an image "
            f"batch of depth maps, got {got}."
        )
    colours = depth[_order(grid, base, len(depth), "depth maps"), ..., :3].float()
    if float((colours - colours.mean(-1, keepdim=True)).abs().max()) > 0.02:
        raise ValueError(
            "expected grey depth maps where nearer is brighter, got coloured ones: choose depth instead of "
            "depth_colored, or connect the geometry itself."
        )
    return colours.mean(-1).cpu()


def _of_geometry(geometry: dict, grid: FrameGrid, base: tuple[int, int]) -> torch.Tensor:
    depth_Nhw = geometry.get("depth")
    if not isinstance(depth_Nhw, torch.Tensor) or depth_Nhw.ndim != 3:
        raise ValueError(
            "expected geometry with one depth map per image, got none: run the model in mono or multiview mode."
        )
    order = _order(grid, base, len(depth_Nhw), "depth maps")
    depth_Nhw = depth_Nhw[order].float().cpu()
    seen = depth_Nhw.isfinite() & (depth_Nhw > 0)
    if isinstance(geometry.get("sky"), torch.Tensor):
        seen &= geometry["sky"][order].cpu() < SKY
    inverse = torch.zeros_like(depth_Nhw)
    for number, (depth_hw, seen_hw) in enumerate(zip(depth_Nhw, seen)):
        if not bool(seen_hw.any()):
            view, time = _known_cells(grid, base)[number]
            raise ValueError(
                f"the depth map of view {view + 1} at time {time + 1} has no depth above 0 outside of the sky: disconnect depth, or give it "
                "from another model."
            )
        middle = depth_hw[seen_hw].median()
        inverse[number] = torch.where(seen_hw, middle / depth_hw.clamp_min(CLOSEST * middle), 0.0)
    return inverse


def _known_cells(grid: FrameGrid, base: tuple[int, int]) -> list[tuple[int, int]]:
    """(view, time) in the order of `fill_grid`: the views, then the other times."""
    view, time = base
    return [(other, time) for other in range(grid.views)] + [
        (view, other) for other in range(grid.times) if other != time
    ]


def _order(grid: FrameGrid, base: tuple[int, int], count: int, name: str) -> torch.Tensor:
    """Which of `count` maps belong to the known cells."""
    known = _known_cells(grid, base)
    if count == len(known):
        return torch.arange(count)
    if count == grid.views * grid.times:
        return torch.tensor([v * grid.times + t for v, t in known])
    raise ValueError(
        f"expected {len(known)} {name} ({grid.views} for the freeze-time video, then {grid.times - 1} for the "
        f"remaining frames of the fixed-view video) or {grid.views * grid.times} (one per cell, all times of "
        f"the first view first), got {count}."
    )


def _cameras(geometry, grid: FrameGrid, base: tuple[int, int]) -> Cameras | None:
    """Cameras of the views where the geometry has some; None where it has none or the model found no motion.

    The intrinsics of Depth Anything 3 are in pixels of the picture that it worked on, whose middle they name.
    """
    if not isinstance(geometry, dict) or geometry.get("extrinsics") is None or geometry.get("intrinsics") is None:
        return None
    poses, lenses = geometry["extrinsics"][0].float().cpu(), geometry["intrinsics"][0].float().cpu()
    views = _order(grid, base, len(poses), "cameras")[: grid.views]
    poses_V44 = torch.eye(4).repeat(grid.views, 1, 1)
    poses_V44[:, :3] = poses[views, :3]
    if not bool(poses_V44.isfinite().all()) or float((poses_V44 - poses_V44[:1]).abs().max()) < 1e-6:
        return None
    scale_V2 = torch.tensor([grid.width, grid.height]) / (2 * lenses[views, :2, 2])
    lenses_V33 = lenses[views].clone()
    lenses_V33[:, :2] *= scale_V2[..., None]
    return Cameras(poses_V44, lenses_V33)


def _moving(mask, grid: FrameGrid, view: int) -> torch.Tensor:
    """[T, h, w] 0..1 of the base view."""
    if not isinstance(mask, torch.Tensor) or mask.ndim not in (2, 3):
        shape = list(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ValueError(f"expected moving to be a mask batch, got {shape}.")
    mask_Nhw = mask.reshape(-1, *mask.shape[-2:]).float().cpu()
    if len(mask_Nhw) == grid.times:
        return mask_Nhw
    if len(mask_Nhw) == grid.views * grid.times:
        return mask_Nhw[view * grid.times : (view + 1) * grid.times]
    raise ValueError(
        f"expected one mask per time of the fixed-view video ({grid.times}) or one per cell ({grid.views * grid.times}), got "
        f"{len(mask_Nhw)}: mask every frame of the fixed-view video, for example with SAM 3."
    )
