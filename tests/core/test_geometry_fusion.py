"""The choice among a cell's sources: what the composition shows of moving things is never left out, whatever the network would rather take."""

import torch

from fourreal_core.geometry.fusion import BACKGROUND, CANDIDATES, EVIDENCE, FusionNetwork

PREFERENCE = 3.0  # logits


def choice(cover: float, preferred: int):
    """What an untrained network that prefers one candidate takes at a cover of the composition [N]."""
    network = FusionNetwork().eval().requires_grad_(False)
    network.unet.head_bias[:CANDIDATES] = 0.0
    network.unet.head_bias[preferred] = PREFERENCE
    evidence = torch.zeros(1, EVIDENCE, 8, 8)
    evidence[:, 0] = cover
    return network(torch.rand(1, CANDIDATES, 3, 8, 8), evidence).weights_BNHW[0].mean((1, 2))


def test_background_is_taken_where_nothing_moves_and_never_in_place_of_what_does():
    for candidate in range(*BACKGROUND.indices(CANDIDATES)):
        assert choice(0.0, candidate)[candidate] > 0.9 and choice(0.4, candidate)[candidate] > 0.9
        assert choice(0.9, candidate)[BACKGROUND].sum() < 0.05
        assert 0.05 < choice(0.7, candidate)[candidate] < choice(0.6, candidate)[candidate]  # edges are soft


def test_sources_of_what_moves_are_chosen_as_the_network_likes():
    moving = [index for index in range(CANDIDATES) if index not in range(*BACKGROUND.indices(CANDIDATES))]
    for candidate in moving:
        assert choice(0.9, candidate)[candidate] > 0.9
    assert torch.isclose(choice(0.9, 0).sum(), torch.tensor(1.0))
