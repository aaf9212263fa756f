"""Labels of what moves: carried to all known cells, voted on, and a measure of which points can belong to it."""

import torch
from made_scenes import sliding_square

from fourreal_core.geometry.motion import MotionState
from fourreal_core.geometry.movers import (
    CHANNELS,
    KnownCells,
    MoverNetwork,
    label_movers,
    mover_labels,
    within_silhouettes,
)
from fourreal_core.geometry.projection import pixel_centres, unproject
from fourreal_core.training.geometry.scenes import intersection_over_union

CERTAIN = 8.0


def known_cells(scene, mover_THW) -> KnownCells:
    """Exact depth, flow and visibility, and of what moves only what is told."""
    exact = scene.geometry
    logits = CERTAIN * (2 * mover_THW.float() - 1)
    seen = CERTAIN * (2 * exact.seen_THW.float() - 1)
    nothing = torch.zeros_like(logits)
    state = MotionState(exact.flow_THW2.movedim(-1, 1), nothing, logits, logits, nothing, nothing, seen)
    cameras = list(zip(scene.world_to_camera_V44, scene.intrinsics_V33))
    sure = torch.ones_like(exact.view_depth_VHW)
    frames = scene.freeze_VHW3.float() / 255, scene.fixed_THW3.float() / 255
    return KnownCells(*frames, exact.view_depth_VHW, sure, exact.time_depth_THW, cameras, state, (0, 0))


def untrained() -> MoverNetwork:
    torch.manual_seed(0)
    return MoverNetwork().eval().requires_grad_(False)


def test_an_untrained_network_keeps_what_the_motion_network_said_and_carries_it_to_the_views():
    scene = sliding_square()
    views, times = label_movers(untrained(), known_cells(scene, scene.geometry.mover_THW))
    assert intersection_over_union(views > 0.5, scene.geometry.view_mover_VHW) > 0.8
    assert torch.equal(times > 0.5, scene.geometry.mover_THW)


class Told(MoverNetwork):
    """Keeps what it is told."""

    def forward(self, told_NKHW, prior_NHW):
        self.told = [*getattr(self, "told", []), told_NKHW]
        return super().forward(told_NKHW, prior_NHW)


def test_other_times_tell_what_moves_where_the_base_time_does_not():
    scene = sliding_square()
    later = scene.geometry.mover_THW.clone()
    later[0] = False
    network = Told().requires_grad_(False)
    mover_labels(network, known_cells(scene, later))
    first, _, times = network.told
    assert first.shape[1] == CHANNELS and len(network.told) == 3
    mean, most = first[0, 10], first[0, 11]  # votes of times at the base view
    mover = scene.geometry.view_mover_VHW[0]
    assert float(most[mover].median()) > 0.99 and float(most[~mover].median()) < 0.01
    assert 0.5 < float(mean[mover].median()) < 0.9  # two of three times say so
    assert times.shape[0] == 3


def test_a_painted_mask_stays_as_it_is():
    scene = sliding_square()
    painted = scene.geometry.mover_THW.float() * 0.9
    painted[:, :4] = 0.6  # on the still wall: whoever paints knows better
    views, times = label_movers(untrained(), known_cells(scene, torch.zeros_like(scene.geometry.mover_THW)), painted)
    assert torch.equal(times, painted) and torch.equal(views[0], painted[0])
    assert intersection_over_union(views[:, 5:] > 0.5, scene.geometry.view_mover_VHW[:, 5:]) > 0.8


def test_a_network_that_takes_everything_for_a_mover_is_corrected_in_every_view():
    scene = sliding_square()
    everything = torch.ones_like(scene.geometry.mover_THW)
    known = known_cells(scene, everything)
    views, times = label_movers(untrained(), known)
    mover = scene.geometry.view_mover_VHW
    assert float((views > 0.5)[mover].float().mean()) > 0.9
    for view in range(len(mover)):
        assert float((views[view] > 0.5)[~mover[view]].float().mean()) < 0.35
    assert float((times > 0.5)[scene.geometry.mover_THW].float().mean()) > 0.95


def test_points_with_a_wrong_depth_lie_outside_the_silhouettes():
    scene = sliding_square(views=6, width=64)
    exact, mover = scene.geometry, scene.geometry.view_mover_VHW
    cameras = list(zip(scene.world_to_camera_V44, scene.intrinsics_V33))
    pixels = pixel_centres(*mover.shape[1:])[mover[0]]
    right = exact.view_depth_VHW[0][mover[0]]
    assert within_silhouettes(unproject(pixels, right, *cameras[0]), mover.float(), cameras).all()
    wrong = unproject(pixels, torch.full_like(right, float(exact.view_depth_VHW.min())), *cameras[0])
    assert float(within_silhouettes(wrong, mover.float(), cameras).float().mean()) < 0.3
    beside = wrong * 0 + torch.tensor([1e4, 0.0, 10.0])  # in nobody's picture
    assert not within_silhouettes(beside, mover.float(), cameras).any()
