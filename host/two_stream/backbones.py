"""Which host video models can run two streams, and what is particular to each.

A model qualifies when its blocks can be replaced (`block_hooks.py`) and hand on the tokens of one grid, frame by frame. Tests hold
every family named here to the host's own result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...fourreal_core.model.sync import Sync
from .block_hooks import BlockHooks, ForwardHooks, HostHooks, Key
from .host_call import VIEW_TEXT, VIEW_TEXT_MASK
from .layout import Layout
from .tokens import Arguments, BlockTokens, PlainTokens, TokensAfterText, TokensOnAxes, TokensWithSound

# Inputs that add tokens beside the grid's: the two streams would not have the same tokens any more.
EXTRA_TOKENS = ("time_dim_concat", "context_latents", "reference_latent", "ref_latent", "keyframe_idxs")


@dataclass(frozen=True)
class Backbone:
    """A family of host models.

    family: its name in files of trained synchronization layers; models that share blocks share it. width: attribute that holds the
    token width. blocks: (kind of hook, attribute that holds those blocks), in the order of the forward pass.
    tokens: the block argument that holds video tokens; place: how, and what is beside them.
    patch: (frames, height, width) of latents in one token.
    grown_after: indices of blocks after which the host itself adds to the tokens, in place.
    run_block: how to call a block with its arguments, where the host's own `original_block` does not work.
    outputs: what a block returns, by names of its arguments, where the host offers no hooks and its `forward` is replaced.
    own_wrapper: whether the network runs wrappers of kind DIFFUSION_MODEL; where not, the whole model is wrapped.
    fused: whether the first attention of a block is its self-attention and positions come from `rope_encode`.
    own_sync: the trained synchronization layers of a kind in the network itself, None where there are none.
    best_sync: the kind to run when nobody chose.
    announced: how many grids' memory to announce: the host estimates one stream of its own models, but both of ours.
    """

    name: str
    family: str
    width: str
    blocks: tuple[tuple[str, str], ...] = (("double_block", "blocks"),)
    tokens: str = "img"
    place: Callable[[str, Key, Layout], BlockTokens] = lambda name, key, layout: PlainTokens(name)
    patch: Callable[[Any], tuple[int, int, int]] = lambda network: _sizes_of(getattr(network, "patch_size", 1))
    grown_after: Callable[[Any], frozenset[int]] = lambda network: frozenset()
    run_block: Callable[[nn.Module, Arguments], Any] | None = None
    outputs: tuple[str, ...] = ()
    own_wrapper: bool = True
    fused: bool = False
    own_sync: Callable[[Any, str], Sequence[Sync] | None] = lambda network, kind: None
    best_sync: Callable[[Any], str] = lambda network: "hard"
    announced: int = 2

    def keys(self, network: Any) -> list[Key]:
        return [(kind, index) for kind, name in self.blocks for index in range(len(getattr(network, name)))]

    def sizes(self, network: Any) -> tuple[str, int, int]:
        """(family, token width, number of blocks): what trained synchronization layers must have been made for."""
        return self.family, getattr(network, self.width), len(self.keys(network))

    def modules(self, network: Any) -> dict[Key, nn.Module]:
        held = {kind: getattr(network, name) for kind, name in self.blocks}
        lists = {
            kind: list(blocks.values() if isinstance(blocks, nn.ModuleDict) else blocks)
            for kind, blocks in held.items()
        }
        return {(kind, index): lists[kind][index] for kind, index in self.keys(network)}

    def tokens_of(self, key: Key, layout: Layout) -> BlockTokens:
        return self.place(self.tokens, key, layout)

    def patch_size(self, network: Any) -> tuple[int, int, int]:
        """ValueError where a token spans several frames, which are neither moments nor views."""
        size = self.patch(network)
        if size[0] != 1:
            raise ValueError(
                f"two streams cannot run on {self.name}: it has one token frame for every {size[0]} latent frames"
            )
        return size

    def hooks(self, network: Any) -> BlockHooks:
        if self.outputs:
            return ForwardHooks(self.modules(network), self.outputs)
        return HostHooks(self.modules(network), self.run_block)


def _sizes_of(patch: int | Sequence[int]) -> tuple[int, int, int]:
    """(frames, height, width) of a host's `patch_size`, which may also be one side, or two (models of pictures)."""
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    return (1, *sides) if len(sides) == 2 else sides


def _run_kandinsky_block(block: Any, arguments: Arguments) -> torch.Tensor:
    """In ComfyUI 0.30.0 the hook itself names inputs that its block does not have."""
    places = [arguments[name] for name in ("x", "context", "time_embed", "freqs")]
    return block(*places, transformer_options=arguments["transformer_options"])


WAN = Backbone("Wan", "wan", "dim", fused=True)
WAN_VACE = Backbone("Wan VACE", "wan", "dim", grown_after=lambda network: frozenset(network.vace_layers_mapping))
LTXV = Backbone("LTXV", "ltxv", "inner_dim", blocks=(("double_block", "transformer_blocks"),))
LTX2 = Backbone(
    "LTX-2",
    "ltx2",
    "inner_dim",
    blocks=(("double_block", "transformer_blocks"),),
    place=lambda name, key, layout: TokensWithSound(name),
)
HUNYUAN = Backbone(
    "HunyuanVideo",
    "hunyuan_video",
    "hidden_size",
    blocks=(("double_block", "double_blocks"), ("single_block", "single_blocks")),
    place=lambda name, key, layout: TokensAfterText(name) if key[0] == "single_block" else PlainTokens(name),
)
MOCHI = Backbone("Mochi", "mochi", "hidden_size_x", own_wrapper=False)
KANDINSKY = Backbone(
    "Kandinsky 5",
    "kandinsky5",
    "model_dim",
    blocks=(("double_block", "visual_transformer_blocks"),),
    tokens="x",
    run_block=_run_kandinsky_block,
)
COGVIDEO = Backbone(
    "CogVideoX",
    "cogvideox",
    "dim",
    blocks=(("block", "blocks"),),
    tokens="hidden_states",
    place=lambda name, key, layout: PlainTokens(name, text="encoder_hidden_states"),
    patch=lambda network: (network.patch_size_t or 1, network.patch_size, network.patch_size),
    outputs=("hidden_states", "encoder_hidden_states"),
)
COSMOS_PREDICT2 = Backbone(
    "Cosmos Predict2",
    "cosmos_predict2",
    "model_channels",
    blocks=(("block", "blocks"),),
    tokens="x_B_T_H_W_D",
    place=lambda name, key, layout: TokensOnAxes(name, "n t h w d", layout.frame_size),
    patch=lambda network: (network.patch_temporal, network.patch_spatial, network.patch_spatial),
    outputs=("x_B_T_H_W_D",),
)
COSMOS = Backbone(
    "Cosmos",
    "cosmos",
    "model_channels",
    blocks=(("block", "blocks"),),
    tokens="x",
    place=lambda name, key, layout: TokensOnAxes(name, "t h w n d", layout.frame_size),
    patch=lambda network: (network.patch_temporal, network.patch_spatial, network.patch_spatial),
    grown_after=lambda network: frozenset(
        range(len(network.blocks) - 1)
    ),  # positions are added again before each block
    outputs=("x",),
)
FOURREAL = Backbone(
    "4Real",
    "fourreal",
    "width",
    own_sync=lambda network, kind: network.sync[kind] if kind in network.sync else None,
    best_sync=lambda network: network.best_sync,
    announced=1,
)

# By the name of the host's class, exactly: a subclass may add tokens or layers that two streams do not know.
FAMILIES = {
    "WanModel": WAN,
    "CameraWanModel": WAN,
    "VaceWanModel": WAN_VACE,
    "LTXVModel": LTXV,
    "LTXAVModel": LTX2,
    "HunyuanVideo": HUNYUAN,
    "AsymmDiTJoint": MOCHI,
    "Kandinsky5": KANDINSKY,
    "CogVideoXTransformer3DModel": COGVIDEO,
    "MiniTrainDIT": COSMOS_PREDICT2,
    "GeneralDIT": COSMOS,
    "HostGridModel": FOURREAL,
}


def _listed() -> str:
    *names, last = dict.fromkeys(family.name for family in FAMILIES.values() if family is not FOURREAL)
    return f"{', '.join(names)} or {last}"


def backbone_of(network: Any) -> Backbone:
    """The family of a host network; ValueError when two streams cannot run on it."""
    family = FAMILIES.get(type(network).__name__)
    if family is None:
        raise ValueError(
            f"expected a 4Real model or a video model of {_listed()}, got {type(network).__name__}: two streams cannot run on this model"
        )
    return family


def expect_grid_inputs(network: Any, inputs: dict[str, Any]) -> None:
    """ValueError when the call carries conditioning that the view stream could not be given."""
    for name in EXTRA_TOKENS:
        value = inputs.get(name)
        unused = name == "reference_latent" and getattr(network, "ref_conv", None) is None
        empty = torch.is_tensor(value) and 0 in value.shape
        if value is not None and not unused and not empty:
            raise ValueError(
                f"two streams need a grid of frames only, got conditioning with {name}: remove the node that "
                "adds reference or keyframe latents"
            )
    if inputs.get(VIEW_TEXT) is not None and hasattr(network, "preprocess_text_embeds"):
        raise ValueError("LTX-2 uses one prompt for both streams, got another for the view stream: remove it")
    if inputs.get("control") is not None:
        raise ValueError("two streams do not support ControlNet: remove it")
    if inputs.get(VIEW_TEXT) is not None and (inputs.get("attention_mask") is None) != (
        inputs.get(VIEW_TEXT_MASK) is None
    ):
        raise ValueError("only one of the two streams' prompts has a text mask: encode both with the same text encoder")
