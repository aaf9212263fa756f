"""4Real Budget: what sampling a grid will take, before it runs. The numbers are made in fourreal_core/sampling/budget.py."""

from dataclasses import replace

import comfy.model_management
from comfy_api.v0_0_2 import io, ui
from server import PromptServer

from ..fourreal_core.sampling import budget
from ..fourreal_core.sampling.budget import GridSize, Plan
from ..fourreal_core.sampling.latents import ENCODINGS
from ..host.budget_report import GIB, prompts_at_once, report
from ..host.choices import within_limits
from ..host.model import GridBaseModel
from ..host.network_sizes import AS_SET, free_bytes, network_of, sync_of
from ..host.sampling import asked_at_once
from ..host.two_stream.plan import HOST_KINDS
from ..host.types import Grid, expect_grid

TIPS = {
    "model": "The model that will sample: a 4Real model, or any video model that 4Real Two-Stream takes, with or without it.",
    "sync": "How the streams will be kept in agreement. 'as the model is set' takes it from the model.",
    "encoding": "How cells become latent frames, as on 4Real Latent Grid Conditioning. Ignored for 4Real models, which sample pixels.",
    "cfg": "The sampler's cfg. Above 1 there are two prompts per step, which ComfyUI runs at once if memory allows.",
    "views": "Views of the grid. Ignored when a grid is connected.",
    "times": "Times of the grid. Ignored when a grid is connected.",
    "width": "Width of a cell in pixels. Ignored when a grid is connected.",
    "height": "Height of a cell in pixels. Ignored when a grid is connected.",
    "memory": "Memory to plan for, in GiB. 0: what is free on this machine now.",
    "grid": "The grid that will be sampled; its sizes are used, and whether cells are known.",
}


class FourRealBudget(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def side(name, default):
            return io.Int.Input(name, default=default, min=16, max=8192, step=8, tooltip=TIPS[name])

        return io.Schema(
            node_id="FourRealBudget",
            display_name="4Real Budget",
            category="4Real/model",
            description="Estimates what sampling a grid will take before it runs: tokens, memory and work for this model, and what would fit.",
            search_aliases=["memory", "vram", "estimate", "cost", "out of memory"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip=TIPS["model"]),
                io.Combo.Input("sync", options=[AS_SET, *HOST_KINDS], default=AS_SET, tooltip=TIPS["sync"]),
                io.Combo.Input("encoding", options=list(ENCODINGS), default=ENCODINGS[0], tooltip=TIPS["encoding"]),
                io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip=TIPS["cfg"]),
                io.Int.Input("views", default=8, min=1, max=256, tooltip=TIPS["views"]),
                io.Int.Input("times", default=8, min=1, max=1024, tooltip=TIPS["times"]),
                side("width", 832),
                side("height", 480),
                io.Float.Input(
                    "memory", default=0.0, min=0.0, max=4096.0, step=0.5, advanced=True, tooltip=TIPS["memory"]
                ),
                Grid.Input("grid", optional=True, tooltip=TIPS["grid"]),
            ],
            outputs=[
                io.String.Output("report", tooltip="The budget as text, as the node shows it."),
                io.Int.Output("tokens", tooltip="Video tokens of the whole grid."),
                io.Float.Output(
                    "peak_gib", tooltip="Estimated memory at the peak of a step in GiB, without the weights."
                ),
                io.Float.Output("cost", tooltip="Work per step, in multiples of one view alone."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **kwargs):
        return round(comfy.model_management.get_free_memory() / GIB)  # runs again when what is free has changed

    @classmethod
    @within_limits
    def execute(cls, model, sync, encoding, cfg, views, times, width, height, memory, grid=None) -> io.NodeOutput:
        size = GridSize(views, times, height, width) if grid is None else GridSize.of(expect_grid(grid))
        is_ours = isinstance(model.model, GridBaseModel)
        kind = sync_of(model, sync)
        network = network_of(model, kind, masked=grid is None or bool(grid.known.any()))
        on_cpu = comfy.model_management.is_device_cpu(model.load_device)
        free = round(memory * GIB) or free_bytes(model.load_device)
        filled = size if is_ours else None
        size = asked_at_once(model, size) if is_ours else replace(size, encoding=encoding)
        plan = prompts_at_once(network, Plan(size, kind, 2 if cfg > 1 else 1), free)
        text = report(network, plan, model.model_size(), free, on_cpu, filled)
        server = getattr(PromptServer, "instance", None)
        if server is not None and cls.hidden.unique_id is not None:
            server.send_progress_text(text, cls.hidden.unique_id)
        numbers = (
            budget.tokens(network, size),
            budget.peak_bytes(network, plan) / GIB,
            budget.relative_cost(network, plan),
        )
        return io.NodeOutput(text, *numbers, ui=ui.PreviewText(text))
