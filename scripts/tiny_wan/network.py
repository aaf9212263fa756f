"""The network: ComfyUI's own Wan with image-to-video channels, tiny; made, run as ComfyUI runs it, and kept as a file that its loader reads.

Letters: B clips, F frames, h w latent pixels, C = 16 latent channels, 4 channels that say what is given.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .clips import GREY, PROMPTS, given_latents
from .pixels import CHANNELS, PACKED, PixelLatents

TEXT_WIDTH, TEXT_TOKENS, FREQUENCIES, HEADS = 16, 2, 64, 4
SIZES = {"dim": 128, "ffn_dim": 384, "num_layers": 6}
METADATA = {
    "config": json.dumps({"transformer": {"text_dim": TEXT_WIDTH, "freq_dim": FREQUENCIES, "num_heads": HEADS}})
}
SHIFT = 3.0  # of noise levels, in training and in sampling; Wan's own 5 to 8 belong to larger pictures


def make_network(seed: int) -> torch.nn.Module:
    """An untrained network, float32, as Wan's authors begin theirs."""
    import comfy.ops
    from comfy.ldm.wan.model import WanModel

    channels = {"in_dim": 2 * CHANNELS + PACKED, "out_dim": CHANNELS}
    text = {"text_dim": TEXT_WIDTH, "freq_dim": FREQUENCIES, "num_heads": HEADS}
    network = WanModel(
        model_type="t2v",
        **channels,
        **text,
        **SIZES,
        dtype=torch.float32,
        device="cpu",
        operations=comfy.ops.disable_weight_init,
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 1:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            elif "modulation" in name:
                weight.normal_(std=weight.shape[-1] ** -0.5, generator=generator)
            elif name.startswith("head.head"):
                weight.zero_()
            elif name.startswith(("time_", "text_")):
                weight.normal_(std=0.02 if not name.startswith("time_projection") else 0.01, generator=generator)
            else:
                fan_out, fan_in = weight.shape[0], weight[0].numel()
                bound = math.sqrt(6 / (fan_in + fan_out))
                weight.uniform_(-bound, bound, generator=generator)
    return network


def prompts() -> Tensor:
    """What stands for text, [PROMPTS, tokens, width]: fixed random numbers."""
    return torch.randn(PROMPTS, TEXT_TOKENS, TEXT_WIDTH, generator=torch.Generator().manual_seed(1))


def shown(latents: PixelLatents, frames_BFHW3: Tensor, paint_BFHW: Tensor) -> Tensor:
    """The channels beside the noise [B, 4 + C, F, h, w]: 1 where something is given, and the frames with grey where not."""
    given_BFhw = given_latents(paint_BFHW).float()
    grey_BFhwC = latents.encode(torch.where(paint_BFHW[..., None], torch.tensor(GREY), frames_BFHW3))
    return torch.cat([given_BFhw[:, None].expand(-1, PACKED, -1, -1, -1), grey_BFhwC.movedim(-1, 1)], 1)


def noise_level(share: Tensor) -> Tensor:
    """Noise levels at shares 0..1 of the schedule, 1 the noisiest, with Wan's kind of shift."""
    return SHIFT * share / (1 + (SHIFT - 1) * share)


def save_model(network_weights: dict[str, Tensor], path: Path) -> None:
    """A file for ComfyUI's Load Diffusion Model."""
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in network_weights.items()}, path, METADATA)


def load_model(path: Path) -> Any:
    """The file as a MODEL of ComfyUI, with this network's shift."""
    import comfy.model_sampling
    import comfy.sd

    model = comfy.sd.load_diffusion_model(str(path))

    class Sampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = Sampling(model.model.model_config)
    sampling.set_parameters(shift=SHIFT, multiplier=1000)
    model.add_object_patch("model_sampling", sampling)
    return model
