"""4Real Train Sync: train synchronization layers for one of the host's video models, on folders of footage. Guide: docs/training-sync.md."""

import os
from pathlib import Path

from comfy_api.latest import io

from ..fourreal_core.model.sync_file import KINDS, SyncConfig
from ..fourreal_core.sampling.latents import ENCODINGS, latent_cells
from ..fourreal_core.training.footage.sync_examples import Encoder, LatentStore, encode_footage, footage
from ..fourreal_core.training.sync_loop import SyncTraining
from ..host.known_cells import MASK_ONLY, needed_condition, patch_of, with_view_prompt
from ..host.load import load_sync_patcher
from ..host.model import GridBaseModel
from ..host.training.error import Prompts
from ..host.training.footage import Run, footage_paths
from ..host.training.pictures import sheet
from ..host.training.session import Outcome, Settings, run_training
from ..host.training.trainee import PRECISIONS, name_of_weights
from ..host.two_stream.backbones import backbone_of
from ..host.types import Sync, counting_progress, tell
from ..host.vae import vae_codec
from .inputs import ENCODING_TOOLTIP, TILED_TOOLTIP

KINDS_OF_FOOTAGE = ("videos", "captures", "grids")
TRIED = ("wan", "ltxv", "hunyuan_video", "mochi")
WITHOUT_MASK = ("kandinsky5",)  # ComfyUI 0.30.0 adds the mask's channels to the image's and fails
TOOLTIPS = {
    "model": "The video model to train layers for, as 4Real Two-Stream would get it, with its LoRAs. It is not changed.",
    "vae": "The model's own VAE.",
    "positive": "What the footage shows, in general words. Both streams get it, unless positive_view is connected.",
    "name": "Name of the run and of its file in models/fourreal_sync. The same name again goes on where it stopped.",
    "videos": "Folders or files of ordinary videos, one per line, inside the input folder. Each becomes pseudo-4D grids: every view is "
    "the same stretch, seen through a 2D warp that grows from view to view.",
    "captures": "Folders of multi-view captures, one per line: inside, folders with one video or image folder per view, all in step.",
    "grids": "Folders or files of grids from 4Real Save Grid with every cell known, one per line, in the output or input folder.",
    "views": "Views of a training grid. Captures and saved grids may have fewer.",
    "times": "Times of a training grid. Captures and saved grids may have fewer.",
    "width": "Width of the frames in pixels; footage is cropped and scaled.",
    "height": "Height of the frames in pixels.",
    "encoding": ENCODING_TOOLTIP + " Train with the one that you sample with.",
    "sync": "soft: each stream keeps its own features and gets its own correction (best in the paper). hard: both get the same features.",
    "rank": "Size of what each layer can learn. Higher learns more, needs more memory and more footage. 0: full matrices, small models only.",
    "steps": "Training steps. Raise it and run again to go on.",
    "learning_rate": "Size of the steps. Lower it when the loss jumps.",
    "seed": "Start of everything random.",
    "grids_per_source": "Training grids from each video or capture, every one from its own stretch.",
    "grids_per_step": "Grids whose gradients are averaged in one step: steadier and that much slower; memory stays the same.",
    "save_every": "Steps between saved states. A cancelled run also saves.",
    "sheet_steps": "Sampling steps of the grids in the picture, before and after training. 0: no samples.",
    "precision": "Number format that the model computes in. auto: its own, with bfloat16 instead of float16. Layers are float32 always.",
    "checkpointing": "Compute each block twice instead of keeping what is in it: far less memory, about a quarter more time.",
    "positive_view": "Another prompt for the view stream, for example 'a frozen moment, the camera orbits'.",
    "negative": "The negative prompt that you sample with. One draw in ten trains with it, because guidance runs it through the layers too.",
    "negative_view": "Another negative prompt for the view stream.",
}


def whole_number(name: str, default: int, least: int, most: int, **more) -> io.Int.Input:
    return io.Int.Input(name, default=default, min=least, max=most, tooltip=TOOLTIPS[name], **more)


def folders(name: str) -> io.String.Input:
    return io.String.Input(name, default="", multiline=True, tooltip=TOOLTIPS[name])


class FourRealTrainSync(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        tip = TOOLTIPS
        return io.Schema(
            node_id="FourRealTrainSync",
            display_name="4Real Train Sync",
            category="4Real/training",
            description="Train synchronization layers for a video model (Wan, LTXV, HunyuanVideo, Mochi) from footage. The "
            "model itself stays as it is. Connect sync_layers to 4Real Two-Stream, or load the file with 4Real Load Sync.",
            search_aliases=["4d", "train", "soft sync", "finetune", "synchronize views"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip=tip["model"]),
                io.Vae.Input("vae", tooltip=tip["vae"]),
                io.Conditioning.Input("positive", tooltip=tip["positive"]),
                io.String.Input("name", default="my_sync", tooltip=tip["name"]),
                *[folders(kind) for kind in KINDS_OF_FOOTAGE],
                whole_number("views", 5, 2, 64),
                whole_number("times", 5, 2, 1024),
                whole_number("width", 416, 16, 4096, step=8),
                whole_number("height", 240, 16, 4096, step=8),
                io.Combo.Input("encoding", options=list(ENCODINGS), default=ENCODINGS[0], tooltip=tip["encoding"]),
                io.Combo.Input("sync", options=list(KINDS), default=KINDS[0], tooltip=tip["sync"]),
                whole_number("rank", 64, 0, 4096),
                whole_number("steps", 500, 2, 1_000_000),
                io.Float.Input(
                    "learning_rate", default=1e-4, min=1e-7, max=0.1, step=1e-7, tooltip=tip["learning_rate"]
                ),
                whole_number("seed", 0, 0, 2**32 - 1, control_after_generate=False),
                whole_number("grids_per_source", 8, 1, 1000),
                whole_number("grids_per_step", 1, 1, 64, advanced=True),
                whole_number("save_every", 50, 1, 100_000, advanced=True),
                whole_number("sheet_steps", 8, 0, 100, advanced=True),
                io.Combo.Input(
                    "precision", options=list(PRECISIONS), default="auto", advanced=True, tooltip=tip["precision"]
                ),
                io.Boolean.Input("checkpointing", default=True, advanced=True, tooltip=tip["checkpointing"]),
                io.Boolean.Input("tiled", default=False, advanced=True, tooltip=TILED_TOOLTIP),
                *[
                    io.Conditioning.Input(prompt, optional=True, tooltip=tip[prompt])
                    for prompt in ("positive_view", "negative", "negative_view")
                ],
            ],
            outputs=[
                Sync.Output(
                    "sync_layers", tooltip="The trained layers, for the sync_layers input of 4Real Two-Stream."
                ),
                io.Custom("LOSS_MAP").Output(
                    "loss", tooltip="The error of every step, for the host's Plot Loss Graph."
                ),
                io.Image.Output(
                    "sheet", tooltip="One grid as untrained layers make it, as the trained ones do, and the truth."
                ),
                io.String.Output("file", tooltip="The file's name in models/fourreal_sync."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, videos="", captures="", grids="", **settings):
        named = zip((videos, captures, grids), KINDS_OF_FOOTAGE)
        return [(str(path), _newest(path)) for text, kind in named for path in footage_paths(text or "", kind)]

    @classmethod
    def execute(
        cls, model, vae, positive, name, videos, captures, grids, views, times, width, height, encoding, sync, rank, steps, learning_rate,
        seed, grids_per_source, grids_per_step, save_every, sheet_steps, precision, checkpointing, tiled,
        positive_view=None, negative=None, negative_view=None,
    ) -> io.NodeOutput:  # fmt: skip
        config = _config(model, sync, rank)
        run, shape = Run(name.strip()), (views, times, height, width)
        plan = SyncTraining(steps, learning_rate, grids_per_step, seed, save_every=save_every)
        encoder = _encoder(model, vae, tiled, encoding, times)
        places = [footage_paths(text, kind) for text, kind in zip((videos, captures, grids), KINDS_OF_FOOTAGE)]
        if not any(places):
            raise ValueError(
                "expected a folder of videos, captures or grids to train on, got none: name one that lies in the input or output folder"
            )
        jobs = footage(*places, shape, grids_per_source)
        prompts = _prompts(positive, negative or positive, positive_view, negative_view)
        run.make_folders()
        store = LatentStore(
            encode_footage(jobs, shape, encoder, run.latents, counting_progress(), lambda sentence: tell(cls, sentence))
        )
        about = {
            "base": _file_of(model),
            "encoding": encoding,
            "grids": len(store.trained),
            "shape": list(shape),
            "learning_rate": learning_rate,
            "seed": seed,
        }
        settings = Settings(plan, config, precision, checkpointing, sheet_steps)
        outcome = run_training(model, prompts, encoder, store, settings, run, about)
        layers = load_sync_patcher(str(run.result), run.result.name)
        picture = sheet(store[0], encoding, encoder.codec, outcome.made)
        told = _told(outcome, store, run)
        return io.NodeOutput(layers, {"loss": outcome.losses}, picture, run.result.name, ui={"text": (told,)})


def _config(model, sync: str, rank: int) -> SyncConfig:
    """Layers for this model; ValueError when two streams cannot run on it, or it is one of our own."""
    if isinstance(model.model, GridBaseModel):
        raise ValueError(
            "expected a video model of the host, got a 4Real model: train its layers with scripts/train.py, see docs/training.md"
        )
    network = model.get_model_object("diffusion_model")
    family, size, depth = backbone_of(network).sizes(network)
    if family in WITHOUT_MASK:
        raise ValueError(
            f"expected a model that can be given known cells, got {backbone_of(network).name}: ComfyUI takes no noise mask for it"
        )
    if family not in TRIED:
        raise ValueError(
            f"expected a model of Wan, LTXV, HunyuanVideo or Mochi, got {backbone_of(network).name}: its blocks cannot be trained through"
        )
    if rank > size:
        raise ValueError(f"expected a rank of at most {size}, the width of this model, got {rank}: 16 to 128 are usual")
    return SyncConfig(family, size, depth, sync, rank)


def _encoder(model, vae, tiled: bool, encoding: str, times: int) -> Encoder:
    codec = vae_codec(vae, tiled, patch_of(model))
    channels = model.model.latent_format.latent_channels
    if channels != codec.channels:
        raise ValueError(
            f"expected the VAE of this model, with {channels} latent channels, got one with {codec.channels}: load the VAE that belongs to the model"
        )
    latent_cells(encoding, times, codec)
    return Encoder(encoding, codec, needed_condition(model) != MASK_ONLY, name_of_weights(vae.first_stage_model))


def _prompts(positive: list, negative: list, positive_view: list | None, negative_view: list | None) -> Prompts:
    if positive_view is None and negative_view is None:
        return Prompts(positive, negative)
    return Prompts(
        with_view_prompt(positive, positive_view or positive), with_view_prompt(negative, negative_view or negative)
    )


def _told(outcome: Outcome, store: LatentStore, run: Run) -> str:
    where = "a grid kept out of training" if len(store) > 1 else "the only grid, which was trained on"
    change = outcome.after / outcome.before - 1 if outcome.before else 0.0
    return (
        f"{outcome.steps} steps on {len(store.trained)} grids. Error on {where}: {outcome.before:.4g} untrained, {outcome.after:.4g} now "
        f"({change:+.1%}). Saved as {run.result.name} in models/fourreal_sync."
    )


def _file_of(model) -> str:
    """Name of the file that the model was loaded from, empty where its loader does not say."""
    source = (model.cached_patcher_init or (None, ("",)))[1][0]
    return os.path.basename(source) if isinstance(source, str) else ""


def _newest(path: Path) -> int:
    """When anything in a folder, or a file, was changed last."""
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names] if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)
