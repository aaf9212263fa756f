"""One call of a model in training, as the host's samplers make it, and how wrong it is.

Noise, noise levels and what the network's output means are those of the MODEL's own `model_sampling`.

Letters: V views, T times, C latent channels, L latent frames of a view, h w latent pixels.
"""

from dataclasses import dataclass, field
from typing import Any

import comfy.conds
import comfy.model_management
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor

from ...fourreal_core.grid import FrameGrid
from ...fourreal_core.sampling.latents import Codec, encode_frames, redo_mask
from ...fourreal_core.training.footage.sync_examples import LatentExample
from ...fourreal_core.training.sync_loop import Draw
from ..known_cells import MASK_ONLY, LatentGrid, known_cell_conditions, needed_condition, with_view_prompt

Conditioning = list  # of [text, values], as the host's


@dataclass(frozen=True)
class Prompts:
    """What both streams are told; the view stream's own text is in the conditioning already (`with_view_prompt`)."""

    positive: Conditioning
    negative: Conditioning

    @classmethod
    def of(
        cls,
        positive: Conditioning,
        negative: Conditioning | None,
        positive_view: Conditioning | None,
        negative_view: Conditioning | None,
    ) -> "Prompts":
        """Without negative prompts the positive ones stand in, without prompts of the view stream those of the other."""
        negative = negative or positive
        if positive_view is None and negative_view is None:
            return cls(positive, negative)
        return cls(
            with_view_prompt(positive, positive_view or positive), with_view_prompt(negative, negative_view or negative)
        )

    def with_gradients(self) -> "Prompts":
        """The same tensors outside of inference mode."""
        return Prompts(_released(self.positive), _released(self.negative))


@dataclass(frozen=True)
class GreyOnce(LatentGrid):
    """A grid whose own latents are there already: only grey is encoded, once per shape. kept: what was."""

    kept: dict = field(default_factory=dict)

    def encode(self, unknown: float, wanted_VT: Tensor | None = None) -> Tensor:
        shape = tuple(self.grid.frames.shape)
        if shape not in self.kept:
            self.kept[shape] = encode_frames(torch.full(shape, unknown), self.encoding, self.codec)
        return self.kept[shape]


@dataclass(frozen=True)
class Trainee:
    """A `training_copy`, the prompts and the way grids were encoded. Its error is asked for while it is `loaded`.

    grey: latents of grey grids, which VACE is told beside each grid, by shape.
    """

    patcher: Any
    prompts: Prompts
    encoding: str
    codec: Codec
    grey: dict = field(default_factory=dict)

    def told(self, example: LatentExample) -> dict:
        """What the model is told about known cells beside the noise mask, as *4Real Latent Grid Conditioning* does for sampling."""
        kind = needed_condition(self.patcher)
        if example.shown is None and kind != MASK_ONLY:
            return {}
        height, width = (side * self.codec.pixels_per_latent for side in example.clean.shape[-2:])
        blank = FrameGrid(torch.zeros(*example.known.shape, height, width, 3), example.known)
        latents = GreyOnce(blank, self.encoding, self.codec, kept=self.grey)
        shown = example.clean if example.shown is None else example.shown
        return known_cell_conditions(self.patcher, latents, kind, shown, 1.0)

    def mask(self, example: LatentExample) -> Tensor:
        """[V, 1, L, h, w]: 0 keeps a latent frame, 1 makes it."""
        height, width = (side * self.codec.pixels_per_latent for side in example.clean.shape[-2:])
        unknown_VTHW = (~example.known).float()[:, :, None, None].expand(-1, -1, height, width)
        return redo_mask(unknown_VTHW, self.encoding, self.codec)

    def error(self, example: LatentExample, draw: Draw) -> Tensor:
        """Mean squared error of the network's own prediction (a velocity for flow models) over the latent pixels that count."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        base, device = self.patcher.model, self.patcher.load_device
        x0 = base.process_latent_in(example.clean.to(device))
        noise = draw.noise(x0.shape).to(device)
        sigma = torch.full((len(x0),), self.sigma(draw.percent), device=device)
        x = base.model_sampling.noise_scaling(sigma, noise, x0, False)
        mask = comfy.sampler_helpers.prepare_mask(self.mask(example), x0.shape, device)
        x = x * mask + base.scale_latent_inpaint(x=x, sigma=sigma, noise=noise, latent_image=x0) * (1 - mask)
        prompt = self.prompts.negative if draw.negative else self.prompts.positive
        denoised = self._denoised(prompt, self.told(example), x, sigma, noise, x0, mask)
        # what the network put out follows from the denoised latent by a factor that depends on the noise level alone
        factor = base.model_sampling.calculate_denoised(sigma, torch.ones_like(x), torch.zeros_like(x))
        counts = example.counts.to(device).expand_as(x0)
        return (((denoised - x0) / factor).square() * counts).sum() / counts.sum().clamp_min(1)

    def sigma(self, percent: float) -> float:
        """The noise level at this share of the model's own sampling schedule, shift included."""
        sampling = self.patcher.get_model_object("model_sampling")
        return min(float(sampling.percent_to_sigma(percent)), float(sampling.sigma_max))

    def _denoised(
        self, prompt: Conditioning, told: dict, x: Tensor, sigma: Tensor, noise: Tensor, x0: Tensor, mask: Tensor
    ) -> Tensor:
        entries = [[text, {**values, **told}] for text, values in prompt]
        conds = {"positive": comfy.sampler_helpers.convert_cond(entries)}
        options = comfy.model_patcher.create_model_options_clone(self.patcher.model_options)
        comfy.sampler_helpers.prepare_model_patcher(self.patcher, conds, options)
        options["transformer_options"]["sample_sigmas"] = torch.stack([sigma[0], torch.zeros_like(sigma[0])])
        base, device = self.patcher.model, x.device
        conds = comfy.samplers.process_conds(base, noise, conds, device, x0, mask, seed=0, latent_shapes=[x0.shape])
        [denoised] = comfy.samplers.calc_cond_batch(base, [conds["positive"]], x, sigma, options)
        if torch.is_grad_enabled() and not denoised.requires_grad:
            raise ValueError(
                "the model's output does not depend on the synchronization layers, so they cannot be "
                "trained: remove time ranges from the prompts, and caches from the model"
            )
        return denoised


def _released(value: Any) -> Any:
    if torch.is_tensor(value):
        return value.clone()
    if isinstance(value, comfy.conds.CONDRegular):
        return type(value)(_released(value.cond))
    if isinstance(value, dict):
        return {name: _released(item) for name, item in value.items()}
    return type(value)(_released(item) for item in value) if isinstance(value, (list, tuple)) else value
