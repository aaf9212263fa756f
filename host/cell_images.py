"""Image batches that hold one image per cell of a grid, such as the confidence of 4Real Fill.

Shape suffixes: V views, T times, N = V T images, H W pixels, C = 3 colour channels.
"""

import torch

from ..fourreal_core.grid import FrameGrid


def cell_images(images_NHWC: torch.Tensor, grid: FrameGrid, name: str) -> torch.Tensor:
    """The images as [V, T, H, W, 3], sharing their memory, view by view as 4Real Grid to Images orders them; of any size.

    Raises ValueError, with `name` in the sentence, when their number is not that of the grid's cells or they have no colours.
    """
    count = grid.views * grid.times
    if images_NHWC.ndim != 4 or images_NHWC.shape[-1] < 3:
        raise ValueError(f"expected {name} as colour images, got a batch of shape {list(images_NHWC.shape)}")
    if len(images_NHWC) != count:
        raise ValueError(
            f"expected {name} with one image per cell, {count} for {grid.views} views and {grid.times} times, got {len(images_NHWC)}: "
            "connect the one that belongs to this grid"
        )
    return images_NHWC[..., :3].unflatten(0, (grid.views, grid.times))
