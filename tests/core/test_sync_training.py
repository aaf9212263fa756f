"""Training of synchronization layers without a backbone: examples and their cache, draws, the loop, and going on after a stop.

Letters: V = 3 views, T = 5 times, H = 16, W = 32.
"""

import pytest
import torch

from fourreal_core.files.video import write_video
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.grid_file import save_grid
from fourreal_core.model.sync_file import SyncConfig, SyncLayers
from fourreal_core.sampling.latents import Codec
from fourreal_core.training import sync_loop
from fourreal_core.training.footage import sync_examples
from fourreal_core.training.sync_loop import SyncTraining

V, T, H, W = 3, 5, 16, 32
SHAPE = (V, T, H, W)


def pooling_codec(calls=None):
    """A VAE that takes the mean of 8 x 8 pixels and keeps every fourth frame: what it gives is known in advance."""

    def encode(video_NHWC):
        if calls is not None:
            calls.append(len(video_NHWC))
        return torch.nn.functional.avg_pool2d(video_NHWC[::4].permute(3, 0, 1, 2), 8)

    return Codec(encode, lambda latent: latent, 3, 4, 8)


@pytest.fixture
def clip(tmp_path):
    frames = torch.rand(9, 24, 48, 3, generator=torch.Generator().manual_seed(0))
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "clip.mkv", frames, 12, lossless=True)
    return tmp_path / "videos"


def encoded(paths, folder, encoder, told=None, report=lambda done, total: None, **kinds):
    jobs = sync_examples.footage(
        kinds.get("videos", paths), kinds.get("captures", []), kinds.get("grids", []), SHAPE, 3
    )
    folder.mkdir(exist_ok=True)
    return sync_examples.encode_footage(jobs, SHAPE, encoder, folder, report, (told if told is not None else []).append)


def test_only_unknown_cells_made_of_footage_count():
    known, valid = task_known(V, T), torch.ones(V, T, H, W, dtype=torch.bool)
    valid[1, :, :3, :9] = False  # reaches into two latent pixels
    counts = sync_examples.latent_counts(known, valid, (H, W), "hold", pooling_codec())
    assert counts.shape == (V, 1, T, 2, 4) and not counts[0].any() and not counts[:, :, 0].any()
    assert counts[2, :, 1:].all()
    assert counts[1, 0, 1].tolist() == [[False, False, True, True], [True, True, True, True]]
    packed = sync_examples.latent_counts(known, valid, (H, W), "native", pooling_codec())
    assert packed.shape == (V, 1, 2, 2, 4) and packed[2, 0, 1].all() and not packed[:, :, 0].any()
    assert torch.equal(packed[1, 0, 1], counts[1, 0, 1])


def test_the_tasks_cells_are_always_known_and_one_never_is():
    draws = [sync_examples.random_known(V, T, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert all((known & task_known(V, T)).sum() == V + T - 1 and not known.all() for known in draws)
    exactly = sum(int(known.sum()) == V + T - 1 for known in draws) / len(draws)
    assert 0.5 < exactly < 0.9  # half of the draws, and those that drew no further cell of eight
    assert max(int(known.sum()) for known in draws) >= V + T + 1


def test_the_vae_runs_once_per_grid_and_again_for_other_footage(clip, tmp_path):
    calls, folder = [], tmp_path / "latents"
    encoder = sync_examples.Encoder("hold", pooling_codec(calls), False, "a vae")
    [path] = encoded([clip], folder, encoder)
    assert calls == [17] * V * 3  # 3 grids of V views, each cell but the first held for 4 frames
    store = sync_examples.LatentStore([path])
    assert len(store) == 2 and list(store.trained) == [
        1
    ]  # so small, one of the grids shows no whole latent pixel of footage
    assert encoded([clip], folder, encoder) == [path] and len(calls) == 9
    other = sync_examples.Encoder("hold", pooling_codec(calls), False, "another vae")
    [changed] = encoded([clip], folder, other)
    assert changed != path and len(calls) == 18 and not path.exists()
    write_video(clip / "clip.mkv", torch.zeros(9, 24, 48, 3), 12, lossless=True)
    encoded([clip], folder, other)
    assert len(calls) == 27 and len(list(folder.iterdir())) == 1


def test_examples_come_back_as_they_were_encoded(clip, tmp_path):
    encoder = sync_examples.Encoder("frame", pooling_codec(), True)
    store = sync_examples.LatentStore(encoded([clip], tmp_path / "latents", encoder))
    first, second = store[0], store[1]
    assert torch.equal(first.known, task_known(V, T)) and first.frames.shape == (*SHAPE, 3) and second.frames is None
    pixels = first.frames.float() / 255
    expected = (
        torch.nn.functional.avg_pool2d(pixels.flatten(0, 1).permute(0, 3, 1, 2), 8).unflatten(0, (V, T)).transpose(1, 2)
    )
    assert torch.allclose(first.clean, expected, atol=5e-4)
    shown = torch.where(first.known[:, None, :, None, None], expected, torch.tensor(0.5))
    assert torch.allclose(first.shown, shown, atol=5e-4)
    assert not first.counts[first.known[:, None]].any() and first.counts.any()


def test_captures_and_saved_grids_are_cut_to_the_shape(tmp_path):
    frames = torch.rand(4, 6, H, W, 3, generator=torch.Generator().manual_seed(0))
    for view, video in enumerate(frames):
        (tmp_path / "rig").mkdir(exist_ok=True)
        write_video(tmp_path / "rig" / f"view{view}.mkv", video, 12, lossless=True)
    save_grid(FrameGrid(frames[:2].contiguous(), torch.ones(2, 6, dtype=torch.bool)), tmp_path / "fox.grid.safetensors")
    encoder = sync_examples.Encoder("hold", pooling_codec(), False)
    paths = encoded(
        [], tmp_path / "latents", encoder, captures=[tmp_path / "rig"], grids=[tmp_path / "fox.grid.safetensors"]
    )
    store = sync_examples.LatentStore(paths)
    assert [tuple(store[number].clean.shape[:3]) for number in range(4)] == [(V, 3, T)] * 3 + [(2, 3, T)]


def test_footage_that_cannot_be_used_is_named_and_left_out(clip, tmp_path):
    write_video(clip / "short.mkv", torch.zeros(2, 24, 48, 3), 12, lossless=True)
    told, encoder = [], sync_examples.Encoder("hold", pooling_codec(), False)
    assert len(encoded([clip], tmp_path / "latents", encoder, told)) == 1
    assert told == ["left out videos-short: expected at least 5 frames in short.mkv, got 2"]
    with pytest.raises(ValueError, match="none of the footage can be used for training"):
        encoded([clip / "short.mkv"], tmp_path / "latents", encoder, told)


def test_a_cancelled_encoding_leaves_whole_files_only(clip, tmp_path):
    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded([clip], tmp_path / "latents", sync_examples.Encoder("hold", pooling_codec(), False), report=cancel)
    assert not list((tmp_path / "latents").iterdir())


def test_damaged_latents_are_named(clip, tmp_path):
    paths = encoded([clip], tmp_path / "latents", sync_examples.Encoder("hold", pooling_codec(), False))
    paths[0].write_bytes(paths[0].read_bytes()[:200])
    with pytest.raises(ValueError, match="is damaged .*: delete it, and it will be made again"):
        sync_examples.LatentStore(paths)


@pytest.fixture
def layers():
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        return SyncLayers(
            SyncConfig(**({"family": "wan", "width": 8, "depth": 2, "kind": "soft", "rank": 2} | changes))
        ).initialize()

    return make


def error_of(layers):
    """The layers must learn to bring both streams to the time stream's own value."""

    def error(draw):
        y_time, y_view = draw.noise((2, 1, V, T, 4, 8))
        sigma = torch.tensor([1 - draw.percent])
        x_time, x_view = y_time, y_view
        for layer in layers:
            x_time, x_view = layer(x_time, x_view, sigma)
        return (x_view - y_time).square().mean() + (x_time - y_time).square().mean()

    return error


def run(layers, plan, file, report=lambda: False, base="base"):
    state = sync_loop.start(layers, base, plan, file)
    sync_loop.train(state, plan, [0, 1, 2], error_of(layers), file, report)
    return state


def test_training_lowers_the_measured_error(layers, tmp_path):
    plan, made = SyncTraining(steps=60, learning_rate=0.02, grids_per_step=2), layers()
    before = sync_loop.measure(error_of(made), 0)
    state = run(made, plan, tmp_path / "state.safetensors")
    with sync_loop.weights_of(made, state.ema):
        assert sync_loop.measure(error_of(made), 0) < 0.7 * before
    assert len(state.losses) == 60 and sum(state.losses[-10:]) < 0.7 * sum(state.losses[:10])


@pytest.mark.parametrize("stop", ["between steps", "inside a step", "cancelled"])
def test_going_on_is_bit_for_bit_the_run_that_was_not_stopped(layers, tmp_path, stop):
    plan = SyncTraining(steps=9, learning_rate=0.02, grids_per_step=2, seed=4, save_every=3)
    whole = run(layers(), plan, tmp_path / "whole.safetensors")
    file, made, calls = tmp_path / "stopped.safetensors", layers(), []

    def stopping():
        calls.append(None)
        if stop == "cancelled" and len(calls) == 4:
            raise KeyboardInterrupt
        return stop == "between steps" and len(calls) == 4

    def failing(draw):
        if stop == "inside a step" and len(calls) == 4 and failing.seen:
            raise KeyboardInterrupt  # after the first of two gradients
        failing.seen = len(calls) == 4
        return error_of(made)(draw)

    failing.seen = False
    state = sync_loop.start(made, "base", plan, file)
    try:
        sync_loop.train(state, plan, [0, 1, 2], failing, file, stopping)
    except KeyboardInterrupt:
        assert stop != "between steps"
    assert state.step == 4
    again = run(layers(seed=9), plan, file)  # what the layers begin with is of no effect
    assert again.losses == whole.losses and again.step == 9
    for name, weight in whole.layers.state_dict().items():
        assert torch.equal(again.layers.state_dict()[name], weight) and torch.equal(again.ema[name], whole.ema[name])


def test_a_finished_run_is_left_alone_and_goes_on_with_more_steps(layers, tmp_path):
    file = tmp_path / "state.safetensors"
    run(layers(), SyncTraining(steps=3), file)
    assert run(layers(), SyncTraining(steps=3), file).step == 3
    assert run(layers(), SyncTraining(steps=5), file).step == 5


def test_a_training_that_diverges_says_so_and_keeps_the_last_good_state(layers, tmp_path):
    made, file = layers(), tmp_path / "state.safetensors"
    state, plan = sync_loop.start(made, "base", SyncTraining(steps=5), file), SyncTraining(steps=5)

    def error(draw):
        return error_of(made)(draw) * (float("nan") if state.step == 2 else 1)

    with pytest.raises(ValueError, match="diverged at step 3: use a lower learning rate than 0.0001"):
        sync_loop.train(state, plan, [0], error, file, lambda: False)
    again = sync_loop.start(layers(), "base", plan, file)
    assert again.step == 2 and all(weight.isfinite().all() for weight in again.layers.state_dict().values())


def test_another_run_or_a_damaged_file_is_refused(layers, tmp_path):
    file, plan = tmp_path / "state.safetensors", SyncTraining(steps=2)
    run(layers(), plan, file)
    with pytest.raises(ValueError, match=r"which has rank 2 \(now 4\): restore these settings, or choose another name"):
        run(layers(rank=4), plan, file)
    with pytest.raises(ValueError, match="state.safetensors was trained on another model"):
        run(layers(), plan, file, base="another")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        run(layers(), plan, file)


def test_draws_follow_from_seed_and_step(layers):
    plan = SyncTraining(steps=400, seed=3)
    draws = [sync_loop.draw(plan, step, 0, [5, 6, 7]) for step in range(400)]
    assert draws == [sync_loop.draw(plan, step, 0, [5, 6, 7]) for step in range(400)]
    assert {one.example for one in draws} == {5, 6, 7} and len({one.seed for one in draws}) == 400
    assert (
        0 <= min(one.percent for one in draws) < 0.02 and 0.96 < max(one.percent for one in draws) <= sync_loop.LATEST
    )
    assert 0.05 < sum(one.negative for one in draws) / 400 < 0.15
    assert draws[0] != sync_loop.draw(plan, 0, 1, [5, 6, 7]) != sync_loop.draw(SyncTraining(seed=4), 0, 1, [5, 6, 7])
    assert torch.equal(draws[0].noise((2, 3)), draws[0].noise((2, 3)))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps to be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "a learning rate above 0, got nan"),
    ],
)
def test_plans_without_sense_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        SyncTraining(**wrong)
