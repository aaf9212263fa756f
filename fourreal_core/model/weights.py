"""Checkpoints: safetensors with the model config in the header; every key and shape is checked, nothing is unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..files.atomic import brief, write_tensors
from .config import ModelConfig
from .precision import fast_dtype
from .two_stream import GridModel

FORMAT = "fourreal-model-1"
BUNDLED = Path(__file__).parent.parent / "weights" / "fourreal-small.safetensors"


class CheckpointError(ValueError):
    """The file is no usable checkpoint; the message says why in one sentence."""


def default_checkpoint() -> Path:
    """The checkpoint that ships with the pack."""
    return BUNDLED


def load_model(path: str | os.PathLike | None = None, *, dtype: torch.dtype | None = None, device="cpu") -> GridModel:
    """A grid model ready to sample, without gradients.

    path: a checkpoint, None for the bundled default. dtype: None picks the machine's fast one, see `fast_dtype`.
    Raises CheckpointError (a ValueError) when the file is missing, truncated, hostile or does not fit its config.
    """
    path = Path(path) if path is not None else default_checkpoint()
    state, config, _ = load_checkpoint(path)
    with torch.device("meta"):
        model = GridModel(config)
    model.load_state_dict(state, assign=True)
    model.checkpoint_hash = checkpoint_hash(path)
    return model.to(device=device, dtype=dtype or fast_dtype(str(device))).eval().requires_grad_(False)


def load_checkpoint(path: str | os.PathLike) -> tuple[dict[str, Tensor], ModelConfig, dict[str, str]]:
    """(state dict, config, header metadata) of a checkpoint, checked against its own config. See `load_model`."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            config = _config(path, metadata)
            with torch.device("meta"):
                wanted = GridModel(config).state_dict()
            check_tensors(path, file, wanted)
            state = {key: file.get_tensor(key) for key in file.keys()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path.name} is not a complete safetensors file ({brief(error)}): download it again"
        ) from error
    expect_finite(path, state)
    return state, config, metadata


def save_checkpoint(path: str | os.PathLike, model: GridModel, metadata: Mapping[str, str] | None = None) -> None:
    """Write the weights in their own dtype with the config in the header; atomic, contiguous, no pickle.

    Raises CheckpointError when the folder or the disk refuses; an older file then stays as it was.
    """
    header = {**(metadata or {}), "format": FORMAT, "config": model.config.to_json()}
    try:
        write_tensors(path, model.state_dict(), header)
    except OSError as error:
        raise CheckpointError(f"could not write the model to {path}: {error}") from error


def checkpoint_hash(path: str | os.PathLike) -> str:
    """First 16 hexadecimal digits of the file's SHA-256: names the model in a grid's provenance."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()[:16]


def _config(path: Path, metadata: dict[str, str]) -> ModelConfig:
    if metadata.get("format") != FORMAT or "config" not in metadata:
        raise CheckpointError(f"{path.name} is not a 4Real model: its header lacks the format {FORMAT!r} and a config")
    try:
        return ModelConfig.from_json(metadata["config"])
    except ValueError as error:
        raise CheckpointError(f"{path.name} cannot be used: {error}") from error


def check_tensors(path: Path, file: safe_open, expected: Mapping[str, Tensor]) -> None:
    """CheckpointError unless the open file holds exactly these names, of these shapes, as floating point numbers."""
    wanted = {key: list(tensor.shape) for key, tensor in expected.items()}
    found = {key: file.get_slice(key) for key in file.keys()}
    for problem, keys in (("lacks", wanted.keys() - found.keys()), ("has unknown", found.keys() - wanted.keys())):
        if keys:
            raise CheckpointError(f"{path.name} {problem} weights, {len(keys)} in all, such as {min(keys)!r}")
    for key, part in found.items():
        if list(part.get_shape()) != wanted[key]:
            raise CheckpointError(f"{path.name}: {key!r} should have shape {wanted[key]}, got {list(part.get_shape())}")
        if part.get_dtype() not in ("F32", "BF16", "F16"):
            raise CheckpointError(f"{path.name}: {key!r} should hold floating point numbers, got {part.get_dtype()}")


def expect_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """CheckpointError when a tensor holds NaN or infinity."""
    for key, tensor in state.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{path.name}: {key!r} contains numbers that are not finite: its training diverged, use a "
                "lower learning rate"
            )
