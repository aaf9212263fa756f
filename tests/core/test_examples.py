"""Batches of every kind of example: what they give away, how sizes are brought together, how often each source is drawn."""

import pytest
import torch

from fourreal_core.flow import from_model
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.model.channels import unpack_directions
from fourreal_core.model.condition import guess_channels
from fourreal_core.model.config import tiny
from fourreal_core.model.dit import DYNAMIC, FREEZE_TIME
from fourreal_core.model.prior import read_at
from fourreal_core.model.two_stream import GridModel, initialize_grid_model
from fourreal_core.training.footage.examples import (
    Look,
    _channel_first,
    _fields,
    _lone_sequence,
    first_known,
    grid_batch,
    sequence_batch,
    whole_batch,
)
from fourreal_core.training.footage.mixture import ExampleFolder, Mixture, load_examples
from fourreal_core.training.footage.store import ENDING, StoredGrid, store_grid, write_examples
from fourreal_core.training.loop import TrainingPlan, start, train
from fourreal_core.transport import Direction, transport

V, T, H, W = 3, 5, 16, 24


def frames(views, times, height=H, width=W, seed=0):
    coarse = torch.rand(views * times, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return smooth.view(views, times, 3, height, width).movedim(2, -1).contiguous()


def given(views, times):
    """The cells of a stored grid that a condition may show beside its known frames."""
    first = torch.zeros(views, times, dtype=torch.bool)
    first[0, 0] = True
    return task_known(views, times) if min(views, times) > 1 else first


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def grids():
    return {
        "grid": store_grid(frames(V, T)),
        "static": store_grid(frames(V + 1, 1)),
        "plain": store_grid(frames(1, T + 2)),
    }


@pytest.fixture
def plain_look(monkeypatch):
    """Examples as they are, to be compared with what they were cut from."""
    monkeypatch.setattr(Look, "draw", lambda generator: Look())


def test_batches_hold_the_frames_they_claim(grids):
    batch = sequence_batch(Mixture.of([grids["grid"]]), 6, (8, 8), True, seeded())
    assert batch.condition.shape[1] == tiny().condition_channels and set(batch.mode.tolist()) == {DYNAMIC, FREEZE_TIME}
    known = batch.condition[:, 3:4] > 0.5
    assert torch.equal(batch.condition[:, :3] * known, batch.x0 * known)
    assert torch.equal(batch.weight > 0, ~known)
    grid = grid_batch(Mixture.of([grids["grid"]]), 2, (8, 16), False, seeded())
    assert grid.x0.shape == (2, V, 3, T, 8, 16) and grid.condition.shape[2] == 4
    assert (grid.condition[:, 0, 3] == 1).all() and (grid.condition[:, 1:, 3, 1:] == 0).all()


@pytest.mark.parametrize("shape", [(V, T), (V, 1), (1, T)], ids=["grid", "static", "plain"])
def test_unknown_frames_replaced_by_noise_do_not_show_in_the_task(shape):
    truth = frames(*shape)
    noisy = torch.where(given(*shape)[:, :, None, None, None], truth, torch.rand(truth.shape, generator=seeded(1)))
    one, other = (whole_batch(store_grid(x), True) for x in (truth, noisy))
    assert not torch.equal(one.x0, other.x0) and torch.equal(one.condition, other.condition)
    if shape[1] > 1 and shape[0] > 1:  # cropped and mirrored, but otherwise the same
        one, other = (grid_batch(Mixture.of([store_grid(x)]), 1, (8, 16), True, seeded(3)) for x in (truth, noisy))
        assert not torch.equal(one.x0, other.x0) and torch.equal(one.condition, other.condition)


@pytest.mark.parametrize("shape", [(V, 1), (1, T)], ids=["static", "plain"])
def test_a_line_s_sequence_shows_its_known_frames_and_the_first_one_only(shape, plain_look):
    """Forwards and backwards: whatever other frame becomes noise, the condition stays."""
    backwards = set()
    for seed in range(12):
        stored = store_grid(frames(*shape))
        batch = sequence_batch(Mixture.of([stored]), 1, (H, W), True, seeded(seed))
        shown = batch.condition[0, 3, :, 0, 0] > 0.5
        shown[0] = True
        turned = turned_round(from_model(batch.x0)[0], stored.frames.flatten(0, 1))
        backwards.add(turned)
        order = range(len(shown))[:: -1 if turned else 1]
        noisy = stored.frames.flatten(0, 1).clone()
        for f, n in enumerate(order):
            if not shown[f]:
                noisy[n] = torch.randint(256, (H, W, 3), generator=seeded(9), dtype=torch.uint8)
        other = sequence_batch(
            Mixture.of([StoredGrid(noisy.view_as(stored.frames), stored.valid)]), 1, (H, W), True, seeded(seed)
        )
        assert torch.equal(batch.condition, other.condition)
    assert backwards == {True, False}


def turned_round(drawn_FHWC, stored_FHWC):
    """Whether a sequence was drawn backwards; mirrored ones have the same colours."""
    forwards, drawn = stored_FHWC.float().mean(dim=(1, 2)) / 255, drawn_FHWC.mean(dim=(1, 2))
    return bool((drawn - forwards).abs().max() > 1e-3)


def test_the_guess_of_a_line_is_transport_s():
    for shape in ((V, 1), (1, T)):
        truth = frames(*shape)
        known = given(*shape)
        predictions = transport(FrameGrid(truth * known[:, :, None, None, None], known))
        made = _lone_sequence(truth, torch.ones(truth.shape[:-1]))
        for mine, transported in ((made.time, predictions.time), (made.view, predictions.view)):
            for part in Direction._fields:
                torch.testing.assert_close(getattr(mine, part), getattr(transported, part), msg=f"{shape} {part}")


@pytest.mark.parametrize("missing", [DYNAMIC, FREEZE_TIME])
def test_the_guess_from_one_input_is_transport_s(missing, grids):
    truth = from_model(whole_batch(grids["grid"], False).x0[0])
    known = first_known(V, T, missing)
    predictions = transport(FrameGrid(frames=truth * known[:, :, None, None, None], known=known))
    fields = _fields(grids["grid"], missing)
    for mine, transported in ((fields.time, predictions.time), (fields.view, predictions.view)):
        for made, expected in zip(mine, transported):
            made = made.float() / 255 if made.dtype == torch.uint8 else made
            torch.testing.assert_close(made[~known], expected[~known], atol=0.003, rtol=0)


@pytest.mark.parametrize("look", [Look(mirrored=True), Look(upside_down=True), Look(True, True, (2, 0, 1), 0.6)])
def test_a_changed_look_keeps_what_the_guess_means(look, grids):
    """Frames read at the changed displacements are the changed frames read at the displacements, and colours stay in range."""
    parts = _fields(grids["grid"])
    x0, guess, _ = _channel_first(parts, slice(None), slice(None), look)
    (changed, _), (plain, _) = map(unpack_directions, (guess, _channel_first(parts, slice(None), slice(None))[1]))
    source, back, plain_source, plain_back = (
        part.movedim(2, 1).flatten(0, 1) for part in (changed.source, changed.back, plain.source, plain.back)
    )
    read = read_at(plain_source, plain_back).view(V, T, 3, H, W).permute(0, 1, 3, 4, 2) / 2 + 0.5
    torch.testing.assert_close(
        read_at(source, back), (look.frames(read) * 2 - 1).permute(0, 1, 4, 2, 3).flatten(0, 1), atol=1e-5, rtol=0
    )
    assert plain_back.abs().amax() > 0 and x0.abs().amax() <= 1


def test_some_draws_see_one_input_only(grids):
    generator, mixture = seeded(), Mixture.of([grids["grid"]])
    counts = [
        int((grid_batch(mixture, 1, (8, 8), True, generator).condition[0, :, 3, :, 0, 0] > 0.5).sum())
        for _ in range(200)
    ]
    assert (
        set(counts) == {V, T, V + T - 1} and 0.02 < counts.count(V) / 200 < 0.1 and 0.02 < counts.count(T) / 200 < 0.1
    )


def test_static_scenes_stand_still_with_view_0_known_and_transport_s_guess():
    stored = store_grid(frames(V, 1))
    batch = grid_batch(Mixture.of([stored]), 1, (H, W), True, seeded(2))
    assert batch.x0.shape == (1, V, 3, V, H, W)
    assert torch.equal(batch.x0, batch.x0[:, :, :, :1].expand_as(batch.x0))
    known = batch.condition[0, :, 3, :, 0, 0] > 0.5
    assert known[0].all() and not known[1:].any() and (batch.weight[0, 1:] > 0).all()
    pixels = from_model(batch.x0[0])
    predictions = transport(FrameGrid(pixels * known[:, :, None, None, None], known))
    torch.testing.assert_close(batch.condition[0, :, 4:], guess_channels(predictions))


def test_a_static_scene_shows_its_view_0_only(plain_look):
    truth = frames(V, 1)
    for seed in range(6):
        batch = grid_batch(Mixture.of([store_grid(truth)]), 1, (H, W), True, seeded(seed))
        noisy = torch.rand(truth.shape, generator=seeded(1))
        first = -1 if turned_round(from_model(batch.x0)[0, :, 0], (truth * 255)[:, 0]) else 0
        noisy[first] = truth[first]
        other = grid_batch(Mixture.of([store_grid(noisy)]), 1, (H, W), True, seeded(seed))
        assert not torch.equal(batch.x0, other.x0) and torch.equal(batch.condition, other.condition)


def test_static_scenes_come_in_both_orders(plain_look):
    stored = store_grid(frames(V, 1))
    first = {
        float(grid_batch(Mixture.of([stored]), 1, (H, W), False, seeded(seed)).x0[0, 0].mean()) for seed in range(12)
    }
    assert len({round(value, 4) for value in first}) == 2


def test_other_lengths_and_sizes_share_a_batch(grids):
    mixed = Mixture.of([*grids.values(), store_grid(frames(2, 4, 12, 20)), store_grid(frames(4, 3, 40, 18))])
    sizes = set()
    for seed in range(8):
        sequences = sequence_batch(mixed, 4, (16, 16), True, seeded(seed))
        assert sequences.x0.shape[:2] == (4, 3) and sequences.condition.shape[2:] == sequences.x0.shape[2:]
        whole = grid_batch(mixed, 3, (16, 16), True, seeded(seed))
        assert len(whole.x0) == 3 and whole.condition.shape[3:] == whole.x0.shape[3:]
        sizes |= {tuple(sequences.x0.shape[2:]), tuple(whole.x0.shape[1:])}
    assert len(sizes) > 2 and all(size[-1] <= 16 and size[-2] <= 16 for size in sizes)


def test_a_shorter_cut_of_a_grid_is_the_shorter_task():
    """What grids of several lengths are cut to is what Transport gives for the shorter grid."""
    long = store_grid(frames(V, T))
    short = store_grid(frames(V, T)[:2, :3])
    for name in vars(short):
        torch.testing.assert_close(getattr(long, name)[:2, :3].float(), getattr(short, name).float(), msg=name)


def test_fixed_view_sequences_alone_train_no_synchronization(grids):
    plain = Mixture.of([grids["plain"]])
    assert sequence_batch(plain, 2, (16, 16), True, seeded()).x0.shape == (2, 3, T + 2, 16, 16)
    with pytest.raises(ValueError, match="only fixed-view sequences"):
        grid_batch(plain, 1, (16, 16), True, seeded())
    mixed = Mixture.of([grids["plain"], grids["static"]])
    assert all(grid_batch(mixed, 1, (16, 16), True, seeded(seed)).x0.shape[1] == V + 1 for seed in range(5))
    assert whole_batch(grids["plain"], True).x0.shape == (1, 1, 3, T + 2, H, W)
    assert mixed.shown is grids["plain"] and Mixture.of(grids.values()).shown is grids["grid"]


def test_sources_are_drawn_by_weight(grids):
    mixture = Mixture([[grids["grid"]] * 5, [grids["static"]], [grids["plain"]]], [0.5, 0.3, 0.2])
    generator = seeded()
    drawn = [mixture.pick(generator) for _ in range(2000)]
    shares = [sum(grid is grids[name] for grid in drawn) / 2000 for name in ("grid", "static", "plain")]
    assert all(abs(share - weight) < 0.035 for share, weight in zip(shares, (0.5, 0.3, 0.2)))
    with_views = [mixture.pick(generator, views=True) for _ in range(2000)]
    assert abs(sum(grid is grids["static"] for grid in with_views) / 2000 - 0.3 / 0.8) < 0.035
    one, two = (
        [mixture.grids.index(mixture.pick(generator)) for _ in range(20)] for generator in (seeded(5), seeded(5))
    )
    assert one == two


def test_weights_are_read_as_shares(grids, tmp_path):
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        write_examples(tmp_path / name / ("x" + ENDING), [grids["grid"]] * count, "")
    a, b, c = (tmp_path / name for name in "abc")
    weights = lambda *texts: [weight for _, weight in load_examples([ExampleFolder.parse(text) for text in texts])._any]
    assert weights(f"{a}", f"{b}") == [0.75, 0.25]
    assert weights(f"films={a}:0.5", f"{b}", f"{c}") == pytest.approx([0.5, 0.5 / 3, 1 / 3])
    assert weights(f"{a}:2", f"{b}:6") == [2, 6]
    assert ExampleFolder.parse("C:\\films") == ExampleFolder(type(a)("C:\\films"))
    assert ExampleFolder.parse("films=x:0.25") == ExampleFolder(type(a)("x"), 0.25, "films")
    with pytest.raises(ValueError, match="leaves nothing for rest: give it a weight too"):
        weights(f"{a}:1", f"rest={b}")
    with pytest.raises(ValueError, match="expected a weight above 0"):
        ExampleFolder.parse("x:0")


@pytest.mark.parametrize("stage", ["base", "soft"])
def test_resuming_on_a_mixture_equals_never_having_stopped(grids, tmp_path, stage):
    mixture = Mixture([[grids["grid"]], [grids["static"], grids["plain"]]], [0.6, 0.4])
    plan = TrainingPlan(stage=stage, steps=4, batch=2, crop=(16, 16), warmup=2)
    fresh = lambda: initialize_grid_model(GridModel(tiny()), seeded())
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    state = start(fresh(), plan, whole)
    train(state, plan, mixture, whole, lambda state: None)
    train(start(fresh(), plan, parts), plan, mixture, parts, lambda state: state.step == 2)
    again = start(fresh(), plan, parts)
    train(again, plan, mixture, parts, lambda state: None)
    assert again.losses == state.losses and len(state.losses) == 4
    assert all(torch.equal(value, again.ema[key]) for key, value in state.ema.items())
