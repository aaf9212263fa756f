"""Two streams on LTX-2, which makes sound with the video: the time stream has it, frozen moments have none.

Letters and sizes: tests/host/inside/tiny_backbones.py; sound is [V, 8, L, 16] with L = 6 steps.
"""

import pytest
import tiny_backbones as tiny
import torch
from tiny_backbones import T, V, exchanged, text

SOUND_STEPS = 6


@pytest.fixture(scope="module")
def model(comfy_inside):
    return tiny.ltx2()


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def both(video, sound):
    from comfy.nested_tensor import NestedTensor

    return NestedTensor((video, sound))


def sample(model, video, sound=None, **settings):
    """(video, sound) as the host samples them; sound None: video alone."""
    if sound is None:
        return tiny.sample(model, video, **settings), None
    start = settings.pop("start", None) or both(torch.zeros_like(video), torch.zeros_like(sound))
    return tiny.sample(model, both(video, sound), start=start, **settings).unbind()


@pytest.fixture
def noises():
    return tiny.noise(8), random(V, 8, SOUND_STEPS, 16, seed=6)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_without_sync_the_time_stream_has_the_hosts_sound_and_moments_are_silent(model, two_streams, noises, cfg):
    video, sound = sample(model, *noises, cfg=cfg)
    ours = sample(two_streams(model, strength=0.0, output="time only"), *noises, cfg=cfg)
    assert torch.equal(ours[0], video) and torch.equal(ours[1], sound)
    moments, _ = sample(model, exchanged(noises[0]), cfg=cfg)
    views, _ = sample(two_streams(model, strength=0.0, output="view only"), *noises, cfg=cfg)
    assert torch.equal(exchanged(views), moments)
    assert (video - sample(model, noises[0], cfg=cfg)[0]).abs().max() > 0.001  # the host's video does hear its sound


def test_hard_sync_gives_one_grid_that_hears_its_sound(model, two_streams, noises):
    hard, sound = sample(two_streams(model), *noises)
    for stream in ("time only", "view only"):
        assert torch.allclose(sample(two_streams(model, output=stream), *noises)[0], hard, atol=2e-5)
    assert (hard - sample(model, *noises)[0]).abs().max() > 0.02
    assert (hard - sample(two_streams(model), noises[0])[0]).abs().max() > 0.001
    assert (sound - sample(model, *noises)[1]).abs().max() > 0.001  # and sound hears the video of the grid
    sequential, _ = sample(two_streams(model, sync="sequential"), *noises)
    assert torch.isfinite(sequential).all() and (sequential - hard).abs().max() > 0.001


def test_known_cells_and_known_sound(model, two_streams, noises):
    """Timesteps per token, of video and of sound."""
    start, known_sound = random(V, 8, T, 4, 8, seed=9), random(V, 8, SOUND_STEPS, 16, seed=10)
    mask, sound_mask = torch.ones(V, 1, T, 4, 8), torch.ones(V, 1, SOUND_STEPS, 16)
    mask[0], mask[:, :, 0], sound_mask[:, :, :2] = 0, 0, 0
    settings = {"start": both(start, known_sound), "mask": both(mask, sound_mask), "cfg": 4.0}
    video, sound = sample(model, *noises, **settings)
    ours = sample(two_streams(model, strength=0.0, output="time only"), *noises, **settings)
    assert torch.equal(ours[0], video) and torch.equal(ours[1], sound)
    moments = tiny.sample(model, exchanged(noises[0]), start=exchanged(start), mask=exchanged(mask), cfg=4.0)
    views, _ = sample(two_streams(model, strength=0.0, output="view only"), *noises, **settings)
    assert torch.equal(exchanged(views), moments)
    hard, _ = sample(two_streams(model), *noises, **settings)
    assert torch.allclose(hard * (1 - mask), start * (1 - mask), atol=1e-5)


def test_a_prompt_per_stream_gets_one_sentence(comfy_inside, model, two_streams, noises):
    """The host prepares LTX-2's text before sampling, and would not prepare the view stream's."""
    import comfy.conds

    name = comfy_inside.pack_host("two_stream.host_call").VIEW_TEXT
    [[positive, _]], [[of_views, _]] = text(1), text(4)
    each = [[positive, {"model_conds": {name: comfy.conds.CONDRegular(of_views)}}]]
    with pytest.raises(ValueError, match="LTX-2 uses one prompt for both streams"):
        sample(two_streams(model), noises[0], positive=each)
