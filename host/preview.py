"""Live preview: at every sampling step the whole grid appears on the sampling node as one contact sheet."""

from collections.abc import Callable

import comfy.model_management
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from PIL import Image

from ..fourreal_core.flow import from_model
from ..fourreal_core.show.contact_sheet import contact_sheet

PREVIEW_KEY = "fourreal_preview"
PREVIEW_SIDE = 1024  # pixels of the longer side sent to the browser at each step


class OnBar:
    """A sampler's callback that has its steps shown on a bar which is there already. move(share of the steps, picture)."""

    def __init__(self, move: Callable[[float, object], None]):
        self.move = move

    def __call__(self, step, denoised, x, total_steps):
        """Nothing: the preview moves the bar."""


def attach_grid_preview(patcher):
    """Add the preview to a MODEL, in place; it serves every sampler node of the host and 4Real Sampler alike."""
    patcher.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW_KEY)
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, PREVIEW_KEY, _sample_with_preview)


def _sample_with_preview(
    executor, noise, latent_image, sampler, sigmas, denoise_mask=None, callback=None, *args, **kwargs
):
    """An OUTER_SAMPLE wrapper: the sampler's own callback with the preview added."""
    callback = _sheet_callback(callback, _held_cells(denoise_mask))
    return executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs)


def _held_cells(mask_VCTHW):
    """Cells [V, T] that the noise mask keeps; None without a mask."""
    return None if mask_VCTHW is None else mask_VCTHW[:, 0, :, 0, 0] == 0


def _sheet_callback(host_callback, known_VT):
    bar = None

    def callback(step, denoised, x, total_steps):
        nonlocal bar
        comfy.model_management.throw_exception_if_processing_interrupted()
        if host_callback is not None:
            host_callback(step, denoised, x, total_steps)
        picture = "JPEG", sheet_image(denoised, known_VT), PREVIEW_SIDE
        if isinstance(host_callback, OnBar):
            host_callback.move((step + 1) / total_steps, picture)
            return
        bar = bar or comfy.utils.ProgressBar(total_steps)
        bar.update_absolute(step + 1, total_steps, picture)

    return callback


def sheet_image(latent_VCTHW, known_VT=None):
    """A grid in the middle of sampling, [V, 3, T, H, W] in -1..1, as a picture; known cells are framed."""
    frames_VTHWC = from_model(latent_VCTHW.float())
    sheet_HWC = contact_sheet(frames_VTHWC, known_VT, max_side=PREVIEW_SIDE)
    return Image.fromarray((sheet_HWC * 255).round().to(torch.uint8).numpy())
