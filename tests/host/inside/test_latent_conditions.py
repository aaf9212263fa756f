"""What the host's video models are told about a grid's known cells, and grids through 4Real Two-Stream from end to end.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames of a view, C latent channels, F = 4 frames per latent frame.
"""

import pytest
import tiny_backbones as tiny
import torch
from exchanging import exchanged
from latent_fixtures import codec, condition, sample, text, vae, videos, wan, wan_i2v, wan_vace, watched  # noqa: F401


@pytest.fixture
def two_streams(comfy_inside):
    return lambda model: comfy_inside.call("FourRealTwoStream", model=model, sync="hard", strength=1.0, output="mean")[
        0
    ]


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
def test_image_to_video_weights_see_the_known_cells_in_both_streams_layouts(
    wan_i2v, vae, condition, sample, grid, encoding
):
    conditioned = condition(wan_i2v, encoding=encoding)
    model, calls = watched(wan_i2v)
    sample(model, conditioned, steps=1)
    x, _, _ = calls[0]
    length = 2 if encoding == "native" else 5
    assert x.shape == (6, 36, length, 2, 4)  # negative and positive, 3 views each
    assert torch.equal(x[:3, 16:], x[3:, 16:])
    given_VFL = x[:3, 16:20].mean((3, 4))
    assert torch.equal(given_VFL[0], torch.ones(4, length))
    first = torch.zeros(4, length)
    first[:, 0] = 1  # the host shows a first frame as 4 given frames, and so do we
    assert torch.equal(given_VFL[1], first) and torch.equal(given_VFL[2], first)
    video = grid.frames[1].clone()
    video[1:] = 0.5
    repeats = torch.tensor([1] + [4] * 4)
    if encoding == "frame":
        expected = torch.cat([vae.encode(cell[None]) for cell in video], 2)
    else:
        expected = vae.encode(video.repeat_interleave(repeats, 0) if encoding == "hold" else video)
    assert torch.allclose(x[1:2, 20:], wan_i2v.model.process_latent_in(expected), atol=1e-5)


def test_image_to_video_input_of_the_view_stream_is_that_of_the_exchanged_grid(wan_i2v, condition, sample, grid):
    seen = []
    for given in (grid, exchanged(grid)):
        model, calls = watched(wan_i2v)
        sample(model, condition(wan_i2v, grid=given, encoding="frame"), steps=1)
        seen.append(calls[0][0][: given.views, 16:])
    assert torch.equal(seen[0].transpose(0, 2), seen[1])


def test_hunyuan_15_sees_known_cells_and_nothing_elsewhere(comfy_inside, codec, grid, two_streams):
    """One kind of weights for text and for images; the host alone fails on a grid's noise mask."""
    latents, model = comfy_inside.pack_host("known_cells"), tiny.hunyuan15()
    assert latents.needed_condition(model) == "image to video"
    shown, mask = torch.randn(3, 32, 5, 4, 8, generator=torch.Generator().manual_seed(1)), torch.ones(3, 1, 5, 4, 8)
    mask[0], mask[:, :, 0] = 0, 0
    told = latents.known_cell_conditions(model, latents.LatentGrid(grid, "frame", codec), "image to video", shown, 1.0)
    assert torch.equal(told["concat_latent_image"], shown * (1 - mask)) and torch.equal(told["concat_mask"], mask)
    watching, calls = watched(model)
    prompts = {name: tiny.text(1, pooled_output=None, **told) for name in ("positive", "negative")}
    sampled = tiny.sample(two_streams(watching), tiny.noise(32), start=shown, mask=mask, **prompts)
    assert torch.equal(calls[0][0][:3, 64:], 1 - mask) and torch.allclose(sampled[0], shown[0], atol=1e-5)


def test_kandinsky_is_told_nothing_beside_the_noise_mask(comfy_inside, condition, sample, grid, two_streams):
    """Where the host would make the noise mask an input of the network, with too many channels."""
    model, pooled = tiny.kandinsky(), {"pooled_output": torch.ones(1, 8)}
    conditioned = condition(model, positive=tiny.text(1, **pooled), negative=tiny.text(2, **pooled))
    watching, calls = watched(model)
    sampled = sample(two_streams(watching), conditioned)["samples"]
    assert calls[0][0].shape[1] == 33 and not calls[0][0][:, 16:].any()
    assert torch.allclose(sampled[0], conditioned[2]["samples"][0], atol=1e-5)


def test_vace_weights_see_known_frames_grey_and_the_mask(wan_vace, vae, condition, sample, grid):
    conditioned = condition(wan_vace, vace_strength=0.75)
    model, calls = watched(wan_vace)
    sample(model, conditioned, steps=1)
    context = calls[0][2]["vace_context"]
    assert context.shape == (6, 1, 96, 5, 2, 4) and calls[0][2]["vace_strength"] == [0.75]
    inactive, reactive, mask = context[:3, 0, :16], context[:3, 0, 16:32], context[:3, 0, 32:]
    video = grid.frames[1, :1].repeat_interleave(17, 0)
    video[1:] = 0.5
    process = wan_vace.model.process_latent_in
    assert torch.allclose(inactive[1:2], process(vae.encode(video)), atol=1e-5)
    assert torch.allclose(reactive[2:], process(vae.encode(torch.full_like(video, 0.5))), atol=1e-5)
    assert torch.equal(mask, (~grid.known).float()[:, None, :, None, None].expand(-1, 64, -1, 2, 4))


def test_vace_masks_of_native_latents_are_as_the_host_makes_them(wan_vace, condition):
    positive, _, _ = condition(wan_vace, encoding="native")
    mask = positive[0][1]["vace_mask"][0]
    assert mask.shape == (3, 64, 2, 2, 4)
    assert not mask[0].any() and mask[1].all()  # nearest of 5 frames for 2 latents: frames 1 and 3


def test_the_choice_overrides_what_the_weights_want(wan_i2v, condition):
    positive, _, _ = condition(wan_i2v, known_cells="noise mask only")
    assert "concat_latent_image" not in positive[0][1]
    assert "vace_frames" in condition(wan_i2v, known_cells="vace")[0][0][1]


def test_the_view_streams_prompt_reaches_the_network_beside_the_other(wan, condition, sample, text):
    model, calls = watched(wan)
    mask = torch.ones(1, 6)
    view = [[text["view"][0][0], {"attention_mask": mask}]]
    told = sample(model, condition(wan, positive_view=view, negative_view=view), steps=1)
    given = calls[0][2]
    assert torch.equal(given["fourreal_view_text"], text["view"][0][0].expand(6, -1, -1))
    assert torch.equal(given["fourreal_view_text_mask"], mask.expand(6, -1))
    calls.clear()
    plain = sample(model, condition(wan), steps=1)
    assert "fourreal_view_text" not in calls[0][2]
    assert torch.equal(told["samples"], plain["samples"])  # only the two-stream patch reads it


def test_without_a_negative_view_prompt_both_streams_share_the_negative_one(wan, condition, sample, text):
    model, calls = watched(wan)
    sample(model, condition(wan, positive_view=text["view"]), steps=1)
    context = calls[0][2]["fourreal_view_text"]
    assert len(calls) == 1 and torch.equal(
        context[:3], text["negative"][0][0].expand(3, -1, -1)
    )  # the host puts negative first
    assert torch.equal(context[3:], text["view"][0][0].expand(3, -1, -1))


def test_two_stages_of_sampling_equal_one(comfy_inside, wan, two_streams, condition, grid):
    positive, negative, latent = condition(wan, guess=comfy_inside.call("FourRealTransportFill", grid=grid)[0])
    model = two_streams(wan)

    def run(latent, first, last, add_noise):
        return comfy_inside.call(
            "KSamplerAdvanced", model=model, add_noise=add_noise, noise_seed=3, steps=6, cfg=1.0, sampler_name="euler", scheduler="simple",
            positive=positive, negative=negative, latent_image=latent, start_at_step=first, end_at_step=last,
            return_with_leftover_noise="enable" if last < 6 else "disable",
        )[0]  # fmt: skip

    whole, stages = run(latent, 0, 6, "enable"), run(run(latent, 0, 3, "enable"), 3, 6, "disable")
    assert torch.allclose(stages["samples"], whole["samples"], atol=1e-4)
    kept = (latent["noise_mask"] == 0).expand_as(latent["samples"])
    assert torch.allclose(stages["samples"][kept], latent["samples"][kept], atol=1e-5)
    with pytest.raises(ValueError, match="latent and conditioning of the same 4Real Latent Grid Conditioning"):
        run({**latent, "samples": latent["samples"][:2], "noise_mask": latent["noise_mask"][:2]}, 3, 6, "disable")


@pytest.mark.parametrize("encoding", ["hold", "frame", "native"])
@pytest.mark.parametrize("name", ["wan", "wan_i2v", "wan_vace"])
def test_a_grid_through_two_streams(
    comfy_inside, request, two_streams, vae, condition, sample, grid, text, name, encoding
):
    alone = request.getfixturevalue(name)
    model = two_streams(alone)
    conditioned = condition(model, encoding=encoding, positive_view=text["view"])
    start, mask = conditioned[2]["samples"], conditioned[2]["noise_mask"]
    sampled, shared_text = sample(model, conditioned), sample(model, condition(model, encoding=encoding))
    kept = (mask == 0).expand_as(start)
    assert torch.allclose(sampled["samples"][kept], start[kept], atol=1e-5)
    assert (sampled["samples"] - shared_text["samples"]).abs().mean() > 1e-3  # the view stream reads its own text
    assert (shared_text["samples"] - sample(alone, condition(alone, encoding=encoding))["samples"]).abs().mean() > 1e-3
    [filled] = comfy_inside.call("FourRealGridDecode", latent=sampled, vae=vae)
    assert torch.equal(filled.frames[grid.known], grid.frames[grid.known])


@pytest.mark.parametrize("name", ["wan", "wan_i2v", "wan_vace"])
def test_exchanging_views_and_times_exchanges_the_result(request, two_streams, condition, grid, name):
    """With the frame encoding and hard synchronization both streams know the same."""
    model = two_streams(request.getfixturevalue(name))
    noise = torch.randn(3, 16, 5, 2, 4, generator=torch.Generator().manual_seed(4))
    results = []
    for given, its_noise in ((grid, noise), (exchanged(grid), tiny.exchanged(noise))):
        positive, negative, latent = condition(model, grid=given, encoding="frame")
        results.append(
            tiny.sample(
                model,
                its_noise,
                positive=positive,
                negative=negative,
                cfg=2.0,
                mask=latent["noise_mask"],
                start=latent["samples"],
            )
        )
    assert torch.allclose(results[0], tiny.exchanged(results[1]), atol=1e-5)


def test_hunyuan_image_to_video_with_a_view_text_of_another_length(two_streams, condition, sample, grid):
    sizes = {
        "in_channels": 33,
        "out_channels": 16,
        "patch_size": [1, 2, 2],
        "hidden_size": 32,
        "num_heads": 2,
        "depth": 1,
    }
    given = {
        "context_in_dim": tiny.TEXT_WIDTH,
        "vec_in_dim": 768,
        "byt5": False,
        "vision_in_dim": None,
        "use_cond_type_embedding": False,
    }
    more = {
        "depth_single_blocks": 1,
        "axes_dim": [4, 6, 6],
        "theta": 256,
        "qkv_bias": True,
        "guidance_embed": True,
        "mlp_ratio": 2.0,
    }
    kind = {"image_model": "hunyuan_video", "meanflow": False, "meanflow_sum": False}
    model, calls = watched(two_streams(tiny.of_family("HunyuanVideoI2V", **kind, **sizes, **given, **more)))
    short, long = (tiny.text(length, length=length, pooled_output=torch.zeros(1, 768)) for length in (6, 9))
    conditioned = condition(
        model, encoding="native", positive=short, negative=short, positive_view=long, negative_view=long
    )
    sampled = sample(model, conditioned, steps=1)
    x, image = calls[0][0], conditioned[0][0][1]["concat_latent_image"]
    assert torch.equal(x[:3, 32, :, 0, 0], torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))  # 1: given, one channel
    assert torch.allclose(x[:3, 16:32], model.model.process_latent_in(image), atol=1e-5)
    assert torch.allclose(sampled["samples"][0], conditioned[2]["samples"][0], atol=1e-5)
