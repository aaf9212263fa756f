"""Fused view-time attention and the trained layers of one stream, exact in float64. V=3, T=5, H=16, W=24."""

import dataclasses
import math

import pytest
import torch
from einops import rearrange
from random_grids import random_input
from torch.utils.flop_counter import FlopCounterMode

from fourreal_core.model import one_stream
from fourreal_core.model.attention import attention, grid_attention, rotary_angles, rotate
from fourreal_core.model.config import TRAINED_SYNC, ModelConfig, tiny
from fourreal_core.model.dit import DYNAMIC, FREEZE_TIME
from fourreal_core.model.streams import Streams
from fourreal_core.model.two_stream import SYNC_KINDS, GridModel, initialize_grid_model
from fourreal_core.model.weights import load_model, save_checkpoint

V, T, H, W = 3, 5, 16, 24
HEADS, HEAD_WIDTH, DOWN, ACROSS = 2, 16, 2, 3
S = DOWN * ACROSS


def with_layers(**changes) -> ModelConfig:
    return dataclasses.replace(tiny(), sync=TRAINED_SYNC, **changes)


def random_model(config: ModelConfig | None = None) -> GridModel:
    """Every weight of the base random; the layers of `sync` as they start."""
    generator = torch.Generator().manual_seed(0)
    model = initialize_grid_model(GridModel(config or with_layers(), dtype=torch.float64), generator)
    randomize(model.base, 0.1)
    return model


def randomize(module, scale=0.2):
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * scale)


def untrained(model: GridModel) -> GridModel:
    """The same base without any synchronization layers."""
    other = GridModel(dataclasses.replace(model.config, sync=()), dtype=torch.float64)
    other.load_state_dict({key: value for key, value in model.state_dict().items() if key.startswith("base.")})
    return other


def heads_of_a_grid(views=V, times=T, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 2, HEADS, views, times, S, HEAD_WIDTH, generator=generator, dtype=torch.float64).to(dtype)


def equal_view(views, times):
    view = torch.arange(views).repeat_interleave(times * S)
    return view[:, None] == view


def equal_time(views, times):
    time = torch.arange(times).repeat_interleave(S).repeat(views)
    return time[:, None] == time


def masked_dense(q, k, v, allowed):
    """The reference: dense attention over the flattened grid, -inf outside `allowed`."""
    views, times = q.shape[2:4]
    q, k, v = (rearrange(x, "b h v t s d -> b h (v t s) d") for x in (q, k, v))
    scores = (q @ k.transpose(-1, -2) / math.sqrt(HEAD_WIDTH)).masked_fill(~allowed, -math.inf)
    return rearrange(scores.softmax(-1) @ v, "b h (v t s) d -> b h v t s d", v=views, t=times)


@pytest.mark.parametrize("views, times", [(V, T), (1, T), (V, 1), (1, 1)])
def test_grid_attention_is_dense_attention_masked_to_equal_view_or_equal_time(views, times):
    q, k, v = heads_of_a_grid(views, times)
    expected = masked_dense(q, k, v, equal_view(views, times) | equal_time(views, times))
    torch.testing.assert_close(grid_attention(q, k, v), expected)


def test_grid_attention_in_bfloat16_is_the_same_up_to_rounding():
    q, k, v = heads_of_a_grid(dtype=torch.bfloat16)
    expected = masked_dense(q.double(), k.double(), v.double(), equal_view(V, T) | equal_time(V, T))
    torch.testing.assert_close(grid_attention(q, k, v).double(), expected, atol=0.02, rtol=0)


def test_gradients_of_grid_attention():
    q, k, v = (x[:1, :1, :2, :3, :1, :2].clone().requires_grad_() for x in heads_of_a_grid())
    assert torch.autograd.gradcheck(grid_attention, (q, k, v))


def test_a_frame_is_told_from_others_by_each_axis_own_position():
    """One position v + t gives what two groups of keys give, each turned by its own axis' frame index.

    The scores of both groups stand side by side in one softmax; a frame's own tokens count once, with equal view.
    """
    q, k, v = heads_of_a_grid()
    flat = lambda x: rearrange(x, "b h v t s d -> b h (v t s) d")
    by_time = rotary_angles(T, DOWN, ACROSS, HEAD_WIDTH, q.device).repeat(V, 1)
    by_view = rearrange(rotary_angles(V, DOWN, ACROSS, HEAD_WIDTH, q.device), "(v s) p -> v 1 s p", v=V)
    by_view = by_view.expand(V, T, S, -1).flatten(0, 2)
    scores = [rotate(flat(q), angles) @ rotate(flat(k), angles).transpose(-1, -2) for angles in (by_time, by_view)]
    groups = equal_view(V, T), equal_time(V, T) & ~equal_view(V, T)
    both = torch.cat([score.masked_fill(~group, -math.inf) for score, group in zip(scores, groups)], dim=-1)
    expected = (both / math.sqrt(HEAD_WIDTH)).softmax(-1) @ flat(v).repeat(1, 1, 2, 1)

    angles = rotary_angles(V + T - 1, DOWN, ACROSS, HEAD_WIDTH, q.device).unflatten(0, (V + T - 1, S))
    angles = angles[torch.arange(V)[:, None] + torch.arange(T)].flatten(0, 2)
    turned = [rotate(flat(x), angles).unflatten(2, (V, T, S)) for x in (q, k)]
    torch.testing.assert_close(flat(grid_attention(*turned, v)), expected, atol=1e-5, rtol=0)


def test_grid_attention_costs_the_frames_that_are_seen():
    views, times = 4, 6
    heads = heads_of_a_grid(views, times, torch.bfloat16)
    flops = []
    for kernel, inputs in ((grid_attention, heads), (attention, rearrange(heads, "i b h v t s d -> i b h (v t s) d"))):
        with FlopCounterMode(display=False) as counter:
            kernel(*inputs)
        flops.append(counter.get_total_flops())
    assert flops[0] * views * times == flops[1] * (views + times - 1) > 0


@pytest.mark.parametrize("views, times, mode", [(1, T, DYNAMIC), (V, 1, FREEZE_TIME)])
def test_fused_on_one_axis_is_the_base_model_along_it(views, times, mode):
    model = random_model()
    with torch.no_grad():  # fused runs with the mean of both modes
        model.base.mode.weight[:] = model.base.mode.weight[mode]
    x, sigma, condition = random_input(model.config, views, times)
    sequence = "b v c t h w -> b c (v t) h w"
    base = model.base(rearrange(x, sequence), sigma, rearrange(condition, sequence), torch.full((2,), mode))
    torch.testing.assert_close(rearrange(model(x, sigma, condition, sync="fused"), sequence), base, atol=1e-5, rtol=0)


@pytest.mark.parametrize("texts", [False, True])
def test_fused_with_views_and_times_exchanged_is_the_exchanged_result(texts):
    """Both axes have the same attention and the mean of both modes, so not even the modes must change places."""
    model = random_model(with_layers(text_width=6))
    randomize(model.sync)
    x, sigma, condition = random_input(model.config)
    text_time, text_view = (torch.randn(2 * count, 4, 6, dtype=torch.float64) for count in (V, T))
    contexts = ((text_time, text_view), (text_view, text_time)) if texts else (None, None)
    straight = model(x, sigma, condition, sync="fused", context=contexts[0])
    exchanged = model(x.transpose(1, 3), sigma, condition.transpose(1, 3), sync="fused", context=contexts[1])
    torch.testing.assert_close(exchanged.transpose(1, 3), straight, atol=1e-5, rtol=0)


def test_fused_sees_other_views_and_other_times_in_one_layer_but_not_the_rest():
    model = random_model()
    streams = Streams(model.base, *random_input(model.config), (None, None))
    x, block = streams.tokens_BVTSD.double(), model.base.blocks[0]
    changed = x.clone()
    changed[:, 1, 2] += torch.randn(S, x.shape[-1], dtype=torch.float64)
    difference = streams.along_both(block, one_stream.untuned, changed) - streams.along_both(
        block, one_stream.untuned, x
    )
    expected = torch.zeros(V, T, dtype=torch.bool)
    expected[1], expected[:, 2] = True, True
    assert torch.equal(difference.abs().amax(dim=(3, 4)) > 1e-9, expected.expand(2, V, T))


def test_fused_reads_the_text_of_either_stream():
    model = random_model(with_layers(text_width=6))
    inputs = random_input(model.config)
    run = lambda a, b: model(*inputs, sync="fused", context=(a, b))
    text_time, text_view = (torch.randn(2 * count, 4, 6, dtype=torch.float64) for count in (V, T))
    both, only_time, only_view = run(text_time, text_view), run(text_time, None), run(None, text_view)
    assert not any(torch.equal(a, b) for a, b in ((both, only_time), (both, only_view), (only_time, run(None, None))))
    same = torch.randn(1, 4, 6, dtype=torch.float64)  # one text for all: the mean of two readings is one reading
    torch.testing.assert_close(
        run(same.expand(2 * V, -1, -1), same.expand(2 * T, -1, -1)), run(same.expand(2 * V, -1, -1), None)
    )


@pytest.mark.parametrize("kind", ["sequential", "fused"])
def test_layers_of_one_stream_start_as_if_untrained_and_change_when_trained(kind):
    model = random_model()
    inputs = random_input(model.config)
    plain = untrained(model)(*inputs, sync=kind)
    assert torch.equal(model(*inputs, sync=kind), plain)
    randomize(model.sync[kind])
    assert (model(*inputs, sync=kind) - plain).abs().max() > 1e-2


def test_a_sequential_layer_is_its_formula():
    layer = random_model().sync["sequential"][0]
    randomize(layer)
    x, sigma = torch.randn(2, V, T, S, layer.width, dtype=torch.float64), torch.tensor([0.2, 0.7], dtype=torch.float64)
    same = layer(x[:, :1, :1, :1], sigma)  # token by token: nothing but the token and sigma matters
    torch.testing.assert_close(layer(x, sigma)[:, :1, :1, :1], same)
    with torch.no_grad():
        layer.modulation.weight.zero_()
    scale, shift, gate = layer.modulation.bias.split([layer.width, layer.width, 1])
    expected = x + (1 + gate) * (((1 + scale) * x + shift) @ layer.delta.weight.T + layer.delta.bias)
    torch.testing.assert_close(layer(x, sigma), expected)


@pytest.mark.parametrize("kind", ["sequential", "fused"])
def test_gradients_reach_every_layer_of_the_kind_and_nothing_else(kind):
    model = random_model()
    randomize(model.sync[kind])
    model.base.requires_grad_(False)
    model(*random_input(model.config), sync=kind).square().sum().backward()
    touched = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert touched == {name for name, _ in model.named_parameters() if name.startswith(f"sync.{kind}.")}


def test_a_checkpoint_with_all_kinds_comes_back(tmp_path):
    model = random_model()
    randomize(model.sync)
    assert list(model.sync) == list(TRAINED_SYNC) and all(
        len(layers) == model.config.depth for layers in model.sync.values()
    )
    save_checkpoint(tmp_path / "all.safetensors", model.float())
    loaded = load_model(tmp_path / "all.safetensors", dtype=torch.float32)
    assert loaded.config == with_layers() and loaded.sync_kinds == SYNC_KINDS
    inputs = [part.float() for part in random_input(model.config)]
    for kind in ("sequential", "fused"):
        assert torch.equal(loaded(*inputs, sync=kind), model(*inputs, sync=kind))


def test_without_trained_layers_all_but_soft_are_offered():
    assert untrained(random_model()).sync_kinds == ("hard", "fused", "sequential", "off")
    for sync in (("firm",), (["soft"],), ("off",)):
        with pytest.raises(ValueError, match="expected any of hard, soft, sequential, fused"):
            ModelConfig(sync=sync)


def test_observing_tells_both_streams_before_and_after_each_synchronization():
    model = random_model()
    inputs, seen = random_input(model.config), []
    observe = lambda *told: seen.append(told)
    out = model(*inputs, sync="soft", strength=0.5, observe=observe)
    assert torch.equal(out, model(*inputs, sync="soft", strength=0.5))
    assert [layer for layer, *_ in seen] == list(range(model.config.depth))
    for _, y_time, y_view, x_time, x_view in seen:
        assert y_time.shape == (2, V, T, S, model.config.width) and not torch.equal(y_time, y_view)
        torch.testing.assert_close(x_time - x_view, 0.5 * (y_time - y_view))  # soft starts as averaging
    seen.clear()
    for kind in ("sequential", "fused"):
        model(*inputs, sync=kind, observe=observe)
    assert not seen
