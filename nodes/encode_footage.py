"""4Real Encode Footage: folders of footage as grids of latents, for *4Real Train Sync* to train on. Guide: docs/training-sync.md."""

import logging

from comfy_api.v0_0_2 import io

from ..fourreal_core.sampling.latents import ENCODINGS
from ..host.cancel import stops_on_cancel
from ..host.choices import within_limits
from ..host.memory import expect_room
from ..host.training.footage import KINDS_OF_FOOTAGE, encoded_footage, encoder_for, footage_paths, newest
from ..host.types import Footage, counting_progress, tell
from .inputs import ENCODING_TOOLTIP, TILED_TOOLTIP, whole_number

TOOLTIPS = {
    "model": "The video model that layers will be trained for: it decides how known cells are passed to it.",
    "vae": "The model's own VAE.",
    "name": "Name of the footage's folder in output/fourreal_footage. What was already encoded there in the same way is reused.",
    "videos": (
        "Folders or files of ordinary videos, one per line, inside the input folder. Each becomes pseudo-4D "
        "grids: every view is the same clip, seen through a 2D warp that grows from view to view."
    ),
    "captures": (
        "Folders of multi-view captures, one per line: inside, folders with one video or image folder per view, "
        "all synchronized."
    ),
    "grids": "Folders or files of grids from 4Real Save Grid with every cell known, one per line, in the output or input folder.",
    "views": "Views of a training grid. Captures and saved grids may have fewer.",
    "times": "Times of a training grid. Captures and saved grids may have fewer.",
    "width": "Width of the frames in pixels; footage is cropped and scaled.",
    "height": "Height of the frames in pixels.",
    "encoding": ENCODING_TOOLTIP + " Train with the encoding you will sample with.",
    "grids_per_source": "Training grids cut from each video or capture, each from a different part.",
}


def folders(name: str) -> io.String.Input:
    return io.String.Input(name, default="", multiline=True, tooltip=TOOLTIPS[name])


class FourRealEncodeFootage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        tip = TOOLTIPS
        return io.Schema(
            node_id="FourRealEncodeFootage",
            display_name="4Real Encode Footage",
            category="4Real/training",
            description="Cut footage into grids and encode them with a video model's VAE, once. 4Real Train Sync trains on them.",
            search_aliases=["4d", "train", "dataset", "latents"],
            inputs=[
                io.Model.Input("model", tooltip=tip["model"]),
                io.Vae.Input("vae", tooltip=tip["vae"]),
                io.String.Input("name", default="my_footage", tooltip=tip["name"]),
                *[folders(kind) for kind in KINDS_OF_FOOTAGE],
                whole_number("views", 5, 2, 64, tip),
                whole_number("times", 5, 2, 1024, tip),
                whole_number("width", 416, 16, 4096, tip, step=8),
                whole_number("height", 240, 16, 4096, tip, step=8),
                io.Combo.Input("encoding", options=list(ENCODINGS), default=ENCODINGS[0], tooltip=tip["encoding"]),
                whole_number("grids_per_source", 8, 1, 1000, tip),
                io.Boolean.Input("tiled", default=False, advanced=True, tooltip=TILED_TOOLTIP),
            ],
            outputs=[Footage.Output("footage", tooltip="The encoded grids, for 4Real Train Sync.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, videos="", captures="", grids="", **settings):
        named = zip((videos, captures, grids), KINDS_OF_FOOTAGE)
        return [(str(path), newest(path)) for text, kind in named for path in footage_paths(text or "", kind)]

    @classmethod
    @within_limits
    @stops_on_cancel
    def execute(
        cls, model, vae, name, videos, captures, grids, views, times, width, height, encoding, grids_per_source, tiled
    ) -> io.NodeOutput:
        expect_room(
            views * times * height * width * 3 * 5, f"a grid of {views} views and {times} times of {width}x{height}"
        )
        encoder = encoder_for(model, vae, tiled, encoding, times)
        texts, shape = (videos, captures, grids), (views, times, height, width)
        footage = encoded_footage(
            texts, shape, grids_per_source, encoder, name, counting_progress(), lambda sentence: tell(cls, sentence)
        )
        tell(cls, f"{len(footage.store)} grids of at most {views} views and {times} times", logging.INFO)
        return io.NodeOutput(footage)
