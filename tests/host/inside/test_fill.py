"""4Real Fill in the host: what ComfyUI's depth, mask and flow nodes give, in the shapes in which they give it."""

import pytest
import torch
from planes import plane_scene
from tiny_model_files import write_model_file

V, T, H, W = 3, 5, 24, 40
TRUE = plane_scene(V, T, H, W)
KNOWN = [(v, 0) for v in range(V)] + [(0, t) for t in range(1, T)]  # in the order that the node wants


@pytest.fixture
def task(comfy_inside):
    """The scene's grid, as a grid of the pack inside the host."""
    core, grid = comfy_inside.core("grid"), TRUE.grid()
    cameras = core.Cameras(TRUE.cameras.world_to_camera, TRUE.cameras.intrinsics)
    return core.FrameGrid(grid.frames, grid.known, cameras=cameras)


@pytest.fixture
def converted(comfy_inside, task):
    """What the node makes of its sockets."""

    def convert(grid=None, on_share=lambda name, share: None, **sockets):
        sockets = {"depth": None, "moving": None, "flow": None} | sockets
        convert = comfy_inside.pack_host("known_geometry").known_geometry
        return convert(task if grid is None else grid, **sockets, on_share=on_share)

    return convert


def of_known(maps_VT):
    return torch.stack([maps_VT[cell] for cell in KNOWN])


def da3(depth_NHW, cameras=True, **more):
    """As DA3Inference gives it: depth at the size of the images; cameras in pixels of the size that it worked at."""
    geometry = {"depth": depth_NHW, "image": torch.zeros(*depth_NHW.shape, 3), "mode": "mono"}
    if cameras:
        worked = torch.tensor([[28.0 * 1.1, 0, 14], [0, 17 * 1.1 * W / H, 8.5], [0, 0, 1]])
        views = [v for v, _ in KNOWN] if len(depth_NHW) == len(KNOWN) else [cell // T for cell in range(V * T)]
        poses = TRUE.cameras.world_to_camera[views, :3]
        geometry |= {"mode": "multiview", "extrinsics": poses[None], "intrinsics": worked.expand(1, len(poses), 3, 3)}
    return geometry | more


def test_depth_is_inverted_up_to_scale(converted):
    given = converted(depth=da3(3 / of_known(TRUE.inverse_depth_VTHW)))["depth"]
    ratio = given / TRUE.depth()
    assert given.shape == (V + T - 1, H, W)
    assert torch.allclose(ratio, ratio.mean((1, 2), keepdim=True).expand_as(ratio), rtol=1e-4)


def test_one_map_per_cell_is_picked_in_the_order_of_grid_to_images(comfy_inside, converted, task):
    images, *_ = comfy_inside.call("FourRealGridToImages", grid=task, order="view by view")
    assert torch.equal(images[T], task.frames[1, 0])
    maps = torch.arange(1, V * T + 1).float()[:, None, None].expand(-1, 4, 6)
    picked = converted(depth=(maps / 20)[..., None].expand(-1, -1, -1, 3))["depth"]
    assert (picked[:, 0, 0] * 20).round().tolist() == [v * T + t + 1 for v, t in KNOWN]


def test_sky_and_missing_depth_are_infinitely_far(converted):
    depth = 1 / of_known(TRUE.inverse_depth_VTHW)
    depth[0, :3], depth[1, 0], depth[2, 0, 0] = torch.inf, 0.0, torch.nan
    sky = torch.zeros_like(depth)
    sky[3, 5:7] = 0.9
    given = converted(depth=da3(depth, sky=sky))["depth"]
    assert (given[0, :3] == 0).all() and (given[1, 0] == 0).all() and given[2, 0, 0] == 0 and (given[3, 5:7] == 0).all()
    assert given.isfinite().all() and (given[4] > 0).all()


def test_moge_geometry_is_taken(converted):
    depth = 2 / of_known(TRUE.inverse_depth_VTHW)
    moge = {"depth": depth, "points": torch.zeros(*depth.shape, 3), "intrinsics": torch.eye(3).expand(len(depth), 3, 3)}
    given = converted(depth=moge)
    assert set(given) == {"depth"} and torch.allclose(
        given["depth"][0] / given["depth"][0].max(), TRUE.depth()[0] / TRUE.depth()[0].max()
    )


def test_maps_of_unknown_cells_may_show_nothing(converted):
    """One geometry of all images of 4Real Grid to Images: what a model makes of the blank ones does not count."""
    inverse, known = TRUE.inverse_depth_VTHW.flatten(0, 1), torch.zeros(V * T, dtype=torch.bool)
    known[[v * T + t for v, t in KNOWN]] = True
    sky = (~known).float()[:, None, None].expand(-1, H, W)
    given = converted(depth=da3(1 / inverse, cameras=False, sky=sky))["depth"]
    assert (given > 0).all() and torch.equal(
        given, converted(depth=da3(1 / of_known(TRUE.inverse_depth_VTHW), cameras=False))["depth"]
    )


@pytest.mark.parametrize("count", [V + T - 1, V * T])
def test_cameras_come_with_depth_where_the_grid_has_none(converted, task, count):
    inverse = of_known(TRUE.inverse_depth_VTHW) if count == V + T - 1 else TRUE.inverse_depth_VTHW.flatten(0, 1)
    given = converted(task.replace(cameras=None), depth=da3(1 / inverse))
    assert torch.allclose(given["cameras"].world_to_camera, TRUE.cameras.world_to_camera)
    assert torch.allclose(given["cameras"].intrinsics, TRUE.cameras.intrinsics, atol=1e-3)
    assert "cameras" not in converted(depth=da3(1 / inverse))  # the grid's own win
    lost = da3(1 / inverse) | {
        "extrinsics": torch.eye(4).expand(1, count, 4, 4),
        "intrinsics": torch.eye(3).expand(1, count, 3, 3),
    }
    assert "cameras" not in converted(task.replace(cameras=None), depth=lost)  # what DA3Inference gives without poses


def test_masks_are_one_per_time_or_one_per_cell(converted):
    mask = TRUE.moving()
    assert torch.equal(converted(moving=mask)["moving"], mask)
    assert torch.equal(converted(moving=TRUE.moving_VTHW.flatten(0, 1).float())["moving"], mask)


@pytest.mark.parametrize(
    ("sockets", "reason"),
    [
        ({"depth": da3(torch.ones(4, H, W), cameras=False)}, r"expected 7 depth maps .* or 15 .*, got 4"),
        ({"depth": {"mode": "mono"}}, "one depth map per image, got none"),
        ({"depth": da3(torch.full((7, H, W), torch.inf), cameras=False)}, "view 1 at time 1 has no depth above 0"),
        (
            {"depth": torch.rand(7, H, W)},
            r"expected depth to be the model of Load Depth Anything 3.* got \[7, 24, 40\]",
        ),
        ({"depth": object()}, "expected depth to be the model of Load Depth Anything 3.* got object"),
        ({"depth": torch.rand(7, H, W, 3)}, "expected grey depth maps"),
        ({"moving": torch.ones(2, H, W)}, r"one mask per time of the fixed-view video \(5\) .* got 2"),
        ({"moving": torch.full((T, H, W), 3.0)}, "0..1 in moving"),
        ({"flow": torch.ones(T, H, W, 2)}, "RAFT model from Load Optical Flow Model, got Tensor"),
    ],
)
def test_what_does_not_fit_is_refused_with_one_clear_error(comfy_inside, task, sockets, reason):
    with pytest.raises(ValueError, match=reason):
        comfy_inside.call("FourRealTransportFill", grid=task, **sockets)


def test_exact_depth_and_mask_make_the_result_better(comfy_inside):
    """In the types of ComfyUI, for frames of 96x54."""
    scene, core = plane_scene(3, 4, 54, 96), comfy_inside.core("grid")
    known = scene.grid().known
    cameras = core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    task = core.FrameGrid(scene.grid().frames, known, cameras=cameras)

    def error_of(grid):
        return float((grid.frames - scene.frames_VTHW3).abs().mean((2, 3, 4))[~known].mean())

    own, *_ = comfy_inside.call("FourRealTransportFill", grid=task, method="scene")
    depth = da3(5 / scene.depth(), cameras=False)
    before = {name: value.clone() for name, value in depth.items() if isinstance(value, torch.Tensor)}
    given = {"depth": depth, "moving": scene.moving()}
    exact, _, report = comfy_inside.call("FourRealTransportFill", grid=task, method="scene", **given)
    assert error_of(exact) < error_of(own)
    assert "Given: depth, moving." in report
    assert all(torch.equal(depth[name], value) for name, value in before.items())
    assert torch.equal(exact.frames[known], task.frames[known])


@pytest.fixture(scope="module", params=["mono_large", "small"])
def da3_model(comfy_inside, request):
    """By ComfyUI's own loader, on random weights: the kind that tells sky, and the kind that tells cameras when it sees several frames."""
    import comfy.sd

    models, name = comfy_inside.base / "models", f"depth_anything_3_{request.param}.safetensors"
    write_model_file(models, "geometry_estimation", name)
    return comfy.sd.load_diffusion_model(str(models / "geometry_estimation" / name))


def knows_the_scene(monkeypatch, model, scene, asked=None):
    """The network of a DA3_MODEL answers with the exact depth of the frame that it is shown, at the size that it is shown it."""
    network = model.model.diffusion_model

    def forward(seen, **named):
        picture = (
            seen[0] * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            + torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        )
        size = picture.shape[-2:]
        frames = torch.nn.functional.interpolate(
            scene.frames_VTHW3.flatten(0, 1).movedim(-1, 1), size=size, mode="bilinear", antialias=True
        )
        found = int((frames - picture).square().flatten(1).mean(1).argmin())
        if asked is not None:
            asked.append(divmod(found, scene.frames_VTHW3.shape[1]))
        inverse = scene.inverse_depth_VTHW.flatten(0, 1)[found][None, None]
        return {"depth": 7 / torch.nn.functional.interpolate(inverse, size=size, mode="nearest")[0]}

    monkeypatch.setattr(network, "forward", forward)


def test_depth_anything_3_looks_at_each_known_frame_once(converted, da3_model, monkeypatch):
    asked, shares = [], []
    knows_the_scene(monkeypatch, da3_model, TRUE, asked)
    depth = converted(depth=da3_model, on_share=lambda name, share: shares.append((name, share)))["depth"]
    assert asked == KNOWN and depth.shape[0] == V + T - 1
    assert [name for name, _ in shares] == ["given depth"] * (V + T) and [share for _, share in shares][-1] == 1
    ratio = torch.nn.functional.interpolate(depth[:, None], size=(H, W), mode="nearest")[:, 0] / TRUE.depth()
    assert float((ratio / ratio.flatten(1).median(1).values[:, None, None] - 1).abs().median()) < 0.02


def test_the_real_depth_anything_3_runs_in_the_fill(comfy_inside, da3_model, monkeypatch):
    """Random weights say nothing of the scene: what counts is that known cells are kept, that it is said, and that nothing breaks."""
    monkeypatch.setattr(comfy_inside.pack_host("learned_depth"), "DA3_SIDE", 112)
    scene, core = plane_scene(2, 3, 36, 60), comfy_inside.core("grid")
    known = scene.grid().known
    cameras = core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    task = core.FrameGrid(scene.grid().frames, known, cameras=cameras)
    filled, _, report = comfy_inside.call("FourRealTransportFill", grid=task, method="scene", depth=da3_model)
    assert torch.equal(filled.frames[known], task.frames[known]) and filled.frames.isfinite().all()
    assert "Given: depth." in report and "connect Load Depth Anything 3" not in report
    _, _, report = comfy_inside.call("FourRealTransportFill", grid=task, method="scene")
    assert "connect Load Depth Anything 3 to depth" in report


def test_a_cancel_ends_depth_anything_3(comfy_inside, task, da3_model, monkeypatch):
    import comfy.model_management as management

    monkeypatch.setattr(comfy_inside.pack_host("learned_depth"), "DA3_SIDE", 112)
    network, passed = da3_model.model.diffusion_model, []
    first = next(part for part in network.modules() if isinstance(part, torch.nn.Conv2d))
    hook = first.register_forward_hook(lambda *_: passed.append(1) or management.interrupt_current_processing())
    with pytest.raises(management.InterruptProcessingException):
        comfy_inside.call("FourRealTransportFill", grid=task, method="scene", depth=da3_model)
    hook.remove()
    assert len(passed) == 1 and not management.processing_interrupted()


def test_depth_that_was_given_to_the_fill_is_used_by_the_sampler(comfy_inside, da3_model, monkeypatch):
    """With the fill's sources at hand, and with others made in between; a grid without given depth gives other sources."""
    scene, core = plane_scene(2, 3, 36, 60), comfy_inside.core("grid")
    cameras = core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    task = core.FrameGrid(scene.grid().frames, scene.grid().known, cameras=cameras)
    host, kept = comfy_inside.pack_host("sources"), comfy_inside.core("geometry.fill").FillSources
    knows_the_scene(monkeypatch, da3_model, scene)
    fill = lambda **sockets: comfy_inside.call("FourRealTransportFill", grid=task, **sockets)[0]
    with_depth = fill(depth=da3_model)
    at_hand = host.sources_of(with_depth)
    without = fill()
    again = host.sources_of(with_depth)
    assert isinstance(again, kept) and again is not at_hand and again.scene is not None
    assert torch.equal(again.scene.time_depth_THW, at_hand.scene.time_depth_THW)
    assert not torch.equal(again.scene.time_depth_THW, host.sources_of(without).scene.time_depth_THW)
    assert "Given: depth" in again.report
    of_tiles = host.sources_of_whole(
        with_depth, lambda name, share: None
    )  # as those of a grid larger than a model knows
    assert "Given: depth" in of_tiles.report
    assert torch.equal(of_tiles.scene.time_depth_THW, again.scene.time_depth_THW)


@pytest.fixture(scope="module")
def raft(comfy_inside):
    """A RAFT as Load Optical Flow Model gives it, with random weights."""
    import comfy.model_management
    import comfy.model_patcher
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    with torch.inference_mode(False):
        model = raft_large(weights=None, progress=False).eval()
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


@pytest.mark.slow
def test_raft_finds_the_flow_back_to_the_base_time(converted, raft, monkeypatch):
    asked = []
    monkeypatch.setattr(raft.model, "forward", lambda a, b: asked.append((a, b)) or [torch.ones(1, 2, *a.shape[-2:])])
    flow = converted(flow=raft)["flow"]
    assert flow.shape == (T, 128, 216, 2) and (flow[0] == 0).all() and (flow[1:] == 1).all()
    assert all(b.shape == (1, 3, 128, 216) and torch.equal(b, asked[0][1]) for _, b in asked) and len(asked) == T - 1
    assert asked[0][0].min() >= -1.3 and asked[0][0].max() <= 1.3 and asked[0][0].min() < 0


@pytest.mark.slow
def test_the_real_raft_runs(comfy_inside, raft):
    flows = comfy_inside.pack_host("learned_flow").flows_to_base
    shares = []
    flow = flows(raft, TRUE.frames_VTHW3[0, :2], 1, shares.append)
    assert flow.shape == (2, 128, 216, 2) and flow.isfinite().all() and (flow[1] == 0).all() and shares == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((72, 128), (128, 224)), ((288, 512), (288, 512)), ((1080, 1920), (432, 768)), ((8, 800), (128, 3072))],
)
def test_raft_sees_sizes_that_it_takes(comfy_inside, size, wanted):
    assert comfy_inside.pack_host("learned_flow").flow_size(*size) == wanted


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def test_old_workflows_run_and_the_report_says_why_it_fell_back(comfy_inside, grid):
    """A prompt saved before there were methods; the videos here only shift, so there is no geometry to be had."""
    comfy_inside.call("FourRealSaveGrid", grid=grid, filename_prefix="old/fill")
    prompt = {
        "1": node("FourRealLoadGrid", file="old/fill_00001_.grid.safetensors [output]"),
        "2": node("FourRealTransportFill", grid=["1", 0]),
        "3": node("FourRealSaveGrid", grid=["2", 0], filename_prefix="old/filled"),
    }
    comfy_inside.events.clear()
    outputs = comfy_inside.run(prompt)
    [sheet] = outputs["2"]["images"]
    assert sheet["type"] == "temp"
    [saved] = outputs["3"]["fourreal_grid"]
    filled = comfy_inside.core("grid_file").load_grid(
        comfy_inside.base / "output" / saved["subfolder"] / saved["filename"]
    )
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known]) and filled.provenance["fill"] == "transport"
    said = [event[1] for event in comfy_inside.events if event[0] == "text"]
    assert any(text.startswith("Filled by Transport, because") for text in said)


def test_a_single_method_is_as_asked(comfy_inside, grid):
    filled, confidence, report = comfy_inside.call("FourRealTransportFill", grid=grid, method="transport")
    wanted, sure = comfy_inside.core("transport").transport_fill(grid)
    assert torch.equal(filled.frames, wanted.frames) and report == "Filled by Transport, as requested."
    assert torch.equal(confidence[..., 0], sure.flatten(0, 1))
    with pytest.raises(ValueError, match="cameras|parallax|pycolmap|view"):
        comfy_inside.call("FourRealTransportFill", grid=grid, method="scene")


@pytest.mark.parametrize("stage", ["depth", "motion", "transport", "cells"])
def test_a_cancel_is_obeyed_in_every_stage(comfy_inside, task, monkeypatch, stage):
    import comfy.model_management as management

    progress = comfy_inside.pack_host("fill_progress").FillProgress
    on_stage = progress.on_stage

    def cancel(self, name, share):
        if name == stage:
            management.interrupt_current_processing()
        on_stage(self, name, share)

    monkeypatch.setattr(progress, "on_stage", cancel)
    with pytest.raises(management.InterruptProcessingException):
        comfy_inside.call("FourRealTransportFill", grid=task, method="scene")
    assert not management.processing_interrupted()
    monkeypatch.undo()


def test_the_bar_never_runs_back_and_pictures_show_the_cells(comfy_inside, task, monkeypatch):
    import comfy.utils

    told = []
    monkeypatch.setattr(
        comfy.utils.ProgressBar,
        "update_absolute",
        lambda self, value, total=None, preview=None: told.append((value, total, preview)),
    )
    monkeypatch.setattr(comfy_inside.pack_host("fill_progress"), "SECONDS", 0.0)
    comfy_inside.call("FourRealTransportFill", grid=task, method="scene")
    values = [value for value, _, _ in told]
    assert values == sorted(values) and values[-1] == told[-1][1]
    pictures = [preview[1] for _, _, preview in told if preview]
    assert (
        len({picture.tobytes() for picture in pictures}) == (V - 1) * (T - 1) + 1
    )  # before the first cell, and after each
    assert pictures[-1].size == (T * (W + 2), V * (H + 2))


def test_detail_brings_a_small_grid_to_full_size(comfy_inside):
    core, scene = comfy_inside.core("grid"), plane_scene(2, 3, 36, 60)
    known = scene.grid().known
    task = core.FrameGrid(
        scene.grid().frames, known, cameras=core.Cameras(scene.cameras.world_to_camera, scene.cameras.intrinsics)
    )
    small = core.FrameGrid(scene.frames_VTHW3, torch.ones_like(known), provenance={"sync": "soft"}).resized(
        9, 15, "stretch"
    )
    before = task.frames.clone(), small.frames.clone()
    made, confidence, report = comfy_inside.call("FourRealDetail", grid=task, small=small)
    assert torch.equal(made.frames[known], task.frames[known]) and report.startswith("Filled by the scene's geometry")
    assert (
        confidence.shape == (6, 36, 60, 3)
        and torch.equal(task.frames, before[0])
        and torch.equal(small.frames, before[1])
    )
    enlarged = small.resized(36, 60, "stretch").frames
    error = [(frames - scene.frames_VTHW3)[~known].square().mean() for frames in (made.frames, enlarged)]
    assert error[0] < 0.7 * error[1]
    assert made.provenance["sync"] == "soft" and made.provenance["detail"] == {"from": [15, 9], "by": "scene"}
    with pytest.raises(ValueError, match="small grid to have smaller cells"):
        comfy_inside.call("FourRealDetail", grid=task, small=task)
