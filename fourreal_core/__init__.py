"""4Real-Video in pure PyTorch: a view x time grid from two videos. Start at grid.py; the model is in model/, the method in sampling/.

The names in __all__ are the public API and stay stable. They are resolved on first use, so that what needs no PyTorch does not wait for it.
"""

import importlib
from typing import TYPE_CHECKING

from .moved import keep_old_names

if TYPE_CHECKING:
    from .geometry.fill import Filled, fill_grid
    from .grid import FrameGrid
    from .grid_file import load_grid, save_grid
    from .model.weights import load_model
    from .paths import bullet_time, diagonal, fixed_view, freeze_time, ping_pong, slice_grid
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

_HOMES = {
    ".geometry.fill": ("Filled", "fill_grid"),
    ".grid": ("FrameGrid",),
    ".grid_file": ("load_grid", "save_grid"),
    ".model.weights": ("load_model",),
    ".paths": ("bullet_time", "diagonal", "fixed_view", "freeze_time", "ping_pong", "slice_grid"),
    ".sampling": ("sample_grid",),
    ".transport": ("transport_fill",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

keep_old_names()


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name], __name__), name)
