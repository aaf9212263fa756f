"""Teaches the fusion network which candidates are right, on whole grids filled by the trained stages. Shape suffixes: N candidates, K channels, H W pixels.

The candidates are those of estimated geometry, with its mistakes, and what the trained two-stream model draws in one step: these are what
the network chooses between in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from ...data.rendered.exact_files import load_exact
from ...evaluation.image import moving_pixels, psnr, sharpness
from ...evaluation.measure import hide
from ...geometry.candidates import cell_candidates, still_layer
from ...geometry.estimate import estimate_scene
from ...geometry.fusion import fusion_inputs, fusion_loss
from ...geometry.networks import GeometryNetworks
from ...model.two_stream import GridModel
from ...sampling.sample import sample_grid
from ...transport import transport
from .loop import GeometryPlan, Task
from .scenes import chance, mean_of

PLAN = GeometryPlan(steps=3000, first=4, fresh=0.05, pool=150)
CELLS = 10  # of each grid
UNDRAWN = 0.4  # share of the cells that no model draws: the fill without it uses the same network
LEAST_MOVERS = 30  # pixels of a mover that are worth a score


@dataclass(frozen=True)
class CellExample:
    """One unknown cell of a grid."""

    pictures_N3HW: Tensor  # uint8
    undrawn_3HW: Tensor  # uint8: what stands in the place of the model's drawing where no model draws
    told_KHW: Tensor  # float16
    truth_3HW: Tensor  # uint8
    moving_HW: Tensor  # bool


class FusionTask(Task[list[CellExample]]):
    """networks: with the trained depth, motion and mover networks; its fusion network is the one that learns. model: draws the cells.
    scenes: with whole grids."""

    name = "fusion"

    def __init__(
        self, networks: GeometryNetworks, model: GridModel, scenes: Sequence[Path], held_out: Sequence[Path] = ()
    ):
        self.networks, self.network, self.model = networks, networks.fusion, model
        self.scenes, self.held_out = scenes, held_out
        self.count = len(scenes)

    def prepare(self, index: int, generator: Generator) -> list[CellExample] | None:
        """Some cells of a grid; None without parallax."""
        return self._cells(self.scenes[index], CELLS, generator)

    @torch.no_grad()
    def _cells(self, path: Path, count: int, generator: Generator) -> list[CellExample] | None:
        exact = load_exact(path)
        truth = exact.grid()
        task, moving_VTHW = hide(truth), moving_pixels(truth.frames)
        try:
            scene = estimate_scene(self.networks, task.frames[0], task.frames[:, 0], exact.cameras)
        except ValueError:
            return None
        predictions = transport(task)
        drawn = sample_grid(self.model, task, steps=1, predictions=predictions).frames
        blend = predictions.blend
        unknown = (~task.known).nonzero()
        chosen = unknown[torch.randperm(len(unknown), generator=generator)[:count]].tolist()
        examples = []
        for view, time in chosen:
            cell = cell_candidates(scene, still_layer(scene, view), view, time)
            at, place = (view, time), (view / (truth.views - 1), time / (truth.times - 1))
            pictures, told = fusion_inputs(cell, predictions.cell(at), place, drawn[at])
            examples.append(
                CellExample(
                    pictures_N3HW=_bytes(pictures),
                    undrawn_3HW=_bytes(blend[at].movedim(-1, 0)),
                    told_KHW=told.half(),
                    truth_3HW=_bytes(truth.frames[at].movedim(-1, 0)),
                    moving_HW=moving_VTHW[at],
                )
            )
        return examples

    def loss(self, examples: list[list[CellExample]], generator: Generator) -> Tensor:
        """`fusion_loss` of one cell of each grid, which may be mirrored and whose colours change places."""
        cells = [cells[int(torch.randint(len(cells), (), generator=generator))] for cells in examples]
        batch = [_changed(cell, generator) for cell in cells]
        pictures, told, truth, moving = (torch.stack(parts) for parts in zip(*batch))
        choice = self.network(pictures, told)
        return fusion_loss(choice.carried_out(pictures), choice.log_error_BHW, truth, moving)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """PSNR of the choice and of the composition without it, and how sharp the choice is where things move, relative to the truth."""
        found = []
        for path in self.held_out:
            for cell in self._cells(path, CELLS, Generator().manual_seed(0)) or []:
                pictures_N3HW = cell.pictures_N3HW.float() / 255
                choice = self.network(pictures_N3HW[None], cell.told_KHW[None].float())
                made = choice.carried_out(pictures_N3HW[None])[0].movedim(0, -1)
                composed, truth = pictures_N3HW[0].movedim(0, -1), cell.truth_3HW.float().movedim(0, -1) / 255
                score = {"all dB": psnr(made, truth), "composed, all dB": psnr(composed, truth)}
                if (moving := cell.moving_HW).sum() > LEAST_MOVERS:
                    score |= {
                        "moving dB": psnr(made, truth, moving),
                        "composed, moving dB": psnr(composed, truth, moving),
                        "sharpness": sharpness(made[None], truth[None], moving[None]),
                    }
                found.append(score)
        return mean_of(found)


def _changed(cell: CellExample, generator: Generator) -> list[Tensor]:
    colours = torch.randperm(3, generator=generator)
    pictures, told = cell.pictures_N3HW, cell.told_KHW.float()
    if chance(UNDRAWN, generator):
        pictures = torch.cat([pictures[:-1], cell.undrawn_3HW[None]])
        told = torch.cat([told[:-1], torch.zeros_like(told[:1])])
    pictures, truth = (value.float() / 255 for value in (pictures[:, colours], cell.truth_3HW[colours]))
    maps = [pictures, told, truth, cell.moving_HW.float()]
    return [value.flip(-1) for value in maps] if chance(0.5, generator) else maps


def _bytes(picture: Tensor) -> Tensor:
    return (picture * 255).round().clamp(0, 255).to(torch.uint8)
