"""4Real Train Sync: train synchronization layers for one of the host's video models. Guide: docs/training-sync.md."""

from comfy_api.v0_0_2 import io

from ..fourreal_core.model.sync_file import KINDS
from ..fourreal_core.training.sync_loop import SyncTraining
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.load import load_sync_patcher
from ..host.training.error import Prompts
from ..host.training.footage import Run
from ..host.training.pictures import sheet
from ..host.training.session import Settings, run_training
from ..host.training.trainee import PRECISIONS, layers_for
from ..host.types import Footage, Sync
from .inputs import whole_number

TOOLTIPS = {
    "model": "The video model to train layers for, as 4Real Two-Stream would get it, with its LoRAs. It is not changed.",
    "positive": "What the footage shows, in general words. Both streams get it, unless positive_view is connected.",
    "name": "Name of the run and of its file in models/fourreal_sync. The same name continues where it stopped.",
    "sync": "soft: each stream keeps its own features and gets its own correction (best in the paper). hard: both get the same features.",
    "rank": "Capacity of each layer. Higher learns more but needs more memory and more footage. 0: full matrices, small models only.",
    "steps": "Training steps. Raise it and run again to continue.",
    "learning_rate": "Learning rate. Lower it if the loss jumps.",
    "seed": "Random seed.",
    "grids_per_step": "Grids averaged in one step: more is steadier and proportionally slower; memory stays the same.",
    "save_every": "Steps between saved states. A cancelled run also saves.",
    "sheet_steps": "Sampling steps of the grids in the picture, before and after training. 0: no samples.",
    "precision": "Numerical precision of the model. auto: its own, with bfloat16 instead of float16. The layers are always float32.",
    "checkpointing": "Recompute each block instead of storing what is in it: far less memory, about a quarter more time.",
    "positive_view": "Another prompt for the view stream, for example 'a frozen moment, the camera orbits'.",
    "negative": (
        "The negative prompt that you sample with. One example in ten trains with it, because guidance runs it "
        "through the layers too."
    ),
    "negative_view": "Another negative prompt for the view stream.",
    "footage": "What to train on, from 4Real Encode Footage with the same model.",
}


class FourRealTrainSync(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        tip = TOOLTIPS
        return io.Schema(
            node_id="FourRealTrainSync",
            display_name="4Real Train Sync",
            category="4Real/training",
            description="Train synchronization layers for a video model (Wan, LTXV, LTX-2, HunyuanVideo, Mochi, Kandinsky 5, CogVideoX, Cosmos) from "
            "encoded footage. The model itself is not changed. Connect sync_layers to 4Real "
            "Two-Stream, or load the file with 4Real Load Sync.",
            search_aliases=["4d", "train", "soft sync", "finetune", "synchronize views"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip=tip["model"]),
                Footage.Input("footage", tooltip=tip["footage"]),
                io.Conditioning.Input("positive", tooltip=tip["positive"]),
                io.String.Input("name", default="my_sync", tooltip=tip["name"]),
                io.Combo.Input("sync", options=list(KINDS), default=KINDS[0], tooltip=tip["sync"]),
                whole_number("rank", 64, 0, 4096, tip),
                whole_number("steps", 500, 2, 1_000_000, tip),
                io.Float.Input(
                    "learning_rate", default=1e-4, min=1e-7, max=0.1, step=1e-7, tooltip=tip["learning_rate"]
                ),
                whole_number("seed", 0, 0, 2**32 - 1, tip, control_after_generate=False),
                whole_number("grids_per_step", 1, 1, 64, tip, advanced=True),
                whole_number("save_every", 50, 1, 100_000, tip, advanced=True),
                whole_number("sheet_steps", 8, 0, 100, tip, advanced=True),
                io.Combo.Input(
                    "precision", options=list(PRECISIONS), default="auto", advanced=True, tooltip=tip["precision"]
                ),
                io.Boolean.Input("checkpointing", default=True, advanced=True, tooltip=tip["checkpointing"]),
                *[
                    io.Conditioning.Input(prompt, optional=True, tooltip=tip[prompt])
                    for prompt in ("positive_view", "negative", "negative_view")
                ],
            ],
            outputs=[
                Sync.Output(
                    "sync_layers", tooltip="The trained layers, for the sync_layers input of 4Real Two-Stream."
                ),
                io.Custom("LOSS_MAP").Output("loss", tooltip="The loss of every step, for ComfyUI's Plot Loss Graph."),
                io.Image.Output(
                    "sheet", tooltip="One grid made with untrained layers, with the trained ones, and the original."
                ),
                io.String.Output("file", tooltip="The file's name in models/fourreal_sync."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, model, footage, positive, name, sync, rank, steps, learning_rate, seed, grids_per_step, save_every, sheet_steps, precision,
        checkpointing, positive_view=None, negative=None, negative_view=None,
    ) -> io.NodeOutput:  # fmt: skip
        plan = SyncTraining(steps, learning_rate, grids_per_step, seed, save_every=save_every)
        settings = Settings(plan, layers_for(model, sync, rank), precision, checkpointing, sheet_steps)
        prompts, run = Prompts.of(positive, negative, positive_view, negative_view), Run(name.strip())
        outcome = run_training(model, prompts, footage, settings, run)
        layers = load_sync_patcher(str(run.result), run.result.name)
        picture = sheet(footage.store[0], footage.encoder.encoding, footage.encoder.codec, outcome.made)
        text = outcome.summary(footage.store, run)
        return io.NodeOutput(layers, {"loss": outcome.losses}, picture, run.result.name, ui={"text": (text,)})
