"""Small maps brought to the size of the frames, with edges where the frames have theirs.

Joint bilateral upsampling: Kopf et al., SIGGRAPH 2007. Depth is averaged only over neighbours with the same label, so that no point floats
between a thing and what is behind it. Shape suffixes: N maps, H W pixels of the frames, h w small pixels, K = 9 neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .projection import pixel_centres

ALIKE = 0.06  # colour difference at which a neighbour's weight has fallen to 0.6
CLOSE = 0.8  # distance in small pixels at which it has


class Upsampler:
    """Weights of the 3x3 small pixels around each pixel of each frame, by place and colour."""

    def __init__(self, frames_NHW3: Tensor, small_size: tuple[int, int], on_frame: Callable[[], None] = lambda: None):
        """on_frame() is called before the work on each frame; raising inside cancels."""
        self.size, self.small, self.on_frame = tuple(frames_NHW3.shape[1:3]), small_size, on_frame
        self.same = self.size == small_size
        if self.same:
            return
        self.weights_9HW = [self._weights(frame_HW3) for frame_HW3 in frames_NHW3]

    def __call__(self, maps_Nhw: Tensor, labels_Nhw: Tensor | None = None, label_NHW: Tensor | None = None) -> Tensor:
        """[N, H, W]: each map at the size of its frame. With labels, small and large, only neighbours of a pixel's own label count."""
        if self.same:
            return maps_Nhw
        large = []
        for number, (map_hw, weights_9HW) in enumerate(zip(maps_Nhw, self.weights_9HW)):
            self.on_frame()
            weights = weights_9HW.float()
            if labels_Nhw is not None and label_NHW is not None:
                alike = self._around(labels_Nhw[number][None, None].float())[0] == label_NHW[number].float()
                weights = weights * (alike + 1e-4)
            large.append((self._around(map_hw[None, None])[0] * weights).sum(0) / weights.sum(0))
        return torch.stack(large)

    def _weights(self, frame_HW3: Tensor) -> Tensor:
        """[9, H, W] of one frame, in half precision: those of many large frames are kept at once."""
        self.on_frame()
        picture = frame_HW3.movedim(-1, 0)[None]
        shrunk = functional.interpolate(picture, size=self.small, mode="bilinear", align_corners=False, antialias=True)
        different = (self._around(shrunk).view(3, 9, *self.size) - picture[0, :, None]).square().sum(0)
        weights = torch.exp(-0.5 * different / ALIKE**2 - 0.5 * self._apart() / CLOSE**2)
        return (weights + 1e-6).half()

    def _around(self, maps_NChw: Tensor) -> Tensor:
        """[N, C * 9, H, W]: the nine small pixels around each pixel."""
        patches = functional.unfold(functional.pad(maps_NChw, (1, 1, 1, 1), mode="replicate"), 3)
        return functional.interpolate(patches.view(len(maps_NChw), -1, *self.small), size=self.size, mode="nearest")

    def _apart(self) -> Tensor:
        """[9, H, W]: squared distance from each pixel to the middle of each small pixel around it, in small pixels."""
        scale = torch.tensor([self.small[1] / self.size[1], self.small[0] / self.size[0]])
        place = pixel_centres(*self.size) * scale
        middle = functional.interpolate(
            pixel_centres(*self.small).movedim(-1, 0)[None], size=self.size, mode="nearest"
        )[0].movedim(0, -1)
        steps = torch.tensor([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)], dtype=torch.float32)
        return (place - (middle + steps[:, None, None])).square().sum(-1)
