"""Which host video models can run two streams, and what is particular to each.

A model qualifies when the host lets a patch replace its blocks (`patches_replace["dit"]`) and its tokens are frames of
one grid. Tests hold every family named here to the host's own result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...fourreal_core.model.sync import Sync
from .host_call import VIEW_TEXT, VIEW_TEXT_MASK, Arguments, BlockTokens, Key

# Inputs that add tokens beside the grid's: the two streams would not have the same tokens any more.
EXTRA_TOKENS = ("time_dim_concat", "context_latents", "reference_latent", "ref_latent", "keyframe_idxs")


@dataclass(frozen=True)
class Backbone:
    """A family of host models.

    family: its name in files of trained synchronization layers; models that share blocks share it. width: attribute that holds the
    token width. blocks: (kind of hook, attribute that holds those blocks), in the order of the forward pass.
    tokens: the block argument that holds video tokens; in a "single_block" text precedes them.
    grown_after: indices of blocks after which the host itself adds to the tokens, in place.
    run_block: how to call a block with its arguments, where the host's own `original_block` does not work.
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
    grown_after: Callable[[Any], frozenset[int]] = lambda network: frozenset()
    run_block: Callable[[Any, Arguments], Any] | None = None
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

    def tokens_of(self, key: Key) -> BlockTokens:
        return BlockTokens(self.tokens, joined=key[0] == "single_block")

    def patch_size(self, network: Any) -> tuple[int, int, int]:
        size = getattr(network, "patch_size", 1)
        return (1, size, size) if isinstance(size, int) else tuple(size)

    def original_block(self, network: Any, key: Key, extra: Arguments) -> Callable[[Arguments], Any]:
        """The host's own block behind a hook, as a function of the hook's arguments."""
        if self.run_block is None:
            return extra["original_block"]
        return partial(self.run_block, getattr(network, dict(self.blocks)[key[0]])[key[1]])


def _run_kandinsky_block(block: Any, arguments: Arguments) -> torch.Tensor:
    """In ComfyUI 0.30.0 the hook itself names inputs that its block does not have."""
    places = [arguments[name] for name in ("x", "context", "time_embed", "freqs")]
    return block(*places, transformer_options=arguments["transformer_options"])


WAN = Backbone("Wan", "wan", "dim", fused=True)
WAN_VACE = Backbone("Wan VACE", "wan", "dim", grown_after=lambda network: frozenset(network.vace_layers_mapping))
LTXV = Backbone("LTXV", "ltxv", "inner_dim", blocks=(("double_block", "transformer_blocks"),))
HUNYUAN = Backbone(
    "HunyuanVideo",
    "hunyuan_video",
    "hidden_size",
    blocks=(("double_block", "double_blocks"), ("single_block", "single_blocks")),
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
    "HunyuanVideo": HUNYUAN,
    "AsymmDiTJoint": MOCHI,
    "Kandinsky5": KANDINSKY,
    "HostGridModel": FOURREAL,
}


def backbone_of(network: Any) -> Backbone:
    """The family of a host network; ValueError when two streams cannot run on it."""
    family = FAMILIES.get(type(network).__name__)
    if family is None:
        raise ValueError(
            f"expected a 4Real model or a video model of Wan, LTXV, HunyuanVideo, Mochi or Kandinsky 5, "
            f"got {type(network).__name__}: two streams cannot run on this model"
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
                f"expected conditioning without extra frames, got one with {name}: two streams need a grid of frames "
                "only, so remove the node that adds reference or keyframe latents"
            )
    if inputs.get("control") is not None:
        raise ValueError("expected no ControlNet, got one: two streams cannot pass it on to the view stream")
    if inputs.get(VIEW_TEXT) is not None and (inputs.get("attention_mask") is None) != (inputs.get(VIEW_TEXT_MASK) is None):
        raise ValueError("expected a text mask for both streams' prompts or for none, got one: encode both with the same text encoder")
