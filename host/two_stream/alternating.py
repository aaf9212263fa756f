"""Alternating: one stream per step of the sampler, along views and along time in turns, on one shared sample.

Source: Zero4D (arXiv 2503.22622), whose sampling lets a video model denoise the grid along the camera axis and then along the time axis
at every noise level, holds frames that are given, and puts warped frames back where they can be trusted. No weights are added, and no
features are averaged: the network sees ordinary videos only.

With x_i the sample at noise level sigma_i, D the host's network, x[:, t] a moment and x[v, :] a view:

    i even    D along views:  x0[:, t] = D(x_i[:, t], sigma_i)   for every t
    i odd     D along time:   x0[v, :] = D(x_i[v, :], sigma_i)   for every v
    x_(i+1) from x_i and x0, as the sampler does it

Zero4D runs both axes at each level, with new noise in between; here a step is one pass, half of the cost of two streams, and whoever wants
new noise between the axes takes an ancestral sampler [ours]. The axis depends on the sampler's schedule and the call's noise level alone:
nothing is kept between calls.

Letters as in layout.py; m: the noise mask, 0 in known cells, 1 where nothing is held.
"""

from typing import Any

import torch
from torch import Tensor

from ...fourreal_core.sampling.budget import ALTERNATING
from .host_call import HostCall

__all__ = ["ALTERNATING", "alternating_pass", "held_by_noise_level", "step_of"]

MASK_FUNCTION = (
    "denoise_mask_function"  # where the host keeps the one function that changes a noise mask from step to step
)
SAME_LEVEL = 1e-4  # relative: noise levels reach the network rounded


def step_of(sigma: float, sigmas_N: Tensor | None) -> int:
    """The step, from 0, that a call at this noise level belongs to; a call between two levels belongs to the step that starts above it.

    sigmas_N: the sampler's levels, falling. ValueError where there are none, because then nobody knows the step.
    """
    if sigmas_N is None:
        raise ValueError("alternating needs the steps of a ComfyUI sampler, got a model call without them: choose hard")
    reached = int((sigmas_N[:-1] >= sigma * (1 - SAME_LEVEL)).sum())
    return max(reached - 1, 0)


def alternating_pass(call: HostCall, step: int) -> Tensor:
    """The prediction `[k V, C, T, h, w]` of one stream: along views in even steps, along time in odd ones.

    Blocks that other packs replace stay replaced along views. What they add between blocks is made for videos over time and is left out.
    """
    if isinstance(call.video, (list, tuple)) and any(sound.numel() for sound in call.video[1:]):
        raise ValueError(
            "alternating has no sound along views, got a latent with sound: use a video latent, or choose hard"
        )
    if step % 2:
        return call.time_stream({})
    replaced = call.options.get("patches_replace", {}).get("dit", {})
    patches = {name: value for name, value in call.options.get("patches", {}).items() if name != "double_block"}
    return call.view_stream(replaced, patches=patches)


def held_by_noise_level(sigma: Tensor, denoise_mask: Tensor, extra_options: dict[str, Any]) -> Tensor:
    """The noise mask of a step, 0 or 1 everywhere: what is at hand is put back until the noise has fallen to m, then the place is free.

    Known cells, m = 0, are put back in every step; a place with m = 0.2, a warp that is 80 % certain, in all but the last fifth of the
    noise. The level is absolute, timestep(sigma) / timestep(sigma_max), so that stages of one sampling agree. Sources: Zero4D; levels per
    pixel as in Differential Diffusion (arXiv 2306.00950).
    """
    sampling = extra_options["model"].inner_model.model_sampling
    level = sampling.timestep(sigma.max()) / sampling.timestep(torch.as_tensor(sampling.sigma_max))
    free = (denoise_mask > 0) & (denoise_mask >= level)
    return free.to(denoise_mask.dtype)
