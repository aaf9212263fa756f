"""Sampling a grid with a model: sample.py, in tiles: tiles.py; grids as latents: latents.py; what it takes: budget.py."""

from .sample import Sampling, euler, heun, sample_grid, schedule

__all__ = ["Sampling", "euler", "heun", "sample_grid", "schedule"]
