"""How well a grid agrees with itself: formulas on flows and matches made by hand, and which metric sees which fault on drawn grids."""

import numpy as np
import pytest
import torch

from fourreal_core.data.invented.scenes import procedural_frame_grids
from fourreal_core.evaluation.agreement import epipolar, motion
from fourreal_core.evaluation.agreement.flows import GridFlows, carried, seen_in_both
from fourreal_core.evaluation.agreement.looks import sharpness
from fourreal_core.evaluation.agreement.measure import measure_agreement
from fourreal_core.evaluation.agreement.metrics import AMOUNTS, METRICS
from fourreal_core.evaluation.damage import DAMAGES
from fourreal_core.grid import FrameGrid

V, T, H, W = 3, 5, 24, 40
PERCENT = 100 / W


def flows_of(time_step, view_step, pictures=None):
    """Flows of a grid whose pixels all move by time_step(v, t) from t to t + 1 and by view_step(v, t) from v to v + 1, (x, y) in pixels."""
    later, beyond = np.zeros((V, T - 1, H, W, 2), np.float32), np.zeros((V - 1, T, H, W, 2), np.float32)
    for view, time in np.ndindex(V, T):
        if time < T - 1:
            later[view, time] = time_step(view, time)
        if view < V - 1:
            beyond[view, time] = view_step(view, time)
    pictures = np.full((V, T, H, W, 3), 0.5, np.float32) if pictures is None else pictures
    return GridFlows(pictures, later, -later, beyond, -beyond)


def test_steady_motion_has_no_acceleration_and_a_step_of_speed_is_one():
    assert motion.acceleration(flows_of(lambda v, t: (2, 1), lambda v, t: (3, 0)), "time").value == 0
    faster = flows_of(lambda v, t: (t, 0), lambda v, t: (3 * v, 0))
    assert motion.acceleration(faster, "time").value == pytest.approx(PERCENT)
    along_views = motion.acceleration(faster, "view")
    assert along_views.value == pytest.approx(3 * PERCENT)
    assert along_views.cells_VT.shape == (V, T)
    assert along_views.cells_VT[0].isnan().all()  # the first view has no view before it
    assert along_views.pixels_VThw.shape == (V, T, H, W)


def test_drift_is_what_even_the_still_parts_move():
    step = np.zeros((H, W, 2), np.float32)
    step[: H // 2] = (4, 0)  # half the picture moves, the rest stands still
    assert motion.drift(flows_of(lambda v, t: step, lambda v, t: (0, 0))).value == 0
    assert motion.drift(flows_of(lambda v, t: step + (3, 4), lambda v, t: (0, 0))).value == pytest.approx(5 * PERCENT)


def test_axes_commute_where_both_ways_end_at_one_place():
    assert motion.commutation(flows_of(lambda v, t: (1, 0), lambda v, t: (2, 1))).value == pytest.approx(0, abs=1e-5)
    late = motion.commutation(flows_of(lambda v, t: (v, 0), lambda v, t: (2, 1)))  # each view moves faster by one pixel
    assert late.value == pytest.approx(PERCENT, rel=1e-5)
    assert late.cells_VT.shape == (V, T)
    assert not late.cells_VT.isnan().any()


def moving_corner(step):
    flow = np.zeros((H, W, 2), np.float32)
    flow[:8, :8] = (step, 0)
    return flow


def test_views_that_move_together_are_synchronous_and_opposite_ones_are_not():
    steps = [1, 4, 2, 3]
    together = motion.synchrony(flows_of(lambda v, t: moving_corner(steps[t] * (1 + v)), lambda v, t: (0, 0)))
    assert together.value == pytest.approx(1, abs=1e-5)
    opposite = flows_of(lambda v, t: moving_corner(5 - steps[t] if v == 1 else steps[t]), lambda v, t: (0, 0))
    assert motion.synchrony(opposite).value == pytest.approx(-1, abs=1e-5)


def test_synchrony_says_why_it_cannot_be_measured():
    still = motion.synchrony(flows_of(lambda v, t: (0, 0), lambda v, t: (0, 0)))
    assert (still.measurable, still.reason) == (False, "nothing moves")
    even = motion.synchrony(flows_of(lambda v, t: moving_corner(3), lambda v, t: (0, 0)))
    assert not even.measurable and "too even" in even.reason


def test_flicker_is_the_colour_difference_after_warping():
    pictures = np.full((V, T, H, W, 3), 0.5, np.float32)
    pictures[:, 1::2] += 0.1
    flicker = motion.warp_error(flows_of(lambda v, t: (0, 0), lambda v, t: (0, 0), pictures), "time")
    assert flicker.value == pytest.approx(10, rel=1e-4)
    steady = motion.warp_error(flows_of(lambda v, t: (0, 0), lambda v, t: (0, 0), pictures), "view")
    assert steady.value == pytest.approx(0, abs=1e-4)


def test_flicker_follows_the_motion():
    ramp = np.linspace(0, 1, W, dtype=np.float32)[None, :, None].repeat(H, 0).repeat(3, 2)
    pictures = np.stack([[ramp - 2 / (W - 1) * time for time in range(T)] for _ in range(V)])  # moves right by 2 pixels
    followed = motion.warp_error(flows_of(lambda v, t: (2, 0), lambda v, t: (0, 0), pictures), "time")
    assert followed.value == pytest.approx(0, abs=1e-3)
    ignored = motion.warp_error(flows_of(lambda v, t: (0, 0), lambda v, t: (0, 0), pictures), "time")
    assert ignored.value == pytest.approx(200 / (W - 1), rel=1e-3)


def test_parallax_is_what_no_flat_picture_shows():
    y, x = np.mgrid[:H, :W].astype(np.float32)
    zoom = np.stack([0.1 * (x - W / 2), 0.1 * (y - H / 2)], -1)
    flat = motion.amounts(flows_of(lambda v, t: (0, 0), lambda v, t: zoom))
    assert flat["view_change"].value > 2 and flat["parallax"].value == pytest.approx(0, abs=1e-3)
    layered = np.where((x[..., None] // 8 + y[..., None] // 8) % 3 == 0, np.float32((6, 0)), np.float32((1, 0)))
    deep = motion.amounts(flows_of(lambda v, t: (2, 0), lambda v, t: layered))
    assert deep["parallax"].value > 1
    assert deep["motion"].value == pytest.approx(2 * PERCENT)


def test_a_pixel_that_is_hidden_in_the_other_cell_is_not_judged():
    there = np.zeros((H, W, 2), np.float32)
    there[:, 10:20] = (8, 0)
    seen = seen_in_both(there, np.zeros_like(there))
    assert not seen[:, 10:20].any() and seen[:, :10].all()
    values, inside = carried(np.arange(H * W, dtype=np.float32).reshape(H, W, 1), there)
    assert values[3, 10].item() == 3 * W + 18 and inside.all()


def two_cameras(points, times, shake=0.0, seed=0):
    """Matches [M, 4] of 3D points in two cameras that stand still, or are each moved by `shake` pixels at each time."""
    rng = np.random.default_rng(seed)
    ends = []
    for _ in range(times):
        first = 300 * points[:, :2] / points[:, 2:] + 256
        turned = points @ np.array([[0.96, 0, 0.28], [0, 1, 0], [-0.28, 0, 0.96]]) + (-1.2, 0.1, 0.2)
        second = 300 * turned[:, :2] / turned[:, 2:] + 256
        ends.append(np.concatenate([first + rng.normal(size=2) * shake, second + rng.normal(size=2) * shake], 1))
    return np.concatenate(ends).astype(np.float32)


def scene(count=60, flat=False):
    rng = np.random.default_rng(1)
    points = rng.uniform((-1, -1, 3), (1, 1, 6), (count, 3))
    if flat:
        points[:, 2] = 4 + 0.3 * points[:, 0]
    return points


def test_still_cameras_agree_and_shaken_ones_do_not_though_each_pair_of_frames_would():
    agrees, reason = epipolar._judge(two_cameras(scene(), times=6), 512)
    assert reason == "" and agrees.mean() == 1
    shaken = two_cameras(scene(), times=6, shake=8)
    assert epipolar._judge(shaken, 512)[0].mean() < 0.6
    assert epipolar._judge(shaken[:60], 512)[0].mean() == 1  # alone, the first time looks perfect


def test_a_flat_scene_and_few_matches_are_not_measurable():
    agrees, reason = epipolar._judge(two_cameras(scene(flat=True), times=2), 512)
    assert agrees is None and "no parallax" in reason
    agrees, reason = epipolar._judge(two_cameras(scene(count=49), times=1), 512)
    assert agrees is None and "fewer than 50 matches" in reason


def test_sampson_distance_of_a_sideways_camera():
    sideways = np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]], float)  # x' F x = y - y': epipolar lines are level
    distance = epipolar.sampson(sideways, np.array([[3.0, 7.0]]), np.array([[9.0, 7.5]]))
    assert distance == pytest.approx(0.5 / np.sqrt(2))


def test_sharpness_of_hand_made_cells():
    frames = torch.full((V, T, H, W, 3), 0.5)
    assert sharpness(FrameGrid(frames, torch.ones(V, T, dtype=torch.bool)))["sharpness"].value == pytest.approx(
        0, abs=1e-4
    )
    checks = ((torch.arange(H)[:, None] + torch.arange(W)) % 2).float()[..., None]
    frames = (0.5 + 0.5 * (checks - 0.5)).expand(V, T, H, W, 3).clone()
    frames[1:, 1:] = 0.5 + 0.25 * (checks - 0.5)  # half the contrast: a quarter of the variance
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    found = sharpness(FrameGrid(frames, known))
    assert found["sharpness_ratio"].value == pytest.approx(0.25, rel=1e-4)
    assert not sharpness(FrameGrid(frames, ~known | known))["sharpness_ratio"].measurable


def test_badness_runs_from_good_to_bad_whichever_way_is_better():
    values = torch.tensor([0.95, 0.9, 0.75, 0.6, 0.1])
    assert METRICS["epipolar"].better == "higher"
    middle = (METRICS["epipolar"].good + METRICS["epipolar"].bad) / 2
    assert METRICS["epipolar"].badness(torch.tensor([1.0, middle, 0.0])).tolist() == pytest.approx([0, 0.5, 1])
    assert METRICS["time_acceleration"].badness(torch.tensor([0.0, 9.0])).tolist() == [0, 1]
    assert METRICS["epipolar"].badness(values).diff().min() >= 0


@pytest.fixture(scope="module")
def drawn():
    """A drawn scene with depth and motion, 3 x 4 cells of 72 x 128."""
    return next(procedural_frame_grids(1, views=3, times=4, seed=3, supersample=1))


def test_empty_cells_and_unknown_metrics_are_refused(drawn):
    black = drawn.frames.clone()
    black[1, 2] = 0
    known = torch.ones(3, 4, dtype=torch.bool)
    known[1, 2] = False
    with pytest.raises(
        ValueError, match="1 empty cells, the first at view 2, time 3: fill the grid first.* black throughout"
    ):
        measure_agreement(FrameGrid(black, known))
    with pytest.raises(ValueError, match="at least 16 pixels"):
        measure_agreement(FrameGrid(torch.rand(2, 2, 8, 16, 3), torch.ones(2, 2, dtype=torch.bool)))
    with pytest.raises(ValueError, match="expected metrics among"):
        measure_agreement(drawn, only=["fvd"])


def test_cheats_score_well_and_their_amounts_tell(drawn):
    flow_keys = [key for key in METRICS if key not in ("epipolar", "splat_fit")]
    clean, frozen = (measure_agreement(grid, only=flow_keys) for grid in (drawn, DAMAGES["frozen time"](drawn)))
    assert frozen["time_acceleration"].value == frozen["warp_time"].value == frozen["motion"].value == 0
    assert clean["motion"].value > 0.05 and frozen["synchrony"].reason == "nothing moves"
    assert set(AMOUNTS) <= set(clean)


ORDERINGS = [  # (fault, metric that sees it, metric that does not)
    ("warp 0.5 %W", "epipolar", None),
    ("warp 0.5 %W", "time_acceleration", "warp_view"),
    ("rigid jitter 0.5 %W", "epipolar", None),
    ("rigid jitter 0.5 %W", "drift", "warp_view"),
    ("warp per view 0.5 %W", "view_acceleration", "time_acceleration"),
    ("warp per time 1 %W", "time_acceleration", "view_acceleration"),
    ("times shuffled per view", "synchrony", "drift"),
    ("every other view 2 times late", "synchrony", "time_acceleration"),
    ("views shuffled per time", "epipolar", None),
    ("views shuffled per time", "time_acceleration", None),
    ("colour shift 15 %", "warp_time", "epipolar"),
    ("noise 8 %", "warp_time", None),
    ("8 invented patches per cell", "commutation", None),
    ("every other view mirrored", "view_acceleration", "time_acceleration"),
]


@pytest.mark.slow
def test_which_metric_sees_which_fault():
    """The orderings of docs/metrics.md, on a drawn grid of 6 x 7 cells."""
    from fourreal_core.evaluation.calibration import plain_values, seen

    grid = next(procedural_frame_grids(1, views=6, times=7, seed=3))
    clean = plain_values(measure_agreement(grid))
    damaged = {fault: plain_values(measure_agreement(DAMAGES[fault](grid))) for fault, _, _ in ORDERINGS}
    for fault, sees, blind in ORDERINGS:
        assert seen(sees, clean[sees], damaged[fault][sees]), (fault, sees, clean[sees], damaged[fault][sees])
        if blind:
            assert not seen(blind, clean[blind], damaged[fault][blind]), (
                fault,
                blind,
                clean[blind],
                damaged[fault][blind],
            )
    assert measure_agreement(DAMAGES["identical views"](grid), only=["epipolar"])["epipolar"].reason.startswith(
        "no parallax"
    )
