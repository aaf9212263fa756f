"""4Real Measure Grid and 4Real Compare Grids: what they report, alone, with a reference, and with ComfyUI's own CLIP and Depth Anything 3.

Letters: V = 3 views, T = 4 times, H = 32, W = 48.
"""

import json
from pathlib import Path

import pytest
import torch
from tiny_model_files import randomized, write_model_file

V, T, H, W = 3, 4, 32, 48


@pytest.fixture
def made(comfy_inside):
    """A grid of the pack inside the host: a textured square slides before a textured wall, seen from V places."""
    core = comfy_inside.core("grid")
    generator = torch.Generator().manual_seed(0)
    wall = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 32, generator=generator), (H, 2 * W), mode="bilinear")[
        0
    ].movedim(0, -1)
    square = torch.rand(10, 10, 3, generator=generator)
    frames = torch.stack([torch.stack([wall[:, 2 * v : 2 * v + W].clone() for _ in range(T)]) for v in range(V)])
    for v in range(V):
        for t in range(T):
            frames[v, t, 8:18, 20 - 4 * v + 3 * t : 30 - 4 * v + 3 * t] = square
    known = torch.zeros(V, T, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    return core.FrameGrid(frames, known)


def broken(grid, cell):
    frames = grid.frames.clone()
    frames[cell] = frames[cell].flip(0)
    return grid.replace(frames=frames)


def test_a_grid_alone(comfy_inside, made):
    before = made.frames.clone()
    _, numbers, sheet, plot, heat = comfy_inside.call("FourRealMeasureGrid", grid=broken(made, (2, 3)))
    assert torch.equal(made.frames, before)
    numbers = json.loads(numbers)
    assert numbers["motion"]["value"] > 0 and numbers["sharpness"]["value"] > 0
    assert len(numbers["support"]["cells"]) == V and len(numbers["support"]["cells"][0]) == T
    assert heat.shape == (V * T, H, W, 3) and 0 <= heat.min() and heat.max() <= 1
    assert heat.mean((1, 2, 3)).argmin() == 2 * T + 3  # the broken cell is the darkest
    assert sheet.ndim == plot.ndim == 4 and sheet.shape[-1] == 3


def test_what_cannot_be_measured_says_why(comfy_inside, made):
    still = made.replace(frames=made.frames[:1, :1].expand(V, T, -1, -1, -1).contiguous())
    report, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=still)
    assert json.loads(numbers)["epipolar"] == {
        "value": None,
        "unit": "",
        "better": "higher",
        "reason": "no parallax: the views differ by no more than a flat picture could",
    }
    assert "Not measurable: Synchrony of motion: nothing moves" in report


def test_with_a_reference_the_heat_is_the_difference(comfy_inside, made):
    truth = made.replace(known=torch.ones(V, T, dtype=torch.bool))
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=broken(made, (1, 2)), reference=truth)
    numbers = json.loads(numbers)
    assert numbers["psnr"]["cells"][1][2] < 20 and numbers["psnr"]["cells"][2][3] == 100
    assert numbers["psnr"]["cells"][0][0] is None  # given, so not compared
    assert numbers["flip"]["cells"][1][2] > 0.1


def test_the_heat_goes_into_the_player(comfy_inside, made):
    *_, heat = comfy_inside.call("FourRealMeasureGrid", grid=broken(made, (2, 3)))
    kind = comfy_inside.node_classes["FourRealGridPlayer"].PREPARE_CLASS_CLONE({"hidden_inputs": {}})
    with torch.inference_mode():
        [sent] = kind.execute(grid=made, confidence=heat).ui["fourreal_player"]
    assert sent["doubtful"][0] == [2, 3]  # the worst cell comes first
    assert [0, 1] not in sent["doubtful"]  # given cells are not redone
    assert len(sent["doubtful"]) == (V - 1) * (T - 1)


def test_empty_cells_and_a_reference_of_another_size_are_refused(comfy_inside, made):
    black = made.frames.clone()
    black[1, 1] = 0
    with pytest.raises(ValueError, match="1 empty cells, the first at view 2, time 2"):
        comfy_inside.call("FourRealMeasureGrid", grid=made.replace(frames=black))
    smaller = made.resized(16, 24).replace(known=torch.ones(V, T, dtype=torch.bool))
    with pytest.raises(ValueError, match="the reference's 3 views and 4 times of 24x16, got 3 and 4 of 48x32"):
        comfy_inside.call("FourRealMeasureGrid", grid=made, reference=smaller)


def test_two_grids_compared(comfy_inside, made):
    truth = made.replace(known=torch.ones(V, T, dtype=torch.bool))
    grids = {
        "grid0": made,
        "grid1": broken(made, (2, 3)),
        "grid2": made.replace(frames=made.frames[:, :1].expand(-1, T, -1, -1, -1).contiguous()),
    }
    report, numbers, picture = comfy_inside.call(
        "FourRealCompareGrids", fills=grids, names="good, broken, still", reference=truth
    )
    assert set(json.loads(numbers)) == {"good", "broken", "still"}
    assert "Beware: still moves less" in report
    [psnr] = [line for line in report.splitlines() if line.startswith("| PSNR, dB |")]
    assert "**100.00**" in psnr and psnr.endswith("| good |")
    assert picture.shape[0] == 1 and picture.shape[2] > picture.shape[1]
    with pytest.raises(ValueError, match="expected 3 different names"):
        comfy_inside.call("FourRealCompareGrids", fills=grids, names="one, two")


@pytest.fixture(scope="module")
def da3_small(comfy_inside):
    """ComfyUI's own loader on random weights of Depth Anything 3 Small."""
    import comfy.sd

    folder, name = "geometry_estimation", "depth_anything_3_small.safetensors"
    write_model_file(comfy_inside.base / "models", folder, name)
    return comfy.sd.load_diffusion_model(str(comfy_inside.base / "models" / folder / name))


def test_depth_anything_3_sees_all_views_of_a_time(comfy_inside, made, da3_small, monkeypatch):
    monkeypatch.setattr(comfy_inside.pack_host("learned_depth"), "DA3_SIDE", 112)
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=made, da3_model=da3_small)
    numbers = json.loads(numbers)
    shares = [numbers[f"da3_{threshold}"]["value"] for threshold in ("2", "2.5", "3")]
    assert 0 <= shares[2] <= shares[1] <= shares[0] <= 100
    assert len(numbers["da3_2"]["cells"]) == V and len(numbers["da3_2"]["cells"][0]) == T


def test_features_of_clip_vision_are_carried_by_depth_anything_3(comfy_inside, made, da3_small, monkeypatch, tmp_path):
    """A small CLIP vision with random weights; cameras of random weights lead anywhere, so all of them are put into one place."""
    import comfy.clip_vision

    folder = Path(comfy_inside.execution.__file__).parent / "comfy"
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = json.loads((folder / "clip_vision_config_vitl.json").read_text()) | sizes
    (tmp_path / "config.json").write_text(json.dumps(config))
    clip_vision = comfy.clip_vision.ClipVisionModel(str(tmp_path / "config.json"))
    clip_vision.load_sd(randomized(clip_vision.model))
    monkeypatch.setattr(comfy_inside.pack_host("learned_depth"), "DA3_SIDE", 112)
    inputs = {"clip_vision": clip_vision, "da3_model": da3_small}
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=made, **inputs)
    carried = json.loads(numbers)["carried_features"]
    assert (carried["value"] is None and "show the same" in carried["reason"]) or -1 <= carried["value"] <= 1
    network = da3_small.model.diffusion_model
    monkeypatch.setattr(network, "forward", in_one_place(network.forward))
    same = made.replace(frames=made.frames[:1].expand(V, -1, -1, -1, -1).contiguous())
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=same, **inputs)
    assert json.loads(numbers)["carried_features"]["value"] == pytest.approx(1, abs=1e-3)
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", grid=broken(same, (1, 2)), **inputs)
    cells = json.loads(numbers)["carried_features"]["cells"]
    assert cells[1][2] < 0.999 and cells[1][1] == pytest.approx(1, abs=1e-3)


def in_one_place(forward):
    def changed(*given, **named):
        out = forward(*given, **named)
        views, (height, width) = out["depth"].shape[0], out["depth"].shape[-2:]
        lens = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
        cameras = {"extrinsics": torch.eye(3, 4).expand(1, views, 3, 4), "intrinsics": lens.expand(1, views, 3, 3)}
        return out | cameras | {"depth": torch.ones_like(out["depth"])}

    return changed


def test_another_model_is_no_depth_anything_3(comfy_inside, made):
    with pytest.raises(ValueError, match="expected da3_model to be Depth Anything 3 Small or Base"):
        comfy_inside.call("FourRealMeasureGrid", grid=made, da3_model=object())
    with pytest.raises(ValueError, match="expected clip_vision beside clip"):
        comfy_inside.call("FourRealMeasureGrid", grid=made, clip=object())


@pytest.mark.slow
def test_clip_scores_by_comfyuis_loaders(comfy_inside, made):
    """Random weights of CLIP ViT-L/14, text and vision, through ComfyUI's own loaders: 430 million numbers."""
    import comfy.clip_model
    import comfy.clip_vision
    import comfy.ops
    import comfy.sd

    folder = Path(comfy_inside.execution.__file__).parent / "comfy"
    text, vision = (
        json.loads((folder / name).read_text()) for name in ("sd1_clip_config.json", "clip_vision_config_vitl.json")
    )
    ops = comfy.ops.disable_weight_init
    clip = comfy.sd.load_text_encoder_state_dicts(
        [randomized(comfy.clip_model.CLIPTextModel(text, torch.float32, "meta", ops))]
    )
    clip_vision = comfy.clip_vision.load_clipvision_from_sd(
        randomized(comfy.clip_model.CLIPVisionModelProjection(vision, torch.float32, "meta", ops))
    )
    inputs = {"grid": made, "clip": clip, "clip_vision": clip_vision}
    _, numbers, *_ = comfy_inside.call("FourRealMeasureGrid", **inputs, prompt="a square before a wall")
    numbers = json.loads(numbers)
    assert 0 <= numbers["clip_score"]["value"] <= 100 and len(numbers["clip_score"]["cells"]) == V
    assert 0.5 < numbers["clip_consistency"]["value"] <= 1
    with pytest.raises(ValueError, match="expected a prompt for the CLIP score"):
        comfy_inside.call("FourRealMeasureGrid", **inputs)
