"""Live preview: at every sampling step the whole grid appears on the sampling node as one contact sheet."""

import comfy.model_management
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from PIL import Image

from ..fourreal_core.contact_sheet import contact_sheet
from ..fourreal_core.flow import from_model

PREVIEW_KEY = "fourreal_preview"
PREVIEW_SIDE = 1024  # pixels of the longer side sent to the browser at each step
CALLBACK = 5  # its position in outer_sample(noise, latent_image, sampler, sigmas, denoise_mask, callback, ...)


def attach_grid_preview(patcher):
    """Add the preview to a MODEL, in place; it serves every sampler node of the host and 4Real Sampler alike."""
    patcher.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW_KEY)
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW_KEY, _sample_with_preview)


def _sample_with_preview(executor, *args, **kwargs):
    if len(args) > CALLBACK:
        args = (*args[:CALLBACK], _sheet_callback(args[CALLBACK]), *args[CALLBACK + 1:])
    else:
        kwargs = kwargs | {"callback": _sheet_callback(kwargs.get("callback"))}
    return executor(*args, **kwargs)


def _sheet_callback(host_callback):
    bar = None

    def callback(step, denoised, x, total_steps):
        nonlocal bar
        comfy.model_management.throw_exception_if_processing_interrupted()
        if host_callback is not None:
            host_callback(step, denoised, x, total_steps)
        bar = bar or comfy.utils.ProgressBar(total_steps)
        bar.update_absolute(step + 1, total_steps, ("JPEG", sheet_image(denoised), PREVIEW_SIDE))

    return callback


def sheet_image(latent_VCTHW):
    """A grid in the middle of sampling, [V, 3, T, H, W] in -1..1, as a picture."""
    frames_VTHWC = from_model(latent_VCTHW.float().cpu())
    sheet_HWC = contact_sheet(frames_VTHWC, max_side=PREVIEW_SIDE)
    return Image.fromarray((sheet_HWC * 255).round().to(torch.uint8).numpy())
