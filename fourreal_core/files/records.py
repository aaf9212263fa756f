"""Records, one a line, as JSON: a file that a long run adds to, and that the next run goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .atomic import write_text


def read_records(path: Path) -> list[dict[str, Any]]:
    """All of them; none where there is no file. A last line that was cut, by a killed run or a full disk, is removed from the file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, _, cut = text.rpartition("\n")
    if cut:
        write_text(path, whole + "\n" if whole else "")
    return [json.loads(line) for line in whole.splitlines()]


def add_record(path: Path, record: dict[str, Any]) -> None:
    """Adds one line. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
