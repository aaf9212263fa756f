"""The choice among a cell's sources: what the composition shows of moving things is never left out, whatever the network would rather take, and hardly shown twice."""

import torch

from fourreal_core.geometry.fusion import BACKGROUND, CANDIDATES, ELSEWHERE, EVIDENCE, FusionNetwork

PREFERENCE = 3.5  # logits


def choice(cover: float, preferred: int, pictures=None):
    """What an untrained network that prefers one candidate takes at a cover of the composition [N]; pictures: noise, unless given."""
    network = FusionNetwork().eval().requires_grad_(False)
    network.unet.head_bias[:CANDIDATES] = 0.0
    network.unet.head_bias[preferred] = PREFERENCE
    evidence = torch.zeros(1, EVIDENCE, 8, 8)
    evidence[:, 0] = cover
    pictures = torch.rand(1, CANDIDATES, 3, 8, 8) if pictures is None else pictures
    return network(pictures, evidence).weights_BNHW[0].mean((1, 2))


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


def plain(showing: int | None = None):
    """Pictures of nothing but background, in one of which something stands."""
    pictures = torch.full((1, CANDIDATES, 3, 8, 8), 0.5)
    if showing is not None:
        pictures[:, showing, 0] = 1.0
    return pictures


def test_what_looks_like_the_background_counts_as_background():
    for candidate in range(*ELSEWHERE.indices(CANDIDATES)):
        assert choice(0.9, candidate, plain())[candidate] < 0.3
        assert choice(0.9, candidate, plain(candidate))[candidate] > 0.9


def test_a_second_pose_where_the_composition_shows_background_needs_more_to_be_chosen():
    for candidate in range(*ELSEWHERE.indices(CANDIDATES)):
        there, nothing = (choice(0.0, candidate, plain(shown))[candidate] for shown in (candidate, None))
        assert 0.5 < there < nothing - 0.05
