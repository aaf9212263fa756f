"""Products of large NumPy matrices by PyTorch, on as many threads as it has."""

from __future__ import annotations

import numpy as np
import torch


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`first @ second` of two matrices of one type.

    PyTorch heeds side_by_side.py. OpenBLAS, which NumPy uses, does not, and leaves its other threads spinning for some hundredths of a second
    after each product: beside other work on the same cores that doubled the CPU seconds of `estimate_cameras`.
    """
    return (torch.from_numpy(first) @ torch.from_numpy(second)).numpy()
