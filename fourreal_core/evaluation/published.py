"""What 4Real-Video (Wang et al., arXiv 2412.04462) publishes, to stand beside our numbers and never among them: other scenes, other models, other metrics."""

from __future__ import annotations

from .report import markdown

SOURCE = "4Real-Video, arXiv 2412.04462, as published by its authors"
HEAD = (
    "method",
    "FID",
    "CLIP",
    "FVD",
    "visual quality",
    "temporal consistency",
    "DUSt3R-Confidence above 2.0 / 2.5 / 3.0",
)
LINES = (
    ("SV4D", "204.81", "19.46", "1053.10", "2.26 / 2.02", "2.03 / 1.68", ""),
    ("MotionCtrl", "87.10", "20.20", "1556.36", "2.36 / 2.30", "2.38 / 2.25", ""),
    ("sequential", "96.64", "28.16", "1662.54", "2.30 / 2.28", "2.21 / 2.15", "33.5 / 24.6 / 16.6"),
    ("hard", "79.92", "28.16", "972.87", "2.42 / 2.40", "2.40 / 2.33", "39.3 / 31.5 / 23.8"),
    ("soft", "78.36", "28.22", "906.16", "2.43 / 2.42", "2.41 / 2.36", "41.0 / 33.4 / 25.7"),
)  # fmt: skip
APART = (
    "These numbers are theirs: on their generated grids, with their weights, which were never released, and with learned metrics. "
    "They do not compare with the numbers of this page."
)


def published_table() -> str:
    """Markdown."""
    return markdown(HEAD, LINES)
