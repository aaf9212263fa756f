"""Nodes that measure grids: 4Real Measure Grid and 4Real Compare Grids. What is measured: fourreal_core/evaluation; with ComfyUI's models: host/measuring.py."""

import json

from comfy_api.v0_0_2 import io

from ..fourreal_core.evaluation.contest import as_json, contest_summary, contest_table, summary
from ..fourreal_core.evaluation.heat import heat, heat_plot, heat_sheet
from ..fourreal_core.evaluation.plots import beside
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.learned_depth import Da3Model
from ..host.measuring import Extras, letters, measured_grid, pictures_tensor
from ..host.types import GRID_TOOLTIP, Grid, expect_grid

CATEGORY = "4Real/evaluation"
MOST_GRIDS = 8
REFERENCE_TOOLTIP = "The true grid, if there is one: adds PSNR, SSIM and FLIP over the cells that were filled. Its shape and size must be the same."
SHEET_SIDE = 1536  # pixels


class FourRealMeasureGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealMeasureGrid",
            display_name="4Real Measure Grid",
            category=CATEGORY,
            description=(
                "Measures how well the views and times of a grid fit together and shows where it is broken. Needs no model. "
                "With a reference it also measures how close the grid is to it."
            ),
            search_aliases=["metrics", "quality", "consistency", "psnr", "ssim", "flip", "clip score", "heat map"],
            is_output_node=True,
            inputs=[
                Grid.Input("grid", tooltip=GRID_TOOLTIP),
                Grid.Input("reference", optional=True, tooltip=REFERENCE_TOOLTIP),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="A CLIP text encoder with its projection, for the CLIP score of the prompt.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="The CLIP vision model of the same CLIP, for the CLIP score."
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    optional=True,
                    tooltip="What the grid should show, for the CLIP score.",
                ),
                Da3Model.Input(
                    "da3_model",
                    optional=True,
                    tooltip="Depth Anything 3, Small or Base: how certain it is of the views' geometry at each time.",
                ),
                io.Boolean.Input(
                    "fit_splats",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Also fit moving splats to some cells and score the others. Takes minutes without a GPU.",
                ),
            ],
            outputs=[
                io.String.Output("report", tooltip="All numbers as text, and what could not be measured and why."),
                io.String.Output("numbers", tooltip="The same as JSON, with the values of each cell."),
                io.Image.Output(
                    "sheet", tooltip="The grid as a contact sheet with a heat map and the heat of each cell, 0 to 100."
                ),
                io.Image.Output("plot", tooltip="Faults over time and over views."),
                io.Image.Output(
                    "heat",
                    tooltip="One image per cell, black where it is broken: for confidence of 4Real Grid Player, which tints these "
                    "places and marks the worst cells to redo.",
                ),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, grid, reference=None, clip=None, clip_vision=None, prompt="", da3_model=None, fit_splats=False
    ) -> io.NodeOutput:
        grid = expect_grid(grid)
        reference = None if reference is None else expect_grid(reference, "reference")
        measured = measured_grid(grid, reference, Extras(clip, clip_vision, prompt, da3_model, fit_splats))
        found, report = heat(grid, measured), summary(measured)
        sheet, plot = heat_sheet(grid, found, SHEET_SIDE), heat_plot(measured)
        numbers = json.dumps(as_json(measured), indent=1)
        pictures = pictures_tensor(sheet), pictures_tensor(plot)
        return io.NodeOutput(report, numbers, *pictures, found.as_confidence(), ui={"text": (report,)})


class FourRealCompareGrids(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FourRealCompareGrids",
            display_name="4Real Compare Grids",
            category=CATEGORY,
            description=(
                "Compares two or more grids of the same task: a winner per metric, and warnings when a winner moves less, is "
                "flatter or blurrier than the others."
            ),
            search_aliases=["metrics", "quality", "a/b", "benchmark", "winner"],
            is_output_node=True,
            inputs=[
                io.Autogrow.Input(
                    "fills",
                    template=io.Autogrow.TemplatePrefix(
                        Grid.Input("grid", tooltip="A filled grid."), prefix="grid", min=2, max=MOST_GRIDS
                    ),
                    tooltip="Grids of one task, such as several fills.",
                ),
                io.String.Input(
                    "names", default="", tooltip="Names of the grids, separated by commas. Empty: A, B, C and so on."
                ),
                Grid.Input("reference", optional=True, tooltip=REFERENCE_TOOLTIP),
            ],
            outputs=[
                io.String.Output(
                    "report", tooltip="A table in Markdown with a winner per metric, and what to be wary of."
                ),
                io.String.Output("numbers", tooltip="All numbers as JSON, by grid."),
                io.Image.Output("picture", tooltip="The grids side by side, each with its heat map."),
            ],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(cls, fills, names="", reference=None) -> io.NodeOutput:
        ordered = [expect_grid(fills[key], key) for key in sorted(fills, key=lambda key: int(key.removeprefix("grid")))]
        named = dict(zip(letters(names, len(ordered)), ordered))
        reference = None if reference is None else expect_grid(reference, "reference")
        measured = {
            name: measured_grid(grid, reference, part=(place, len(named)))
            for place, (name, grid) in enumerate(named.items())
        }
        report = f"{contest_table(measured)}\n\n{contest_summary(measured)}"
        side = SHEET_SIDE // 2
        picture = beside({name: heat_sheet(grid, heat(grid, measured[name]), side) for name, grid in named.items()})
        numbers = json.dumps({name: as_json(each) for name, each in measured.items()}, indent=1)
        return io.NodeOutput(report, numbers, pictures_tensor(picture), ui={"text": (report,)})
