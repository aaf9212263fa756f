"""Guided steps: the clean estimate of every sampling step is pulled towards warped frames, less as the noise falls and where they are unsure.

Source: NVS-Solver (arXiv 2405.15364), which replaces a video model's clean estimate x0 by (x0 + lambda * warp) / (1 + lambda) and lets lambda
depend on the step and on how far a view is from what was filmed. Here lambda is the ratio of the two errors' variances, the weights of the
best mean of two estimates [ours]:

    v       of the model's estimate: what a sample of unit variance at this noise level leaves open, a^2 / (a^2 + b^2), with noise a and signal b
    (1 - q) / q     of the warp: q = strength * confidence; none where q = 1, unbounded where q = 0
    w = lambda / (1 + lambda) = q v / (1 - q + q v);   x0 <- x0 + w (warp - x0)

It wraps the guider (PREDICT_NOISE), so every sampler and every guider of the host runs it, KSampler too. What the noise mask holds is put
back after it by the host.

Letters: V views, C latent channels, L latent frames of a view, h w latent pixels.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

GUIDE_KEY = "fourreal_guide"  # the wrapper's name
SURE_KEY = "fourreal_confidence"  # in a LATENT: how certain its frames are, [V, 1, L, h, w] in 0..1, 1 in known cells


@dataclass(frozen=True)
class Guide:
    """Where steps are guided to. frames: latents as the VAE makes them [V, C, L, h, w]; sure: confidence 0..1 [V, 1, L, h, w].

    strength: 0..1, a factor of the confidence. start_percent, end_percent: the part of the sampling that is guided, as the host counts it.
    """

    frames: torch.Tensor
    sure: torch.Tensor
    strength: float
    start_percent: float = 0.0
    end_percent: float = 1.0

    def __post_init__(self):
        if not 0 <= self.strength <= 1:
            raise ValueError(f"expected strength from 0 to 1, got {self.strength:g}")
        if not 0 <= self.start_percent < self.end_percent <= 1:
            raise ValueError(
                f"expected start_percent below end_percent, both 0 to 1, got {self.start_percent:g} and {self.end_percent:g}"
            )


def guide_of(latent: dict, **settings: Any) -> Guide:
    """The guide that a LATENT of 4Real Latent Grid Conditioning holds. settings: the guide's others. ValueError where it holds none."""
    if SURE_KEY not in latent:
        raise ValueError(
            "expected a latent with a guess and its confidence, got one without: connect guess and confidence (or paint) of 4Real Latent "
            "Grid Conditioning, and its latent here"
        )
    return Guide(latent["samples"], latent[SURE_KEY], **settings)


def guided(model: Any, guide: Guide) -> Any:
    """A clone of the MODEL whose steps are guided; guiding again replaces the guide."""
    clone = model.clone()
    clone.remove_wrappers_with_key(WrappersMP.PREDICT_NOISE, GUIDE_KEY)
    clone.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, GUIDE_KEY, partial(_guided_estimate, guide))
    return clone


def _guided_estimate(guide: Guide, executor: Any, x: torch.Tensor, timestep: torch.Tensor, *args: Any, **kwargs: Any):
    """A PREDICT_NOISE wrapper. timestep: the noise levels of a step, all the same; what is returned is a clean estimate, like x."""
    clean = executor(x, timestep, *args, **kwargs)
    base, sigma = executor.class_obj.inner_model, timestep.max()
    start, end = (base.model_sampling.percent_to_sigma(share) for share in (guide.start_percent, guide.end_percent))
    if not end <= float(sigma) <= start:
        return clean
    if guide.frames.shape != clean.shape:
        raise ValueError(
            f"the guide is a latent of shape {tuple(guide.frames.shape)}, but the sampler got one of shape {tuple(clean.shape)}: connect "
            "the latent of the same 4Real Latent Grid Conditioning to 4Real Guided Steps and to the sampler"
        )
    frames = base.process_latent_in(guide.frames.to(clean))
    share = guide_share(guide.strength * guide.sure.to(clean), open_share(base.model_sampling, sigma))
    return clean + share * (frames - clean)


def open_share(model_sampling: Any, sigma: torch.Tensor) -> float:
    """v: the share of a unit variance that a sample at this noise level leaves open, 0 without noise, 1 where there is nothing else."""
    none, one = torch.zeros(1, device=sigma.device), torch.ones(1, device=sigma.device)
    noise, signal = (float(model_sampling.noise_scaling(sigma, *parts)) for parts in ((one, none), (none, one)))
    return noise**2 / (noise**2 + signal**2)


def guide_share(sure: torch.Tensor, left_open: float) -> torch.Tensor:
    """w, 0..1: how far an estimate goes to the warp. sure: q in 0..1, any shape; left_open: v in 0..1."""
    return sure * left_open / (1 - sure + sure * left_open).clamp(min=torch.finfo(sure.dtype).tiny)
