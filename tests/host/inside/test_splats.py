"""The nodes of 4D splats inside ComfyUI: from a grid to splats, pictures, its own SPLAT nodes, and files."""

import math

import pytest
import torch

V, T, H, W = 4, 3, 24, 36


@pytest.fixture
def made(comfy_inside):
    """A grid whose cameras are known, and splats of a few Gaussians."""
    core, parts = comfy_inside.core("grid"), comfy_inside.core("splats.gaussians")
    poses = torch.eye(4).repeat(V, 1, 1)
    for view in range(V):
        angle = math.radians(8.0 * view)
        turn = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
        poses[view, :3, :3], poses[view, :3, 3] = turn, torch.tensor([0, 0, 3.0]) - turn @ torch.tensor([0, 0, 3.0])
    lens = torch.tensor([[30.0, 0, W / 2], [0, 30, H / 2], [0, 0, 1]]).repeat(V, 1, 1)
    cameras = core.Cameras(poses, lens)
    rng = torch.manual_seed(0)
    count = 40
    gaussians = parts.Gaussians(
        torch.randn(count, 3, generator=rng) * 0.5 + torch.tensor([0, 0, 3.0]),
        torch.full((count, 3), 0.12),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.rand(count, 3, generator=rng),
        torch.full((count,), 0.9),
    )
    splats = parts.Splats(
        gaussians,
        parts.NodePaths.none(),
        torch.zeros(count, 0, 3),
        1.0,
        T,
        8.0,
        cameras,
        (H, W),
        torch.tensor([0.2, 0.3, 0.4]),
    )
    views = comfy_inside.core("splats.views")
    positions = [(float(view), float(time)) for view in range(V) for time in range(T)]
    frames = views.draw(splats, views.shots_along(splats, positions)).unflatten(0, (V, T))
    return core.FrameGrid(frames, torch.ones(V, T, dtype=torch.bool), 8.0, cameras), splats


def test_a_grid_becomes_splats_and_stays_as_it_was(comfy_inside, made):
    grid, _ = made
    before = grid.frames.clone()
    splats, with_cameras, report = comfy_inside.call("FourRealFitSplats", grid=grid, steps=6, longest=64, gaussians=300)
    assert torch.equal(grid.frames, before) and "kept out of the fit" in report
    assert torch.equal(with_cameras.cameras.world_to_camera, grid.cameras.world_to_camera)
    assert torch.isfinite(splats.at(0.5).positions_N3).all() and splats.times == T
    confidence = torch.full((V * T, H, W, 3), 0.5)
    again, _, _ = comfy_inside.call(
        "FourRealFitSplats", grid=grid, steps=2, longest=64, gaussians=0, confidence=confidence, start=splats
    )
    assert again.facts["score"]["fitted_db"] > 15
    with pytest.raises(ValueError, match="one image per cell"):
        comfy_inside.call("FourRealFitSplats", grid=grid, steps=2, longest=64, gaussians=0, confidence=confidence[:3])


def test_a_cancelled_fit_goes_on_where_it_was(comfy_inside, made, monkeypatch, caplog):
    import comfy.model_management as management

    grid, _ = made
    nodes = comfy_inside.pack_nodes("splats")
    keep = nodes.keep_unfinished

    def keep_and_cancel(grid, settings, splats):
        keep(grid, settings, splats)
        if splats is not None and splats.facts["steps_done"] == 4:
            management.interrupt_current_processing(True)

    monkeypatch.setattr(comfy_inside.core("splats.fit"), "KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(nodes, "keep_unfinished", keep_and_cancel)
    settings = {"grid": grid, "steps": 8, "longest": 64, "gaussians": 300}
    with pytest.raises(management.InterruptProcessingException):
        comfy_inside.call("FourRealFitSplats", **settings)
    monkeypatch.setattr(nodes, "keep_unfinished", keep)
    said = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            comfy_inside.call("FourRealFitSplats", **settings)
        said.append("Going on at step 5 of 8" in caplog.text)
    assert said == [True, False]


def test_paths_orbits_and_cameras_are_filmed(comfy_inside, made):
    grid, splats = made
    settings = {"fps": 0.0, "seconds": 0.0, "back": False, "width": 0, "height": 0}
    _, frames = comfy_inside.call(
        "FourRealRenderSplats", splats=splats, path={"path": "fixed view", "view": 2.0}, **settings
    )
    assert torch.allclose(frames, grid.frames[2], atol=1e-5)
    orbit = {"path": "orbit", "around": 0.0, "degrees": 0.0, "up": 0.0, "closer": 1.0, "moment": 1.0}
    video, frames = comfy_inside.call(
        "FourRealRenderSplats",
        splats=splats,
        path=orbit,
        **(settings | {"seconds": 0.5, "width": 2 * W, "height": 2 * H}),
    )
    assert frames.shape == (5, 2 * H, 2 * W, 3) and video.get_dimensions() == (2 * W, 2 * H)
    assert torch.allclose(frames[0], frames[-1], atol=1e-5)
    _, wide = comfy_inside.call(
        "FourRealRenderSplats", splats=splats, path=orbit | {"degrees": 90.0, "moment": -1.0}, **settings
    )
    assert len(wide) == T and float((wide[0] - wide[-1]).abs().mean()) > 0.01
    with pytest.raises(ValueError, match="around and moment"):
        comfy_inside.call("FourRealRenderSplats", splats=splats, path=orbit | {"around": 9.0}, **settings)


def test_comfyuis_camera_of_a_view_sees_what_the_view_sees(comfy_inside, made):
    grid, splats = made
    for view in (0, 3):
        host_splat, info = comfy_inside.call("FourRealSplatsToSplat", splats=splats, view=float(view))
        assert host_splat.positions.shape == (T, 40, 3) and host_splat.opacities.shape == (T, 40, 1)
        settings = {"fps": 0.0, "seconds": 0.0, "back": False, "width": 0, "height": 0, "camera": info}
        _, frames = comfy_inside.call(
            "FourRealRenderSplats", splats=splats, path={"path": "fixed view", "view": 0.0}, **settings
        )
        assert torch.allclose(frames[1], grid.frames[view, 1], atol=2e-3)
        del info["quaternion"]  # a camera that only looks at its target
        _, frames = comfy_inside.call(
            "FourRealRenderSplats", splats=splats, path={"path": "fixed view", "view": 0.0}, **settings
        )
        assert torch.allclose(frames[1], grid.frames[view, 1], atol=2e-3)
    info["cameraType"] = "orthographic"
    with pytest.raises(ValueError, match="perspective"):
        comfy_inside.call("FourRealRenderSplats", splats=splats, path={"path": "fixed view", "view": 0.0}, **settings)


def test_comfyuis_own_node_renders_the_batch(comfy_inside, made):
    """Its pictures differ (see docs), but what is where agrees."""
    grid, splats = made
    host_splat, info = comfy_inside.call("FourRealSplatsToSplat", splats=splats, view=1.0)
    extra = pytest.importorskip("comfy_extras.nodes_gaussian_splat")
    inputs = {
        name: value.default
        for name, value in ((entry.id, entry) for entry in extra.RenderSplat.define_schema().inputs)
        if hasattr(value, "default")
    }
    inputs |= {"splat": host_splat, "width": W, "height": H, "camera_info": info, "frames": 1, "background": "#334d66"}
    picture = extra.RenderSplat.execute(**inputs)[0]
    assert picture.shape == (T, H, W, 3)
    mine, theirs = (frame.mean(-1).flatten() - frame.mean() for frame in (grid.frames[1, 0], picture[0].cpu()))
    assert float((mine @ theirs) / (mine.norm() * theirs.norm())) > 0.6


@pytest.mark.parametrize(
    ("form", "ending", "files"),
    [
        ("splats", ".splats.safetensors", 1),
        ("ply", ".ply", T),
        ("4dgs", ".4dgs", 1),
        ("glb", ".glb", T),
        ("usd", ".usdc", 1),
    ],
)
def test_splats_are_saved_and_loaded(comfy_inside, made, form, ending, files):
    if form in ("4dgs", "glb", "usd"):
        pytest.importorskip("fourdgs")
    if form == "usd":
        pytest.importorskip("pxr")
    import os

    import folder_paths

    _, splats = made
    result = comfy_inside.pack_nodes("splat_files").FourRealSaveSplats.execute(
        splats=splats, format=form, filename_prefix=f"splats_test/{form}"
    )
    saved = result.ui["fourreal_splats"]
    assert len(saved) == files and all(entry["filename"].endswith(ending) for entry in saved)
    paths = [
        os.path.join(folder_paths.get_output_directory(), entry["subfolder"], entry["filename"]) for entry in saved
    ]
    assert all(os.path.getsize(path) > 1000 for path in paths)
    if form == "splats":
        (loaded,) = comfy_inside.call("FourRealLoadSplats", file=f"splats_test/{saved[0]['filename']} [output]")
        assert torch.equal(loaded.at(1).positions_N3, splats.at(1).positions_N3)
    if form == "ply":
        extra = pytest.importorskip("comfy_extras.nodes_gaussian_splat")
        from comfy_api.latest import Types

        read = extra.File3DToSplat.execute(Types.File3D(paths[1]))[0]
        assert torch.allclose(read.positions[0].cpu(), splats.at(1).positions_N3, atol=1e-5)
        assert torch.allclose(read.opacities[0, :, 0].cpu(), splats.at(1).opacities_N, atol=1e-4)


def test_wrong_inputs_fail_with_one_clear_error(comfy_inside, made):
    _, splats = made
    with pytest.raises(ValueError, match="4Real Fit Splats"):
        comfy_inside.call("FourRealSplatsToSplat", splats="x", view=0.0)
    with pytest.raises(ValueError, match="view from 0 to 3"):
        comfy_inside.call("FourRealSplatsToSplat", splats=splats, view=7.0)
