"""4Real-Video in pure PyTorch: a view x time grid from two videos. Start at grid.py; the model is in model/, the method in sampling/.

The names in __all__ are the public API and stay stable. The model's are resolved on first use, so that grids open quickly.
"""

import importlib
from typing import TYPE_CHECKING

from .grid import FrameGrid
from .grid_file import load_grid, save_grid
from .moved import keep_old_names
from .paths import bullet_time, diagonal, fixed_view, freeze_time, ping_pong, slice_grid

if TYPE_CHECKING:
    from .geometry.fill import Filled, fill_grid
    from .model.weights import load_model
    from .sampling import sample_grid
    from .transport import transport_fill

__all__ = [
    "FrameGrid",
    "load_model",
    "sample_grid",
    "slice_grid",
    "save_grid",
    "load_grid",
    "fixed_view",
    "freeze_time",
    "bullet_time",
    "diagonal",
    "ping_pong",
    "transport_fill",
    "fill_grid",
    "Filled",
]

_LAZY = {
    "load_model": ".model.weights",
    "sample_grid": ".sampling",
    "transport_fill": ".transport",
    "fill_grid": ".geometry.fill",
    "Filled": ".geometry.fill",
}

keep_old_names()


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name], __name__), name)
