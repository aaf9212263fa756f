"""Muon for the matrices inside the base's transformer blocks, AdamW for everything else, both on one schedule."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def build_optimizers(
    parameters: Mapping[str, nn.Parameter], learning_rate: float, matrix_rate: float
) -> list[torch.optim.Optimizer]:
    """parameters: by their names in the whole model. learning_rate is AdamW's, matrix_rate Muon's (arXiv 2502.16982)."""
    matrices = [parameter for name, parameter in parameters.items() if _is_block_matrix(name, parameter)]
    others = [parameter for name, parameter in parameters.items() if not _is_block_matrix(name, parameter)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    ]
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=matrix_rate, weight_decay=0.1))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def optimizer_step(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """One step at this share of the full rates; clears the gradients."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    return name.startswith("base.blocks.") and name.endswith("weight") and parameter.ndim == 2
