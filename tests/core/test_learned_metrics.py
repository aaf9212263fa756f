"""Numbers of learned models: formulas on hand-made numbers, walks through a grid, and files of weights, random ones of the true architecture."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from fourreal_core.evaluation.learned import frechet, i3d, scores, videoscore
from fourreal_core.evaluation.learned.carried_features import carried_likeness
from fourreal_core.evaluation.learned.walks import FRAMES, ORDERS, walk_frames, walks
from fourreal_core.grid import FrameGrid

V, T = 3, 5


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4000, 3))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base, rowvar=False))).T  # exactly white
    assert frechet.frechet_distance(base, base) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(base, base + (3, 0, 4)) == pytest.approx(25)
    assert frechet.frechet_distance(base, 2 * base) == pytest.approx(3)  # three dimensions, (2 - 1)^2 each
    turned = base * (1, 2, 3)
    assert frechet.frechet_distance(turned, turned[:, [1, 0, 2]]) == pytest.approx(2)  # (2 - 1)^2 twice


def test_kernel_distance_has_no_bias_and_follows_its_formula():
    first, second = np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])
    expected = (1 * 2 + 1) ** 3 + (0 * 3 + 1) ** 3 - 2 * np.mean([(x * y + 1) ** 3 for x in (1, 2) for y in (0, 3)])
    assert frechet.kernel_distance(first, second) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    same = [frechet.kernel_distance(*rng.normal(size=(2, 12, 6))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(200)


def test_small_sets_get_no_fvd_and_n_is_always_told():
    rng = np.random.default_rng(0)
    large, small = rng.normal(size=(64, 4)), rng.normal(size=(63, 4))
    assert str(frechet.set_distance(large, large + 1)) == "FVD 4 (n = 64 and 64)"
    found = frechet.set_distance(large, small)
    assert (found.name, found.counts) == ("KVD", (64, 63))
    with pytest.raises(ValueError, match="at least 2 walks on each side, got 64 and 1"):
        frechet.set_distance(large, small[:1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet.set_distance(large, np.full((64, 4), np.nan))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (2, 1), (1, 4)])
def test_every_step_of_a_walk_goes_to_a_neighbour(order, shape):
    found = walks(*shape, order)
    assert found and all(len(cells) == FRAMES for cells in found)
    for cells in found:
        steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.pairwise(cells)]
        assert max(steps) <= 1
        assert all(0 <= view < shape[0] and 0 <= time < shape[1] for view, time in cells)


def test_snakes_cover_the_grid_and_frames_come_in_their_order():
    assert {cell for cells in walks(8, 8) for cell in cells} == {(v, t) for v in range(8) for t in range(8)}
    frames = torch.zeros(V, T, 4, 6, 3)
    frames[2, 3] = 1
    walked = walk_frames(FrameGrid(frames, torch.ones(V, T, dtype=torch.bool)), [(0, 0), (2, 3), (1, 1)])
    assert walked.amax((1, 2, 3)).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="one of snake, views, times"):
        walks(8, 8, "diagonal")


def test_clip_score_is_a_hundred_times_the_cosine():
    text = torch.tensor([1.0, 0, 0])
    images = torch.tensor([[2.0, 0, 0], [1, 1, 0], [-1, 0, 0], [0, 3, 4]])
    found = scores.clip_score(images, text, (2, 2))
    assert found.cells_VT.flatten().tolist() == pytest.approx([100, 100 / math.sqrt(2), 0, 0])
    with pytest.raises(ValueError, match="of one width, got 4 and 3"):
        scores.clip_score(images, torch.ones(4), (2, 2))


def test_clip_consistency_is_the_mean_over_neighbours_along_both_axes():
    images = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]])  # 2 views, 2 times: neighbours agree in two of four pairs
    assert scores.clip_consistency(images, (2, 2)).value == pytest.approx(0.5)


def test_shares_above_the_papers_thresholds():
    confidence = torch.tensor([1.5, 2.2, 2.7, 3.5]).view(1, 1, 2, 2).expand(V, T, 2, 2)
    found = scores.confident_shares(confidence)
    assert [number.value for number in found.values()] == [75, 50, 25]
    assert found["da3_2"].cells_VT.shape == (V, T)


class Stand(torch.nn.Module):
    """A TorchScript file with the call of i3d_torchscript.pt."""

    def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = False):
        assert not rescale and not resize and return_features
        return x.mean((2, 3, 4))


def test_a_torchscript_file_is_called_as_fvd_calls_it(tmp_path):
    torch.jit.script(Stand()).save(str(tmp_path / "i3d_torchscript.pt"))
    features = i3d.load_i3d(tmp_path / "i3d_torchscript.pt")
    grid = FrameGrid(torch.full((V, T, 20, 30, 3), 0.75), torch.ones(V, T, dtype=torch.bool))
    found = i3d.grid_features([grid, grid], features)
    assert found.shape == (2, 3) and found == pytest.approx(np.full((2, 3), 0.5))  # -1..1


def test_the_names_of_the_usual_state_dict_fit_and_others_are_refused():
    with torch.device("meta"):
        names = i3d.I3D().state_dict()
    assert names["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert names["Mixed_4f.b1b.bn.running_var"].shape == (320,)
    assert names["Mixed_5c.b2b.conv3d.weight"].shape == (128, 48, 3, 3, 3)
    assert names["logits.conv3d.weight"].shape == (400, 1024, 1, 1, 1) and "logits.conv3d.bias" in names
    learned = [name for name in names if not name.endswith("num_batches_tracked")]
    assert (
        sum(names[name].numel() for name in learned if "running" not in name) == 12_697_264
    )  # as published: 12.7 million
    with pytest.raises(ValueError, match="Conv3d_1a_7x7.conv3d.weight is missing"):
        i3d.network_of({"fc.weight": torch.zeros(1)}, "resnet.pt")


@pytest.mark.slow
def test_a_state_dict_gives_400_numbers_per_walk(tmp_path):
    torch.manual_seed(0)
    torch.save(
        {key: value for key, value in i3d.I3D().state_dict().items() if "num_batches" not in key},
        tmp_path / "rgb_imagenet.pt",
    )
    features = i3d.load_i3d(tmp_path / "rgb_imagenet.pt")
    grid = FrameGrid(torch.rand(2, 3, 24, 32, 3), torch.ones(2, 3, dtype=torch.bool))
    found = i3d.grid_features([grid], features)
    assert found.shape == (1, 400) and np.isfinite(found).all() and found.std() > 0


def test_missing_and_broken_files_say_where_to_get_them(tmp_path):
    with pytest.raises(ValueError, match="there is no file .*i3d_torchscript.pt, as published with StyleGAN-V"):
        i3d.load_i3d(tmp_path / "none.pt")
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="broken.pt cannot be read as weights"):
        i3d.load_i3d(tmp_path / "broken.pt")
    with pytest.raises(ValueError, match="no config.json .*TIGER-Lab/VideoScore"):
        videoscore.load_videoscore(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ValueError, match="a model of type 'llama'"):
        videoscore.load_videoscore(tmp_path)


SPECIAL = ("<unk>", "<s>", "</s>", "<image>", "<fake_token_around_image>", "<end_of_utterance>")
WORDS = ("square", "wall", "red", "in", "front", "of", "a", ".", "video", "score", "visual", "quality")


@pytest.fixture
def videoscore_folder(tmp_path):
    """(folder, network): an Idefics2 with random weights, small but with every part of the real one, saved as VideoScore is."""
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    from safetensors.torch import save_file

    words = {word: place for place, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
    pictures = transformers.Idefics2ImageProcessor(
        size={"shortest_edge": 28, "longest_edge": 56}, do_image_splitting=False
    )
    transformers.Idefics2Processor(pictures, tokenizer, image_seq_len=4).save_pretrained(tmp_path)
    layers = {"num_hidden_layers": 2, "intermediate_size": 64}
    config = transformers.Idefics2Config(
        image_token_id=3,
        vision_config=dict(hidden_size=32, num_attention_heads=2, image_size=56, patch_size=14, **layers),
        perceiver_config={
            "hidden_size": 48,
            "resampler_n_latents": 4,
            "resampler_depth": 2,
            "resampler_n_heads": 2,
            "num_key_value_heads": 1,
        },
        text_config=dict(
            model_type="mistral", hidden_size=48, num_attention_heads=4, num_key_value_heads=2, vocab_size=64, **layers
        ),
    )
    torch.manual_seed(0)
    network = videoscore.VideoScore(transformers.Idefics2Model(config), 48).eval()
    config.save_pretrained(tmp_path)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    halves = [dict(itertools.islice(state.items(), start, None, 2)) for start in (0, 1)]
    for number, half in enumerate(halves, start=1):
        save_file(half, tmp_path / f"model-{number:05d}-of-00002.safetensors")
    return tmp_path, network


@pytest.mark.slow
def test_videoscore_rates_what_its_network_says_of_the_last_token(videoscore_folder):
    folder, network = videoscore_folder
    loaded, processor = videoscore.load_videoscore(folder, torch.float32)
    grid = FrameGrid(
        torch.rand(2, 8, 24, 32, 3, generator=torch.Generator().manual_seed(1)), torch.ones(2, 8, dtype=torch.bool)
    )
    [cells] = walks(2, 8)
    pictures = [Image.fromarray(frame) for frame in (walk_frames(grid, cells) * 255).round().byte().numpy()]
    text = videoscore.QUESTION.format(prompt="a red square", images="<image> " * FRAMES)
    inputs = processor(text=text, images=pictures, return_tensors="pt")
    assert int((inputs["input_ids"] == 3).sum()) == FRAMES * 4  # each picture is 4 tokens
    with torch.no_grad():
        wanted = network.model(**inputs).last_hidden_state[0, -1] @ network.score.weight.T
    found = videoscore.video_score(grid, loaded, processor, "a red square")
    assert [number.value for number in found.values()] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert list(found) == [f"videoscore_{aspect}" for aspect in videoscore.ASPECTS]
    assert set(found) <= scores.LEARNED.keys() and found["videoscore_visual"].details == {"walks": 1.0}
    other = videoscore.video_score(grid, loaded, processor, "a wall")
    assert other["videoscore_alignment"].value != pytest.approx(wanted[3].item(), abs=1e-4)
    half = videoscore.video_score(
        grid, *videoscore.load_videoscore(folder), "a red square"
    )  # in bfloat16, as it is used
    assert [number.value for number in half.values()] == pytest.approx(wanted.tolist(), abs=0.05)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks \d+ weights, such as .*TIGER-Lab/VideoScore"):
        videoscore.load_videoscore(folder)


@pytest.mark.slow
def test_videoscore_of_true_size_has_eight_billion_weights():
    transformers = pytest.importorskip("transformers")
    config = transformers.Idefics2Config(  # of HuggingFaceM4/idefics2-8b, on which VideoScore was trained
        vision_config={"hidden_size": 1152, "image_size": 980, "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14},
        text_config={"model_type": "mistral", "vocab_size": 32003, "hidden_size": 4096},
    )  # fmt: skip
    with torch.device("meta"):
        network = videoscore.VideoScore(transformers.Idefics2Model(config), 4096)
    state = network.state_dict()
    assert sum(value.numel() for value in state.values()) == pytest.approx(8.27e9, rel=0.01)
    assert state["score.weight"].shape == (5, 4096)
    assert state["model.connector.perceiver_resampler.latents"].shape == (64, 4096)
    assert state["model.text_model.layers.31.mlp.gate_proj.weight"].shape == (14336, 4096)


def two_eyes(slope=0.3, size=(40, 60), patches=(10, 15)):
    """A slanted wall with a pattern that depends on the place in the world, seen by two cameras side by side: features, depth, lens, pose."""
    (height, width), lens = size, torch.tensor([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])
    features, depths, poses = [], [], []
    for shift in (0.0, 0.8):  # the wall is z = 4 + slope x
        depth = lambda x, at=4 + slope * shift: at / (1 - slope * x)  # x = X / Z of a ray from the camera at `shift`
        depths.append(depth((torch.arange(width) + 0.5 - 30) / 50).expand(height, width))
        y, x = torch.meshgrid(
            (torch.arange(patches[0]) + 0.5) * height / patches[0],
            (torch.arange(patches[1]) + 0.5) * width / patches[1],
            indexing="ij",
        )
        far = depth((x - 30) / 50)
        place = torch.stack([(x - 30) / 50 * far + shift, (y - 20) / 50 * far])
        features.append(torch.cat([place.sin(), place.cos()]))
        poses.append(torch.tensor([[1.0, 0, 0, -shift], [0, 1, 0, 0], [0, 0, 1, 0]]))
    return [torch.stack(values)[:, None] for values in (features, depths, [lens, lens], poses)]


def test_features_of_one_wall_agree_where_true_geometry_carries_them():
    features, depth, lens, pose = two_eyes()
    true = carried_likeness(features, depth, lens, pose)
    assert true.value > 0.99 and true.cells_VT.shape == (2, 1)
    unmoved = carried_likeness(features, depth, lens, pose[:1].expand_as(pose))
    assert unmoved.value < 0.9  # as if both cameras stood in one place
    mirrored = carried_likeness(torch.cat([features[:1], features[1:].flip(-1)]), depth, lens, pose)
    assert mirrored.value < 0.8
    rescaled = carried_likeness(features, 3 * depth, lens, torch.cat([pose[..., :3], 3 * pose[..., 3:]], -1))
    assert rescaled.value == pytest.approx(true.value, abs=1e-4)


def test_carried_features_say_why_there_are_none():
    features, depth, lens, pose = two_eyes()
    assert carried_likeness(features[:1], depth[:1], lens[:1], pose[:1]).reason == "one view only"
    broken = pose.clone()
    broken[1, 0, 0, 3] = math.inf
    assert "not finite" in carried_likeness(features, depth, lens, broken).reason
    away = pose.clone()
    away[1, 0, 0, 3] = 100  # the cameras see different parts of the wall
    assert "no two neighbouring views" in carried_likeness(features, depth, lens, away).reason
    near = depth.clone()
    near[1] = 0.5  # something before the second camera hides the wall from it: only its own patches are carried
    assert carried_likeness(features, near, lens, pose).value != carried_likeness(features, depth, lens, pose).value
