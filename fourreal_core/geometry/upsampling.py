"""Small maps brought to the size of the frames, with edges where the frames have theirs.

Joint bilateral upsampling: Kopf et al., SIGGRAPH 2007. Depth is averaged only over neighbours with the same label, so that no point floats
between a thing and what is behind it. Shape suffixes: N maps, H W pixels of the frames, h w small pixels, K = 9 neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from ..side_by_side import ask
from .projection import pixel_centres

ALIKE = 0.06  # colour difference at which a neighbour's weight has fallen to 0.6
CLOSE = 0.8  # distance in small pixels at which it has
BAND = 2**18  # pixels worked on at once


class Upsampler:
    """Weights of the 3x3 small pixels around each pixel of each frame, by place and colour."""

    def __init__(self, frames_NHW3: Tensor, small_size: tuple[int, int]):
        self.size, self.small = tuple(frames_NHW3.shape[1:3]), small_size
        self.same = self.size == small_size
        if self.same:
            return
        # the small pixel that each line of large ones lies in
        self.rows, self.columns = (_lines_within(small, large) for small, large in zip(small_size, self.size))
        self.weights_N9HW = self._weights(frames_NHW3)

    def __call__(self, maps_Nhw: Tensor, labels_Nhw: Tensor | None = None, label_NHW: Tensor | None = None) -> Tensor:
        """[N, H, W]: each map at the size of its frame. With labels, small and large, only neighbours of a pixel's own label count."""
        if self.same:
            return maps_Nhw
        large = torch.empty(len(maps_Nhw), *self.size)
        for number, (map_hw, weights_9HW) in enumerate(zip(maps_Nhw, self.weights_N9HW)):
            map_9hw = _around(map_hw[None])[0]
            labels_9hw = None if labels_Nhw is None else _around(labels_Nhw[number][None].float())[0]
            for band in self._bands():
                weights = weights_9HW[:, band].float()
                if labels_9hw is not None and label_NHW is not None:
                    alike = self._enlarged(labels_9hw, band) == label_NHW[number, band].float()
                    weights = weights * (alike + 1e-4)
                large[number, band] = (self._enlarged(map_9hw, band) * weights).sum(0) / weights.sum(0)
        return large

    def _bands(self) -> Iterator[slice]:
        """All lines of a frame, as many at once as make a `BAND`."""
        lines = max(1, BAND // self.size[1])
        for first in range(0, self.size[0], lines):
            ask()
            yield slice(first, first + lines)

    def _weights(self, frames_NHW3: Tensor) -> list[Tensor]:
        """[9, H, W] of each frame, in half precision: those of many large frames are kept at once."""
        pictures_N3HW = frames_NHW3.movedim(-1, 1)
        around_N39hw = [_around(self._shrunk(picture_3HW)) for picture_3HW in pictures_N3HW]
        weights_N9HW = [torch.empty(9, *self.size, dtype=torch.half) for _ in frames_NHW3]
        for band in self._bands():
            apart = 0.5 * self._apart(band) / CLOSE**2
            for picture_3HW, around_39hw, weights_9HW in zip(pictures_N3HW, around_N39hw, weights_N9HW):
                ask()
                different = (self._enlarged(around_39hw, band) - picture_3HW[:, None, band]).square().sum(0)
                weights_9HW[:, band] = (torch.exp(-0.5 * different / ALIKE**2 - apart) + 1e-6).half()
        return weights_N9HW

    def _shrunk(self, picture_3HW: Tensor) -> Tensor:
        ask()
        return functional.interpolate(
            picture_3HW[None], size=self.small, mode="bilinear", align_corners=False, antialias=True
        )[0]

    def _enlarged(self, maps_hw: Tensor, band: slice) -> Tensor:
        """[..., lines, W]: small maps [..., h, w] on a band of a frame, each pixel as the small pixel that it lies in."""
        return maps_hw[..., self.rows[band], :][..., self.columns]

    def _apart(self, band: slice) -> Tensor:
        """[9, lines, W]: squared distance from each pixel to the middle of each small pixel around it, in small pixels."""
        scale = torch.tensor([self.small[1] / self.size[1], self.small[0] / self.size[0]])
        place = pixel_centres(*self.size)[band] * scale
        middle = self._enlarged(pixel_centres(*self.small).movedim(-1, 0), band).movedim(0, -1)
        steps = torch.tensor([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)], dtype=torch.float32)
        return (place - (middle + steps[:, None, None])).square().sum(-1)


def _lines_within(small: int, large: int) -> Tensor:
    """[large]: indices of the small lines."""
    lines = functional.interpolate(torch.arange(small, dtype=torch.float64)[None, None], size=large, mode="nearest")
    return lines[0, 0].long()


def _around(maps_Nhw: Tensor) -> Tensor:
    """[N, 9, h, w]: the nine pixels around each pixel; beyond the border it is repeated."""
    patches = functional.unfold(functional.pad(maps_Nhw[:, None], (1, 1, 1, 1), mode="replicate"), 3)
    return patches.view(len(maps_Nhw), 9, *maps_Nhw.shape[1:])
