"""Which shots a batch has: pairs of recordings, and settings of the workflow's nodes that differ between them. Next to read: run_shot.py."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.stills import IMAGE_SUFFIXES, in_natural_order, natural_key
from ..files.video import VIDEO_SUFFIXES

ROLES = ("fixed_view", "freeze_time")
NAME = re.compile(r"\w[\w .-]*")
SEPARATORS = "_-. "
KINDS = {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES}


@dataclass(frozen=True)
class Shot:
    """name: of its folder of results. fixed_view, freeze_time: a video or a folder of images each. settings: (class of nodes, input, value) each."""

    name: str
    fixed_view: Path
    freeze_time: Path
    settings: tuple[tuple[str, str, Any], ...] = ()


def find_shots(path: str | Path) -> list[Shot]:
    """The shots of a folder or a CSV file, in natural order or that of its lines.

    In a folder, or its subfolders, a pair is two videos or folders of images whose names end with `fixed_view` and `freeze_time`: what stands before, or
    else the subfolder, names the shot. A CSV file has the columns `fixed_view` and `freeze_time`, with paths from its own folder, and if wanted `name` and
    settings such as `FourRealSampler.seed`, whose empty fields leave the workflow's value. Raises ValueError for what is missing, twice there or unpaired.
    """
    path = Path(path)
    if path.is_dir():
        shots = _in_folder(path)
    elif path.is_file():
        shots = _in_table(path)
    else:
        raise ValueError(f"there is no {path}: name a folder of pairs, or a CSV file.")
    names = [shot.name for shot in shots]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two shots of {path.name} are called {twice}: give them different names.")
    return shots


def _in_folder(folder: Path) -> list[Shot]:
    found: dict[str, dict[str, Path]] = {}
    subfolders = [entry for entry in in_natural_order(folder) if entry.is_dir() and _role(entry) is None]
    for parent in (folder, *subfolders):
        for entry in in_natural_order(parent):
            role = _role(entry)
            if role is None:
                continue
            before = _stem(entry).removesuffix(role).rstrip(SEPARATORS)
            name = SEPARATORS[0].join(part for part in (parent.name if parent != folder else "", before) if part)
            files = found.setdefault(_checked(name or folder.name), {})
            if role in files:
                raise ValueError(f"the shot {name} has two {role}: {files[role].name} and {entry.name}.")
            files[role] = entry
    for name, files in found.items():
        for role in ROLES:
            if role not in files:
                raise ValueError(
                    f"the shot {name} in {folder} has no {role} beside its {next(iter(files.values())).name}."
                )
    if not found:
        raise ValueError(
            f"found no pairs in {folder}: expected videos or folders of images named like walk_fixed_view.mp4 and walk_freeze_time.mp4, "
            "or walk/fixed_view.mp4 and walk/freeze_time.mp4."
        )
    return [
        Shot(name, found[name]["fixed_view"], found[name]["freeze_time"]) for name in sorted(found, key=natural_key)
    ]


def _stem(entry: Path) -> str:
    return entry.name if entry.is_dir() else entry.stem


def _role(entry: Path) -> str | None:
    if not entry.is_dir() and entry.suffix.lower() not in KINDS:
        return None
    return next((role for role in ROLES if _stem(entry).endswith(role)), None)


def _in_table(file: Path) -> list[Shot]:
    with open(file, newline="", encoding="utf-8-sig") as opened:
        lines = csv.DictReader(opened)
        try:
            lacking = [role for role in ROLES if role not in (lines.fieldnames or ())]
            if lacking:
                raise ValueError(
                    f"{file.name} has no column {lacking[0]}: expected {', '.join(ROLES)} in its first line."
                )
            shots = [_of_line(file, lines.line_num, line) for line in lines]
        except (csv.Error, UnicodeDecodeError) as problem:
            raise ValueError(f"{file.name} is no CSV file in UTF-8: {problem}.") from problem
    if not shots:
        raise ValueError(f"{file.name} has no line below its first.")
    return shots


def _of_line(file: Path, number: int, line: dict[str, str | None]) -> Shot:
    if None in line:
        raise ValueError(f"line {number} of {file.name} has more fields than the first line.")
    fields = {column.strip(): (text or "").strip() for column, text in line.items()}
    paths = {role: file.parent / fields.pop(role) for role in ROLES if fields.get(role)}
    for role in ROLES:
        if role not in paths or not paths[role].exists():
            raise ValueError(
                f"line {number} of {file.name}: expected a {role} that is there, got {paths.get(role, 'nothing')}."
            )
    name = _checked(fields.pop("name", "") or f"{paths['fixed_view'].stem}_{paths['freeze_time'].stem}")
    settings = []
    for column, text in fields.items():
        kind, dot, name_of_input = column.partition(".")
        if not dot:
            raise ValueError(
                f"{file.name}: expected settings such as FourRealSampler.seed as further columns, got {column}."
            )
        if text:
            settings.append((kind, name_of_input, _value(text)))
    return Shot(name, paths["fixed_view"], paths["freeze_time"], tuple(settings))


def _checked(name: str) -> str:
    if not NAME.fullmatch(name) or name.endswith((".", " ")):
        raise ValueError(f"a shot cannot be called {name!r}: use letters, digits, spaces, dots, - and _.")
    return name


def _value(text: str) -> Any:
    """A number or true / false where it is one, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool)) else text
