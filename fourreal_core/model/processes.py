"""One training run, or one grid being sampled, on several processes (torchrun), each with a device of its own.

Training: every process draws the whole batch from the same generator and keeps every count-th entry, so nothing depends on how many
there are but the order of sums. Sums and not means: shares hold different numbers of pixels that count. Sampling: each process runs
its part of the sequences of a block (model/streams.py) and hears the others' results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """This process (rank) among count; the default is a run of one process, where all is left as it is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that saves, draws and reports."""
        return self.rank == 0

    def share(self, batched: Tensor) -> Tensor:
        """This process's entries of a whole batch `[N, ...]`."""
        return batched[self.rank :: self.count]

    def sum(self, number: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            number = number.clone()
            dist.all_reduce(number)
        return number

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace every gradient by its sum over all processes, in one message."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(summed.view_as(gradient))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether it is true in one process at least."""
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def split(self, jobs: int) -> list[list[int]]:
        """The ranks that share each of so many jobs, as evenly as can be; a process may have more than one job where there are few."""
        if self.count < jobs:
            return [[job * self.count // jobs] for job in range(jobs)]
        return [ranks.tolist() for ranks in torch.arange(self.count).tensor_split(jobs)]

    def gathered(self, parts: Sequence[Tensor], owners: Sequence[int]) -> None:
        """Fill each of `parts`, in place and everywhere, with what its owner (a rank) has in it; contiguous tensors."""
        if self.count == 1:
            return
        for part, owner in zip(parts, owners):
            dist.broadcast(part, src=owner)

    def told(self, thing: Any, by: int = 0) -> Any:
        """What that process has: anything that can be pickled."""
        if self.count == 1:
            return thing
        things = [thing]
        dist.broadcast_object_list(things, src=by)
        return things[0]

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the first one's values, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


ALONE = Processes()


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, or `ALONE`. NCCL on CUDA, gloo elsewhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
        dist.barrier()  # none leaves while the threads behind another's last sum still hold tensors: Python aborts if it ends then
    finally:
        dist.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` -> where to train; under torchrun each process takes the GPU of its local rank."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "there is no CUDA GPU that PyTorch can use: train with --device cpu, or install PyTorch for your GPU"
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
