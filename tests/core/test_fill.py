"""fill_grid: known cells untouched, any pattern, size and base, falls back with a reason, can be cancelled, uses what it is given."""

import sys
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from planes import PlaneScene, plane_scene

from fourreal_core import FrameGrid, fill_grid, transport_fill
from fourreal_core.geometry import fill as fill_module
from fourreal_core.geometry.bases import SMALLEST, base_cell, base_cells, chosen_from
from fourreal_core.geometry.deformation import NodeMotion
from fourreal_core.geometry.fill import Filled, find_sources, self_check
from fourreal_core.geometry.fusion import CANDIDATES
from fourreal_core.geometry.networks import GeometryNetworks
from fourreal_core.geometry.scene import SceneUnknown
from fourreal_core.grid import Cameras

V, T, H, W = 3, 4, 24, 40


@pytest.fixture(scope="module")
def scene() -> PlaneScene:
    return plane_scene(V, T, H, W)


@pytest.fixture(scope="module")
def small() -> PlaneScene:
    return plane_scene(2, 3, H, W)


@pytest.fixture(scope="module")
def networks() -> GeometryNetworks:
    """Untrained: depth is then the plane of least cost, flow the search's, and nothing is corrected."""
    torch.manual_seed(0)
    return GeometryNetworks().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def filled(scene, networks) -> Filled:
    return fill_grid(scene.grid(), method="scene", networks=networks)


def check_known(filled: Filled, grid: FrameGrid) -> None:
    assert torch.equal(filled.grid.frames[grid.known], grid.frames[grid.known])
    assert torch.equal(filled.grid.known, grid.known) and filled.grid.fps == grid.fps


def check_filled(filled: Filled, grid: FrameGrid, method: str) -> None:
    """A whole grid with known cells bit-exact, and a confidence for each pixel."""
    assert filled.method == method
    check_known(filled, grid)
    assert filled.grid.frames[~grid.known].flatten(1).std(1).min() > 0.01  # every cell shows something
    assert filled.confidence.shape == grid.frames.shape[:4] and filled.confidence.isfinite().all()
    assert filled.confidence.min() >= 0 and filled.confidence.max() <= 1
    assert (filled.confidence[grid.known] == 1).all()


def test_known_cells_come_back_bit_exact(scene, filled):
    check_filled(filled, scene.grid(), "scene")
    assert filled.report.startswith("Filled by the scene's geometry. Cameras: the grid's own.")
    assert filled.grid.cameras is not None


def test_the_scene_is_better_than_the_nearest_known_cells(scene, filled):
    unknown = ~scene.grid().known
    error = (filled.grid.frames - scene.frames_VTHW3).abs().mean((2, 3, 4))[unknown]
    for copied in (scene.frames_VTHW3[:1], scene.frames_VTHW3[:, :1]):
        assert error.mean() < 0.8 * (copied - scene.frames_VTHW3).abs().mean((2, 3, 4))[unknown].mean()


def test_what_a_model_draws_is_one_more_source_to_choose_from(scene, networks):
    grid, drawn = scene.grid(), torch.full_like(scene.frames_VTHW3, 0.25)
    chooses = deepcopy(networks)
    chooses.fusion.unet.head_bias[CANDIDATES - 1] = 50.0
    sources = find_sources(grid, method="scene", networks=chooses)
    filled = sources.fill(drawn)
    check_known(filled, grid)
    assert torch.allclose(filled.grid.frames[~grid.known], drawn[~grid.known], atol=1e-5)
    one_by_one = sources.fill(lambda at, predicted: drawn[at] * (predicted.blend.shape == drawn[at].shape))
    assert torch.equal(one_by_one.grid.frames, filled.grid.frames)
    without = sources.fill().grid.frames[~grid.known]
    assert torch.allclose(without, sources.predictions.blend[~grid.known], atol=1e-5)
    flat = find_sources(grid, method="transport").fill(drawn)
    assert torch.equal(flat.grid.frames[~grid.known], drawn[~grid.known]) and flat.method == "transport"


def test_transport_is_transport_fill(scene):
    seen = {}
    filled = fill_grid(
        scene.grid(), method="transport", on_cell=lambda *cell: seen.__setitem__(cell[:2], cell[2].clone())
    )
    grid, confidence = transport_fill(scene.grid())
    assert set(seen) == {tuple(cell) for cell in (~grid.known).nonzero().tolist()}
    assert all(torch.equal(frame, grid.frames[cell]) for cell, frame in seen.items())
    assert torch.equal(filled.grid.frames, grid.frames) and torch.equal(filled.confidence, confidence)
    assert filled.report == "Filled by Transport, as requested." and filled.method == "transport"


def test_the_same_input_gives_the_same_grid_and_each_cell_is_shown_as_it_is_filled(scene, filled, networks):
    grid, seen = scene.grid(), {}
    show = lambda view, time, frame: seen.__setitem__((view, time), frame.clone())
    again = fill_grid(grid, method="scene", networks=networks, on_cell=show)
    assert torch.equal(again.grid.frames, filled.grid.frames) and torch.equal(again.confidence, filled.confidence)
    assert set(seen) == {tuple(cell) for cell in (~grid.known).nonzero().tolist()}
    assert all(torch.equal(frame, filled.grid.frames[cell]) for cell, frame in seen.items())


def test_a_fill_is_the_same_with_any_number_of_threads(scene, networks):
    sources = find_sources(scene.grid(), method="scene", networks=networks)
    before, fills = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            fills.append(replace(sources, still_layers={}).fill())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for fill in fills[1:]:
        assert torch.equal(fill.grid.frames, fills[0].grid.frames)
        assert torch.equal(fill.confidence, fills[0].confidence)


def test_inputs_are_not_written_to(scene, networks):
    grid = scene.grid()
    given = {"depth": scene.depth(), "flow": scene.flow(), "moving": scene.moving()}
    before = [tensor.clone() for tensor in (grid.frames, grid.known, *given.values())]
    fill_grid(grid, method="scene", networks=networks, **given)
    assert all(torch.equal(a, b) for a, b in zip(before, (grid.frames, grid.known, *given.values())))


@pytest.mark.parametrize(
    ("shape", "base"),
    [
        ((3, 3, 24, 40), (2, 1)),  # the last view, a time in the middle
        ((3, 3, 24, 40), (1, 2)),
        ((2, 2, 24, 40), (0, 0)),
        ((2, 3, 25, 41), (1, 0)),
        ((4, 2, 40, 24), (0, 1)),
    ],
)
def test_any_base_and_size(shape, base, networks):
    scene = plane_scene(*shape)
    grid = scene.grid(base)
    assert base_cell(grid) == base
    check_filled(fill_grid(grid, method="scene", networks=networks), grid, "scene")
    given = {"depth": scene.depth(base), "flow": scene.flow(base), "moving": scene.moving(base)}
    informed = fill_grid(grid, method="scene", networks=networks, **given)
    check_filled(informed, grid, "scene")
    error = (informed.grid.frames - scene.frames_VTHW3).abs().mean(-1)[~grid.known]
    assert error.median() < 0.05  # with exact geometry most pixels are right, whichever cell is the base


@pytest.mark.slow
def test_frames_larger_than_the_networks_work_at(networks):
    scene = plane_scene(2, 2, 144, 256)
    check_filled(fill_grid(scene.grid(), method="scene", networks=networks), scene.grid(), "scene")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (11, 200), (12, 12), (12, 200), (150, 13)])
def test_tiny_and_narrow_frames_are_filled(height, width, networks):
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 3, height, width, 3, generator=generator)
    known = torch.tensor([[True, True, True], [True, False, False]])
    grid = FrameGrid(frames, known, cameras=plane_scene(2, 1, height, width).cameras)
    tiny = min(height, width) < SMALLEST
    filled = fill_grid(grid, networks=networks)
    assert torch.equal(filled.grid.frames[known], frames[known]) and filled.confidence.shape == (2, 3, height, width)
    assert ("show too little" in filled.report) == tiny
    if not tiny:
        fill_grid(grid, method="scene", networks=networks)


def test_more_known_cells_than_two_videos(scene, networks):
    grid = scene.grid((1, 3))
    known = grid.known | scene.grid((2, 3)).known
    grid = scene.grid().replace(frames=torch.where(known[..., None, None, None], scene.frames_VTHW3, 0.0), known=known)
    check_filled(fill_grid(grid, method="scene", networks=networks), grid, "scene")


def test_a_whole_grid_stays_as_it_is(scene, networks):
    grid = scene.grid().replace(frames=scene.frames_VTHW3, known=torch.ones(V, T, dtype=torch.bool))
    filled = fill_grid(grid, networks=networks)
    assert (
        torch.equal(filled.grid.frames, grid.frames)
        and filled.report == "All cells were already known."
        and (filled.confidence == 1).all()
    )


def one_view(scene):
    return FrameGrid(scene.frames_VTHW3[:1], torch.arange(T)[None] < T - 1)


def identical_views(scene):
    frames = scene.frames_VTHW3[:1].expand(V, -1, -1, -1, -1)
    grid = scene.grid()
    return grid.replace(frames=torch.where(grid.known[..., None, None, None], frames, 0.0))


def standing_camera(scene):
    cameras = scene.cameras
    standing = Cameras(cameras.world_to_camera[:1].expand(V, 4, 4), cameras.intrinsics)
    return identical_views(scene).replace(cameras=standing)


def no_whole_time(scene):
    known = scene.grid().known.clone()
    known[2, 0] = False
    return scene.grid().replace(known=known)


def no_whole_view(scene):
    known = scene.grid().known.clone()
    known[0, T - 1] = False
    return scene.grid().replace(known=known)


def wrong_cameras(scene):
    """Cameras that move up instead of aside: no depth explains the views."""
    poses = scene.cameras.world_to_camera.clone()
    poses[:, :3] = torch.eye(4)[:3]
    poses[:, 1, 3] = torch.arange(V) * 0.4
    return scene.grid().replace(cameras=Cameras(poses, scene.cameras.intrinsics))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (one_view, "a single view has no parallax"),
        (identical_views, "no measurable parallax"),
        (standing_camera, "no measurable parallax"),
        (no_whole_time, "one view known at all times and one time known from all views"),
        (no_whole_view, "one view known at all times and one time known from all views"),
    ],
)
def test_where_geometry_cannot_be_had(scene, networks, make, reason):
    grid = make(scene)
    filled = fill_grid(grid, networks=networks)
    assert (
        filled.method == "transport"
        and filled.report.startswith("Filled by Transport, because")
        and reason in filled.report
    )
    assert torch.equal(filled.grid.frames, transport_fill(grid)[0].frames)
    with pytest.raises(SceneUnknown, match=reason):
        fill_grid(grid, method="scene", networks=networks)


def test_auto_checks_the_depth_that_it_found(scene, networks):
    filled = fill_grid(wrong_cameras(scene), networks=networks)
    assert filled.method == "transport" and filled.report.startswith("Filled by Transport, because")


def test_given_depth_that_explains_nothing_is_named_as_given(scene, networks):
    filled = fill_grid(wrong_cameras(scene), networks=networks, depth=scene.depth(), flow=scene.flow())
    assert filled.method == "transport" and "the given depth does not explain" in filled.report
    assert "try it without depth" in filled.report


def test_the_report_says_that_motion_in_depth_was_guessed_where_something_moves(scene, networks):
    guessed = "that was guessed: to have it seen, connect Load Depth Anything 3 to depth."
    assert find_sources(scene.grid(), networks=networks, moving=scene.moving()).report.endswith(guessed)
    given = find_sources(scene.grid(), networks=networks, depth=scene.depth(), moving=scene.moving()).report
    assert "guessed" not in given and given.endswith("Given: depth, moving.")
    found = find_sources(scene.grid(), networks=networks, moving=torch.zeros(T, H, W))
    assert found.scene is not None and "guessed" not in found.report


def test_the_report_names_the_times_to_which_nothing_could_be_followed(scene, networks):
    exact = {"depth": scene.depth(), "flow": scene.flow(), "moving": scene.moving()}
    found = find_sources(scene.grid(), networks=networks, **exact)
    assert "could not be followed" not in found.report
    geometry = found.scene
    assert geometry is not None
    away = [NodeMotion(motion.rotation_M33, motion.shift_M3 + 0.5) for motion in geometry.node_motion_T]
    lost = [away[time] if time == 2 else motion for time, motion in enumerate(geometry.node_motion_T)]
    assert "could not be followed to time 3:" in self_check(replace(geometry, node_motion_T=lost))
    assert "could not be followed to any time:" in self_check(replace(geometry, node_motion_T=away))


@pytest.fixture(scope="module")
def wide() -> PlaneScene:
    return plane_scene(4, 3, H, W)


def two_rows(scene: PlaneScene) -> FrameGrid:
    """The first and the last view are known at all times."""
    first, last = scene.grid(), scene.grid((3, 0))
    return first.replace(frames=torch.maximum(first.frames, last.frames), known=first.known | last.known)


def test_with_two_views_known_each_pixel_comes_from_one_of_both(wide, networks):
    grid = two_rows(wide)
    found = find_sources(grid, method="scene", networks=networks)
    assert [one.scene.base for one in (found, *found.others)] == [(0, 0), (3, 0)]
    assert "view 1 and time 1, view 4 and time 1." in found.report
    both, alone = found.fill(), [one.fill() for one in (replace(found, others=()), *found.others)]
    check_filled(both, grid, "scene")
    shown = [torch.isclose(both.grid.frames, one.grid.frames).all(-1)[~grid.known] for one in alone]
    assert (shown[0] | shown[1]).all() and not shown[0].all() and not shown[1].all()
    truth = wide.frames_VTHW3[~grid.known]
    errors = [float((one.grid.frames[~grid.known] - truth).square().mean()) for one in (both, *alone)]
    assert errors[0] < sum(errors[1:]) / 2  # near the better one: the untrained network does not know which that is
    assert torch.equal(fill_grid(grid, networks=networks).grid.frames, both.grid.frames)
    given = find_sources(grid, networks=networks, moving=wide.moving())
    assert not given.others  # what is given belongs to one base


def test_a_base_without_depth_is_left_out(wide, networks, monkeypatch):
    real = fill_module.estimate_scene

    def estimate(*inputs, base, **options):
        if base != (0, 0):
            raise SceneUnknown("no reason.")
        return real(*inputs, base=base, **options)

    monkeypatch.setattr(fill_module, "estimate_scene", estimate)
    found = find_sources(two_rows(wide), networks=networks)
    assert found.scene is not None and not found.others and "Not from view 4 and time 1 too: no reason." in found.report


def test_bases_come_near_what_is_unknown():
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[0] = known[:, 0] = True
    grid = FrameGrid(torch.zeros(8, 8, 16, 16, 3), known)
    assert base_cells(grid) == [(0, 0)]
    known[7] = True
    assert base_cells(grid) == [(0, 0), (7, 0)]
    known[:, 7] = True
    assert base_cells(grid) == [(0, 0), (7, 7)]
    almost = torch.ones(8, 8, dtype=torch.bool)
    almost[5, 4] = False
    assert base_cells(grid.replace(known=almost)) == [(0, 0), (4, 3)]


def test_each_pixel_is_of_the_surer_or_nearer_base():
    bases = [(0, 0), (4, 0)]
    first, second = (torch.full((28, 28, 3), value) for value in (0.2, 0.8))
    alike = torch.full((28, 28), 0.5)
    for view, expected in ((1, first), (2, first), (3, second)):  # of two alike the first
        taken, sure = chosen_from(bases, (5, 2), (view, 1), [(first, alike), (second, alike)])
        assert torch.equal(taken, expected) and torch.equal(sure, alike)
    surer = alike.clone()
    surer[:, 14:] = 0.99
    taken, sure = chosen_from(bases, (5, 2), (1, 1), [(first, alike), (second, surer)])
    assert (taken[:, 16:] == 0.8).all() and (taken[:, :12] == 0.2).all()
    assert torch.equal(sure, torch.where(taken[..., 0] == 0.2, alike, surer))


def test_without_pycolmap_cameras_must_be_given(scene, networks, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    grid = scene.grid(cameras=False)
    filled = fill_grid(grid, networks=networks)
    assert filled.method == "transport" and "pycolmap" in filled.report
    with pytest.raises(SceneUnknown, match="pip install pycolmap"):
        fill_grid(grid, method="scene", networks=networks)
    given = fill_grid(grid, method="scene", networks=networks, cameras=scene.cameras)
    check_filled(given, grid, "scene")
    assert "Cameras: given." in given.report
    assert torch.equal(given.grid.cameras.world_to_camera, scene.cameras.world_to_camera)


class Cancelled(BaseException):
    """As ComfyUI's own: no Exception."""


@pytest.mark.parametrize("method", ["scene", "transport"])
def test_raising_in_any_stage_cancels(small, networks, method):
    said: list[str] = []
    fill_grid(small.grid(), method=method, networks=networks, on_stage=lambda name, share: said.append(name))
    stages = list(dict.fromkeys(said))
    assert stages == (
        [*(["depth", "motion", "labels", "following"] if method == "scene" else []), "transport", "cells"]
    )
    for stage in stages:

        def cancel(name, share, stage=stage):
            if name == stage:
                raise Cancelled

        with pytest.raises(Cancelled):
            fill_grid(small.grid(), method=method, networks=networks, on_stage=cancel)
    hooks = [module._forward_pre_hooks for module in networks.modules()]
    assert not any(hooks)  # nothing of a cancelled run is left on the networks


def test_shares_of_each_stage_grow_to_one(scene, networks):
    shares: dict[str, list[float]] = {}
    fill_grid(
        scene.grid((0, 2)), method="scene", networks=networks, on_stage=lambda n, s: shares.setdefault(n, []).append(s)
    )
    for name in ("depth", "motion", "transport", "cells"):
        assert shares[name][-1] > 0.95 and all(0 <= share <= 1 for share in shares[name]), name
    for name in ("depth", "transport", "cells"):
        assert shares[name] == sorted(shares[name])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "magic"}, "expected one of auto, scene, transport"),
        ({"depth": torch.rand(V + T, H, W)}, r"expected depth to have shape \[6, h, w\].*per view \(3\).*other time \(3\)"),
        ({"depth": torch.rand(V + T - 1, H, W, 3)}, "expected depth to have shape"),
        ({"depth": -torch.rand(V + T - 1, H, W)}, "0 and above in depth"),
        ({"moving": torch.rand(T + 1, H, W)}, r"expected moving to have shape \[4, h, w\]"),
        ({"moving": torch.full((T, H, W), 255.0)}, "0..1 in moving"),
        ({"flow": torch.rand(T, 2, H, W)}, r"expected flow to have shape \[4, h, w, 2\]"),
        ({"flow": torch.full((T, H, W, 2), torch.nan)}, "NaN or infinity"),
        ({"cameras": Cameras(torch.eye(4)[None], torch.eye(3)[None])}, "one camera for each of the 3 views, got 1"),
        ({"cameras": Cameras(torch.eye(4).expand(3, 4, 4), torch.zeros(3, 3, 3) + torch.diag(torch.tensor([0, 0, 1.0])))}, "focal"),
    ],
)  # fmt: skip
def test_bad_inputs_are_refused_and_never_fallen_back_from(scene, networks, changes, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        fill_grid(scene.grid(), networks=networks, **changes)
    assert not isinstance(raised.value, SceneUnknown)


def test_a_grid_without_known_cells_is_refused(scene, networks):
    with pytest.raises(ValueError, match="no known cells"):
        fill_grid(scene.grid().replace(known=torch.zeros(V, T, dtype=torch.bool)), networks=networks)


@pytest.mark.slow
def test_maps_of_any_size_and_scale_are_taken(scene, networks):
    """Depth of twice the size with a scale and an offset per map is as good as the exact one."""
    larger = plane_scene(V, T, 2 * H, 2 * W)
    factor = torch.linspace(0.5, 3, V + T - 1)[:, None, None]
    exact = {"flow": scene.flow(), "moving": scene.moving()}
    fills = [
        fill_grid(scene.grid(), method="scene", networks=networks, depth=depth, **exact).grid.frames
        for depth in (scene.depth(), factor * larger.depth() + 0.2)
    ]
    truth = scene.frames_VTHW3
    errors = [float((frames - truth).abs().mean()) for frames in fills]
    assert errors[1] < 1.15 * errors[0]
    flow = {"depth": scene.depth(), "moving": larger.moving(), "flow": larger.flow()}
    third = fill_grid(scene.grid(), method="scene", networks=networks, **flow).grid.frames
    assert float((third - truth).abs().mean()) < 1.15 * errors[0]


@pytest.mark.parametrize(("unit", "shift"), [(1e-4, 0.0), (1e4, 0.0), (1.0, 3000.0)])
def test_units_and_places_of_cameras_do_not_matter(scene, networks, filled, unit, shift):
    poses = scene.cameras.world_to_camera.double().clone()
    poses[:, :3, 3] = unit * (poses[:, :3, 3] + poses[:, :3, :3] @ torch.full((3,), shift, dtype=torch.float64))
    grid = scene.grid().replace(cameras=Cameras(poses.float(), scene.cameras.intrinsics))
    again = fill_grid(grid, method="scene", networks=networks)
    assert torch.equal(again.grid.cameras.world_to_camera, grid.cameras.world_to_camera)
    assert float((again.grid.frames - filled.grid.frames).abs().mean()) < 0.005


def test_a_camera_that_comes_back_is_no_standing_camera(networks):
    """View 3 stands where view 0 stands, as at the end of a full orbit."""
    scene = plane_scene(3, 3, H, W)
    views = [0, 1, 2, 0]
    cameras = Cameras(scene.cameras.world_to_camera[views], scene.cameras.intrinsics[views])
    orbit = PlaneScene(scene.frames_VTHW3[views], cameras, scene.inverse_depth_VTHW[views], scene.moving_VTHW[views])
    filled = fill_grid(orbit.grid(), method="scene", networks=networks, moving=orbit.moving())
    error = (filled.grid.frames - orbit.frames_VTHW3).abs().mean((2, 3, 4))
    assert error[3, 1:].max() < 1.2 * error[1:3, 1:].max()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_masks_of_nothing_and_of_everything(small, networks, value):
    filled = fill_grid(small.grid(), method="scene", networks=networks, moving=torch.full((3, H, W), value))
    check_filled(filled, small.grid(), "scene")


def test_exact_geometry_does_not_make_the_networks_that_ship_worse():
    scene = plane_scene(3, 2, 54, 96)
    unknown = ~scene.grid().known
    moving = scene.moving_VTHW[unknown]

    def errors(**given) -> tuple[float, float]:
        """Mean colour error of all pixels and of moving ones."""
        made = fill_grid(scene.grid(), method="scene", **given).grid.frames[unknown]
        error = (made - scene.frames_VTHW3[unknown]).abs().mean(-1)
        return float(error.mean()), float(error[moving].mean())

    own = errors()
    exact = errors(depth=scene.depth(), flow=scene.flow(), moving=scene.moving())
    assert exact[0] <= own[0] and exact[1] <= own[1]


def test_exact_depth_alone_does_not_make_the_networks_that_ship_worse():
    """The maps of all times are compared with each other, so that what stays as far away does so in the fill, whatever our own depth is."""
    scene = plane_scene(3, 4, 54, 96)
    task, unknown = scene.grid().replace(cameras=scene.cameras), ~scene.grid().known
    fills = [fill_grid(task, method="scene", **given).grid.frames for given in ({}, {"depth": scene.depth()})]
    own, exact = (float((frames - scene.frames_VTHW3).abs()[unknown].mean()) for frames in fills)
    assert exact <= own
