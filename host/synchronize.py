"""From settings to a synchronized MODEL, for *4Real Two-Stream* and *4Real Sampler*.

A 4Real model runs a plan in its own forward pass where it can. What that does not know, ranges and layers of a file, runs through its
blocks as on the host's models; both ways give the same (a test says so).
"""

from .load import with_sync
from .model import OPTIONS_KEY, GridBaseModel
from .stages import keep_known_cells
from .two_stream.alternating import ALTERNATING
from .two_stream.patch import KEY, patch_two_streams, plan_of, without_two_streams
from .two_stream.plan import TwoStreamPlan
from .two_stream.trained import chosen_kind, plan_for

RANGES = ("first_layer", "last_layer", "start_percent", "end_percent")


def synchronized(model, plan: TwoStreamPlan, attached=()):
    """A clone of the MODEL that runs this plan; attached: ModelPatchers of layers of a file. ValueError when it does not fit."""
    if not isinstance(model.model, GridBaseModel):
        patched = patch_two_streams(model, plan, attached)
        keep_known_cells(patched)
        return patched
    by_itself = (
        plan.everywhere and plan.kind != ALTERNATING and (not attached or plan.kind in ("off", "fused", "sequential"))
    )
    if not by_itself:
        return patch_two_streams(model, plan, attached)
    patched = with_sync(without_two_streams(model), sync=plan.kind, strength=plan.strength, output=plan.output)
    if attached:  # for a sampler that chooses another kind
        patched.set_additional_models(KEY, list(attached))
    return patched


def kind_of(model, sync: str) -> str:
    """The kind of synchronization that a sampler's choice means on this MODEL, see `chosen_kind`."""
    attached = model.get_additional_models_with_key(KEY)
    return chosen_kind(model, sync, attached[0] if attached else None)


def resynchronized(model, sync: str, strength: float):
    """A clone of a 4Real MODEL with another kind and strength; output, ranges and attached layers stay as they are."""
    plan, attached = plan_of(model), model.get_additional_models_with_key(KEY)
    if plan is None and not attached and sync != ALTERNATING:
        return with_sync(model, sync=sync, strength=strength)
    own = model.model_options.get("transformer_options", {}).get(OPTIONS_KEY, {})
    kept = (
        {"output": own.get("output", "mean")}
        if plan is None
        else {name: getattr(plan, name) for name in ("output", *RANGES)}
    )
    return synchronized(
        model, plan_for(model, sync, attached[0] if attached else None, strength=strength, **kept), attached
    )


def sync_facts(model, sync: str, strength: float) -> dict:
    """For a grid's provenance: what a 4Real MODEL of `resynchronized` ran."""
    plan, attached = plan_of(model), model.get_additional_models_with_key(KEY)
    if plan is None:
        return {"sync": sync, "sync_trained": sync in model.model.diffusion_model.sync, "strength": strength}
    facts = {"sync": sync, "sync_trained": plan.trained is not None, "strength": strength}
    facts |= {name: getattr(plan, name) for name in RANGES if not plan.everywhere}
    if attached and attached[0].model.config.kind == sync:
        layers = attached[0].model
        facts["sync_layers"] = {"file": layers.name, "hash": layers.file_hash}
    return facts
