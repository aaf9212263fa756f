"""One progress bar over several stages of a node's work, each with a share of it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping

import comfy.model_management
import comfy.utils

from .types import tell

FINENESS = 1000  # of a bar


class StageBar:
    """The bar of the running node; moving it also stops the work when the user cancels.

    stages: for each name its share of the bar and what is said of it. names: those that come, all by default. node: it is told what begins.
    part, parts: of several such works one after the other on one bar, which is that of `before` from the second on.
    """

    def __init__(
        self,
        stages: Mapping[str, tuple[int, str]],
        names: Iterable[str] | None = None,
        node=None,
        *,
        part: int = 0,
        parts: int = 1,
        before: StageBar | None = None,
    ):
        self.stages = {name: stages[name] for name in stages if names is None or name in set(names)}
        self.ends = dict(zip(self.stages, itertools.accumulate(share for share, _ in self.stages.values())))
        self.whole, self.part, self.total = sum(share for share, _ in self.stages.values()), part, FINENESS * parts
        self.bar, self.done = (before.bar, before.done) if before else (comfy.utils.ProgressBar(self.total), 0)
        self.node, self.stage = node, None

    def move(self, name: str, share: float, picture=None) -> None:
        """To where so much of a stage (0..1) is done. picture: what ComfyUI shows on the node meanwhile."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        if name != self.stage:
            self.stage = name
            if self.node is not None:
                tell(self.node, f"{self.stages[name][1]} ...", logging.DEBUG)
        passed = (self.ends[name] - (1 - share) * self.stages[name][0]) / self.whole
        self.done = max(self.done, round(FINENESS * (self.part + passed)))  # a bar that runs backwards frightens
        self.bar.update_absolute(self.done, self.total, picture)
