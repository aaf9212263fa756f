"""What tests of the grid model share: its input, random."""

import torch

from fourreal_core.model.config import ModelConfig


def random_input(config: ModelConfig, views: int = 3, times: int = 5, height: int = 16, width: int = 24):
    """(x_BVCTHW, sigma_B, condition_BVCTHW) in float64 for B = 2 grids; the fourth channel of the condition, which cells are known, is 0 or 1 per frame."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, views, 3, times, height, width, generator=generator, dtype=torch.float64)
    channels = config.condition_channels
    condition = torch.rand(2, views, channels, times, height, width, generator=generator, dtype=torch.float64)
    condition[:, :, 3] = (condition[:, :, 3, :, :1, :1] > 0.6).double()
    return x, torch.tensor([0.3, 0.9], dtype=torch.float64), condition
