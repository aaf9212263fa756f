"""Transport: predict every unknown cell of a grid from the known ones, without a model. Start at fill.py."""

from .fill import transport, transport_fill
from .predictions import LEAST_DOUBT, Direction, Predictions, blend_predictions

__all__ = ["LEAST_DOUBT", "Direction", "Predictions", "blend_predictions", "transport", "transport_fill"]
