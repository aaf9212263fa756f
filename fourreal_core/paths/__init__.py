"""Ways through a grid: named ones and slicing (presets.py), drawn ones (drawn.py) and their text (drawn_text.py)."""

from ..moved import renamed
from .presets import (
    MAX_SLICE_BYTES,
    Positions,
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
    "Positions",
    "bullet_time",
    "diagonal",
    "fixed_view",
    "freeze_time",
    "parse_path",
    "ping_pong",
    "slice_grid",
]

__getattr__ = renamed(__name__, {"Path": "Positions"})
