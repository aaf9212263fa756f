"""How sharp the cells of a grid are: what unmasks a fill that scores well because it blurs.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...grid import FrameGrid
from ...side_by_side import ask
from ..measured import Measured

LEAST_DETAIL = 1e-3  # variance of given cells below which no ratio can be told
LUMA = (0.299, 0.587, 0.114)


def sharpness(grid: FrameGrid) -> dict[str, Measured]:
    """Variance of the Laplacian of grey values 0..255, mean over cells; and that of unknown cells relative to the known ones."""
    cells = torch.stack([_detail(cell_HW3) for cell_HW3 in grid.frames.flatten(0, 1)]).view(grid.views, grid.times)
    found = {"sharpness": Measured(float(cells.mean()), cells_VT=cells)}
    if bool(grid.known.all()) or not bool(grid.known.any()):
        found["sharpness_ratio"] = Measured.not_measurable("no cell is known to be given, or none to be filled")
    elif float(cells[grid.known].mean()) < LEAST_DETAIL:
        found["sharpness_ratio"] = Measured.not_measurable("the given cells show nothing")
    else:
        given = float(cells[grid.known].mean())
        found["sharpness_ratio"] = Measured(float(cells[~grid.known].mean()) / given, cells_VT=cells / given)
    return found


def _detail(cell_HW3: Tensor) -> Tensor:
    ask()
    grey = F.pad((cell_HW3 @ torch.tensor(LUMA) * 255)[None, None], (1, 1, 1, 1), mode="replicate")
    laplacian = F.conv2d(grey, torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None])
    return laplacian.flatten().var(correction=0)
