"""A model that knows small cells only, used on large ones: it works on a small copy, and what it changes there is laid over the large fill.

Shape suffixes: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ..files.room import copied, give_back
from ..grid import FrameGrid
from ..model.condition import check_guess
from ..model.config import PATCH
from ..side_by_side import ask
from ..transport import Predictions

HOME = (72, 128)  # height, width of the cells that the bundled model was trained on
MUCH_LARGER = 2.0  # times as many pixels, from which on a model is better served a small copy

FillSmall = Callable[[FrameGrid, Predictions, FrameGrid | None], FrameGrid]


def home_size(height: int, width: int) -> tuple[int, int]:
    """The size to work at for cells of this size: theirs, or for cells of more than twice `HOME`'s pixels about as many as it has.

    Keeps the aspect as far as sides that are multiples of 8 allow.
    """
    share = (HOME[0] * HOME[1] / (height * width)) ** 0.5
    if share >= MUCH_LARGER**-0.5:
        return height, width
    small = tuple(max(PATCH, round(side * share / PATCH) * PATCH) for side in (height, width))
    return min(small[0], height), min(small[1], width)


@dataclass(frozen=True, eq=False)
class Changes:
    """What a model changed in a small copy of a grid, to be laid over the large cells one by one: all of them would take the memory of a grid each time."""

    added_VThw3: Tensor

    def over(self, at: tuple[int, int], start_HW3: Tensor) -> Tensor:
        """[H, W, 3], 0..1: one large cell, (view, time) from 0, with what was changed in the small one."""
        added_13hw = self.added_VThw3[at].movedim(-1, 0)[None]
        size = tuple(start_HW3.shape[:2])
        added = functional.interpolate(added_13hw, size=size, mode="bicubic", align_corners=False)[0].movedim(0, -1)
        return (start_HW3 + added).clamp_(0, 1)

    def drawn(self, at: tuple[int, int], predicted: Predictions) -> Tensor:
        """The same over the blend of Transport's prediction of the cell: a `DrawCell` for `FillSources.fill`."""
        return self.over(at, predicted.blend)

    def over_grid(self, grid: FrameGrid, guess: FrameGrid) -> FrameGrid:
        """The grid with its unknown cells as the guess with what was changed; known cells stay bit-exact."""
        frames = copied(grid.frames)
        for view, time in (~grid.known).nonzero().tolist():
            ask()
            frames[view, time] = self.over((view, time), guess.frames[view, time])
        return grid.replace(frames=frames)


def lifted(grid: FrameGrid, small: Predictions, guess: FrameGrid | None, fill_small: FillSmall) -> Changes:
    """What a model changes in the unknown cells of a grid, found in a small copy of it. [ours]

    small: Transport's predictions of all cells at the size of the copy. fill_small(small grid, its predictions, small guess) gives the
    small grid filled. What that adds to the small start (the guess, else the predictions' blend), enlarged, is to be added to the large
    start: its sharpness stays, and the model's corrections reach as deep as the model saw. ValueError for a guess of another size.
    """
    check_guess(grid, guess)
    height, width = small.time.confidence.shape[-2:]
    small_guess = None if guess is None else guess.resized(height, width, fit="stretch")
    filled = fill_small(grid.resized(height, width, fit="stretch"), small, small_guess)
    give_back()
    return Changes(filled.frames - (small.blend if small_guess is None else small_guess.frames))
