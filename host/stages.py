"""Known cells of a latent grid through sampling in several stages, as with the two experts of Wan 2.2 14B.

A host sampler that goes on from the leftover noise of another holds masked cells at what it gets, which is still noisy: known cells
would end as noise. Here what it gets is told apart again into clean latents and noise, so that stages equal one run.

Letters: V views, C latent channels, L latent frames of a view, h w latent pixels.
"""

import torch
from comfy.patcher_extension import WrappersMP

KNOWN_LATENTS = (
    "fourreal_known"  # in every entry of a conditioning: the latents that sampling started from, [V, C, L, h, w]
)


def keep_known_cells(patcher) -> None:
    """Make a MODEL, in place, hold known cells in every stage of sampling. Without our conditioning it changes nothing."""
    patcher.remove_wrappers_with_key(WrappersMP.SAMPLER_SAMPLE, KNOWN_LATENTS)
    patcher.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KNOWN_LATENTS, _sample_keeping_known_cells)


def _sample_keeping_known_cells(
    executor, guider, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, *args
):
    """A SAMPLER_SAMPLE wrapper; noise and latents are those that the network works with."""
    known = _known_latents(guider.conds)
    goes_on = denoise_mask is not None and not noise.any()  # a first stage brings noise of its own
    if known is not None and goes_on and sigmas[0] > 0:
        if known.shape != latent_image.shape:
            raise ValueError(
                f"the conditioning is for a latent of shape {tuple(known.shape)}, but the sampler got one of "
                f"shape {tuple(latent_image.shape)}: connect latent and conditioning of the same 4Real Latent "
                "Grid Conditioning"
            )
        clean_VCLhw = guider.inner_model.process_latent_in(known.to(latent_image))
        noise = _leftover_noise(guider.inner_model.model_sampling, sigmas[0], latent_image, clean_VCLhw)
        latent_image = clean_VCLhw
    return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *args)


def _known_latents(conds: dict) -> torch.Tensor | None:
    entries = [entry for name in conds for entry in conds[name]]
    return next((entry[KNOWN_LATENTS] for entry in entries if KNOWN_LATENTS in entry), None)


def _leftover_noise(model_sampling, sigma, latent_VCLhw, clean_VCLhw):
    """The noise with which the clean latents start where these latents do without noise; scaling is linear in both."""
    nothing = torch.zeros_like(latent_VCLhw)
    start = model_sampling.noise_scaling(sigma, nothing, latent_VCLhw)
    share = model_sampling.noise_scaling(sigma, torch.ones_like(nothing), nothing)
    return (start - model_sampling.noise_scaling(sigma, nothing, clean_VCLhw)) / share
