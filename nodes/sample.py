"""4Real Sampler: conditioning, the host's sampling and decoding in one node."""

import logging
from dataclasses import asdict

import comfy.samplers
from comfy_api.v0_0_2 import io

from ..fourreal_core.redo import after_redo, cells_from_mask, redo_task
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.load import expect_grid_model
from ..host.sampling import SEEDS, HostSampling, filled_by_host, size_remark
from ..host.synchronize import kind_of, resynchronized, sync_facts
from ..host.two_stream.plan import HOST_KINDS
from ..host.two_stream.trained import AUTO
from ..host.types import GRID_TOOLTIP, Grid, expect_grid, tell, with_provenance
from .inputs import GUESS_TOOLTIP, STRENGTH_TOOLTIP, SYNC_TOOLTIP

SEED_TOOLTIP = "Random seed of the noise. Adding a view or time does not change other cells' noise."
STEPS_TOOLTIP = "Sampling steps; more take longer. With the bundled model 4 are as good as 16."
CFG_TOOLTIP = "Guidance away from a grid without known cells. 1 turns it off, which is right for two input videos and twice as fast."
REDO_TOOLTIP = (
    "Cells to sample again: the marked output of 4Real Grid Player, or a mask of your own, one per cell, view by "
    "view. All other filled cells stay exactly as they are."
)
TILE_TOOLTIP = (
    "Fills the grid in tiles of at most this many views and times. Neighbouring tiles share one view or one time. "
    "0: in tiles of 8 if the grid is larger than the bundled model was trained on, else at once. As many as the grid has: at once."
)
FULL_SIZE_TOOLTIP = (
    "Off: if cells are much larger than the bundled model was trained on, it samples a small copy and adds the changes to the full-size fill. "
    "On: sample at full size, which is slow and beyond what the model was trained on."
)
SMALL_COPY = "it samples a copy of {size} and adds the changes to the full-size fill; full_size turns this off"
MOST_SIGMAS = 100_000  # of a schedule, whose last `steps` are taken when denoise is below 1
NOTHING_TO_REDO = (
    "no cell is marked and every cell is filled, so the grid passes through unchanged: mark cells in 4Real Grid Player"
)


class FourRealSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealSampler",
            display_name="4Real Sampler",
            category="4Real/sampling",
            description="Fill a grid's unknown cells. Does what Grid Conditioning, KSampler and Grid Decode do, in one node.",
            search_aliases=["4d", "bullet time", "multi view video"],
            inputs=[
                io.Model.Input("model", tooltip="A model from 4Real Load Model, with any LoRA or patch on it."),
                Grid.Input("grid", tooltip=GRID_TOOLTIP + " Its known cells stay exactly as they are."),
                io.Combo.Input("sync", options=[AUTO, *HOST_KINDS], default="soft", tooltip=SYNC_TOOLTIP),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip=STRENGTH_TOOLTIP),
                io.Int.Input(
                    "seed", default=0, min=0, max=SEEDS - 1, control_after_generate=True, tooltip=SEED_TOOLTIP
                ),
                io.Int.Input("steps", default=4, min=1, max=1000, tooltip=STEPS_TOOLTIP),
                io.Combo.Input(
                    "sampler",
                    options=comfy.samplers.SAMPLER_NAMES,
                    default="euler",
                    tooltip="ComfyUI's sampling method.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.SCHEDULER_NAMES,
                    default="simple",
                    tooltip="How the steps are distributed from noise to the clean picture.",
                ),
                io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip=CFG_TOOLTIP),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="1 starts from pure noise. Lower values start from the guess and change it less; 0 returns it.",
                ),
                Grid.Input("guess", optional=True, tooltip=GUESS_TOOLTIP),
                io.Mask.Input("redo", optional=True, tooltip=REDO_TOOLTIP),
                io.Int.Input("tile", default=0, min=0, max=1024, optional=True, advanced=True, tooltip=TILE_TOOLTIP),
                io.Boolean.Input("full_size", default=False, optional=True, advanced=True, tooltip=FULL_SIZE_TOOLTIP),
            ],
            outputs=[Grid.Output("grid", tooltip="The filled grid.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls,
        model,
        grid,
        sync,
        strength,
        seed,
        steps,
        sampler,
        scheduler,
        cfg,
        denoise,
        guess=None,
        redo=None,
        tile=0,
        full_size=False,
    ) -> io.NodeOutput:
        if 0 < denoise < 1 and steps / denoise > MOST_SIGMAS:
            raise ValueError(
                f"expected denoise to be 0, or at least {steps / MOST_SIGMAS:g} for {steps} steps, got "
                f"{denoise:g}: the schedule would have {steps / denoise:.0f} steps, of which only the last "
                f"{steps} are used"
            )
        grid, guess = expect_grid(grid), None if guess is None else expect_grid(guess, "guess")
        task = grid if redo is None else redo_task(grid, cells_from_mask(redo, (grid.views, grid.times)))
        if redo is not None and task.known.all():
            tell(cls, NOTHING_TO_REDO)
            return io.NodeOutput(grid)
        settings = HostSampling(seed, steps, sampler, scheduler, cfg, denoise)
        name, sync = expect_grid_model(model).checkpoint_hash, kind_of(model, sync)
        if not full_size and (remark := size_remark(model, grid, SMALL_COPY)):
            tell(cls, remark, logging.INFO)
        model = resynchronized(model, sync, strength)
        sampled = filled_by_host(model, task, settings, guess, tile, full_size)
        facts = {"model": name, **sync_facts(model, sync, strength), **asdict(settings)}
        return io.NodeOutput(with_provenance(sampled, facts) if redo is None else after_redo(grid, sampled, facts))
