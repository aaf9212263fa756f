"""Exact properties of the two-stream model, in float64 where equality matters. V=3, T=5, H=16, W=24 unless V must equal T."""

import dataclasses

import pytest
import torch
from einops import rearrange
from random_grids import random_input

from fourreal_core.model import sync as syncs
from fourreal_core.model.config import ModelConfig, tiny
from fourreal_core.model.dit import DYNAMIC, FREEZE_TIME, VideoDiT
from fourreal_core.model.two_stream import GridModel, initialize_grid_model

V, T, H, W = 3, 5, 16, 24
TINY = tiny()


def random_model(config: ModelConfig = TINY) -> GridModel:
    """Every weight random, none at its no-op init, except the synchronization layers, which average."""
    generator = torch.Generator().manual_seed(0)
    model = initialize_grid_model(GridModel(config, dtype=torch.float64), generator)
    with torch.no_grad():
        for parameter in model.base.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1)
    return model


def swap(x_BVCTHW):
    return x_BVCTHW.transpose(1, 3)


def randomize(module, scale=0.2):
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * scale)


@pytest.mark.parametrize("views, times", [(V, T), (4, 4)])
def test_sync_off_is_two_independent_base_models(views, times):
    model = random_model()
    x, sigma, condition = random_input(model.config, views, times)
    time = model(x, sigma, condition, sync="off", output="time only")
    view = model(x, sigma, condition, sync="off", output="view only")
    along_time = [rearrange(part, "b v c t h w -> (b v) c t h w") for part in (x, condition)]
    along_view = [rearrange(part, "b v c t h w -> (b t) c v h w") for part in (x, condition)]
    mode = torch.full((2 * views,), DYNAMIC)
    base_time = model.base(along_time[0], sigma.repeat_interleave(views), along_time[1], mode)
    mode = torch.full((2 * times,), FREEZE_TIME)
    base_view = model.base(along_view[0], sigma.repeat_interleave(times), along_view[1], mode)
    torch.testing.assert_close(time, rearrange(base_time, "(b v) c t h w -> b v c t h w", v=views), atol=1e-5, rtol=0)
    torch.testing.assert_close(view, rearrange(base_view, "(b t) c v h w -> b v c t h w", t=times), atol=1e-5, rtol=0)
    assert (time - view).abs().max() > 1e-2  # the two really differ
    mean = model(x, sigma, condition, sync="off", output="mean")
    torch.testing.assert_close(mean, (time + view) / 2)


def test_soft_with_the_averaging_init_equals_hard_at_one_half():
    model = random_model()
    inputs = random_input(model.config)
    soft, hard = (model(*inputs, sync=kind) for kind in ("soft", "hard"))
    torch.testing.assert_close(soft, hard, atol=1e-5, rtol=0)


def test_low_rank_soft_with_the_averaging_init_equals_hard_at_one_half():
    config = ModelConfig(**{**vars(tiny()), "sync_rank": 4})
    model = random_model(config)
    inputs = random_input(config)
    torch.testing.assert_close(model(*inputs, sync="soft"), model(*inputs, sync="hard"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rank", [0, 4])
def test_soft_with_the_zero_init_equals_off(rank):
    config = ModelConfig(**{**vars(tiny()), "sync_rank": rank})
    model = random_model(config)
    for layer in model.sync["soft"]:
        layer.initialize(averaging=False)
    inputs = random_input(config)
    torch.testing.assert_close(model(*inputs, sync="soft"), model(*inputs, sync="off"), atol=1e-6, rtol=0)


def test_hard_without_trained_layers_is_the_same_average():
    trained = random_model()
    untrained = GridModel(ModelConfig(**{**vars(tiny()), "sync": ()}), dtype=torch.float64)
    untrained.load_state_dict({key: value for key, value in trained.state_dict().items() if key.startswith("base.")})
    inputs = random_input(trained.config)
    torch.testing.assert_close(untrained(*inputs, sync="hard"), trained(*inputs, sync="hard"), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="offers hard, fused, sequential, off"):
        untrained(*inputs, sync="soft")


@pytest.mark.parametrize("times", [1, T])
def test_hard_at_init_on_a_still_single_view_grid_equals_the_base_model(monkeypatch, times):
    """A still scene is one frame at T times: both streams see the same, once the modes and the frame positions do."""
    model = random_model()
    with torch.no_grad():
        model.base.mode.weight[FREEZE_TIME] = model.base.mode.weight[DYNAMIC]
    angles = VideoDiT.angles
    monkeypatch.setattr(VideoDiT, "angles", lambda self, frames, embedded: angles(self, 1, embedded).repeat(frames, 1))
    x, sigma, condition = (part[:1] for part in random_input(model.config, 1, 1))
    x, condition = (part.expand(-1, -1, -1, times, -1, -1) for part in (x, condition))
    base = model.base(x[:, 0], sigma, condition[:, 0], torch.tensor([DYNAMIC]))
    torch.testing.assert_close(model(x, sigma, condition, sync="hard")[:, 0], base, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["off", "hard", "soft"])
def test_swapping_views_and_times_with_the_modes_is_equivariant(kind):
    model = random_model()
    randomize(model.sync)
    x, sigma, condition = random_input(model.config)
    straight = model(x, sigma, condition, sync=kind)
    swapped = swap_streams(model)(swap(x), sigma, swap(condition), sync=kind)
    torch.testing.assert_close(swap(swapped), straight, atol=1e-5, rtol=0)


def swap_streams(model: GridModel) -> GridModel:
    """The model whose modes and whose synchronization inputs and outputs have changed places."""
    other = GridModel(model.config, dtype=torch.float64)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.base.mode.weight.copy_(model.base.mode.weight.flip(0))
        for layer in other.sync["hard"]:
            layer.time.weight.data, layer.view.weight.data = layer.view.weight.data, layer.time.weight.data
            for part in (layer.modulation.weight, layer.modulation.bias):
                part.copy_(torch.cat(part.chunk(2)[::-1]))
        for layer in other.sync["soft"]:
            width = layer.width
            order = torch.cat([torch.arange(width, 2 * width), torch.arange(width)])
            layer.delta.weight.copy_(layer.delta.weight[order][:, order])
            layer.delta.bias.copy_(layer.delta.bias[order])
            order = torch.cat([order, order + 2 * width, torch.tensor([4 * width + 1, 4 * width])])
            layer.modulation.weight.copy_(layer.modulation.weight[order])
            layer.modulation.bias.copy_(layer.modulation.bias[order])
    return other


def test_both_streams_in_one_batch_equals_one_after_the_other(monkeypatch):
    model = random_model()
    inputs = random_input(model.config, 4, 4)
    together = model(*inputs, sync="soft")
    from fourreal_core.model.streams import Streams

    apart = lambda self, block, time, view: (self.along_time(block, time), self.along_view(block, view))
    monkeypatch.setattr(Streams, "both", apart)
    torch.testing.assert_close(model(*inputs, sync="soft"), together, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_gradients_reach_only_the_synchronization_layers_when_the_base_is_frozen(kind):
    model = random_model()
    model.base.requires_grad_(False)
    model(*random_input(model.config), sync=kind).square().sum().backward()
    touched = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert touched and all(name.startswith(f"sync.{kind}.") for name in touched)
    assert {name.rsplit(".", 1)[0] for name in touched} >= {f"sync.{kind}.{layer}.modulation" for layer in range(2)}


def test_relaxed_averaging_shrinks_the_disagreement_and_keeps_the_mean():
    y_time, y_view, sigma = torch.randn(1, 2, 3, 4, 8), torch.randn(1, 2, 3, 4, 8), torch.tensor([0.5])
    x_time, x_view = syncs.relax(syncs.average, 0.25)(y_time, y_view, sigma)
    torch.testing.assert_close(x_time - x_view, 0.75 * (y_time - y_view))
    torch.testing.assert_close(x_time + x_view, y_time + y_view)


def test_strength_zero_is_off():
    model = random_model()
    inputs = random_input(model.config)
    torch.testing.assert_close(model(*inputs, sync="soft", strength=0.0), model(*inputs, sync="off"))


def test_sequential_runs_views_then_times_on_one_stream():
    model = random_model(ModelConfig(**{**vars(tiny()), "depth": 1}))
    x, sigma, condition = random_input(model.config)
    from fourreal_core.model.streams import Streams

    streams = Streams(model.base, x, sigma, condition, (None, None))
    block = model.base.blocks[0]
    expected = streams.along_time(block, streams.along_view(block, streams.tokens_BVTSD))
    torch.testing.assert_close(
        model(x, sigma, condition, sync="sequential"), streams.velocity(expected, expected, "mean")
    )


def test_text_reaches_its_own_stream_only():
    model = random_model(ModelConfig(**{**vars(tiny()), "text_width": 6}))
    x, sigma, condition = random_input(model.config)
    text_time = torch.randn(2 * V, 7, 6, dtype=torch.float64)
    text_view = torch.randn(2 * T, 4, 6, dtype=torch.float64)
    both = lambda output, a, b: model(x, sigma, condition, sync="off", output=output, context=(a, b))
    assert not torch.equal(both("time only", text_time, text_view), both("time only", text_time + 1, text_view))
    assert torch.equal(both("time only", text_time, text_view), both("time only", text_time, text_view + 1))


def test_wrong_words_get_a_sentence():
    model = random_model()
    inputs = random_input(model.config)
    for options, sentence in (
        ({"sync": "firm"}, "unknown synchronization 'firm'"),
        ({"output": "both"}, "unknown output 'both'"),
        ({"strength": 1.5}, "must be from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model(*inputs, **options)


def test_one_seed_gives_one_model_low_rank_layers_included():
    config = dataclasses.replace(tiny(), sync=("soft",), sync_rank=2)
    models = [initialize_grid_model(GridModel(config), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    same, again, other = (model.sync["soft"][0].down.weight for model in models)
    assert torch.equal(same, again) and not torch.equal(same, other)
