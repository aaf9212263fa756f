"""A part of a text file that a command writes, between two HTML comments, so that tables in documents are made and never copied."""

from __future__ import annotations

from pathlib import Path

from .atomic import write_text


def write_part(path: str | Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->` in a file by `text`.

    Raises ValueError when the file is missing or does not have both lines.
    """
    path = Path(path)
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if not path.is_file():
        raise ValueError(f"there is no file {path}: name a document that has the lines {start} and {end}.")
    before, found, rest = path.read_text(encoding="utf-8").partition(start)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise ValueError(f"expected {path} to have the lines {start} and {end}: add them where the table belongs.")
    write_text(path, f"{before}{start}\n\n{text.strip()}\n\n{end}{after}")
