"""Velocity matching on grids and sequences (PAPER "4D training"; x-prediction with velocity loss: arXiv 2511.13720)."""

from __future__ import annotations

from torch import Tensor

from ..flow import SMALLEST_SIGMA

SMALLEST_GUESS_ERROR = 5e-4  # of model pixels, squared: a guess better than this counts as this good
HEAVIEST_SIGMA = (
    0.8  # below this the weight 1 / sigma^2 of an error in x0 stays constant, else nearly clean frames rule
)


def squared_error(velocity: Tensor, x0: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of squared velocity errors times `weight`, sum of `weight`), over pixels and channels.

    velocity, x0, noise: `[N, ..., H, W]`; sigma: broadcastable to them; weight: broadcastable, 0 for known cells and
    for pixels outside the frame. The error equals that of x0 divided by max(sigma, HEAVIEST_SIGMA).
    """
    error = velocity - (noise - x0)
    relative = sigma.clamp_min(SMALLEST_SIGMA) / sigma.clamp_min(HEAVIEST_SIGMA)
    weight = weight.expand_as(error)
    return ((error * relative).square() * weight).sum(), weight.sum()


def balanced(weight: Tensor, x0: Tensor, guess: Tensor) -> Tensor:
    """`weight` divided by the guess's mean squared error in each sequence or grid: errors count relative to the guess's.

    weight `[N, 1 or more dimensions]`, x0 and guess alike `[N, ..., H, W]`. A hard scene's error is a hundred times an easy
    one's and would rule a plain mean, but decibels count both alike. [ours]
    """
    dims = tuple(range(1, x0.ndim))
    weight = weight.expand_as(x0)
    error = ((guess - x0).square() * weight).sum(dims, keepdim=True) / weight.sum(dims, keepdim=True).clamp_min(1)
    return weight / error.clamp_min(SMALLEST_GUESS_ERROR)


def velocity_loss(velocity: Tensor, x0: Tensor, noise: Tensor, sigma: Tensor, weight: Tensor) -> Tensor:
    """Mean of `squared_error` over the pixels that count; 0 when none does."""
    total, count = squared_error(velocity, x0, noise, sigma, weight)
    return total / count.clamp_min(1)
