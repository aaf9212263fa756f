"""Transport: predict every unknown cell of a grid from the known ones, without a model. Start at fill.py."""

from ..moved import renamed
from .fill import Predictor, transport, transport_fill
from .part import PartPredictor
from .predictions import LEAST_DOUBT, Direction, Predictions, blend_predictions

__all__ = [
    "LEAST_DOUBT",
    "Direction",
    "PartPredictor",
    "Predictions",
    "Predictor",
    "blend_predictions",
    "transport",
    "transport_fill",
]


__getattr__ = renamed(__name__, {"TransportGuess": "Predictions"})
