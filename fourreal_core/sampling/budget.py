"""What a grid will take before it is sampled: tokens, memory at the peak and work, for any video transformer; and what would fit.

Memory is counted in tensors that live at once inside one model call, in widths (D numbers) per token:

    self-attention     7           the layer's input and its caller's, normalized input, q, k, v, result
    MLP                3 + 2 W/D   the inputs and what the widest layer makes, before and after its activation
    two streams        + 2         the other stream, and one stream's result while the other goes through the block

read off the models' code and held to counted tensors by tests/host/inside/test_budget.py, within `FACTOR`. What kernels use inside
is left out: attention kernels keep no scores. What a fill takes, and a grid model on a CPU, was measured as memory of the process
(scripts/measure_budget.py). Work is counted in multiplications, of weights and of attention scores.

Letters: V views, T times, L latent frames of a view, S tokens per frame, D width, W width of the widest layer, k prompts in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ..geometry.bases import base_cells
from ..geometry.cells import PIXEL_BYTES, cells_at_once
from ..geometry.scene import SceneUnknown
from ..grid import FrameGrid
from ..model.config import PATCH, ModelConfig
from ..transport.correspondence import FlowSettings, working_scale
from .latents import latent_cells

VIDEOS = "none"  # V separate videos: no second stream at all
ALTERNATING = "alternating"  # of a plan's sync: one axis per step, views and times in turns
FACTOR = (
    1.25  # an estimate of memory is within this factor of what was counted; a plan fits when this many times it is free
)
ATTENTION, MLP = 7.0, 3.0  # widths per token that are alive in a block
FUSED = 10.0  # the same in fused attention, beside the keys and values that a view's frames see
ON_CPU = 1.65  # what a step of a grid model takes of a process on a CPU, over its tensors: kernels work in memory of their own
KEPT = 84  # bytes per pixel of all cells that the model works on: predictions kept for sampling
# bytes per pixel of all cells: the grid that is made, with its confidence; Transport's predictions of it
FILLED, PREDICTED = 16, 72
# bytes per working pixel of a cell: what Transport keeps of each view and time; while it searches; what it takes while it predicts a cell, and that per pixel
FLOWS, FLOWS_FOUND, CARRIED, CARRIED_PIXEL = 32, 60, 900, 150
# bytes per pixel of a cell that a scene holds of each view and of each time
SCENE_VIEW, SCENE_TIME = 44, 20
# of the search for a scene, which works at one size: at least; of each view and each time beyond those that the least is enough for
NETWORKS, LOOKED_AT, ENOUGH_FOR = 220 * 2**20, 5.6 * 2**20, 48
SMALLEST_CELL = 4  # tokens on a cell's shorter side, at least, in suggestions


@dataclass(frozen=True)
class GridSize:
    """A grid that is to be sampled: views, times, pixels of a cell. encoding: one of `latents.ENCODINGS`, "" for models of pixels.
    bases: the places that a fill finds the scene from, see `geometry.bases`."""

    views: int
    times: int
    height: int
    width: int
    encoding: str = ""
    bases: int = 1

    @classmethod
    def of(cls, grid: FrameGrid) -> GridSize:
        """Of a grid as it is, with as many bases as its known cells give."""
        try:
            bases = len(base_cells(grid))
        except SceneUnknown:
            bases = 1
        return cls(grid.views, grid.times, grid.height, grid.width, bases=bases)


@dataclass(frozen=True)
class VideoNetwork:
    """What of a video transformer decides how much memory and work it takes.

    width D, widest W; depth: blocks. weights: of all blocks, as far as every video token is multiplied with them; sync_weights: of
    trained synchronization, the same per token of the grid; frame_weights: (before, after) the blocks, per token.
    number_bytes: of one number in the network. pixels_per_token: on a side; frames_per_latent: frames in a latent frame after the first.
    kept_bytes: per token, what sampling keeps beside the blocks (latents, conditions, masks). frame_numbers: per token, alive before or
    after the blocks. more: further widths per token in a block (one stream, two streams). both_at_once: streams go through a block
    together when V = T.
    """

    width: int
    widest: int
    depth: int
    weights: int
    number_bytes: int
    pixels_per_token: int
    frames_per_latent: int = 1
    sync_weights: int = 0
    frame_weights: tuple[int, int] = (0, 0)
    kept_bytes: float = 0.0
    frame_numbers: float = 0.0
    more: tuple[float, float] = (0.0, 0.0)
    both_at_once: bool = False


@dataclass(frozen=True)
class Plan:
    """A way to sample a grid. sync: one of `two_stream.SYNC_KINDS`, ALTERNATING or VIDEOS. prompts: prompts that go through the model in one call (2 with cfg)."""

    size: GridSize
    sync: str
    prompts: int = 1


def frames_and_tokens(network: VideoNetwork, size: GridSize) -> tuple[int, int]:
    """(L latent frames of a view, S tokens per frame). ValueError when `native` cannot hold that many times."""
    frames = len(latent_cells(size.encoding, size.times, network)) if size.encoding else size.times
    return frames, -(-size.height // network.pixels_per_token) * -(-size.width // network.pixels_per_token)


def tokens(network: VideoNetwork, size: GridSize) -> int:
    """Video tokens of the whole grid."""
    frames, frame_tokens = frames_and_tokens(network, size)
    return size.views * frames * frame_tokens


def peak_bytes(network: VideoNetwork, plan: Plan) -> int:
    """Memory of one model call at its peak, without the weights; good to `FACTOR`."""
    frames, _ = frames_and_tokens(network, plan.size)
    in_blocks = network.width * _widths_alive(network, plan.sync, plan.size.views, frames)
    per_token = network.number_bytes * max(in_blocks, network.frame_numbers) + network.kept_bytes
    return round(plan.prompts * tokens(network, plan.size) * per_token)


def fill_bytes(size: GridSize, *, scene: bool = True, predicted: bool = False) -> int:
    """Memory at the peak of `fill_grid` (scene False: with Transport alone), beside the grid, what it gives included; good to `FACTOR`.

    predicted: of a fill from sources that hold all of Transport's predictions, with what a model drew.
    """
    pixel, cells = size.height * size.width, size.views * size.times
    working = working_pixels(size)
    flows = (size.views + size.times) * working
    one = PIXEL_BYTES * pixel if scene else CARRIED * working + CARRIED_PIXEL * pixel
    at_once = one * min(cells_at_once(pixel), cells)
    made = FILLED * cells * pixel + at_once + (PREDICTED * cells * pixel if predicted else FLOWS * flows)
    return round(max(made, FLOWS_FOUND * flows) + (scene_bytes(size) + looking_bytes(size) if scene else 0))


def looking_bytes(size: GridSize) -> float:
    """What finding a scene takes at its peak, beside what the scene holds: all views and all times are looked at together."""
    return NETWORKS + LOOKED_AT * max(0, size.views + size.times - ENOUGH_FOR)


def working_pixels(size: GridSize) -> float:
    """Of a cell, as Transport matches it."""
    return size.height * size.width * working_scale(size.height, size.width, FlowSettings()) ** 2


def scene_bytes(size: GridSize) -> int:
    """What the scene of a grid holds, found from each of its bases."""
    return size.bases * size.height * size.width * (SCENE_VIEW * size.views + SCENE_TIME * size.times)


def filled_and_sampled_bytes(network: VideoNetwork, plan: Plan, size: GridSize) -> int:
    """Memory at the peak of a fill and of a grid model's steps after it on a CPU, beside grid and weights; good to `FACTOR`.

    plan: of the steps, whose size may be that of a tile of `size` (tiles.py), or of a small copy (lifted.py): then all other cells are made
    one by one as in a fill, and during the steps there are the scene and what Transport predicts them from.
    """
    part = replace(plan.size, encoding=size.encoding, bases=size.bases) != size
    kept = plan.size.views * plan.size.times * plan.size.height * plan.size.width
    sampling = KEPT * kept + ON_CPU * peak_bytes(network, plan)
    if not part:
        return max(fill_bytes(size, predicted=True), round(sampling))
    flows = FLOWS * (size.views + size.times) * working_pixels(size)
    found = scene_bytes(size) + looking_bytes(size)
    return max(fill_bytes(size) + PREDICTED * kept, round(sampling + flows + found))


def _widths_alive(network: VideoNetwork, sync: str, V: int, L: int) -> float:
    one, two = network.more
    mlp = MLP + 2 * network.widest / network.width
    block = max(ATTENTION, mlp)
    if sync in (VIDEOS, ALTERNATING):
        return block + one
    if (
        sync == "fused"
    ):  # one view at a time: its frames' keys and values, and the copies that they are put together from
        seen = (3 * L + 2 * V - 2) / V if V > 1 else 2 * L
        return max(FUSED + seen, mlp) + one
    if network.both_at_once and V == L and sync != "sequential":
        return 2 * block + 1 + two
    return block + (3 if sync == "sequential" else 2) + two


def work(network: VideoNetwork, plan: Plan) -> int:
    """Multiplications of one model call for one prompt; the mean of two calls where steps differ."""
    V, (L, S) = plan.size.views, frames_and_tokens(network, plan.size)
    grid = V * L * S
    along_time, along_view = (
        grid * (network.weights + 2 * network.width * network.depth * length * S) for length in (L, V)
    )
    before, after = (grid * weights for weights in network.frame_weights)
    synchronized = grid * network.sync_weights
    if plan.sync == VIDEOS:
        return along_time + before + after
    if plan.sync == ALTERNATING:  # the mean of a step along views and one along time
        return (along_time + along_view) // 2 + before + after
    if plan.sync == "fused":
        along_both = grid * (network.weights + 2 * network.width * network.depth * (V + L - 1) * S)
        return along_both + synchronized + before + after
    heads = 1 if plan.sync in ("hard", "sequential") else 2
    return along_time + along_view + synchronized + before + heads * after


def relative_cost(network: VideoNetwork, plan: Plan) -> float:
    """How many times the work of one video: one view of the same times, cells and encoding, by the same model alone."""
    one_view = Plan(replace(plan.size, views=1), VIDEOS)
    return work(network, plan) / work(network, one_view)


def plans_that_fit(
    network: VideoNetwork, plan: Plan, free_bytes: float, filled: GridSize | None = None
) -> Iterator[tuple[str, Plan]]:
    """(what is changed, changed plan) for each single change that makes a step fit into `free_bytes`: the smallest change of its kind.

    What is changed: "sync", "encoding" (and times), "cells", "times" or "views". Weights are left out: the host can keep them elsewhere. filled: of a grid model on a CPU, the grid that is filled first.
    """

    def fits(changed: Plan) -> bool:
        if filled is None:
            return FACTOR * peak_bytes(network, changed) <= free_bytes
        size, other = plan.size, changed.size
        cell = filled if (other.height, other.width) == (size.height, size.width) else other
        views, times = (
            (filled if other.views == size.views else other).views,
            (filled if other.times == size.times else other).times,
        )
        whole = replace(other, views=views, times=times, height=cell.height, width=cell.width)
        return FACTOR * filled_and_sampled_bytes(network, changed, whole) <= free_bytes

    size = plan.size
    if plan.sync == "fused":
        yield from _first(fits, "sync", [replace(plan, sync="hard")])
    if size.encoding not in ("", "native") and size.times > network.frames_per_latent:
        times = size.times - (size.times - 1) % network.frames_per_latent
        yield from _first(fits, "encoding", [replace(plan, size=replace(size, times=times, encoding="native"))])
    yield from _first(fits, "cells", (replace(plan, size=smaller) for smaller in _smaller_cells(network, size)))
    step = network.frames_per_latent if size.encoding == "native" else 1
    yield from _first(
        fits, "times", (replace(plan, size=replace(size, times=n)) for n in range(size.times - step, 1, -step))
    )
    yield from _first(fits, "views", (replace(plan, size=replace(size, views=n)) for n in range(size.views - 1, 1, -1)))


def _first(fits: Callable[[Plan], bool], changed: str, plans: Iterable[Plan]) -> Iterator[tuple[str, Plan]]:
    found = next(filter(fits, plans), None)
    if found is not None:
        yield changed, found


def _smaller_cells(network: VideoNetwork, size: GridSize) -> Iterator[GridSize]:
    """Cells of whole tokens and nearly the same shape, the largest first."""
    side = network.pixels_per_token
    short, long = sorted((size.height, size.width))
    for count in range(-(-short // side) - 1, SMALLEST_CELL - 1, -1):
        sides = (count * side, max(1, round(count * long / short)) * side)
        yield replace(size, height=sides[size.height > size.width], width=sides[size.height <= size.width])


def of_grid_model(config: ModelConfig, number_bytes: int, sync_weights: int = 0) -> VideoNetwork:
    """The bundled kind of model, which samples pixels. sync_weights: of the kind of synchronization that will run, in all blocks."""
    D, mlp, text = config.width, config.mlp_width, config.text_width
    fine, middle, out = config.fine_width, config.middle_width, 11 if config.guess else 4
    pixels, halves, quarters = PATCH**2, (PATCH // 2) ** 2, (PATCH // 4) ** 2
    seen = 3 + config.condition_channels
    stem = (
        halves * 9 * (4 * seen * fine + 2 * fine**2) + quarters * 9 * (fine * middle + 2 * middle**2) + 9 * middle * D
    )
    head = (
        4 * D * middle + quarters * (18 * middle**2 + 4 * middle * fine) + halves * 9 * (2 * fine**2 + 4 * fine * out)
    )
    kept = (
        4 * pixels * (6 + 2.3 * config.condition_channels)
    )  # float32: noisy pixels, conditions, what `Prior` makes of them
    return VideoNetwork(
        width=D,
        widest=max(mlp, 3 * D),
        depth=config.depth,
        weights=config.depth * (4 * D * D + 2 * D * mlp + (2 * D * D if text else 0)),
        number_bytes=number_bytes,
        pixels_per_token=PATCH,
        sync_weights=sync_weights,
        frame_weights=(stem, head),
        kept_bytes=kept + number_bytes * (halves * fine + quarters * middle),
        frame_numbers=pixels * seen + 5 * halves * fine,
        both_at_once=True,
    )
