"""All that can be measured in a grid alone. Which fault each number sees: docs/metrics.md; what they mean: metrics.py.

Shape suffixes: V views, T times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...grid import FrameGrid
from ...redo import filled_cells
from ..measured import Measured
from .epipolar import epipolar_agreement
from .flows import grid_flows
from .looks import sharpness
from .metrics import METRICS
from .motion import acceleration, amounts, commutation, drift, support, synchrony, warp_error

SMALLEST_SIDE = 16  # pixels


def measure_agreement(
    grid: FrameGrid,
    only: Sequence[str] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Measured]:
    """Every metric of `METRICS` that needs neither a truth nor weights, in that order, but for the fit of splats.

    only: keys to measure (None: all). What cannot be measured says why and is no error. on_progress(share). Known and unknown cells count
    alike. Raises ValueError for cells that hold no picture, cells under 16 pixels a side, or an unknown key.
    """
    wanted = [key for key in METRICS if key != "splat_fit"] if only is None else list(only)
    if set(wanted) - (METRICS.keys() - {"splat_fit"}):
        raise ValueError(f"expected metrics among {', '.join(METRICS)}, got {', '.join(wanted)}.")
    check_whole(grid)
    report = on_progress or (lambda share: None)
    found: dict[str, Measured] = sharpness(grid)
    if "epipolar" in wanted:
        found["epipolar"] = epipolar_agreement(grid)
        report(0.5)
    if set(wanted) - {"epipolar", "sharpness", "sharpness_ratio"}:
        flows = grid_flows(grid, lambda share: report(0.5 + 0.4 * share))
        found |= {f"{along}_acceleration": acceleration(flows, along) for along in ("time", "view")}
        found |= {f"warp_{along}": warp_error(flows, along) for along in ("time", "view")}
        found |= {"drift": drift(flows), "commutation": commutation(flows), "synchrony": synchrony(flows)}
        found["support"] = support(flows)
        found |= amounts(flows)
    report(1.0)
    return {key: found[key] for key in METRICS if key in wanted}


def check_whole(grid: FrameGrid) -> None:
    """ValueError unless every cell holds a picture and is large enough to be measured."""
    empty = (~filled_cells(grid)).nonzero().tolist()
    if empty:
        view, time = empty[0]
        raise ValueError(
            f"expected a filled grid, got {len(empty)} empty cells, the first at view {view + 1}, time {time + 1}: "
            "fill the grid first, for example with 4Real Fill. Cells that are black throughout count as empty."
        )
    if min(grid.height, grid.width) < SMALLEST_SIDE:
        raise ValueError(
            f"expected cells of at least {SMALLEST_SIDE} pixels per side to measure, got {grid.width}x{grid.height}."
        )
