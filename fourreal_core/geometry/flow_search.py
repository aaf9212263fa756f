"""Optical flow from every time of a fixed-view video back to its first frame: many DIS searches, best per pixel.

DIS: Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016 (OpenCV). One search misses thin and fast things; searches on
several colour channels, from the flow of the time before and from nothing, seldom all miss. Shape suffixes: T times, h w enlarged pixels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

ENLARGED = 2  # small frames are matched at twice their size
MARGIN = 16  # replicated border, in enlarged pixels
TRUNCATED = 0.15  # colour error that counts at most
SPREAD = 2.5  # of the Gaussian window over which candidates are compared, in enlarged pixels
GREY = np.array([0.299, 0.587, 0.114], np.float32)
STILL_BONUS = 0.002  # colour error by which moving must be better than standing still


def flows_to_first(frames_THW3: Tensor, *, on_time: Callable[[int, int], None] | None = None) -> Tensor:
    """[T, H, W, 2] pixels: where each pixel of time t was at time 0, zero at time 0. frames float32 0..1.

    on_time(done, total) is called after each time; raising inside cancels.
    """
    flows = []
    for flow in _flows(_Searcher(frames_THW3.numpy())):
        flows.append(flow)
        if on_time is not None:
            on_time(len(flows), len(frames_THW3))
    return torch.from_numpy(np.stack(flows))


def _flows(searcher: _Searcher) -> Iterator[np.ndarray]:
    total = np.zeros((*searcher.pictures[0].shape[:2], 2), np.float32)
    yield searcher.frame_sized(total)
    before = total
    for time in range(1, len(searcher.pictures)):
        step = searcher.search(time, time - 1)
        chained = step + look_up(total, step)
        candidates = [np.zeros_like(total), chained, step + look_up(2 * total - before, step)]
        candidates += [searcher.search(time, 0, channel, start) for channel in range(3) for start in (chained, None)]
        before, total = total, searcher.best(time, candidates)
        yield searcher.frame_sized(total)


def look_up(values: np.ndarray, displacement_hw2: np.ndarray) -> np.ndarray:
    """`values` [h, w, ...] read at each pixel's displaced position; the border is repeated."""
    y, x = np.mgrid[: values.shape[0], : values.shape[1]].astype(np.float32)
    return cv2.remap(
        values,
        x + displacement_hw2[..., 0],
        y + displacement_hw2[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


class _Searcher:
    """Enlarged pictures of all times, and DIS between any two of them."""

    def __init__(self, frames_THW3: np.ndarray):
        self.height, self.width = frames_THW3.shape[1:3]
        size = (self.width * ENLARGED, self.height * ENLARGED)
        self.pictures = [_bordered(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)) for frame in frames_THW3]
        self.channels = [
            [_bytes(picture @ GREY), _bytes(picture[..., 0]), _bytes(picture[..., 2])] for picture in self.pictures
        ]
        self.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.dis.setFinestScale(0)
        self.dis.setVariationalRefinementIterations(5)

    def search(self, start: int, end: int, channel: int = 0, flow_hw2: np.ndarray | None = None) -> np.ndarray:
        guess = None if flow_hw2 is None else flow_hw2.copy()
        first, second = self.channels[start][channel], self.channels[end][channel]
        return self.dis.calc(first, second, guess)  # pyright: ignore[reportCallIssue, reportArgumentType]

    def best(self, time: int, candidates: list[np.ndarray]) -> np.ndarray:
        """Per pixel the candidate under which time 0 looks most like `time`, then a median."""
        costs = [self._cost(time, flow) + (STILL_BONUS if index else 0.0) for index, flow in enumerate(candidates)]
        chosen = np.argmin(costs, axis=0)
        flow = np.take_along_axis(np.stack(candidates), chosen[None, ..., None], axis=0)[0]
        return np.dstack([cv2.medianBlur(np.ascontiguousarray(flow[..., axis]), 5) for axis in (0, 1)])

    def _cost(self, time: int, flow_hw2: np.ndarray) -> np.ndarray:
        error = np.abs(look_up(self.pictures[0], flow_hw2) - self.pictures[time]).mean(-1)
        return cv2.GaussianBlur(np.minimum(error, TRUNCATED), (0, 0), SPREAD)

    def frame_sized(self, flow_hw2: np.ndarray) -> np.ndarray:
        inner = np.ascontiguousarray(flow_hw2[MARGIN:-MARGIN, MARGIN:-MARGIN])
        return cv2.resize(inner, (self.width, self.height), interpolation=cv2.INTER_AREA) / np.float32(ENLARGED)


def _bordered(picture_hw3: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(picture_hw3, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)


def _bytes(channel_hw: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(channel_hw * 255), 0, 255).astype(np.uint8)
