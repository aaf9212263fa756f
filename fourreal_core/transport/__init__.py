"""Transport: predict every unknown cell of a grid from the known ones, without a model. Start at fill.py."""

from .fill import LEAST_DOUBT, TransportGuess, blend_predictions, transport, transport_fill

__all__ = ["LEAST_DOUBT", "TransportGuess", "blend_predictions", "transport", "transport_fill"]
