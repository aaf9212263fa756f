"""Guided steps: how far a step goes to the warp, by hand, and through the host's samplers and guiders.

Letters and sizes: V = 3 views, T = 5 times, H = 16, W = 32; w: how far an estimate goes to the warp.
"""

import pytest
import torch
from latent_fixtures import condition, sample, text, vae, videos, wan  # noqa: F401


@pytest.fixture
def filled(comfy_inside, grid):
    guess, confidence, _ = comfy_inside.call("FourRealTransportFill", grid=grid)
    return {"guess": guess, "confidence": confidence}


@pytest.fixture
def guide(comfy_inside):
    def call(model, latent, **changes):
        settings = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0} | changes
        return comfy_inside.call("FourRealGuidedSteps", model=model, latent=latent, **settings)[0]

    return call


@pytest.fixture(scope="module")
def guided(comfy_inside):
    return comfy_inside.pack_host("guided")


def test_the_share_is_the_best_mean_of_two_estimates(guided):
    """lambda = v / ((1 - q) / q), w = lambda / (1 + lambda)."""
    for q, v in ((0.5, 1.0), (0.5, 0.25), (0.8, 0.1), (0.1, 0.9)):
        ratio = v * q / (1 - q)
        assert float(guided.guide_share(torch.tensor(q), v)) == pytest.approx(ratio / (1 + ratio))
    assert guided.guide_share(torch.tensor([0.0, 1.0]), 0.3).tolist() == [0.0, 1.0]
    assert guided.guide_share(torch.tensor([0.0, 0.5, 1.0]), 0.0).tolist() == [0.0, 0.0, 0.0]
    falling = [float(guided.guide_share(torch.tensor(0.7), v)) for v in (1.0, 0.6, 0.2, 0.05, 0.0)]
    rising = guided.guide_share(torch.linspace(0, 1, 9), 0.4)
    assert falling == sorted(falling, reverse=True) and (rising.diff() > 0).all()


def test_what_a_noise_level_leaves_open(guided, wan, comfy_inside):
    flow = wan.get_model_object("model_sampling")  # x = sigma noise + (1 - sigma) clean
    for sigma in (1.0, 0.5, 0.2, 0.0):
        expected = sigma**2 / (sigma**2 + (1 - sigma) ** 2)
        assert guided.open_share(flow, torch.tensor(sigma)) == pytest.approx(expected)


def test_a_step_is_the_models_estimate_pulled_towards_the_guess(comfy_inside, guided, wan, condition, filled, guide):
    """What the guider returns, for one noise level."""
    positive, negative, latent = condition(wan, **filled)
    x = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    plain, ours = (estimate(model, positive, negative, x, 0.6) for model in (wan, guide(wan, latent)))
    sure = latent[guided.SURE_KEY]
    assert sure.shape == (3, 1, 5, 2, 4) and (sure[0] == 1).all() and sure.min() >= 0 and sure.max() <= 1
    share = guided.guide_share(0.8 * sure, 0.36 / (0.36 + 0.16))
    towards = wan.model.process_latent_in(latent["samples"])
    assert torch.allclose(ours, plain + share * (towards - plain), atol=1e-5)


def estimate(model, positive, negative, x, sigma):
    """The clean estimate of the host's guider for this sample at this noise level."""
    import comfy.samplers

    found = []

    def once(inner, given, sigmas, extra_args=None, **more):
        found.append(inner(x, sigmas[:1].expand(len(x)), **(extra_args or {})))
        return given

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(3.0)
    with torch.inference_mode():
        guider.sample(
            torch.zeros_like(x), torch.zeros_like(x), comfy.samplers.KSAMPLER(once), torch.tensor([sigma, 0.0])
        )
    return found[0]


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "heun", "dpmpp_2m", "uni_pc", "res_multistep"])
def test_every_sampler_is_guided(wan, condition, sample, filled, guide, sampler):
    conditioned = condition(wan, **filled, hold_back=0.0)
    towards, free = conditioned[2]["samples"], condition(wan)[2]["noise_mask"][:, :, :, :1, :1] > 0
    plain = sample(wan, conditioned, sampler_name=sampler)["samples"]
    ours = sample(guide(wan, conditioned[2]), conditioned, sampler_name=sampler)["samples"]
    nothing = sample(guide(wan, conditioned[2], strength=0.0), conditioned, sampler_name=sampler)["samples"]
    assert torch.equal(nothing, plain)
    near, far = (((result - towards).abs() * free).mean() for result in (ours, plain))
    assert near < 0.9 * far and torch.isfinite(ours).all()
    kept = (conditioned[2]["noise_mask"] == 0).expand_as(ours)
    exact = (
        1e-5 if sampler != "uni_pc" else 0.01
    )  # whose last step extrapolates, guided or not; decoding puts the cells back
    assert torch.allclose(ours[kept], towards[kept], atol=exact)


def test_where_everything_is_certain_the_guess_comes_out(guided, wan, condition, sample, filled, guide):
    conditioned = condition(wan, guess=filled["guess"], confidence=torch.ones_like(filled["confidence"]), hold_back=0.0)
    ours = sample(guide(wan, conditioned[2], strength=1.0), conditioned)["samples"]
    assert torch.allclose(ours, conditioned[2]["samples"], atol=1e-4)


@pytest.mark.parametrize("guider", ["CFGGuider", "BasicGuider"])
def test_the_hosts_guiders_run_it(comfy_inside, wan, condition, filled, guide, guider):
    positive, negative, latent = condition(wan, **filled, hold_back=0.0)

    def run(model):
        told = (
            {"conditioning": positive}
            if guider == "BasicGuider"
            else {"positive": positive, "negative": negative, "cfg": 2.0}
        )
        [built] = comfy_inside.call(guider, model=model, **told)
        [noise] = comfy_inside.call("RandomNoise", noise_seed=3)
        [sampler] = comfy_inside.call("KSamplerSelect", sampler_name="euler")
        [sigmas] = comfy_inside.call("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)
        return comfy_inside.call(
            "SamplerCustomAdvanced", noise=noise, guider=built, sampler=sampler, sigmas=sigmas, latent_image=latent
        )[0]["samples"]

    plain, ours = run(wan), run(guide(wan, latent))
    assert (ours - latent["samples"]).abs().mean() < 0.9 * (plain - latent["samples"]).abs().mean()


@pytest.mark.parametrize("sync", ["hard", "alternating"])
def test_two_streams_are_guided_before_and_after(wan, condition, sample, filled, guide, two_streams, sync):
    conditioned = condition(wan, **filled, hold_back=0.0)
    before = sample(two_streams(guide(wan, conditioned[2]), sync=sync), conditioned)["samples"]
    after = sample(guide(two_streams(wan, sync=sync), conditioned[2]), conditioned)["samples"]
    assert torch.equal(before, after)
    assert (after - sample(two_streams(wan, sync=sync), conditioned)["samples"]).abs().max() > 1e-3


def test_the_range_of_sampling_and_a_guide_of_its_own_for_each_clone(wan, condition, sample, filled, guide):
    conditioned = condition(wan, **filled, hold_back=0.0)
    plain, whole = (sample(model, conditioned)["samples"] for model in (wan, guide(wan, conditioned[2])))
    early = sample(guide(wan, conditioned[2], end_percent=0.5), conditioned)["samples"]
    assert (early - plain).abs().max() > 1e-3 and (early - whole).abs().max() > 1e-5
    again = guide(guide(wan, conditioned[2], strength=0.3), conditioned[2])
    assert torch.equal(sample(again, conditioned)["samples"], whole)
    assert torch.equal(sample(wan, conditioned)["samples"], plain)


def test_bad_input_gets_one_sentence(comfy_inside, wan, condition, sample, filled, guide):
    conditioned = condition(wan, **filled)
    with pytest.raises(ValueError, match="expected a latent with a guess and its confidence"):
        guide(wan, condition(wan)[2])
    with pytest.raises(ValueError, match="expected start_percent below end_percent"):
        guide(wan, conditioned[2], start_percent=0.5, end_percent=0.5)
    with pytest.raises(ValueError, match="the guide is a latent of shape"):
        other = {**conditioned[2], "samples": conditioned[2]["samples"][:2]}
        sample(guide(wan, other), conditioned)
