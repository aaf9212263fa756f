"""The report of a batch: one page with a line, a picture, the videos and the scores of every shot. It needs no network, only the folders beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..evaluation.kept import measured_of
from ..evaluation.page import document, html_table
from ..evaluation.report import markdown
from ..evaluation.study import Study
from ..files.atomic import write_text
from .run_shot import PLOT, SHEET
from .shots import Shot

PAGE = "index.html"
VIDEOS, PICTURES = (".mp4", ".webm"), (".png", ".jpg", ".jpeg", ".webp")


def write_page(
    output: Path, shots: Sequence[Shot], facts: Mapping[str, dict[str, Any]], problems: Mapping[str, str]
) -> Path:
    """Writes OUTPUT/index.html and gives its path. facts: of finished shots, as `run_shot` gives them; problems: name -> why a shot has none."""
    lines = []
    for shot in shots:
        found = facts.get(shot.name)
        lines.append([shot.name, *(("done", f"{found['seconds']:.0f}") if found else (_state(shot, problems), "-"))])
    of_shots = {
        name: {key: measured_of(plain) for key, plain in found["scores"].items()}
        for name, found in facts.items()
        if found["scores"]
    }
    parts = [f"<h1>{len(facts)} of {len(shots)} shots</h1>", html_table(markdown(["shot", "state", "seconds"], lines))]
    if of_shots:
        parts += map(html_table, Study({"shots": of_shots}).tables())
    parts += [_section(output, shot.name, facts[shot.name]["files"]) for shot in shots if shot.name in facts]
    write_text(output / PAGE, document("A batch of shots", parts))
    return output / PAGE


def _state(shot: Shot, problems: Mapping[str, str]) -> str:
    return f"failed: {' '.join(problems[shot.name].split()).replace('|', '/')}" if shot.name in problems else "not yet"


def _section(output: Path, name: str, files: Sequence[str]) -> str:
    """The sheet of the grid or else the first picture, then videos, then links to everything."""
    place = lambda file: quote(f"{name}/{file}")
    shown = [file for file in files if file.lower().endswith(PICTURES)][:1]
    if (output / name / SHEET).is_file():
        shown = [SHEET]
    parts = [f"<h2>{html.escape(name)}</h2>"]
    parts += [f'<figure><img loading="lazy" src="{place(file)}" alt="{html.escape(name)}"></figure>' for file in shown]
    parts += [
        f'<video controls loop muted preload="metadata" src="{place(file)}"></video>'
        for file in files
        if file.lower().endswith(VIDEOS)
    ]
    if (output / name / PLOT).is_file():
        parts.append(
            f'<details><summary>Faults over time and views</summary><img loading="lazy" src="{place(PLOT)}" alt=""></details>'
        )
    links = ", ".join(f'<a href="{place(file)}">{html.escape(file)}</a>' for file in files)
    return "".join([*parts, f"<p>{links}</p>"])
