"""Training on tiny grids: what is given away, what is learned, and that stopping changes nothing."""

from dataclasses import replace

import pytest
import torch

from fourreal_core.files.video import write_video
from fourreal_core.flow import add_noise
from fourreal_core.model.config import tiny
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.model.weights import load_model
from fourreal_core.training import loop, run
from fourreal_core.training.footage.examples import grid_batch, sequence_batch
from fourreal_core.training.footage.mixture import Mixture, load_examples
from fourreal_core.training.footage.prepare import prepare, pseudo_jobs
from fourreal_core.training.footage.store import ENDING, store_grid
from fourreal_core.training.loop import (
    STAGES,
    TrainingPlan,
    draw,
    guess_error,
    predict,
    start,
    train,
    trained_parameters,
)
from fourreal_core.training.loss import SMALLEST_GUESS_ERROR, balanced, squared_error, velocity_loss
from fourreal_core.training.masks import sample_sigma, sequence_known
from fourreal_core.training.speed import step_flops

V, T, H, W = 3, 4, 16, 24


@pytest.fixture(scope="module")
def store():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, V * T, 3, 4, 6, generator=generator)
    frames = [torch.nn.functional.interpolate(grid, (H, W), mode="bilinear") for grid in coarse]
    return Mixture.of(store_grid(grid.view(V, T, 3, H, W).movedim(2, -1).contiguous()) for grid in frames)


def fresh(guess=True):
    return initialize_grid_model(GridModel(tiny(guess)), torch.Generator().manual_seed(0))


def plan(stage, steps, **more):
    return TrainingPlan(stage=stage, steps=steps, batch=2, crop=(16, 16), warmup=2, save_every=2, **more)


def silent(state):
    pass


def test_velocity_loss_is_the_weighted_error_of_x0():
    x0, noise = torch.zeros(1, 3, 2, 4, 4), torch.randn(1, 3, 2, 4, 4)
    weight = torch.zeros(1, 1, 2, 4, 4)
    weight[:, :, 1] = 1
    for sigma, divisor in ((1.0, 1.0), (0.8, 0.8), (0.1, 0.8)):  # below 0.8 the weight no longer grows
        sigma = torch.full((1, 1, 1, 1, 1), sigma)
        velocity = (add_noise(x0, noise, sigma) - 0.3) / sigma  # a model that answers x0 = 0.3
        torch.testing.assert_close(
            velocity_loss(velocity, x0, noise, sigma, weight), torch.tensor((0.3 / divisor) ** 2)
        )


def test_errors_count_relative_to_the_guess_s():
    """Two scenes, one ten times harder: an answer that halves both guesses' errors has half the loss in each."""
    x0 = torch.zeros(2, 3, 2, 4, 4)
    weight = torch.ones(2, 1, 2, 4, 4)
    weight[:, :, 0] = 0
    guess = torch.tensor([0.1, 1.0]).view(2, 1, 1, 1, 1).expand_as(x0)
    shares = balanced(weight, x0, guess)
    losses = ((guess / 2).square() * shares).sum((1, 2, 3, 4)) / weight.expand_as(x0).sum((1, 2, 3, 4))
    torch.testing.assert_close(losses, torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(balanced(weight, x0, x0), weight.expand_as(x0) / SMALLEST_GUESS_ERROR)


def test_masks_and_sigmas_cover_what_sampling_asks_for():
    generator = torch.Generator().manual_seed(0)
    known = sequence_known(4000, 8, generator)
    assert 0.5 < known[:, 0].float().mean() < 0.85
    assert 0.05 < (known.sum(1) == 0).float().mean() < 0.25
    sigma = sample_sigma(4000, generator)
    assert 0.45 < (sigma == 1).float().mean() < 0.55 and sigma.min() > 0 and sigma.max() == 1


def test_the_guess_error_is_the_error_of_an_untrained_model(store):
    generator = torch.Generator().manual_seed(0)
    model = fresh()
    for batch, velocity in (
        (sequence_batch(store, 2, (16, 16), True, generator), lambda b, x, s: model.base(x, s, b.condition, b.mode)),
        (grid_batch(store, 2, (16, 16), True, generator), lambda b, x, s: model(x, s, b.condition)),
    ):
        noise, sigma = torch.randn(batch.x0.shape, generator=generator), torch.tensor([0.4, 0.9])
        wide = sigma.view(-1, *[1] * (batch.x0.ndim - 1))
        target = (batch.x0, noise, wide, batch.weight)
        error, _ = squared_error(velocity(batch, add_noise(batch.x0, noise, wide), sigma), *target)
        torch.testing.assert_close(guess_error(batch, *target), error)


@pytest.mark.parametrize("stage", ["base", "soft"])
def test_resuming_equals_never_having_stopped(store, tmp_path, stage):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    schedule = plan(stage, 4)
    state = start(fresh(), schedule, whole)
    train(state, schedule, store, whole, silent)

    def stop(state):
        return state.step == 3

    train(start(fresh(), schedule, parts), schedule, store, parts, stop)
    again = start(fresh(), schedule, parts)
    assert again.step == 3
    train(again, schedule, store, parts, silent)
    for key, value in state.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    assert all(torch.equal(value, again.ema[key]) for key, value in state.ema.items())
    assert state.losses == again.losses


def test_what_breaks_off_a_step_leaves_the_last_whole_state(store, tmp_path, monkeypatch):
    schedule = plan("base", 4)
    state = start(fresh(), schedule, tmp_path)

    def break_off(ema, model, step):
        if step == 3:  # the weights have moved, the step is not counted yet
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "update_ema", break_off)
    with pytest.raises(KeyboardInterrupt):
        train(state, schedule, store, tmp_path, silent)
    assert start(fresh(), schedule, tmp_path).step == 2
    assert [file.name for file in tmp_path.iterdir()] == ["base.state-000002-1-of-1.safetensors"]


def test_a_synchronization_stage_leaves_the_base_alone(store, tmp_path):
    model = fresh()
    torch.nn.init.normal_(model.base.head.out.weight)  # else nothing that the blocks do reaches the output
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = start(model, plan("hard", 2), tmp_path)
    train(state, plan("hard", 2), store, tmp_path, silent)
    changed = {key for key, value in state.model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("sync.hard.") for key in changed)


@pytest.mark.parametrize("stage", STAGES)
def test_checkpointing_keeps_the_gradients(store, tmp_path, stage):
    gradients = []
    for checkpointing in (False, True):
        schedule = plan(stage, 1, checkpointing=checkpointing, precision="float32")
        model = GridModel(replace(tiny(), sync=() if stage == "base" else (stage,)))
        initialize_grid_model(model, torch.Generator().manual_seed(0))
        for block in model.base.blocks:  # else nothing that the blocks do reaches the output
            for layer in (block.attention_out, block.mlp_out):
                torch.nn.init.normal_(layer.weight, std=0.1, generator=torch.Generator().manual_seed(1))
        torch.nn.init.normal_(model.base.head.out.weight, generator=torch.Generator().manual_seed(2))
        state = start(model, schedule, tmp_path)
        batch, sigma, noise = draw(state, schedule, store)
        predict(model, stage, batch, sigma, noise).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == trained_parameters(model, stage).keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)
    assert any(gradient.abs().max() > 0 for gradient in gradients[0].values())


def test_counting_operations_leaves_the_run_alone(store, tmp_path):
    small, large = (start(fresh(), plan("base", 4), tmp_path) for _ in range(2))
    drawn = small.generator.get_state()
    counts = [step_flops(small, plan("base", 4), store), step_flops(large, replace(plan("base", 4), batch=6), store)]
    assert counts[1] == pytest.approx(3 * counts[0], rel=0.02)  # but for what every batch needs once
    assert torch.equal(small.generator.get_state(), drawn)
    assert all(parameter.grad is None for parameter in small.model.parameters())


@pytest.mark.slow
def test_training_lowers_the_loss(store, tmp_path):
    schedule = TrainingPlan(
        stage="base", steps=60, batch=4, crop=(16, 16), warmup=5, save_every=100, learning_rate=1e-3, matrix_rate=0.004
    )
    state = start(fresh(), schedule, tmp_path)
    train(state, schedule, store, tmp_path, silent)
    ratio = lambda part: sum(row.model for row in part) / sum(row.guess for row in part)
    assert ratio(state.losses[-15:]) < 0.8 * ratio(state.losses[:15])


def test_from_a_video_to_a_checkpoint(tmp_path):
    """prepare, base, hard, soft, export, load: the whole command line's work."""
    ramp = torch.linspace(0, 1, 40)[None, None, :, None].expand(6, 32, 40, 3)
    write_video(tmp_path / "ramp.mkv", ramp, 10, lossless=True)
    assert prepare(pseudo_jobs([tmp_path / "ramp.mkv"], (3, 3, 16, 24), 2), tmp_path) == 1
    assert (tmp_path / ("ramp" + ENDING)).exists() and len(load_examples(tmp_path).grids) == 2
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="run the stage 'base' first"):
        run.train_stage(tiny(), plan("soft", 1), tmp_path, folder, silent)
    run.train_stage(tiny(), plan("base", 2), tmp_path, folder, silent)
    run.export(tiny(), folder, tmp_path / "made" / "base.safetensors")
    with pytest.raises(ValueError, match="base.safetensors has no layers of 'hard' to start from"):
        run.train_stage(
            tiny(), plan("hard", 2), tmp_path, folder, silent, start_from=tmp_path / "made" / "base.safetensors"
        )
    assert load_model(tmp_path / "made" / "base.safetensors").config.sync == ()
    for stage in ("hard", "soft"):
        run.train_stage(tiny(), plan(stage, 2), tmp_path, folder, silent)
    run.export(tiny(), folder, tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert model.config == tiny() and {"hard", "soft"} <= set(model.sync_kinds)
    with pytest.raises(ValueError, match="check --config"):
        run.export(tiny(guess=False), folder, tmp_path / "other.safetensors")


def test_wrong_folders_get_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="no training examples"):
        load_examples(tmp_path)
    with pytest.raises(ValueError, match="unknown training stage"):
        TrainingPlan(stage="final")
    with pytest.raises(ValueError, match="batch to be at least 1, got 0"):
        TrainingPlan(batch=0)
    state = start(fresh(), plan("base", 1), tmp_path)
    train(state, plan("base", 1), Mixture.of([store_grid(torch.rand(V, T, H, W, 3))]), tmp_path, silent)
    with pytest.raises(ValueError, match="not a training state of this model"):
        start(fresh(guess=False), plan("base", 1), tmp_path)
    assert state.step == 1
