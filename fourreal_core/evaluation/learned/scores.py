"""Numbers made of what learned models say about a grid: CLIP score, and the share of pixels whose geometry a model is certain of.

The models run elsewhere: ComfyUI's in host/measuring.py. Shape suffixes: V views, T times, N cells, D width of an embedding, h w pixels.
"""

from __future__ import annotations

from torch import Tensor

from ..measured import Measured, Metric

THRESHOLDS = (2.0, 2.5, 3.0)  # of a confidence from 1 on, as in the table of 4Real-Video

LEARNED: dict[str, Metric] = {
    "clip_score": Metric("CLIP score", "", "higher", "100 times the cosine of each cell and the prompt", 28.0, 20.0, 2),
    "clip_consistency": Metric("CLIP consistency", "", "higher", "cosine of neighbouring cells' images", 0.97, 0.9, 4),
    "carried_features": Metric("Features carried along views", "", "higher", "cosine of a view's features and its neighbour's, carried by Depth Anything 3's geometry", 0.9, 0.6),
    **{
        f"da3_{threshold:g}": Metric(
            f"Depth Anything 3 confidence above {threshold:g}", " %", "higher", "share of pixels, all views of a time at once", 80.0, 20.0, 1
        )
        for threshold in THRESHOLDS
    },
    **{
        f"videoscore_{name.split()[0]}": Metric(f"VideoScore: {name}", "", "higher", "1 to 4, of walks through the grid", 3.0, 2.0, 2)
        for name in ("visual quality", "temporal consistency", "dynamic degree", "alignment with the text", "factual consistency")
    },
}  # fmt: skip


def clip_score(images_ND: Tensor, text_D: Tensor, shape: tuple[int, int]) -> Measured:
    """100 max(0, cos(image, text)), mean over cells (Hessel et al. 2021, with the weight 100 of common use).

    images_ND: projected embeddings of the cells, all times of view 0 first; text_D: of the prompt; shape: (V, T). Raises ValueError when the widths
    differ: then the two models do not belong together.
    """
    if images_ND.shape[1] != text_D.shape[0]:
        raise ValueError(
            f"expected CLIP text and CLIP vision embeddings of one width, got {text_D.shape[0]} and {images_ND.shape[1]}: connect the "
            "text encoder and the vision model of the same CLIP, such as clip_l and clip_vision of ViT-L/14."
        )
    cosine = _unit(images_ND) @ _unit(text_D[None])[0]
    cells = (100 * cosine).clamp(min=0).view(shape)
    return Measured(float(cells.mean()), cells_VT=cells)


def clip_consistency(images_ND: Tensor, shape: tuple[int, int]) -> Measured:
    """Mean cosine between the embeddings of neighbouring cells, along time and along views alike; shape: (V, T)."""
    units = _unit(images_ND).unflatten(0, shape)
    pairs = [(units[:, 1:] * units[:, :-1]).sum(-1).flatten(), (units[1:] * units[:-1]).sum(-1).flatten()]
    counted = [values for values in pairs if values.numel()]
    if not counted:
        return Measured.not_measurable("one cell only")
    total = sum(float(values.sum()) for values in counted)
    return Measured(total / sum(values.numel() for values in counted))


def confident_shares(confidence_VThw: Tensor) -> dict[str, Measured]:
    """Share in % of the pixels whose confidence is above 2, 2.5 and 3.

    confidence_VThw: 1 + exp(u), from Depth Anything 3 with all views of one time as its input. The paper gives the same shares of DUSt3R's confidence,
    which has the same form; the two are different models, so their numbers do not compare.
    """
    found = {}
    for threshold in THRESHOLDS:
        cells = 100 * (confidence_VThw > threshold).flatten(2).float().mean(2)
        found[f"da3_{threshold:g}"] = Measured(float(cells.mean()), cells_VT=cells)
    return found


def _unit(vectors_ND: Tensor) -> Tensor:
    return vectors_ND.float() / vectors_ND.float().norm(dim=-1, keepdim=True).clamp(min=1e-12)
