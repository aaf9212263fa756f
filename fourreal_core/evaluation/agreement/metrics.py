"""What is measured in a grid alone: names, units, which way is better, and where good ends and bad begins. Next to read: measure.py."""

from __future__ import annotations

from ..measured import Metric

METRICS: dict[str, Metric] = {
    "epipolar": Metric(
        "Epipolar agreement", "", "higher",
        "share of matches between neighbouring views that fit one camera motion for all times", 0.8, 0.5,
    ),
    "time_acceleration": Metric(
        "Acceleration along time", " %W", "lower",
        "median change of the optical flow from time to time: wobble", 0.05, 0.4,
    ),
    "view_acceleration": Metric(
        "Acceleration along views", " %W", "lower",
        "median change of the optical flow from view to view: an uneven camera path, warped views", 0.4, 1.5,
    ),
    "drift": Metric(
        "Drift of still cameras", " %W", "lower",
        "30th percentile of the flow from time to time: still parts that move", 0.02, 0.2,
    ),
    "commutation": Metric(
        "Commutation", " %W", "lower",
        "distance between going along views and then time, and along time and then views", 0.3, 0.8,
    ),
    "synchrony": Metric(
        "Synchrony of motion", "", "higher",
        "correlation of how much moves at each time, between neighbouring views", 0.85, 0.5, 2,
    ),
    "warp_time": Metric(
        "Flicker along time", " %", "lower",
        "colour difference of neighbouring times after warping one onto the other", 1.5, 4.0, 2,
    ),
    "warp_view": Metric(
        "Flicker along views", " %", "lower",
        "the same for neighbouring views", 3.0, 6.0, 2,
    ),
    "support": Metric(
        "Unsupported pixels", " %", "lower",
        "smallest colour difference between a pixel and what any neighbouring cell shows there", 0.5, 2.0, 2,
    ),
    "splat_fit": Metric(
        "Held-out score of splats", " dB", "higher",
        "PSNR of cells that moving splats, fitted to the other cells, predict", 28.0, 22.0, 1,
    ),
    "motion": Metric(
        "Amount of motion", " %W", "", "mean flow from time to time: 0 for a frozen grid",
    ),
    "view_change": Metric(
        "Amount of view change", " %W", "", "mean flow from view to view: 0 for identical views",
    ),
    "parallax": Metric(
        "Amount of parallax", " %W", "", "what of it no flat picture could do: mean distance from the best homography",
    ),
    "sharpness": Metric(
        "Sharpness", "", "", "variance of the Laplacian of grey values 0..255: small for a blurred grid", digits=0,
    ),
    "sharpness_ratio": Metric(
        "Sharpness of filled cells", "", "", "relative to the given cells: below 1 where a fill blurs", digits=2,
    ),
}  # fmt: skip
AMOUNTS = tuple(key for key, metric in METRICS.items() if not metric.better)  # the columns that unmask cheating
