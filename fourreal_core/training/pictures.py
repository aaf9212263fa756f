"""What a run looks like: the curve of its losses, and one fixed grid as the model would fill it now. Drawn with Pillow.

Legend: V views, T times, H W pixels; pixels 0..1 unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.func import functional_call

from ..evaluation.image import psnr
from ..files.atomic import save_picture
from ..flow import cell_noise, from_model, x0_from_velocity
from ..show.contact_sheet import contact_sheet
from .footage.examples import Batch, whole_batch
from .footage.store import StoredGrid
from .loop import TrainingPlan, autocast, guessed_frames
from .state import Losses, TrainingState

PAPER, INK, FAINT = (250, 250, 248), (40, 40, 40), (215, 215, 212)
MODEL, GUESS = (200, 70, 30), (90, 120, 160)
LEAST = 1e-6  # smaller values are drawn as this one
FONT = ImageFont.load_default(26)
Curve = tuple[str, tuple[int, int, int], Tensor]  # name, colour, one value per step


def draw_pictures(state: TrainingState, plan: TrainingPlan, grid: StoredGrid, folder: Path) -> None:
    """`<stage>.loss.png`, and the fixed grid at this step as `<stage>.step-<step>.png`."""
    save_picture(loss_curve(state.losses), folder / f"{plan.stage}.loss.png")
    save_picture(sample_sheet(state, plan, grid), folder / f"{plan.stage}.step-{state.step:06d}.png")


def sample_sheet(state: TrainingState, plan: TrainingPlan, grid: StoredGrid, max_side: int = 768) -> Image.Image:
    """The grid's truth, the guess, and what the averaged weights make of it in one step from pure noise.

    The base stage is shown as both streams averaged after each block, as untrained hard synchronization does.
    """
    batch = whole_batch(grid, state.model.config.guess)
    guess, prediction = guessed_frames(batch), predict_at_once(state, plan, batch)
    truth_VTHWC, *filled = (from_model(x[0]) for x in (batch.x0, guess, prediction))
    counts_VTHW = batch.weight[0, :, 0] > 0
    sheets = [("truth", truth_VTHWC)]
    for name, frames in zip(("guess", f"step {state.step}"), filled):
        error = psnr(frames[counts_VTHW], truth_VTHWC[counts_VTHW])
        sheets.append((f"{name}, {error:.2f} dB", frames))
    known = ~counts_VTHW.flatten(2).any(2)
    return _side_by_side([(name, contact_sheet(frames, known, max_side=max_side)) for name, frames in sheets])


@torch.no_grad()
def predict_at_once(state: TrainingState, plan: TrainingPlan, batch: Batch) -> Tensor:
    """Clean frames `[1, V, 3, T, H, W]` in model pixels that the averaged weights predict from pure noise of seed 0."""
    _, views, _, times, height, width = batch.x0.shape
    device = next(iter(state.ema.values())).device
    noise = cell_noise(0, views, times, height, width)[None].to(device)
    sigma, condition = torch.ones(1, device=device), batch.condition.to(device)
    sync = "hard" if plan.stage == "base" else plan.stage
    with autocast(device, plan.precision):
        velocity = functional_call(state.model, state.ema, (noise, sigma, condition), {"sync": sync})
    return x0_from_velocity(noise, velocity, 1.0).cpu()


def loss_curve(losses: Sequence[Losses], width: int = 960, height: int = 640) -> Image.Image:
    """Losses of model and guess over the steps, and below them their ratio; logarithmic, moving means over a part of the run."""
    picture = Image.new("RGB", (2 * width, 2 * height), PAPER)  # at twice the size, then reduced: smooth lines
    draw = ImageDraw.Draw(picture)
    table = torch.tensor(losses, dtype=torch.float64).view(-1, len(Losses._fields))
    window = max(1, len(table) // 30)
    model, guess = (moving_mean(table[:, column], window) for column in (0, 1))
    left, right, middle, bottom = 130, 2 * width - 40, height * 6 // 5, 2 * height - 100
    _panel(draw, (left, 68, right, middle), [("guess", GUESS, guess), ("model", MODEL, model)])
    ratio = model / guess.clamp_min(1e-12)
    _panel(
        draw, (left, middle + 100, right, bottom), [("model / guess: below 1 the model helps", MODEL, ratio)], mark=1.0
    )
    draw.text((left, bottom + 16), "step 1", INK, anchor="lt", font=FONT)
    draw.text((right, bottom + 16), f"step {len(table)}, every point a mean of {window}", INK, anchor="rt", font=FONT)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def moving_mean(values_N: Tensor, window: int) -> Tensor:
    """Mean of each value and up to window - 1 before it."""
    sums = torch.cat([values_N.new_zeros(1), values_N.cumsum(0)])
    end = torch.arange(1, len(values_N) + 1)
    begin = (end - window).clamp_min(0)
    return (sums[end] - sums[begin]) / (end - begin)


def _panel(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], curves: list[Curve], mark: float | None = None
) -> None:
    """Curves on a logarithmic axis in `box` (left, top, right, bottom); mark: a value to draw a dark line at."""
    left, top, right, bottom = box
    every = torch.cat([values for _, _, values in curves] + ([torch.tensor([mark])] if mark else [])).clamp_min(LEAST)
    low, high = math.log10(float(every.min())) - 0.02, math.log10(float(every.max())) + 0.02

    def height_of(value: float) -> float:
        return bottom - (math.log10(max(value, LEAST)) - low) / (high - low) * (bottom - top)

    for tick in _ticks(10**low, 10**high):
        y = height_of(tick)
        draw.line((left, y, right, y), INK if tick == mark else FAINT, width=2)
        draw.text((left - 14, y), f"{tick:g}", INK, anchor="rm", font=FONT)
    place = left
    for name, colour, values in curves:
        steps = max(1, len(values) - 1)
        points = [
            (left + (right - left) * step / steps, height_of(value)) for step, value in enumerate(values.tolist())
        ]
        draw.line(points if len(points) > 1 else points * 2, colour, width=4, joint="curve")
        draw.text((place, top - 16), name, colour, anchor="ls", font=FONT)
        place += 40 + draw.textlength(name, font=FONT)
    draw.rectangle(box, outline=INK, width=2)


def _ticks(low: float, high: float) -> list[float]:
    """Three to a dozen round values between two positive ones: 1, 2 and 5 of every power of ten, or even steps."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    if len(ticks) < 3:
        step = next(step for power in powers for step in _steps(power - 5) if (high - low) / step <= 10)
        ticks = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [float(f"{tick:.6g}") for tick in ticks[:: 1 + len(ticks) // 12]]


def _steps(power: int) -> list[float]:
    return [digit * 10.0**exponent for exponent in range(power, power + 6) for digit in (1, 2, 5)]


def _side_by_side(sheets: list[tuple[str, Tensor]], heading: int = 26, gap: int = 8) -> Image.Image:
    height, width = sheets[0][1].shape[:2]
    picture = Image.new("RGB", (len(sheets) * (width + gap) - gap, height + heading), PAPER)
    draw = ImageDraw.Draw(picture)
    for place, (name, sheet_HWC) in enumerate(sheets):
        left = place * (width + gap)
        draw.text((left + 4, heading - 7), name, INK, anchor="ls", font=ImageFont.load_default(15))
        picture.paste(Image.fromarray((sheet_HWC * 255).round().byte().numpy()), (left, heading))
    return picture
