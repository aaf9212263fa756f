"""What a training run looks like: its loss as a live preview, and one fixed grid before and after, beside the truth.

Letters: V views, T times, H W pixels, C latent channels, L latent frames of a view, h w latent pixels.
"""

import comfy.sample
import comfy.utils
import numpy as np
import torch
from PIL import Image

from ...fourreal_core.evaluation.image import psnr
from ...fourreal_core.evaluation.plots import beside, line_plot, picture_of
from ...fourreal_core.sampling.latents import decode_frames
from ...fourreal_core.show.contact_sheet import contact_sheet
from ...fourreal_core.training.footage.sync_examples import LatentExample
from .error import Trainee

SHEET_SIDE = 640  # pixels
PREVIEWS = 50  # pictures of the loss during a run
POINTS = 60  # of its curve


def sampled(trainee: Trainee, example: LatentExample, steps: int) -> torch.Tensor:
    """The example's unknown cells as the model makes them now, latents [V, C, L, h, w]; the host's own sampling, euler, no guidance."""
    mask = trainee.mask(example)
    known_VCLhw = torch.where(mask > 0, torch.zeros(()), example.clean)
    noise = torch.randn(example.clean.shape, generator=torch.Generator().manual_seed(0))
    told = trainee.told(example)
    positive, negative = (
        [[text, {**values, **told}] for text, values in prompt]
        for prompt in (trainee.prompts.positive, trainee.prompts.negative)
    )
    with torch.no_grad():
        return comfy.sample.sample(
            trainee.patcher, noise, steps, 1.0, "euler", "simple", positive, negative, known_VCLhw, noise_mask=mask, disable_pbar=True, seed=0
        )  # fmt: skip


def sheet(example: LatentExample, encoding: str, codec, made: dict[str, torch.Tensor]) -> torch.Tensor:
    """IMAGE [1, H', W', 3]: contact sheets side by side, of each latent in `made` under its name, and of the truth."""
    truth_VTHWC = example.frames.float() / 255
    known_VT = example.known
    pictures = {}
    for name, latent_VCLhw in made.items():
        frames_VTHWC = decode_frames(latent_VCLhw, encoding, codec, tuple(truth_VTHWC.shape[:4]))
        quality = psnr(frames_VTHWC[~known_VT], truth_VTHWC[~known_VT])
        frames_VTHWC[known_VT] = truth_VTHWC[known_VT]
        pictures[f"{name}, {quality:.2f} dB"] = _picture(frames_VTHWC, known_VT)
    pictures["truth"] = _picture(truth_VTHWC, known_VT)
    return torch.from_numpy(np.asarray(beside(pictures), dtype=np.float32) / 255)[None]


class LossPreview:
    """report(losses): a progress bar on the running node with the curve of the losses as its preview."""

    def __init__(self, steps: int):
        self.bar, self.steps = comfy.utils.ProgressBar(steps), steps

    def __call__(self, losses: list[float]) -> None:
        done, every = len(losses), max(1, self.steps // PREVIEWS)
        preview = ("JPEG", loss_curve(losses), SHEET_SIDE) if done % every == 0 or done == self.steps else None
        self.bar.update_absolute(done, self.steps, preview)


def loss_curve(losses: list[float]) -> Image.Image:
    """Means of as many steps each as leave the curve readable: single steps jump with their noise level."""
    window = -(-len(losses) // POINTS)
    parts = [losses[first : first + window] for first in range(0, len(losses) - window + 1, window)]
    means = [(window * number, sum(part) / window) for number, part in enumerate(parts, 1)]
    return line_plot(
        {f"mean of {window}" if window > 1 else "each step": means},
        title="error of the model's prediction",
        x_label="step",
    )


def _picture(frames_VTHWC: torch.Tensor, known_VT: torch.Tensor) -> Image.Image:
    return picture_of(contact_sheet(frames_VTHWC, known_VT, max_side=SHEET_SIDE))
