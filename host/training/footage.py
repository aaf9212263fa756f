"""Footage that the user names, encoded to train on, and the files of a training run, in the places that the host allows."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ...fourreal_core.sampling.latents import latent_cells
from ...fourreal_core.training.footage.sync_examples import Encoder, LatentStore, encode_footage, footage
from ..known_cells import MASK_ONLY, needed_condition, patch_of
from ..load import SYNC_FOLDER
from ..vae import expect_vae_of, vae_codec
from .trainee import expect_trainable, name_of_weights

RUNS = "fourreal_training"  # in the host's output folder
FOOTAGE = "fourreal_footage"  # likewise
KINDS_OF_FOOTAGE = ("videos", "captures", "grids")
NAME = re.compile(r"[\w][\w .-]{0,99}")


def footage_paths(text: str, what: str) -> list[Path]:
    """The folders or files that a widget names, one per line; none for an empty one.

    Relative ones are looked for in the host's input folder, then in its output folder. ValueError when one is missing or elsewhere.
    """
    return [_allowed(line.strip(), what) for line in text.splitlines() if line.strip()]


def _allowed(name: str, what: str) -> Path:
    places = [folder_paths.get_input_directory(), folder_paths.get_output_directory()]
    for place in map(os.path.abspath, places):
        path = os.path.normpath(os.path.join(place, name))
        if os.path.commonpath([path, place]) == place and os.path.exists(path):
            return Path(path)
    raise ValueError(
        f"found no {name} in the input or output folder ({what}): copy the footage into the input folder, or "
        "link to it from there"
    )


@dataclass(frozen=True)
class EncodedFootage:
    """Grids to train on, as latents: the value of a FOURREAL_FOOTAGE socket. shape: (views, times, height, width) at most."""

    store: LatentStore
    encoder: Encoder
    shape: tuple[int, int, int, int]

    def expect_fits(self, model: Any) -> None:
        """ValueError unless it was encoded for a model like this one."""
        channels, shown = model.model.latent_format.latent_channels, needed_condition(model) != MASK_ONLY
        if (self.encoder.codec.channels, self.encoder.shown) != (channels, shown):
            raise ValueError(
                "this footage was encoded for another model: connect the same model to 4Real Encode Footage "
                "and to 4Real Train Sync"
            )


def encoded_footage(
    texts: Sequence[str],
    shape: tuple[int, int, int, int],
    count: int,
    encoder: Encoder,
    name: str,
    report: Callable[[int, int], None],
    told: Callable[[str], None],
) -> EncodedFootage:
    """The footage that three widgets name, in the order of `KINDS_OF_FOOTAGE`, each source cut into `count` grids and encoded.

    What was encoded before in the same way is kept in `output/fourreal_footage/<name>`. report, told: as in `encode_footage`. ValueError
    when nothing is named or none of it can be used.
    """
    places = [footage_paths(text, kind) for text, kind in zip(texts, KINDS_OF_FOOTAGE, strict=True)]
    if not any(places):
        raise ValueError(
            "no footage to train on: name a folder of videos, captures or grids inside the input or output folder"
        )
    folder = Path(folder_paths.get_output_directory()) / FOOTAGE / checked_name(name)
    jobs = footage(*places, shape, count)
    folder.mkdir(parents=True, exist_ok=True)
    return EncodedFootage(LatentStore(encode_footage(jobs, shape, encoder, folder, report, told)), encoder, shape)


def encoder_for(model: Any, vae: Any, tiled: bool, encoding: str, times: int) -> Encoder:
    """How grids become latents of this model; ValueError for a VAE of another one, times that the encoding does not take, and models
    that layers cannot be trained for."""
    expect_trainable(model)
    codec = vae_codec(vae, tiled, patch_of(model))
    expect_vae_of(model, codec)
    latent_cells(encoding, times, codec)
    return Encoder(encoding, codec, needed_condition(model) != MASK_ONLY, name_of_weights(vae.first_stage_model))


def newest(path: Path) -> int:
    """When anything in a folder, or a file, was changed last."""
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def checked_name(name: str) -> str:
    """The name, for a file or folder of it; ValueError when it is none."""
    name = name.strip()
    if not NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise ValueError(
            f"expected a name of letters, digits, spaces, dots and dashes, got {name!r:.120}: choose another"
        )
    return name


@dataclass(frozen=True)
class Run:
    """Where a training of this name keeps its files. ValueError when the name is none for a file, or taken by layers from elsewhere."""

    name: str

    def __post_init__(self):
        checked_name(self.name)
        if self.result.exists() and not self.state.exists():
            raise ValueError(
                f"the name {self.name} is taken, and {self.result} is not from a training that can be "
                "continued here: choose another name, or delete that file"
            )

    @property
    def folder(self) -> Path:
        return Path(folder_paths.get_output_directory()) / RUNS / self.name

    @property
    def state(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def result(self) -> Path:
        return Path(folder_paths.get_folder_paths(SYNC_FOLDER)[0]) / f"{self.name}.safetensors"

    def make_folders(self) -> None:
        for folder in (self.folder, self.result.parent):
            folder.mkdir(parents=True, exist_ok=True)
