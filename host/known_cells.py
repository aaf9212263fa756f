"""What the host's own video models (Wan, LTX, Hunyuan ...) are told about a grid's known cells.

What they become depends on what the weights were trained on; what each layout means is in docs/latents.md.

Letters: V views, T times, H W pixels, L latent frames of a view, C latent channels, F frames packed into a latent frame.
"""

from dataclasses import dataclass, replace

import comfy.conds
import comfy.model_base
import torch

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.sampling.latents import GREY, Codec, cell_flags, encode_frames
from ..fourreal_core.sampling.warp import given_flags, shown_frames, vace_mask
from .model import GridBaseModel
from .two_stream.host_call import VIEW_TEXT, VIEW_TEXT_MASK
from .types import counting_progress
from .vae import expect_vae_of

MASK_ONLY, IMAGE_TO_VIDEO, VACE, CONTROL = "noise mask only", "image to video", "vace", "fun control"
KNOWN_CELLS = ["auto", MASK_ONLY, IMAGE_TO_VIDEO, VACE, CONTROL]
PAINTED = 0.5  # of a mask's value, above which the model paints
UNTOLD = (
    comfy.model_base.HunyuanVideo15,
    comfy.model_base.Kandinsky5,
)  # the host gives them a noise mask with all its channels, and fails


@dataclass(frozen=True)
class LatentGrid:
    """A grid on its way into the latents of one VAE.

    warp: a guess and bool [V, T, H, W], where the model paints; elsewhere it is shown the guess as if it were given. None: it is shown
    known cells only.
    """

    grid: FrameGrid
    encoding: str
    codec: Codec
    warp: tuple[FrameGrid, torch.Tensor] | None = None

    @property
    def paint_VTHW(self) -> torch.Tensor:
        """Where the model paints."""
        unknown_VTHW = (~self.grid.known)[:, :, None, None].expand(self.grid.frames.shape[:4])
        return unknown_VTHW if self.warp is None else self.warp[1]

    def shown(self) -> torch.Tensor:
        """Latents [V, C, L, h, w] of what the model is shown: grey where it paints."""
        return self.encode(GREY) if self.warp is None else self.encode(shown_frames(self.warp[0].frames, self.warp[1]))

    def encode(self, unknown_VTHWC: torch.Tensor | float, wanted_VT: torch.Tensor | None = None) -> torch.Tensor:
        """Latents [V, C, L, h, w] of the known cells, with these frames (or this grey) in the others."""
        filling = torch.as_tensor(unknown_VTHWC, dtype=torch.float32)
        return encode_frames(
            self.grid.filled(filling).frames, self.encoding, self.codec, wanted_VT, counting_progress()
        )


def needed_condition(model) -> str:
    """What these weights were trained to be told about known frames, beside what the noise mask does."""
    base = model.model
    if isinstance(base, comfy.model_base.WAN21_Vace):
        return VACE
    if isinstance(base, comfy.model_base.WAN21):
        channels = base.latent_format.latent_channels
        extra = base.diffusion_model.patch_embedding.weight.shape[1] - channels
        return {channels + 4: IMAGE_TO_VIDEO, 2 * channels: CONTROL, 2 * channels + 4: CONTROL}.get(extra, MASK_ONLY)
    return (
        IMAGE_TO_VIDEO
        if "concat_image" in base.concat_keys or type(base) is comfy.model_base.HunyuanVideo15
        else MASK_ONLY
    )


def known_cell_conditions(
    model, latents: LatentGrid, kind: str, shown_VCLhw: torch.Tensor, vace_strength: float
) -> dict:
    """Conditioning values for image-to-video, VACE or Fun-Control weights; none for others. `shown`: latents with grey where the model paints."""
    if kind == IMAGE_TO_VIDEO:
        mask_VFLhw = _flags(latents, shown_VCLhw)
        if not isinstance(model.model, comfy.model_base.WAN21):  # others are told per latent frame, not per frame in it
            mask_VFLhw = mask_VFLhw.amax(1, keepdim=True)
        if isinstance(
            model.model, comfy.model_base.HunyuanVideo15
        ):  # trained with nothing, not grey, where nothing is given
            shown_VCLhw = shown_VCLhw * (1 - mask_VFLhw)
        return {"concat_latent_image": shown_VCLhw, "concat_mask": mask_VFLhw}
    if kind == VACE:
        grey = FrameGrid(torch.full_like(latents.grid.frames[:1], GREY), torch.ones_like(latents.grid.known[:1]))
        nothing_1CLhw = replace(latents, grid=grey).encode(GREY)
        frames_VCLhw = torch.cat([shown_VCLhw, nothing_1CLhw.expand_as(shown_VCLhw)], 1)
        mask_VELhw = vace_mask(latents.paint_VTHW, latents.encoding, latents.codec)
        return {"vace_frames": [frames_VCLhw], "vace_mask": [mask_VELhw], "vace_strength": [vace_strength]}
    if kind == CONTROL:
        return _fun_control(model, latents, shown_VCLhw)
    if isinstance(model.model, UNTOLD):
        return {"concat_mask": torch.ones_like(shown_VCLhw[:, :1])}
    return {}


def _flags(latents: LatentGrid, shown_VCLhw: torch.Tensor) -> torch.Tensor:
    """[V, F, L, h, w]: 0 where a latent pixel is given, a channel per frame in the latent frame."""
    if latents.warp is not None:
        return given_flags(latents.paint_VTHW, latents.encoding, latents.codec)
    flags_VFL = cell_flags((~latents.grid.known).float(), latents.encoding, latents.codec)
    return flags_VFL[..., None, None].expand(-1, -1, -1, *shown_VCLhw.shape[-2:]).contiguous()


def _fun_control(model, latents: LatentGrid, shown_VCLhw: torch.Tensor) -> dict:
    """Control video, then start image, as ComfyUI's nodes for Fun-Control lay them out; Wan 2.2's weights have a mask between the two.

    The control is what the model is shown of a guess, or nothing; start images are the known cells.
    """
    nothing_VCLhw = model.model.process_latent_out(torch.zeros_like(shown_VCLhw))
    flags_VFL = cell_flags((~latents.grid.known).float(), latents.encoding, latents.codec)
    given_VL = flags_VFL.amax(1) == 0
    start_VCLhw = torch.where(given_VL[:, None, :, None, None], shown_VCLhw, nothing_VCLhw)
    control_VCLhw = nothing_VCLhw if latents.warp is None else shown_VCLhw
    told = {"concat_latent_image": torch.cat([control_VCLhw, start_VCLhw], 1)}
    channels = shown_VCLhw.shape[1]
    if model.model.diffusion_model.patch_embedding.weight.shape[1] == 3 * channels:
        return told
    mask_VFLhw = flags_VFL[..., None, None].expand(-1, -1, -1, *shown_VCLhw.shape[-2:]).contiguous()
    return {**told, "concat_mask": mask_VFLhw, "concat_mask_index": channels}


def with_view_prompt(conditioning: list, view_conditioning: list) -> list:
    """Each entry with the view stream's prompt beside its own, under `VIEW_TEXT`, for the two-stream patch to read."""
    if len(view_conditioning) not in (1, len(conditioning)):
        raise ValueError(
            f"expected the view stream's conditioning to have one entry, or {len(conditioning)} like the "
            f"other one, got {len(view_conditioning)}: combine both in the same way"
        )
    entries = view_conditioning * len(conditioning) if len(view_conditioning) == 1 else view_conditioning
    joined = []
    for (text, values), (view_text, view_values) in zip(conditioning, entries, strict=True):
        ours = {VIEW_TEXT: comfy.conds.CONDRegular(view_text)}
        if view_values.get("attention_mask") is not None:
            ours[VIEW_TEXT_MASK] = comfy.conds.CONDRegular(view_values["attention_mask"])
        joined.append([text, {**values, "model_conds": {**values.get("model_conds", {}), **ours}}])
    return joined


def redo_strength(
    grid: FrameGrid, confidence: torch.Tensor | None, hold_back: float, paint: torch.Tensor | None = None
) -> torch.Tensor:
    """How strongly each pixel is to be sampled [V, T, H, W]: 0 in known cells, else 1 - hold_back * confidence.

    paint: bool [V, T, H, W], where nothing is held back whatever the confidence; without a confidence all the rest is certain.
    """
    redo_VTHW = (~grid.known).float()[:, :, None, None].expand(grid.frames.shape[:4])
    if confidence is None and paint is None:
        return redo_VTHW
    sure_VTHW = torch.ones(grid.frames.shape[:4]) if confidence is None else confidence_of(grid, confidence)
    sure_VTHW = sure_VTHW if paint is None else torch.where(paint, 0.0, sure_VTHW)
    return redo_VTHW * (1 - hold_back * sure_VTHW)


def confidence_of(grid: FrameGrid, confidence: torch.Tensor) -> torch.Tensor:
    """One confidence image per cell as numbers 0..1 [V, T, H, W]; ValueError where they do not belong to this grid."""
    expected = (grid.views * grid.times, grid.height, grid.width)
    if tuple(confidence.shape[:3]) != expected:
        raise ValueError(
            f"expected one confidence image per cell, {expected[0]} of {grid.width}x{grid.height} pixels, got {confidence.shape[0]} "
            f"of {confidence.shape[2]}x{confidence.shape[1]}: connect the confidence of a 4Real Fill of this grid"
        )
    return confidence.float().mean(-1).clamp(0, 1).unflatten(0, (grid.views, grid.times))


def painted_of(grid: FrameGrid, paint: torch.Tensor) -> torch.Tensor:
    """One mask per cell, white where the model paints, as bool [V, T, H, W], without known cells; ValueError where they do not fit."""
    expected = (grid.views * grid.times, grid.height, grid.width)
    if tuple(paint.shape) != expected:
        raise ValueError(
            f"expected one paint mask per cell, {expected[0]} of {grid.width}x{grid.height} pixels, got shape {list(paint.shape)}: "
            "connect the paint of a 4Real Warp of this grid"
        )
    return (paint > PAINTED).unflatten(0, (grid.views, grid.times)) & ~grid.known[:, :, None, None]


def patch_of(model) -> int:
    """Latent pixels on a side of one token. The host pads x to whole tokens by itself, but not what VACE sees."""
    size = getattr(model.model.diffusion_model, "patch_size", 1)
    return size if isinstance(size, int) else size[-1]


def check_model_and_grid(model, codec: Codec, grid: FrameGrid) -> None:
    """ValueError unless this is a latent model, its VAE, and a grid with something left to sample."""
    if isinstance(model.model, GridBaseModel):
        raise ValueError(
            "expected a latent video model such as Wan, got a 4Real model, which works on pixels: use 4Real "
            "Grid Conditioning"
        )
    expect_vae_of(model, codec)
    if grid.known.all():
        raise ValueError(
            "every cell of this grid is known, so there is nothing to sample: to redo a whole grid, connect "
            "it to guess and a 4Real Empty Grid of its size to grid"
        )
