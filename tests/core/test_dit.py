"""The base model: what its inits promise, its guess, its positions, its padding."""

import pytest
import torch

from fourreal_core.flow import velocity_from_x0
from fourreal_core.model import attention as attention_file
from fourreal_core.model.attention import attention, rotary_angles, rotate
from fourreal_core.model.config import ModelConfig, bundled, paper, tiny
from fourreal_core.model.dit import VideoDiT, initialize
from fourreal_core.side_by_side import asking
from fourreal_core.transport import blend_predictions

N, F, H, W = 2, 3, 16, 24


def sequence(config, seed=0, height=H, width=W):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, 3, F, height, width, generator=generator)
    condition = torch.rand(N, config.condition_channels, F, height, width, generator=generator)
    condition[:, 3] = 0
    condition[:, 3, 0] = 1
    return x, torch.tensor([0.4, 1.0]), condition, torch.tensor([0, 1])


def test_before_training_the_bundled_kind_is_transport():
    model = VideoDiT(tiny())
    initialize(model)
    x, sigma, condition, mode = sequence(model.config)
    time, view, sure_time, sure_view = condition[:, 4:12].split([3, 3, 1, 1], dim=1)
    channel_last = [part.movedim(1, -1) for part in (time, view)]
    blend = blend_predictions(*channel_last, sure_time[:, 0], sure_view[:, 0]).movedim(-1, 1)
    x0 = torch.where(condition[:, 3:4] > 0.5, condition[:, :3], blend)
    expected = velocity_from_x0(x, x0, sigma.view(-1, 1, 1, 1, 1))
    torch.testing.assert_close(model(x, sigma, condition, mode), expected)


def test_what_all_tokens_of_a_frame_share_does_not_reach_the_blocks():
    model = VideoDiT(tiny())
    initialize(model)
    x, sigma, condition, _ = sequence(model.config)
    frames = [part.movedim(2, 1).flatten(0, 1) for part in (x, condition)]
    level = sigma.repeat_interleave(x.shape[2])
    tokens = model.embed(*frames, level).tokens_MSD
    torch.testing.assert_close(tokens.mean(1), torch.zeros_like(tokens[:, 0]), atol=1e-4, rtol=0)
    with torch.no_grad():
        model.stem.tokens.bias += 100.0
    torch.testing.assert_close(model.embed(*frames, level).tokens_MSD, tokens, atol=1e-3, rtol=0)


def test_known_frames_are_predicted_exactly():
    model = VideoDiT(tiny(guess=False))
    initialize(model)
    torch.nn.init.normal_(model.head.out.weight)
    x, sigma, condition, mode = sequence(model.config)
    velocity = model(x, sigma, condition, mode)
    x0 = x - sigma.view(-1, 1, 1, 1, 1) * velocity
    torch.testing.assert_close(x0[:, :, 0], condition[:, :3, 0], atol=1e-5, rtol=0)
    assert (x0[:, :, 1] - condition[:, :3, 1]).abs().max() > 0.1


def test_sizes_that_are_no_multiple_of_the_patch():
    model = VideoDiT(tiny())
    initialize(model)
    x, sigma, condition, mode = sequence(model.config, height=13, width=22)
    assert model(x, sigma, condition, mode).shape == x.shape


def test_bf16_attention_in_chunks_equals_the_fused_kernel():
    q, k, v = torch.randn(3, 40, 2, 33, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    fused = torch.nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
    torch.testing.assert_close(attention(q, k, v).float(), fused, atol=2e-2, rtol=0)


def test_rotary_scores_depend_on_relative_positions_only():
    angles = rotary_angles(4, 3, 5, 16, torch.device("cpu")).view(4, 3, 5, 8)
    q, k = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64).unbind(0)
    score = lambda a, b: (rotate(q, angles[a].double()[None]) * rotate(k, angles[b].double()[None])).sum()
    torch.testing.assert_close(score((2, 1, 4), (1, 0, 2)), score((3, 2, 3), (2, 1, 1)), atol=1e-5, rtol=0)
    assert (score((2, 1, 4), (1, 0, 2)) - score((2, 1, 4), (1, 0, 1))).abs() > 1e-4


def test_config_round_trip_and_refusals():
    for config in (bundled(), paper(), tiny()):
        assert ModelConfig.from_json(config.to_json()) == config
    for text, sentence in (
        ("{", "not valid JSON"),
        ("{}", "must have exactly"),
        (bundled().to_json().replace("192", '"192"'), "reasonable int"),
        (bundled().to_json().replace("192", "-64"), "reasonable int"),
        (bundled().to_json().replace('"depth": 6', '"depth": 65536'), r"'depth' must be from 1 to 96"),
        (bundled().to_json().replace('"head_width": 64', '"head_width": 0'), r"'head_width' must be from 1 to 512"),
        ("[" * 100000, "not valid JSON"),
        (bundled().to_json().replace("192", "200"), "multiple of head width"),
        (bundled().to_json().replace("soft", "firm"), "unknown synchronization layers"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ModelConfig.from_json(text)


@pytest.mark.parametrize("most", [1, 2 * 6 * 4 * 3, 2**12])
def test_a_large_attention_is_done_in_parts_asks_between_them_and_may_be_ended(most, monkeypatch):
    q, k, v = torch.randn(3, 5, 2, 6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole, asked = attention(q, k, v), []
    monkeypatch.setattr(attention_file, "MOST_WORK", most)
    with asking(lambda: asked.append(1)):
        parts = attention(q, k, v)
    torch.testing.assert_close(parts, whole)
    assert len(asked) == {1: 5 * 6, 144: 5 * 2, 4096: 0}[most]
    torch.testing.assert_close(*(torch.autograd.grad(made.square().sum(), v)[0] for made in (parts, whole)))
    if asked:
        with pytest.raises(KeyboardInterrupt), asking(lambda: (_ for _ in ()).throw(KeyboardInterrupt)):
            attention(q, k, v)
