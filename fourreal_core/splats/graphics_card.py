"""Draws Gaussians with gsplat on an NVIDIA graphics card, where that package is installed; everything else is drawn by rasterizer.py.

gsplat (Apache-2.0, https://github.com/nerfstudio-project/gsplat; its `rasterization`, versions 1.5 and 1.6) follows the same paper with the same 0.3 pixels^2, the same clamp of the Jacobian and
the same cuts of alpha. It differs in this: a pixel is finished once 1e-4 of the light or less comes through, a lens has no skew, and from 1.6 on alpha is at most 0.99.
Shape suffixes: N Gaussians, H W pixels, C features.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from .gaussians import Gaussians


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether gsplat is there with its compiled kernels; where it would first compile them, which takes minutes and a CUDA toolkit, it is left alone."""
    try:
        return find_spec("gsplat") is not None and find_spec("gsplat.csrc") is not None
    except ImportError as problem:
        logging.getLogger(__name__).warning(
            "gsplat is installed but cannot be imported, so it draws nothing: %s", problem
        )
        return False


def suits(device: torch.device, dtype: torch.dtype, intrinsics_33: Tensor) -> bool:
    """Whether gsplat draws here: installed, an NVIDIA card (PyTorch calls AMD's "cuda" too), float32, and a lens without skew that needs no gradient."""
    nvidia = device.type == "cuda" and torch.version.hip is None
    return (
        nvidia
        and installed()
        and dtype == torch.float32
        and not intrinsics_33.requires_grad
        and float(intrinsics_33[0, 1]) == 0
    )


def drawing_device(wanted: torch.device | str) -> torch.device:
    """Where to draw many frames: on the card that is wanted if gsplat can, else on the CPU."""
    device = torch.device(wanted)
    return device if suits(device, torch.float32, torch.eye(3)) else torch.device("cpu")


def blend(
    gaussians: Gaussians,
    features_NC: Tensor,
    world_to_camera_44: Tensor,
    intrinsics_33: Tensor,
    height: int,
    width: int,
    nearest: float,
) -> tuple[Tensor, Tensor]:
    """Features [H, W, C] and what light comes through [H, W], as `rasterizer.render` has them; differentiable in all but the intrinsics.

    nearest: depth from which Gaussians are drawn. Raises what gsplat raises.
    """
    from gsplat import rasterization  # pyright: ignore[reportMissingImports]

    features_1HWC, alphas_1HW1, _ = rasterization(
        gaussians.positions_N3,
        gaussians.rotations_N4,
        gaussians.scales_N3,
        gaussians.opacities_N,
        features_NC,
        world_to_camera_44[None],
        intrinsics_33[None],
        width,
        height,
        near_plane=nearest,
        eps2d=0.3,
        packed=False,
    )
    return features_1HWC[0], 1 - alphas_1HW1[0, ..., 0]
