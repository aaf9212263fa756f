"""The header of a safetensors file of the pack, checked before anything in the file is believed: its length, its kind and version, its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_TEXT = 2**20  # characters of JSON in one entry
MOST_BYTES = 2 * MOST_TEXT + 65536  # of a header; JSON inside JSON escapes its quotes


@dataclass(frozen=True)
class FileKind:
    """called: in messages, "grid". format, version: what its header says. problem: the class of its errors, a ValueError."""

    called: str
    format: str
    version: str
    problem: type[ValueError]

    def check_length(self, file: Path) -> None:
        """Raises `problem` where the header would be longer than the file or than such files have it, OSError where the file cannot be read."""
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(MOST_BYTES, file.stat().st_size - 8):
            raise self.problem(
                f"cannot read {file.name}: its header claims {length} bytes in a file of {file.stat().st_size}, "
                f"so it is damaged, incomplete, or not a {self.called} file."
            )

    def check(self, header: Mapping[str, str], name: str) -> None:
        """Raises `problem` for a file of another kind, or of another version of this kind."""
        if header.get("format") != self.format:
            raise self.problem(
                f"expected a {self.called} file, but {name} is a safetensors file of another kind (format "
                f"{header.get('format', 'not given')!r:.60})."
            )
        if header.get("version") != self.version:
            raise self.problem(
                f"expected version {self.version} of {self.called} files, but {name} has version {header.get('version')!r:.60}: "
                "update the pack to open it."
            )


def strict_json(text: str) -> Any:
    """What a text of JSON says. Raises ValueError or RecursionError for all that is no JSON, NaN and Infinity among it, which Python takes."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str):
    raise ValueError(f"{constant} is not a JSON number")
