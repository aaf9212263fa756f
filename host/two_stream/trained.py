"""Which trained layers two streams run with: those of a file, those of a 4Real checkpoint, or none."""

from collections.abc import Sequence
from typing import Any

from ...fourreal_core.model.sync import Sync
from ...fourreal_core.model.sync_file import SyncLayers
from .backbones import backbone_of
from .plan import TwoStreamPlan

AUTO = "auto"


def plan_for(model: Any, sync: str, patcher: Any | None, **settings: Any) -> TwoStreamPlan:
    """The plan of these settings with the layers that this MODEL and kind have.

    sync: as in `chosen_kind`. settings: the plan's other fields. Raises ValueError when the layers belong to another model, or there are none and soft was asked for.
    """
    network = model.get_model_object("diffusion_model")
    layers, kind = None if patcher is None else expect_layers(patcher, network), chosen_kind(model, sync, patcher)
    trained, source = _layers_of(kind, network, layers)
    return TwoStreamPlan(kind=kind, trained=trained, source=source, **settings)


def chosen_kind(model: Any, sync: str, patcher: Any | None) -> str:
    """The kind that runs: `sync` itself, or for AUTO that of the layers in `patcher` (a ModelPatcher of `SyncLayers` or None), else the
    best that the model has."""
    if sync != AUTO:
        return sync
    network = model.get_model_object("diffusion_model")
    return backbone_of(network).best_sync(network) if patcher is None else expect_layers(patcher, network).config.kind


def expect_layers(patcher: Any, network: Any) -> SyncLayers:
    """The layers of a FOURREAL_SYNC value; ValueError when they were made for another backbone than this network."""
    layers = getattr(patcher, "model", None)
    if not isinstance(layers, SyncLayers):
        raise ValueError(f"expected sync_layers from 4Real Load Sync, got {type(layers or patcher).__name__}")
    layers.expect_backbone(*backbone_of(network).sizes(network))
    return layers


def _layers_of(kind: str, network: Any, layers: SyncLayers | None) -> tuple[Sequence[Sync] | None, str]:
    """(one trained layer per block or None, their source): the file's come before the checkpoint's own."""
    if layers is not None and layers.config.kind == kind:
        return tuple(layers), layers.name
    if layers is not None and kind == "soft":
        raise ValueError(f"expected soft layers, got {layers.name}, which holds hard ones: choose auto or hard")
    own = backbone_of(network).own_sync(network, kind)
    return (None, "") if own is None else (tuple(own), "the checkpoint")
