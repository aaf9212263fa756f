"""Writing safetensors files all or nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` with string metadata to `path`; an older file stays as it was when writing fails.

    The file gets the user's usual permissions (safetensors alone lets nobody but the owner read its files). Raises
    OSError or SafetensorError when the folder or the disk refuses.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, dict(header or {})
        )
        part.chmod(mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
