"""The curve and its numbers."""

import numpy as np
import torch

from fourreal_core.training.pictures import GUESS, MODEL, _ticks, loss_curve, moving_mean
from fourreal_core.training.state import Losses


def test_moving_means():
    assert moving_mean(torch.tensor([2.0, 4.0, 6.0, 9.0]), 2).tolist() == [2.0, 3.0, 5.0, 7.5]
    assert moving_mean(torch.tensor([2.0, 4.0, 6.0]), 1).tolist() == [2.0, 4.0, 6.0]


def test_ticks_are_round_and_neither_few_nor_many():
    assert _ticks(0.0009, 0.06) == [0.001, 0.002, 0.005, 0.01, 0.02, 0.05]
    assert _ticks(0.68, 0.99) == [0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    for low, high in ((1e-6, 1e3), (0.01, 0.0101), (1.0, 1.05), (0.95, 1.05), (3e-5, 3.2e-5)):
        ticks = _ticks(low, high)
        assert 3 <= len(ticks) <= 13 and all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)


def test_the_model_is_drawn_below_the_guess_when_it_is_better():
    upper = torch.from_numpy(np.array(loss_curve([Losses(0.01, 0.02, 0.1)] * 40)))[40:380, 70:930].float()
    drawn = [((upper - torch.tensor(colour)).abs().sum(-1) < 100).any(1).nonzero().float() for colour in (MODEL, GUESS)]
    assert drawn[0].mean() > drawn[1].mean() + 200  # counted downwards
    assert loss_curve([Losses(0.01, 0.02, 0.1)]).size == (960, 640)  # one step is a curve, too
