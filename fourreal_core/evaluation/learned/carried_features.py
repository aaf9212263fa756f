"""Do two views show the same thing at the same place? Features of one view are carried to the next by geometry that a model estimates, and compared.

After MEt3R (Asim et al., CVPR 2025), which takes points from DUSt3R and features from DINO. Here both come from models that ComfyUI loads: Depth Anything 3
and a CLIP vision model (CLIP, SigLIP or DINOv2), so the numbers of the two do not compare. Shape suffixes: V views, T times, D features, h w patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..measured import Measured, nan_map, nan_mean

HIDDEN = 0.1  # of the depth: a point further behind what the other view shows there is hidden
FEWEST_SEEN = 0.05  # share of the patches that both views must show


def carried_likeness(features_VTDhw: Tensor, depth_VTHW: Tensor, lens_VT33: Tensor, pose_VT34: Tensor) -> Measured:
    """Mean cosine of a view's features and its neighbour's, carried to it, over the patches that both show; -1 to 1.

    depth_VTHW: along the view axis, of any size and scale, the same scale for all views of a time. lens_VT33: intrinsics in pixels of the depth.
    pose_VT34: world to camera. Not measurable with one view, cameras or depths that are not finite, or where no two views show the same.
    """
    views, times = features_VTDhw.shape[:2]
    if views < 2:
        return Measured.not_measurable("one view only")
    if not all(bool(values.isfinite().all()) for values in (depth_VTHW, lens_VT33, pose_VT34)):
        return Measured.not_measurable("the geometry that was estimated is not finite")
    pairs = nan_map((views + 1, times))
    for view in range(views - 1):
        for time in range(times):
            ends = [
                (features_VTDhw[v, time], depth_VTHW[v, time], lens_VT33[v, time], pose_VT34[v, time])
                for v in (view, view + 1)
            ]
            both = torch.tensor([_likeness(*ends[0], *ends[1]), _likeness(*ends[1], *ends[0])])
            pairs[view + 1, time] = both.nanmean()
    if bool(pairs.isnan().all()):
        return Measured.not_measurable("no two neighbouring views show the same by the geometry that was estimated")
    return Measured(nan_mean(pairs), cells_VT=torch.stack([pairs[:-1], pairs[1:]]).nanmean(0))


def _likeness(here_Dhw, depth_HW, lens_33, pose_34, there_Dhw, other_depth_HW, other_lens_33, other_pose_34) -> float:
    """Mean cosine over the patches of `here` that the other view shows too; NaN where they are too few."""
    height, width = here_Dhw.shape[1:]
    seen = _Eye(depth_HW, lens_33, pose_34)
    other = _Eye(other_depth_HW, other_lens_33, other_pose_34)
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    places_P2 = torch.stack([x, y], -1).view(-1, 2)
    there_P2, far_P = other.project(seen.points(places_P2))
    inside = (far_P > 0) & ((there_P2 > 0) & (there_P2 < 1)).all(-1)
    shown = inside & (far_P < (1 + HIDDEN) * other.depth(there_P2))
    if float(shown.float().mean()) < FEWEST_SEEN:
        return float("nan")
    carried_PD, own_PD = _sampled(there_Dhw, there_P2), here_Dhw.flatten(1).T
    return float(F.cosine_similarity(own_PD, carried_PD, dim=-1)[shown].mean())


class _Eye:
    """One camera with its depth; places are shares of width and height."""

    def __init__(self, depth_HW: Tensor, lens_33: Tensor, pose_34: Tensor):
        self.depth_HW, self.lens_33, self.pose_34 = depth_HW.float(), lens_33.float(), pose_34.float()
        self.size_2 = torch.tensor([depth_HW.shape[1], depth_HW.shape[0]], dtype=torch.float32)

    def depth(self, places_P2: Tensor) -> Tensor:
        return _sampled(self.depth_HW[None], places_P2)[:, 0]

    def points(self, places_P2: Tensor) -> Tensor:
        """[P, 3] in the world."""
        pixels_P3 = torch.cat([places_P2 * self.size_2, torch.ones(len(places_P2), 1)], 1)
        rays_P3 = pixels_P3 @ torch.linalg.inv(self.lens_33).T
        return (rays_P3 * self.depth(places_P2)[:, None] - self.pose_34[:, 3]) @ self.pose_34[:, :3]

    def project(self, points_P3: Tensor) -> tuple[Tensor, Tensor]:
        """([P, 2] places, [P] distances along the view axis)."""
        seen_P3 = (points_P3 @ self.pose_34[:, :3].T + self.pose_34[:, 3]) @ self.lens_33.T
        return seen_P3[:, :2] / seen_P3[:, 2:].clamp_min(1e-6) / self.size_2, seen_P3[:, 2]


def _sampled(values_Chw: Tensor, places_P2: Tensor) -> Tensor:
    """[P, C], bilinear."""
    where = (2 * places_P2 - 1)[None, None]
    return F.grid_sample(values_Chw[None].float(), where, padding_mode="border", align_corners=False)[0, :, 0].T
