"""Grids as latents, to train the synchronization layers of a latent video model on: which cells are known, what counts in the loss.

The VAE runs once per grid: what it gave is kept in a file per source of footage, in half precision. `sync_loop.py` trains on it.

Legend: V views, T times, H W pixels, L latent frames of a view, C latent channels, h w latent pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor

from ...data.folder import random_stretch
from ...files.atomic import brief, write_tensors
from ...grid import task_known
from ...sampling.latents import GREY, Codec, Progress, encode_frames, latent_cells, redo_mask
from .prepare import Job, Shape, capture_jobs, pseudo_jobs, saved_grid_jobs

ENDING = ".latents.safetensors"
FORMAT = "fourreal-latents-1"
MORE_KNOWN = 0.5  # share of grids that know more than the task's cells
MOST_MORE = 0.4  # and of their other cells up to this share


@dataclass(frozen=True)
class LatentExample:
    """One grid: clean and shown float32 [V, C, L, h, w], counts bool [V, 1, L, h, w], known bool [V, T], frames uint8 [V, T, H, W, 3].

    shown: latents of the grid with grey in unknown cells, for weights that are told about known cells in that way; None for others.
    counts: latent pixels whose error counts, those that are to be made and show nothing from outside the footage.
    frames: for pictures, of the first grid only.
    """

    clean: Tensor
    shown: Tensor | None
    counts: Tensor
    known: Tensor
    frames: Tensor | None


@dataclass(frozen=True)
class Encoder:
    """How grids become examples: encoding and VAE as in `latents.py`; shown: whether the grey version is needed as well."""

    encoding: str
    codec: Codec
    shown: bool
    vae: str = ""  # names the VAE, so that another one encodes anew

    def example(
        self, frames_VTHWC: Tensor, valid_VTHW: Tensor | None, known_VT: Tensor, on_piece: Progress | None = None
    ) -> LatentExample:
        """frames uint8; valid bool: pixels that are footage (None: all are). ValueError when `native` cannot hold as many times."""
        pixels_VTHWC = frames_VTHWC.float() / 255
        clean = encode_frames(pixels_VTHWC, self.encoding, self.codec, on_piece=on_piece)
        shown = None
        if self.shown:
            grey_VTHWC = torch.where(known_VT[:, :, None, None, None], pixels_VTHWC, torch.tensor(GREY))
            shown = encode_frames(grey_VTHWC, self.encoding, self.codec, on_piece=on_piece)
        counts = latent_counts(
            known_VT, valid_VTHW, (frames_VTHWC.shape[2], frames_VTHWC.shape[3]), self.encoding, self.codec
        )
        return LatentExample(clean, shown, counts, known_VT, frames_VTHWC)


def latent_counts(
    known_VT: Tensor, valid_VTHW: Tensor | None, size: tuple[int, int], encoding: str, codec: Codec
) -> Tensor:
    """Which latent pixels count, bool [V, 1, L, h, w]: unknown, and made of footage alone."""
    unknown_VTHW = (~known_VT).float()[:, :, None, None].expand(-1, -1, *size)
    made = redo_mask(unknown_VTHW, encoding, codec) > 0
    return made if valid_VTHW is None else made & (redo_mask((~valid_VTHW).float(), encoding, codec) == 0)


def random_known(views: int, times: int, generator: Generator) -> Tensor:
    """Bool [V, T]: view 0 and time 0, and in half of the draws some other cells; one at least stays unknown."""
    known_VT = task_known(views, times)
    more, share = torch.rand(2, generator=generator).tolist()
    luck_VT = torch.rand(views, times, generator=generator)
    if more < MORE_KNOWN:
        known_VT |= (luck_VT < share * MOST_MORE) & (luck_VT > luck_VT[1:, 1:].min())
    return known_VT


def footage(
    videos: Iterable[Path], captures: Iterable[Path], grids: Iterable[Path], shape: Shape, count: int
) -> list[Job]:
    """Where training grids of this shape come from; folders and files as `prepare.py` takes them. ValueError when one holds nothing."""
    found = [
        (pseudo_jobs, videos, (shape, count)),
        (capture_jobs, captures, (shape, count)),
        (saved_grid_jobs, grids, (shape,)),
    ]
    return [job for make, paths, options in found for job in make(list(paths), *options)]


def encode_footage(
    jobs: list[Job], shape: Shape, encoder: Encoder, folder: Path, report: Progress, told: Callable[[str], None]
) -> list[Path]:
    """One file of examples per job in `folder`; what was encoded before in the same way is kept.

    report(done, total) is called often and may raise to cancel; told: a sentence for each source that was left out.
    ValueError when nothing is left to train on.
    """
    paths, total = [], sum(job.count for job in jobs)
    for number, job in enumerate(jobs):
        done = sum(job.count for job in jobs[:number])
        path = folder / f"{job.name}.{_fingerprint(job, shape, encoder)}{ENDING}"
        if not path.exists():
            try:
                examples = list(
                    _examples(
                        job, shape, encoder, lambda inside, job=job, done=done: report(min(done + inside, total), total)
                    )
                )
            except ValueError as error:
                told(f"left out {job.name}: {error}")
                continue
            _write(path, examples)
            for old in set(folder.glob(f"{job.name}.*{ENDING}")) - {path}:
                old.unlink()
        paths.append(path)
        report(done + job.count, total)
    if not paths:
        raise ValueError("none of the footage can be used for training: see the messages above and in the log")
    return paths


class LatentStore:
    """The examples of several files, read when asked for. With two or more, number 0, the only one that comes with its frames, is for
    pictures and measuring, not for training."""

    def __init__(self, paths: Iterable[Path]):
        self.places = [(path, index) for path in paths for index in range(_count(path))]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def trained(self) -> range:
        return range(1 if len(self) > 1 else 0, len(self))

    def __getitem__(self, number: int) -> LatentExample:
        path, index = self.places[number]
        with safe_open(path, framework="pt") as opened:
            names = {key.split(".", 1)[1] for key in opened.keys() if key.startswith(f"{index}.")} - (
                {"frames"} if number else set()
            )
            parts = {name: opened.get_tensor(f"{index}.{name}") for name in names}
        shown = parts["shown"].float() if "shown" in parts else None
        return LatentExample(
            parts["clean"].float(), shown, parts["counts"].bool(), parts["known"].bool(), parts.get("frames")
        )


def _examples(job: Job, shape: Shape, encoder: Encoder, report: Callable[[int], None]) -> Iterator[LatentExample]:
    generator = torch.Generator().manual_seed(int(hashlib.sha256(job.name.encode()).hexdigest()[:12], 16))
    kept = 0
    for index, (frames, valid) in enumerate(job.read()):
        window = [random_stretch(length, most, generator) for length, most in zip(frames.shape[:2], shape[:2])]
        frames = frames[window[0], window[1]].contiguous()
        valid = None if valid is None else valid[window[0], window[1]]
        views, times = frames.shape[:2]
        if min(views, times) < 2:
            raise ValueError(f"expected at least 2 views and 2 times, got {views} and {times}")
        latent_cells(encoder.encoding, times, encoder.codec)
        known = task_known(views, times) if not kept else random_known(views, times, generator)
        example = encoder.example(frames, valid, known, lambda done, total, index=index: report(index))
        if example.counts.any():  # a small and much turned view may show no whole latent pixel of footage
            yield example if not kept else replace(example, frames=None)
            kept += 1
    if not kept:
        raise ValueError("no cell shows enough footage: use larger frames")


def _write(path: Path, examples: list[LatentExample]) -> None:
    tensors = {}
    for index, example in enumerate(examples):
        for name, value in vars(example).items():
            if value is not None:
                tensors[f"{index}.{name}"] = value.half() if value.is_floating_point() else value.to(torch.uint8)
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise ValueError(f"the VAE's latents of {path.name} are not finite in half precision: use another VAE")
    write_tensors(path, tensors, {"format": FORMAT, "count": str(len(examples))})


def _count(path: Path) -> int:
    try:
        with safe_open(path, framework="pt") as opened:
            header = opened.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({brief(error)}): delete it, and it will be made again") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} holds no latents of training grids: delete it, and it will be made again")
    return int(header["count"])


def _fingerprint(job: Job, shape: Shape, encoder: Encoder) -> str:
    """Changes with the footage, the way it is cut and the way it is encoded."""
    source = Path(json.loads(job.source)["path"])
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    codec = [
        encoder.codec.channels,
        encoder.codec.frames_per_latent,
        encoder.codec.pixels_per_latent,
        encoder.codec.patch,
    ]
    facts = [FORMAT, job.source, stamps, list(shape), encoder.encoding, encoder.shown, encoder.vae, codec]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
