"""Fused view-time attention inside Wan's blocks: exact against dense masked attention, and the host's own on one axis.

Letters and sizes: tests/host/inside/tiny_backbones.py; k chunks of conditioning, S tokens per frame, D width.
"""

import pytest
import tiny_backbones as tiny
import torch
from tiny_backbones import T, V, exchanged, sample, text


@pytest.fixture(scope="module")
def model(comfy_inside):
    return tiny.wan()


@pytest.fixture
def fused(comfy_inside):
    def patch(model, **settings):
        settings = {"sync": "fused", "strength": 1.0, "output": "mean"} | settings
        return comfy_inside.call("FourRealTwoStream", model=model, **settings)[0]

    return patch


def test_attention_equals_dense_attention_with_a_mask(comfy_inside):
    layout = comfy_inside.pack_host("two_stream.layout").Layout(chunks=2, views=V, times=T, frame_size=(2, 2))
    fused_attention = comfy_inside.pack_host("two_stream.fused").fused_attention
    q, k, v = torch.randn(3, 2 * V, T * 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    view, time, _ = (
        axis.flatten() for axis in torch.meshgrid(torch.arange(V), torch.arange(T), torch.arange(4), indexing="ij")
    )
    seen = (view[:, None] == view) | (time[:, None] == time)
    whole = (x.reshape(2, V * T * 4, 6) for x in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(*whole, attn_mask=seen).reshape(2 * V, T * 4, 6)
    assert torch.allclose(fused_attention(torch.nn.functional.scaled_dot_product_attention, q, k, v, layout), expected)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_single_view_or_time_is_the_hosts_video(model, fused, cfg):
    one_view, one_time = tiny.noise()[:1], tiny.noise()[:, :, :1]
    assert torch.allclose(sample(fused(model), one_view, cfg=cfg), sample(model, one_view, cfg=cfg), atol=2e-5)
    over_views = exchanged(sample(model, exchanged(one_time), cfg=cfg))
    assert torch.allclose(sample(fused(model), one_time, cfg=cfg), over_views, atol=2e-5)


def test_exchanging_views_and_times_exchanges_the_result(model, fused):
    grid = sample(fused(model), tiny.noise(), cfg=4.0)
    assert torch.allclose(exchanged(sample(fused(model), exchanged(tiny.noise()), cfg=4.0)), grid, atol=2e-5)
    assert (grid - sample(model, tiny.noise(), cfg=4.0)).abs().max() > 0.02


def test_known_frames_and_timesteps_per_frame(fused):
    """Wan 2.2 5B: what differs from frame to frame goes with the frame."""
    model = tiny.wan(in_dim=48, out_dim=48)
    start, mask = torch.randn(V, 48, T, 4, 8, generator=torch.Generator().manual_seed(2)), torch.ones(V, 1, T, 4, 8)
    mask[0], mask[:, :, 0] = 0, 0
    grid = sample(fused(model), tiny.noise(48), start=start, mask=mask)
    turned = sample(fused(model), exchanged(tiny.noise(48)), start=exchanged(start), mask=exchanged(mask))
    assert torch.allclose(exchanged(turned), grid, atol=2e-5)


def test_outside_its_layers_the_block_is_the_hosts(model, fused):
    whole, half = (sample(fused(model, last_layer=last), tiny.noise()) for last in (1.0, 0.34))
    assert (whole - half).abs().max() > 0.001
    off = sample(fused(model, start_percent=0.999), tiny.noise())
    two_streams = fused(model, sync="off")
    assert torch.equal(off, sample(two_streams, tiny.noise()))


def test_another_packs_attention_is_used_inside(model, fused):
    calls = []

    def counted(function, *args, **kwargs):
        calls.append(args[0].shape[1:])
        return function(*args, **kwargs)

    counting = model.clone()
    counting.model_options["transformer_options"] = {"optimized_attention_override": counted}
    assert torch.equal(sample(fused(counting), tiny.noise()), sample(fused(model), tiny.noise()))
    tokens_per_frame, width = 2 * 4, 48
    assert (tokens_per_frame, width) in calls  # one frame of queries at a time, with the keys that it sees


def test_scaled_positions_of_the_host_are_kept(model, fused):
    """The host's ScaleROPE: a single view is still the host's video."""
    scaled = model.clone()
    scaled.model_options["transformer_options"] = {"rope_options": {"scale_t": 0.5, "shift_t": 2.0, "scale_x": 1.5}}
    one_view = tiny.noise()[:1]
    host = sample(scaled, one_view)
    assert torch.allclose(sample(fused(scaled), one_view), host, atol=2e-5)
    assert (host - sample(model, one_view)).abs().max() > 0.001


def test_a_prompt_per_stream_gets_one_sentence(comfy_inside, model, fused):
    import comfy.conds

    name = comfy_inside.pack_host("two_stream.host_call").VIEW_TEXT
    [[positive, _]], [[of_views, _]] = text(1), text(4)
    both = [[positive, {"model_conds": {name: comfy.conds.CONDRegular(of_views)}}]]
    with pytest.raises(ValueError, match="fused is a single stream"):
        sample(fused(model), tiny.noise(), positive=both)
