"""Trained synchronization layers as a file of their own: beside a backbone that stays as it is, ours or the host's.

One safetensors file holds the layers of one kind, soft or hard. Its header metadata: `format`; `config`, the fields of `SyncConfig` as
JSON; `about`, facts of the training as JSON. The layers themselves are in `model/sync.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..files.atomic import brief, write_tensors
from .config import LARGEST
from .sync import build_sync
from .weights import CheckpointError, check_tensors, checkpoint_hash, expect_finite

FORMAT = "fourreal-sync-1"
KINDS = ("soft", "hard")
MAX_ABOUT = 2**16  # characters of JSON


@dataclass(frozen=True)
class SyncConfig:
    """Which backbone the layers belong to, and their shape.

    family: the backbone's family, such as "wan"; width, depth: its token width and number of blocks. kind: one of KINDS.
    rank: 0 for dense matrices, else of low-rank ones, which wide backbones need: a dense soft layer has 4 width^2 weights, one of low
    rank about 4 width rank. sigma_width: channels of the noise level's embedding.
    """

    family: str
    width: int
    depth: int
    kind: str = "soft"
    rank: int = 0
    sigma_width: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.family, str) or not 1 <= len(self.family) <= 64:
            raise ValueError(f"the model family must be a short name, got {self.family!r:.80}")
        if self.kind not in KINDS:
            raise ValueError(f"the kind of synchronization must be one of {', '.join(KINDS)}, got {self.kind!r:.80}")
        bounds = {
            "width": (1, LARGEST["width"]),
            "depth": (1, LARGEST["depth"]),
            "rank": (0, self.width),
            "sigma_width": (2, LARGEST["sync_sigma_width"]),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(
                    f"the {name} of synchronization layers must be a whole number from {least} to {most}, got "
                    f"{value!r:.80}"
                )
        if self.sigma_width % 2:
            raise ValueError(f"the sigma_width of synchronization layers must be even, got {self.sigma_width}")


class SyncLayers(nn.Module):
    """One trained layer per block: each takes `(y_time, y_view, sigma)`, tokens `[k, V, T, S, D]` and sigma `[k]` in 0..1, and gives
    `(x_time, x_view)`. State dict keys: `<block>.<weight>`.

    operations, dtype and device are the host's seams, as in `model/dit.py`. about: facts of the training, JSON values.
    """

    def __init__(
        self,
        config: SyncConfig,
        *,
        about: Mapping[str, Any] | None = None,
        operations: Any = nn,
        dtype=None,
        device=None,
    ):
        super().__init__()
        self.config, self.about = config, dict(about or {})
        self.file_hash: str | None = None
        sizes = {"width": config.width, "sigma_width": config.sigma_width, "rank": config.rank}
        for index in range(config.depth):
            layer = build_sync(config.kind, **sizes, operations=operations, dtype=dtype, device=device)
            self.add_module(str(index), layer)

    def __len__(self) -> int:
        return self.config.depth

    def __getitem__(self, block: int) -> nn.Module:
        return self.get_submodule(str(range(len(self))[block]))

    def initialize(self, averaging: bool = True, generator: torch.Generator | None = None) -> SyncLayers:
        """Fresh weights, equal to averaging both streams; or, soft only, to no synchronization at all. Returns itself.

        generator: of the low-rank layers' random half, whose other half starts at zero.
        """
        if self.config.kind == "hard" and not averaging:
            raise ValueError(
                "hard synchronization gives both streams the same result, so it can only start as their average"
            )
        options = {} if self.config.kind == "hard" else {"averaging": averaging}
        for layer in self:
            cast(Any, layer).initialize(**options, generator=generator)
        return self

    def expect_backbone(self, family: str, width: int, depth: int) -> None:
        """ValueError, one sentence, when these layers belong to another backbone."""
        config = self.config
        if (config.family, config.width, config.depth) != (family, width, depth):
            raise ValueError(
                f"these synchronization layers were trained on {config.family} (width {config.width}, {config.depth} blocks), "
                f"but the model is {family} (width {width}, {depth} blocks): load the file that was trained on this model"
            )


def save_sync(
    layers: SyncLayers,
    file: str | os.PathLike,
    about: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write the layers to `file`, all or nothing.

    about: facts of the training as JSON values, such as steps, data, base (the backbone's file) and base_hash; None: those that the
    layers came with. dtype: torch.bfloat16 for half the size; None: the layers' own. Raises CheckpointError (a ValueError) when the
    folder or disk refuses, when `about` is no JSON or too long, or when a weight is not finite.
    """
    file = Path(file)
    state = {key: tensor.to(dtype or tensor.dtype) for key, tensor in layers.state_dict().items()}
    expect_finite(file, state)
    try:
        described = json.dumps(dict(layers.about if about is None else about), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"training metadata must consist of plain numbers, texts and lists: {error}") from error
    if len(described) > MAX_ABOUT:
        raise CheckpointError(
            f"training metadata may have at most {MAX_ABOUT} characters as JSON, got {len(described)}: store less"
        )
    if not file.parent.is_dir():
        raise CheckpointError(f"there is no folder {file.parent}: create it before saving {file.name}")
    try:
        write_tensors(file, state, {"format": FORMAT, "config": json.dumps(asdict(layers.config)), "about": described})
    except OSError as error:
        raise CheckpointError(f"could not write synchronization layers to {file}: {error}") from error


def load_sync(
    file: str | os.PathLike, *, dtype: torch.dtype | None = None, device: Any = "cpu", operations: Any = nn
) -> SyncLayers:
    """The layers in `file`, ready to run, without gradients; `about` is what was saved, and `file_hash` names the file.

    dtype: None keeps the file's. Raises CheckpointError (a ValueError), one sentence, when the file is missing, broken, of another kind,
    does not fit its own config, or holds a number that is not finite.
    """
    file = Path(file)
    if not file.is_file():
        raise CheckpointError(f"there are no synchronization layers at {file}")
    try:
        with safe_open(file, framework="pt") as opened:
            config, about = _read_header(file, opened.metadata() or {})
            with torch.device("meta"):
                check_tensors(
                    file, opened, SyncLayers(config).state_dict()
                )  # a host's own layers may have no weights yet
                layers = SyncLayers(config, about=about, operations=operations)
            state = {key: opened.get_tensor(key).to(dtype=dtype) for key in opened.keys()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{file.name} is not a complete safetensors file ({brief(error)}): download or train it again"
        ) from error
    expect_finite(file, state)
    layers.load_state_dict(state, assign=True)
    layers.file_hash = checkpoint_hash(file)
    return layers.to(device=device).eval().requires_grad_(False)


def _read_header(file: Path, metadata: Mapping[str, str]) -> tuple[SyncConfig, dict[str, Any]]:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file.name} holds no synchronization layers: its header lacks the format {FORMAT!r}")
    try:
        values, about = (json.loads(metadata.get(name, "")) for name in ("config", "about"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file.name} cannot be used: its header is not valid JSON ({error})") from error
    names = {field.name for field in fields(SyncConfig)}
    if not isinstance(values, dict) or set(values) != names or not isinstance(about, dict):
        raise CheckpointError(
            f"{file.name} cannot be used: its header should describe layers by {', '.join(sorted(names))}"
        )
    try:
        return SyncConfig(**values), about
    except ValueError as error:
        raise CheckpointError(f"{file.name} cannot be used: {error}") from error
