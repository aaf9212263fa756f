"""Measuring grids in ComfyUI: progress, and the numbers that ComfyUI's own CLIP, CLIP vision and Depth Anything 3 give.

Letters: V views, T times, N cells, h w pixels that a model sees.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import numpy as np
import torch
from PIL import Image

from ..fourreal_core.evaluation.agreement.measure import measure_agreement
from ..fourreal_core.evaluation.agreement.splat_fit import splat_fit
from ..fourreal_core.evaluation.learned.carried_features import carried_likeness
from ..fourreal_core.evaluation.learned.scores import clip_consistency, clip_score, confident_shares
from ..fourreal_core.evaluation.measured import Measured
from ..fourreal_core.evaluation.reference import measure_reference
from ..fourreal_core.grid import FrameGrid
from .cancel import cancellable
from .learned_depth import da3_network, da3_pictures
from .types import counting_progress

CELLS_AT_ONCE = 16
STEPS = 1000  # of the progress bar
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Extras:
    """What is connected, None where nothing is: CLIP, CLIP_VISION, a prompt, a DA3_MODEL; and whether to fit splats."""

    clip: Any = None
    clip_vision: Any = None
    prompt: str = ""
    da3_model: Any = None
    fit_splats: bool = False


def measured_grid(
    grid: FrameGrid,
    reference: FrameGrid | None,
    extras: Extras = Extras(),
    part: tuple[int, int] = (0, 1),
) -> dict[str, Measured]:
    """Everything that can be measured with what is connected. part: (n, of): the n-th of several grids, for the progress bar."""
    bar = counting_progress()
    report = lambda share: bar(int(STEPS * (part[0] + share) / part[1]), STEPS)
    found = measure_agreement(grid, on_progress=lambda share: report(0.7 * share))
    if reference is not None:
        found |= measure_reference(grid, reference, lambda share: report(0.7 + 0.1 * share))
    found |= _clip(grid, extras)
    if extras.da3_model is not None:
        seen = _da3_geometry(grid, extras.da3_model, lambda share: report(0.8 + 0.1 * share))
        found |= confident_shares(seen["depth_conf"])
        if extras.clip_vision is not None:
            found["carried_features"] = _carried_features(grid, extras.clip_vision, seen)
    if extras.fit_splats:
        found["splat_fit"] = splat_fit(grid, on_progress=lambda share: report(0.9 + 0.1 * share))
    report(1.0)
    return found


def _clip(grid: FrameGrid, extras: Extras) -> dict[str, Measured]:
    if extras.clip_vision is None:
        if extras.clip is not None:
            raise ValueError("expected clip_vision beside clip: the CLIP score needs both, from the same CLIP")
        return {}
    shape = grid.views, grid.times
    images_ND = _image_embeddings(grid, extras.clip_vision)
    found = {"clip_consistency": clip_consistency(images_ND, shape)}
    if extras.clip is None:
        return found
    if not extras.prompt.strip():
        raise ValueError("expected a prompt for the CLIP score: say what the grid should show, or disconnect clip")
    return {"clip_score": clip_score(images_ND, _text_embedding(extras.clip, extras.prompt), shape)} | found


def _image_embeddings(grid: FrameGrid, clip_vision) -> torch.Tensor:
    """[N, D] projected embeddings; frames are cropped to the middle square, as CLIP was trained."""
    return torch.cat([batch["image_embeds"].float().cpu() for batch in _encoded(grid, clip_vision, crop=True)])


def _encoded(grid: FrameGrid, clip_vision, crop: bool) -> Iterator[Any]:
    """What CLIP vision says of some cells after the other; crop: to the middle square, else whole and squeezed into one."""
    cells = grid.frames.flatten(0, 1)
    for start in range(0, len(cells), CELLS_AT_ONCE):
        comfy.model_management.throw_exception_if_processing_interrupted()
        yield clip_vision.encode_image(cells[start : start + CELLS_AT_ONCE], crop=crop)


def _text_embedding(clip, prompt: str) -> torch.Tensor:
    """[D] projected embedding of the text's end. Raises ValueError for encoders without one."""
    _, pooled = clip.encode_from_tokens(clip.tokenize(prompt), return_pooled=True)
    if not isinstance(pooled, torch.Tensor) or pooled.ndim != 2:
        raise ValueError("expected clip to be a CLIP text encoder (such as clip_l), got one without a pooled embedding")
    return pooled[0].float().cpu()


def _carried_features(grid: FrameGrid, clip_vision, seen: dict[str, torch.Tensor]) -> Measured:
    """How alike neighbouring views are where Depth Anything 3's geometry, `seen`, carries the patches of CLIP vision."""
    if "extrinsics" not in seen:
        return Measured.not_measurable("Depth Anything 3 gave no cameras: connect Small or Base")
    features_NPD = torch.cat(
        [batch["penultimate_hidden_states"].float().cpu() for batch in _encoded(grid, clip_vision, crop=False)]
    )
    side = math.isqrt(features_NPD.shape[1])
    patches_NDhw = features_NPD[:, -(side**2) :].movedim(-1, 1).unflatten(2, (side, side))  # the first are no patches
    features_VTDhw = patches_NDhw.unflatten(0, (grid.views, grid.times))
    return carried_likeness(features_VTDhw, seen["depth"], seen["intrinsics"], seen["extrinsics"])


def _da3_geometry(grid: FrameGrid, patcher, on_share) -> dict[str, torch.Tensor]:
    """depth_conf [V, T, h, w] from 1 on, depth [V, T, h, w] and, if the model tells cameras, extrinsics [V, T, 3, 4] (world to camera) and
    intrinsics [V, T, 3, 3] in pixels of the depth: all views of a time are one input of the model."""
    network = da3_network(patcher)
    if network is None or network.head_type != "dualdpt":
        raise ValueError(
            "expected da3_model to be Depth Anything 3 Small or Base: the others give no confidence of several views"
        )
    comfy.model_management.load_model_gpu(patcher)
    found: dict[str, list[torch.Tensor]] = {}
    for time in range(grid.times):
        views = da3_pictures(grid.frames[:, time], network)
        with cancellable(network), torch.no_grad():
            out = network(views[None], use_ray_pose=False, ref_view_strategy="saddle_balanced")
        if "depth_conf" not in out:
            raise ValueError("expected da3_model to give a confidence, got none: load Depth Anything 3 Small or Base")
        for name in ("depth_conf", "depth"):
            found.setdefault(name, []).append(out[name].float().reshape(grid.views, *out[name].shape[-2:]).cpu())
        for name in ("extrinsics", "intrinsics"):
            if name in out:
                found.setdefault(name, []).append(out[name][0].float().cpu())
        on_share((time + 1) / grid.times)
    return {name: torch.stack(times, 1) for name, times in found.items()}


def letters(names: str, count: int) -> list[str]:
    """One name per grid: those given, separated by commas, or letters. Raises ValueError when they do not fit."""
    given = [name.strip() for name in names.split(",")] if names.strip() else list(LETTERS[:count])
    if len(given) != count or len(set(given)) != count or not all(given):
        raise ValueError(
            f"expected {count} different names, one per grid, got {names!r}: separate them by commas, or leave it empty"
        )
    return given


def pictures_tensor(picture: Image.Image) -> torch.Tensor:
    """float32 [1, H, W, 3] in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255)[None]
