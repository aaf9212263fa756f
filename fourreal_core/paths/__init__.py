"""Ways through a grid: named ones and slicing (presets.py), drawn ones (drawn.py) and their text (drawn_text.py)."""

from .presets import (
    MAX_SLICE_BYTES,
    Path,
    bullet_time,
    diagonal,
    fixed_view,
    freeze_time,
    parse_path,
    ping_pong,
    slice_grid,
)

__all__ = [
    "MAX_SLICE_BYTES",
    "Path",
    "bullet_time",
    "diagonal",
    "fixed_view",
    "freeze_time",
    "parse_path",
    "ping_pong",
    "slice_grid",
]
