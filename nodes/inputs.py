"""Inputs and tooltips that several nodes share."""

from comfy_api.v0_0_2 import io

from ..host.clips import FITS, PICKS

GUESS_TOOLTIP = "A grid of the same size to start the unknown cells from when denoise is below 1. Without it the result of Transport is used."
ENCODING_TOOLTIP = (
    "How cells become latent frames. hold: each view as a video whose cells are held for one latent step, closest to what video "
    "models know. frame: each cell alone, the same along views and times. native: each view as it is, 4 n + 1 times (Wan, "
    "Hunyuan) or 8 n + 1 (LTX); fewest latents."
)
TILED_TOOLTIP = (
    "Run the VAE in pieces of 512 pixels: less memory, slower. ComfyUI does this by itself when memory runs out."
)
SYNC_TOOLTIP = (
    "How the time stream and the view stream agree after every layer. auto: trained layers where there are any, else hard. "
    "hard: both get the same features, their average where nothing was trained. "
    "soft: each keeps its own features and gets its own correction (best in the paper); needs trained layers, which 4Real models "
    "have and 4Real Load Sync brings. sequential: one stream, view and time layers in turn. fused: one stream, each frame attends to its view and its time at "
    "once (4Real and Wan models). off: two independent video models, averaged only at the end. alternating: no layers are synchronized; "
    "each step runs along views or along time, in turns, on the same grid, at half the cost."
)
STRENGTH_TOOLTIP = "How much synchronization to apply: 0 is the same as off, 1 is full. Has no effect with fused, sequential and alternating."
FIT_TOOLTIP = "What to do if the aspect ratio differs: crop fills the cell and cuts the sides, pad adds black bars, stretch distorts."
SPLATS_TOOLTIP = "4D splats, for example from 4Real Fit Splats."
SPLATS_CATEGORY = "4Real/splats"


def video_or_images(name: str, tooltip: str) -> io.MultiType.Input:
    """An input socket that takes either a VIDEO or an IMAGE batch."""
    return io.MultiType.Input(name, types=[io.Video, io.Image], tooltip=tooltip)


def side_inputs(width: int, both_zero: str) -> list[io.Input]:
    """The size of cells. width: the default. both_zero: what the size is when neither side is given, for the tooltips."""
    told = "{} of every cell in pixels. 0: from the {}, keeping the aspect ratio; " + both_zero + " if both are 0."
    return [
        io.Int.Input("width", default=width, min=0, max=8192, tooltip=told.format("Width", "height")),
        io.Int.Input("height", default=0, min=0, max=8192, tooltip=told.format("Height", "width")),
    ]


def shape_inputs() -> list[io.Input]:
    """The widgets that bring videos to one size and length, shared by the nodes that build grids."""
    return [
        *side_inputs(512, "the size of the source"),
        fit_input(),
        io.Combo.Input(
            "pick",
            options=PICKS,
            default="even",
            advanced=True,
            tooltip="Which frames to use: even spreads them over the whole video, first takes them from the start.",
        ),
        fps_input("Frames per second along time. 0: keep the video's own speed (24 for images).", advanced=True),
    ]


def fit_input(tooltip: str = FIT_TOOLTIP) -> io.Combo.Input:
    """How a picture of another aspect ratio is brought to the wanted size."""
    return io.Combo.Input("fit", options=FITS, default="crop", tooltip=tooltip)


def fps_input(tooltip: str, most: float = 240.0, **more) -> io.Float.Input:
    """Frames per second, where 0 leaves the choice to the node; the tooltip says what it then takes."""
    return io.Float.Input("fps", default=0.0, min=0.0, max=most, step=0.01, tooltip=tooltip, **more)


def whole_number(name: str, default: int, least: int, most: int, tooltips: dict[str, str], **more) -> io.Int.Input:
    return io.Int.Input(name, default=default, min=least, max=most, tooltip=tooltips[name], **more)
