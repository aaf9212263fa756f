"""The trained model as two streams: its synchronization layers, and every mode on held-out grids, with and without the help of a fill.

Letters: V views, T times, H W pixels, C latent channels, h w latent pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from pack import part
from safetensors import safe_open
from torch import Tensor

from fourreal_core.files.records import add_record, read_records

from .clips import ANY, FRAMES, SIZE, TIME, VIEW, half_size
from .network import prompts
from .pixels import CHANNELS, PACKED, SIDE, PixelLatents

ENCODING = "frame"  # every cell by itself: these latents know no time
VIDEOS, SYNCS = "videos", ("off", "hard", "sequential", "fused", "alternating", "soft")
ALONE, AIDS = "", ("", "warp", "guided", "warp+guided")
THRESHOLD, MARGIN, STRENGTH = 0.5, 2, 0.8  # of 4Real Warp at this size, and of 4Real Guided Steps
STEPS = 8
LAYERS, FOOTAGE = "tiny_wan", "fourreal_core.training.footage.sync_examples"
AGREEMENT = ("view_acceleration", "drift", "commutation", "synchrony", "warp_time", "warp_view", "support")


def codec(latents: PixelLatents) -> Any:
    """The latents as the pack's `Codec`, in the numbers that ComfyUI expects of Wan's VAE. One frame at a time."""
    import comfy.latent_formats

    wan = comfy.latent_formats.Wan21()

    def encode(video_NHW3: Tensor) -> Tensor:
        return wan.process_out(latents.encode(video_NHW3).movedim(-1, 0)[None])[0]

    def decode(latent_CNhw: Tensor) -> Tensor:
        return latents.decode(wan.process_in(latent_CNhw[None])[0].movedim(0, -1)).clamp(0, 1)

    return part("fourreal_core.sampling.latents").Codec(encode, decode, CHANNELS, PACKED, SIDE, 2)


def prompt(axis: int) -> list:
    return [[prompts()[axis : axis + 1], {}]]


def two_prompts() -> list:
    """Time's for the time stream, the camera's for the other."""
    return part("host.known_cells").with_view_prompt(prompt(TIME), prompt(VIEW))


def read_truth(path: Path) -> Any:
    """The first FRAMES views and times of a whole rendered grid, at its own size."""
    with safe_open(path, framework="pt") as file:
        frames = file.get_tensor("frames_VTHW3")[:FRAMES, :FRAMES]
    return part("fourreal_core.grid").FrameGrid(frames.float() / 255, torch.ones(frames.shape[:2], dtype=torch.bool))


def at_model_size(grid: Any) -> Any:
    """The grid in the model's frames."""
    frames = half_size((grid.frames * 255).round().to(torch.uint8))
    return part("fourreal_core.grid").FrameGrid(frames.float() / 255, grid.known)


@dataclass(frozen=True)
class Task:
    """A held-out grid in the model's frames, and its fill with confidence [V, T, H, W], which was made at full size."""

    name: str
    truth: Any
    filled: Any
    confidence: Tensor

    @property
    def grid(self) -> Any:
        return part("fourreal_core.evaluation.measure").hide(self.truth)


def task(path: Path, folder: Path) -> Task:
    """Fills the grid, or reads the fill that is there."""
    truth, kept = read_truth(path), folder / f"{path.stem}.fill.pt"
    if not kept.exists():
        hidden = part("fourreal_core.evaluation.measure").hide(truth)
        filled = part("fourreal_core.geometry.fill").fill_grid(hidden)
        torch.save({"frames": filled.grid.frames, "confidence": filled.confidence}, kept)
    saved = torch.load(kept, weights_only=True)
    small = half_size(
        (saved["confidence"][..., None].expand(*saved["confidence"].shape, 3) * 255).round().to(torch.uint8)
    )
    small_truth = at_model_size(truth)
    filled = at_model_size(truth.replace(frames=saved["frames"]))
    return Task(path.stem, small_truth, filled, small[..., 0].float() / 255)


def sampled(
    model: Any, latents: PixelLatents, one: Task, sync: str, aid: str, layers: Any = None, seed: int = 0
) -> Any:
    """The task's grid as the model makes it, known cells exact. sync: VIDEOS (each view by itself) or one of SYNCS; aid: one of AIDS;
    layers: trained ones for "soft"."""
    import comfy.sample

    plans, synchronize = part("host.two_stream.trained"), part("host.synchronize")
    settings = {"output": "time only"} if sync == VIDEOS else {}
    plan = plans.plan_for(model, "off" if sync == VIDEOS else sync, layers if sync == "soft" else None, **settings)
    patched = synchronize.synchronized(model, plan, [layers] if sync == "soft" else [])
    positive = prompt(TIME) if sync == VIDEOS else prompt(ANY) if sync == "fused" else two_prompts()
    conditioning, start, mask, sure = conditioned(patched, codec(latents), one, aid)
    if "guided" in aid:
        guide = part("host.guided")
        patched = guide.guided(patched, guide.Guide(start, sure, STRENGTH))
    told = [[text, {**values, **conditioning}] for text, values in positive]
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        made = comfy.sample.sample(
            patched,
            noise,
            STEPS,
            1.0,
            "euler",
            "simple",
            told,
            told,
            start,
            noise_mask=mask,
            disable_pbar=True,
            seed=seed,
        )
    size = tuple(one.truth.frames.shape[:4])
    frames = part("fourreal_core.sampling.latents").decode_frames(made, ENCODING, codec(latents), size)
    return one.grid.filled(frames)


def conditioned(model: Any, latents: Any, one: Task, aid: str) -> tuple[dict, Tensor, Tensor, Tensor]:
    """(conditioning, latents to start from, noise mask, certainty): what 4Real Latent Grid Conditioning makes of a grid with no guess, with
    the guess and what 4Real Warp lets the model paint, or with the guess and its confidence; nothing is held back."""
    cells, core, warps = (
        part("host.known_cells"),
        part("fourreal_core.sampling.latents"),
        part("fourreal_core.sampling.warp"),
    )
    paint = warps.places_to_paint(one.confidence, one.grid.known, THRESHOLD, MARGIN)
    grid = cells.LatentGrid(one.grid, ENCODING, latents, (one.filled, paint) if "warp" in aid else None)
    start = grid.encode(core.GREY if aid == ALONE else one.filled.frames)
    unknown = (~one.grid.known).float()[:, :, None, None].expand(one.truth.frames.shape[:4])
    mask = core.redo_mask(unknown, ENCODING, latents)
    told = cells.known_cell_conditions(model, grid, cells.needed_condition(model), grid.shown(), 1.0)
    certain = torch.where(paint, 0.0, one.confidence) if "warp" in aid else one.confidence
    return told, start, mask, 1 - core.redo_mask(unknown * (1 - certain), ENCODING, latents)


def scores(one: Task, grid: Any) -> dict[str, float]:
    """dB of all unknown pixels and of moving ones, sharpness of the moving ones, and how well the grid agrees with itself."""
    image = part("fourreal_core.evaluation.image")
    unknown, truth = ~one.grid.known, one.truth.frames
    made, moving = grid.frames[unknown], image.moving_pixels(truth)[unknown]
    found = {
        "all": image.psnr(made, truth[unknown]),
        "moving": image.psnr(made, truth[unknown], moving),
        "sharpness": image.sharpness(made, truth[unknown], torch.ones_like(moving)),
    }
    agreement = part("fourreal_core.evaluation.agreement.measure").measure_agreement(grid, AGREEMENT)
    return found | {key: measured.value for key, measured in agreement.items()}


def compare(
    model: Any,
    latents: PixelLatents,
    layers: Any,
    files: Iterable[Path],
    folder: Path,
    report: Callable[[str, dict], bool],
) -> None:
    """Adds a record per grid, mode and aid to `folder`/compare.jsonl, and keeps the frames beside it; what is there is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "compare.jsonl"
    done = {(each["grid"], each["sync"], each["aid"]) for each in read_records(results)} if results.exists() else set()
    for path in files:
        one = task(path, folder)
        ways = [(sync, aid) for aid in AIDS for sync in (VIDEOS, *SYNCS)]
        for sync, aid in [("truth", ""), ("fill", ""), *ways]:
            if (one.name, sync, aid) in done or (sync == "soft" and layers is None):
                continue
            fixed = {"truth": one.truth, "fill": one.filled}.get(sync)
            grid = sampled(model, latents, one, sync, aid, layers) if fixed is None else fixed
            torch.save((grid.frames * 255).round().to(torch.uint8), folder / f"{one.name}.{sync}.{aid or 'alone'}.pt")
            record = {"grid": one.name, "sync": sync, "aid": aid, **scores(one, grid)}
            add_record(results, record)
            if report(one.name, record):
                return


def train_sync(
    model: Any, latents: PixelLatents, files: Iterable[Path], folder: Path, steps: int, learning_rate: float
) -> str:
    """Trains soft layers for the model on whole grids, or goes on with it, by 4Real Train Sync's own loop; what came of it, in words.

    The layers are `folder`/models/tiny_wan.safetensors.
    """
    import folder_paths

    training, grids, examples = (part(name) for name in ("host.training.session", "fourreal_core.grid_file", FOOTAGE))
    footage, errors = part("host.training.footage"), part("host.training.error")
    folder_paths.set_output_directory(str(folder))
    folder_paths.add_model_folder_path(footage.SYNC_FOLDER, str(folder / "models"), is_default=True)
    places = folder / "grids", folder / "footage"
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for path in files:
        if not (kept := places[0] / f"{path.stem}.grid.safetensors").exists():
            grids.save_grid(at_model_size(read_truth(path)), kept)
    shape = (FRAMES, FRAMES, *SIZE)
    encoder = examples.Encoder(ENCODING, codec(latents), True, "pixels")
    jobs = examples.footage([], [], [places[0]], shape, 1)
    paths = examples.encode_footage(jobs, shape, encoder, places[1], lambda done, total: None, print)
    encoded = footage.EncodedFootage(examples.LatentStore(paths), encoder, shape)
    plan = part("fourreal_core.training.sync_loop").SyncTraining(steps, learning_rate)
    settings = training.Settings(plan, part("host.training.trainee").layers_for(model, "soft", 0), "float32", False, 0)
    run = footage.Run(LAYERS)
    outcome = training.run_training(model, errors.Prompts(two_prompts(), two_prompts()), encoded, settings, run)
    return outcome.summary(encoded.store, run)


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: the mean over the grids that have every way, a row per mode and aid."""
    ways = list(dict.fromkeys((each["sync"], each["aid"]) for each in records))
    of_grid = {
        grid: {(each["sync"], each["aid"]): each for each in records if each["grid"] == grid}
        for grid in {each["grid"] for each in records}
    }
    whole = [found for found in of_grid.values() if set(found) == set(ways)]
    keys = [key for key in records[0] if key not in ("grid", "sync", "aid")] if records else []
    lines = ["| mode | help | " + " | ".join(keys) + " |", "| --- | --- |" + " ---: |" * len(keys)]
    for way in ways:
        means = [
            fmean([found[way][key] for found in whole if found[way][key] == found[way][key]] or [math.nan])
            for key in keys
        ]
        lines.append(f"| {way[0]} | {way[1]} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join([*lines, "", f"Means over {len(whole)} grids."])


def picture(
    name: str, folder: Path, cells: Iterable[tuple[int, int]], ways: Iterable[tuple[str, str]], larger: int = 2
) -> Tensor:
    """uint8 [H', W', 3]: some cells of one grid (view, time), a line per way."""
    lines = []
    for sync, aid in ways:
        frames = torch.load(folder / f"{name}.{sync}.{aid or 'alone'}.pt", weights_only=True)
        lines.append(torch.cat([frames[cell] for cell in cells], 1))
    return torch.cat(lines).repeat_interleave(larger, 0).repeat_interleave(larger, 1)
