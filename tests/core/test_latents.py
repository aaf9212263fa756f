"""Frame encodings on VAEs whose latents say which frames they have seen.

Letters: V = 3 views, T = 5 times, H = 6, W = 10, 4 pixels and 2 frames per latent; C channels, h w latent pixels.
"""

import dataclasses

import pytest
import torch
import torch.nn.functional as functional

from fourreal_core.sampling.latents import Codec, cell_flags, decode_frames, encode_frames, latent_cells, redo_mask

PACKED, PIXELS = 2, 4


def picture(video_NHWC):
    """[N, H, W, 3] -> [N, 3, h, w], the mean colour of each latent pixel."""
    return functional.avg_pool2d(video_NHWC.movedim(-1, 1), PIXELS)


def causal_encode(video_NHWC):
    """Channels: the mean colour of a latent frame's own frames, and of all frames up to its last."""
    assert (
        (len(video_NHWC) - 1) % PACKED == 0 and video_NHWC.shape[1] % PIXELS == 0 and video_NHWC.shape[2] % PIXELS == 0
    )
    small_NChw = picture(video_NHWC)
    ends = range(1, len(small_NChw) + 1, PACKED)
    own = [small_NChw[max(0, end - PACKED) : end].mean(0) for end in ends]
    seen = [small_NChw[:end].mean(0) for end in ends]
    return torch.cat([torch.stack(own, 1), torch.stack(seen, 1)])


def causal_decode(latent_CLhw):
    """The own colour of each latent frame, once for the first and PACKED times for the others."""
    repeats = torch.tensor([1] + [PACKED] * (latent_CLhw.shape[1] - 1))
    small_CNhw = latent_CLhw[:3].repeat_interleave(repeats, 1)
    return small_CNhw.movedim(0, -1).repeat_interleave(PIXELS, 1).repeat_interleave(PIXELS, 2)


CODEC = Codec(causal_encode, causal_decode, channels=6, frames_per_latent=PACKED, pixels_per_latent=PIXELS)


@pytest.fixture
def flat_frames():
    """Frames of one colour each: what the decoder above can give back."""
    return torch.rand(3, 5, 1, 1, 3, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 6, 10, -1).contiguous()


@pytest.mark.parametrize("encoding", ["hold", "frame"])
def test_encoding_and_decoding_gives_the_frames_back(flat_frames, encoding):
    latent = encode_frames(flat_frames, encoding, CODEC)
    assert latent.shape == (3, 6, 5, 2, 3)
    assert torch.allclose(decode_frames(latent, encoding, CODEC, (3, 5, 6, 10)), flat_frames, atol=1e-6)


def test_native_packs_times_and_keeps_views_apart(flat_frames):
    latent = encode_frames(flat_frames, "native", CODEC)
    assert latent.shape == (3, 6, 3, 2, 3)
    decoded = decode_frames(latent, "native", CODEC, (3, 5, 6, 10))
    assert torch.allclose(decoded[:, 0], flat_frames[:, 0], atol=1e-6)
    assert torch.allclose(decoded[:, 3], flat_frames[:, 3:].mean(1), atol=1e-6)


def test_every_encoding_says_which_times_a_latent_frame_shows():
    assert [list(step) for step in latent_cells("native", 5, CODEC)] == [[0], [1, 2], [3, 4]]
    assert [list(step) for step in latent_cells("hold", 3, CODEC)] == [[0], [1], [2]]


@pytest.mark.parametrize(("encoding", "seen"), [("frame", {2}), ("hold", {2, 3, 4}), ("native", {1, 2})])
def test_a_cell_reaches_only_its_own_view_and_never_an_earlier_latent_frame(flat_frames, encoding, seen):
    changed = flat_frames.clone()
    changed[1, 2] = 1 - changed[1, 2]
    difference = (
        (encode_frames(changed, encoding, CODEC) - encode_frames(flat_frames, encoding, CODEC)).abs().amax((1, 3, 4))
    )
    assert {(view, step) for view, step in (difference > 1e-6).nonzero().tolist()} == {(1, step) for step in seen}


def test_frame_encoding_exchanges_with_views_and_times(flat_frames):
    latent = encode_frames(flat_frames, "frame", CODEC)
    exchanged = encode_frames(flat_frames.transpose(0, 1), "frame", CODEC)
    assert torch.equal(latent.transpose(0, 2), exchanged)


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_only_what_is_wanted_goes_through_the_vae(flat_frames, encoding):
    wanted = torch.zeros(3, 5, dtype=torch.bool)
    wanted[0], wanted[1, 0] = True, True
    counted, whole = [], encode_frames(flat_frames, encoding, CODEC)
    part = encode_frames(
        flat_frames, encoding, CODEC, wanted, on_piece=lambda done, total: counted.append((done, total))
    )
    assert torch.equal(part[0], whole[0]) and torch.equal(part[1, :, 0], whole[1, :, 0])
    assert not part[1, :, 1:].any() and not part[2].any()
    pieces = 6 if encoding == "frame" else 2
    assert counted == [(done, pieces) for done in range(1, pieces + 1)]
    decoded = decode_frames(whole, encoding, CODEC, (3, 5, 6, 10), wanted)
    assert (
        torch.equal(decoded[wanted], decode_frames(whole, encoding, CODEC, (3, 5, 6, 10))[wanted])
        and not decoded[2].any()
    )


def test_raising_between_two_pieces_cancels(flat_frames):
    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_frames(flat_frames, "frame", CODEC, on_piece=cancel)


def test_frames_are_padded_with_their_last_pixels():
    frames = torch.arange(6 * 10.0).reshape(1, 1, 6, 10, 1).expand(-1, -1, -1, -1, 3) / 60
    latent = encode_frames(frames, "frame", CODEC)
    corner = frames[0, 0, 4:6, 8:10, 0]
    expected = torch.cat([corner, corner[1:].expand(2, -1)], 0)
    expected = torch.cat([expected, expected[:, 1:].expand(-1, 2)], 1).mean()
    assert torch.allclose(latent[0, 0, 0, 1, 2], expected)


def test_frames_are_padded_to_whole_tokens_of_the_model():
    codec = dataclasses.replace(CODEC, patch=2)
    frames = torch.rand(2, 3, 6, 10, 3, generator=torch.Generator().manual_seed(0))
    latent = encode_frames(frames, "frame", codec)
    assert latent.shape == (2, 6, 3, 2, 4) and redo_mask(frames[..., 0], "frame", codec).shape == (2, 1, 3, 2, 4)
    assert torch.equal(latent[..., :3], encode_frames(frames, "frame", CODEC))
    assert torch.equal(
        decode_frames(latent, "frame", CODEC, (2, 3, 6, 10)), decode_frames(latent, "frame", codec, (2, 3, 6, 10))
    )


def test_the_mask_keeps_known_cells_and_follows_the_pixels():
    redo = torch.ones(3, 5, 8, 12)
    redo[0], redo[:, 0] = 0, 0
    redo[2, 3, :4, :4] = 0.25
    for encoding in ("hold", "frame"):
        mask = redo_mask(redo, encoding, CODEC)
        assert mask.shape == (3, 1, 5, 2, 3)
        assert not mask[0].any() and not mask[:, :, 0].any()
        assert mask[2, 0, 3, 0, 0] == 0.25 and mask[2, 0, 3].sum() == 5.25 and mask[1, :, 1:].min() == 1


def test_a_latent_frame_is_redone_as_strongly_as_its_unknown_cells():
    redo = torch.ones(1, 5, 8, 12)
    redo[0, :2], redo[0, 2], redo[0, 4] = 0, 0.5, 0
    mask = redo_mask(redo, "native", CODEC)
    assert mask[0, 0, :, 0, 0].tolist() == [0, 0.5, 1]


def test_flags_have_one_channel_per_packed_frame():
    flags = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    assert cell_flags(flags, "native", CODEC)[1].tolist() == [[5, 6, 8], [5, 7, 9]]
    assert cell_flags(flags, "hold", CODEC)[0].tolist() == [[0, 1, 2, 3, 4]] * 2


def test_unfitting_times_get_the_nearest_fitting_ones():
    with pytest.raises(ValueError, match="2 n [+] 1 times .* got 6: use 5 or 7 times, or the encoding hold or frame"):
        encode_frames(torch.zeros(1, 6, 4, 4, 3), "native", CODEC)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((3, 6, 5, 2, 3), True),
        ((3, 6, 5, 3, 4), True),
        ((2, 6, 5, 2, 3), False),
        ((3, 6, 4, 2, 3), False),
        ((3, 5, 5, 2, 3), False),
        ((3, 6, 5, 2, 5), False),
    ],
)
def test_a_latent_of_another_shape_gets_one_clear_sentence(shape, fits):
    latent = torch.zeros(shape)
    if fits:
        assert decode_frames(latent, "hold", CODEC, (3, 5, 6, 10)).shape == (3, 5, 6, 10, 3)
        return
    with pytest.raises(ValueError, match=r"expected a latent of shape \(3, 6, 5, 2, 3\) .* connect the grid, the VAE"):
        decode_frames(latent, "hold", CODEC, (3, 5, 6, 10))


def test_broken_numbers_and_unknown_encodings_get_one_clear_sentence():
    with pytest.raises(ValueError, match="not finite"):
        decode_frames(torch.full((3, 6, 5, 2, 3), float("nan")), "frame", CODEC, (3, 5, 6, 10))
    with pytest.raises(ValueError, match="one of hold, frame, native, got 'still'"):
        latent_cells("still", 5, CODEC)
