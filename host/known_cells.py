"""What the host's own video models (Wan, LTX, Hunyuan ...) are told about a grid's known cells.

What they become depends on what the weights were trained on; what each layout means is in docs/latents.md.

Letters: V views, T times, H W pixels, L latent frames of a view, C latent channels, F frames packed into a latent frame.
"""

from dataclasses import dataclass, replace

import comfy.conds
import comfy.model_base
import torch

from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.sampling.latents import GREY, Codec, cell_flags, encode_frames, latent_cells
from .model import GridBaseModel
from .two_stream.host_call import VIEW_TEXT, VIEW_TEXT_MASK
from .types import counting_progress
from .vae import expect_vae_of

MASK_ONLY, IMAGE_TO_VIDEO, VACE = "noise mask only", "image to video", "vace"
KNOWN_CELLS = ["auto", MASK_ONLY, IMAGE_TO_VIDEO, VACE]
UNTOLD = (
    comfy.model_base.HunyuanVideo15,
    comfy.model_base.Kandinsky5,
)  # the host gives them a noise mask with all its channels, and fails
VACE_BLOCK = 8  # VACE gets the mask of 8 x 8 pixels as channels


@dataclass(frozen=True)
class LatentGrid:
    """A grid on its way into the latents of one VAE."""

    grid: FrameGrid
    encoding: str
    codec: Codec

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
        return IMAGE_TO_VIDEO if extra == channels + 4 else MASK_ONLY
    return (
        IMAGE_TO_VIDEO
        if "concat_image" in base.concat_keys or type(base) is comfy.model_base.HunyuanVideo15
        else MASK_ONLY
    )


def known_cell_conditions(
    model, latents: LatentGrid, kind: str, shown_VCLhw: torch.Tensor, vace_strength: float
) -> dict:
    """Conditioning values for image-to-video or VACE weights; none for others. `shown`: latents with grey unknown cells."""
    unknown_VT = (~latents.grid.known).float()
    flags_VFL = cell_flags(unknown_VT, latents.encoding, latents.codec)
    if kind == IMAGE_TO_VIDEO:
        if not isinstance(model.model, comfy.model_base.WAN21):  # others are told per latent frame, not per frame in it
            flags_VFL = flags_VFL.amax(1, keepdim=True)
        mask_VFLhw = flags_VFL[..., None, None].expand(-1, -1, -1, *shown_VCLhw.shape[-2:]).contiguous()
        if isinstance(
            model.model, comfy.model_base.HunyuanVideo15
        ):  # trained with nothing, not grey, where nothing is given
            shown_VCLhw = shown_VCLhw * (1 - mask_VFLhw)
        return {"concat_latent_image": shown_VCLhw, "concat_mask": mask_VFLhw}
    if kind == VACE:
        grey = FrameGrid(torch.full_like(latents.grid.frames[:1], GREY), torch.ones_like(latents.grid.known[:1]))
        nothing_1CLhw = replace(latents, grid=grey).encode(GREY)
        frames_VCLhw = torch.cat([shown_VCLhw, nothing_1CLhw.expand_as(shown_VCLhw)], 1)
        mask_VFLhw = _vace_flags(unknown_VT, latents)[:, None, :, None, None]
        mask_VFLhw = mask_VFLhw.expand(-1, VACE_BLOCK**2, -1, *shown_VCLhw.shape[-2:]).contiguous()
        return {"vace_frames": [frames_VCLhw], "vace_mask": [mask_VFLhw], "vace_strength": [vace_strength]}
    if isinstance(model.model, UNTOLD):
        return {"concat_mask": torch.ones_like(shown_VCLhw[:, :1])}
    return {}


def _vace_flags(unknown_VT: torch.Tensor, latents: LatentGrid) -> torch.Tensor:
    """[V, T] -> [V, L]. `native`: each latent frame takes its nearest frame's, as in VACE's own training."""
    if latents.encoding != "native":
        return unknown_VT
    length = len(latent_cells(latents.encoding, unknown_VT.shape[1], latents.codec))
    return torch.nn.functional.interpolate(unknown_VT[:, None], size=length, mode="nearest-exact")[:, 0]


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


def redo_strength(grid: FrameGrid, confidence: torch.Tensor | None, hold_back: float) -> torch.Tensor:
    """How strongly each pixel is to be sampled [V, T, H, W]: 0 in known cells, else 1 - hold_back * confidence."""
    redo_VTHW = (~grid.known).float()[:, :, None, None].expand(grid.frames.shape[:4])
    if confidence is None:
        return redo_VTHW
    expected = (grid.views * grid.times, grid.height, grid.width)
    if tuple(confidence.shape[:3]) != expected:
        raise ValueError(
            f"expected one confidence image per cell, {expected[0]} of {grid.width}x{grid.height} pixels, got {confidence.shape[0]} "
            f"of {confidence.shape[2]}x{confidence.shape[1]}: connect the confidence of a 4Real Fill of this grid"
        )
    sure_VTHW = confidence.float().mean(-1).clamp(0, 1).unflatten(0, (grid.views, grid.times))
    return redo_VTHW * (1 - hold_back * sure_VTHW)


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
