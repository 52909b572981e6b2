"""Processes and devices: one process alone, or many under torchrun, which `accelerate` sets up.

Gradients are averaged here in one go, after the backward passes, instead of in hooks during them: a step can be
tried again in smaller parts when memory runs out, networks may be called in any way, and parameters that a batch
does not reach cost nothing.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped

from diorama.core.extras import available, need
from diorama.errors import UsageError

logger = logging.getLogger(__name__)
BUCKET = 25_000_000
"""Numbers that are sent at a time."""


@dataclass(frozen=True)
class Engine:
    """Where a run computes.

    Attributes:
        device: of this process.
        rank: number of this process.
        processes: how many there are.
        state: of `accelerate`, None without it.
    """

    device: torch.device
    rank: int = 0
    processes: int = 1
    state: Any = None

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over the processes: what they agree on."""
        if self.processes == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return tensor.tolist()

    def average(self, tensors: Sequence[Shaped[torch.Tensor, "..."]]) -> None:
        """Replace tensors by their mean over the processes."""
        if self.processes == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            torch.distributed.all_reduce(flat)
            flat /= self.processes
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def same(self, tensors: Sequence[Shaped[torch.Tensor, "..."]]) -> None:
        """Replace tensors by those of the first process."""
        if self.processes > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.processes > 1:
            torch.distributed.barrier()

    def close(self) -> None:
        """Leave the group of processes; nothing can be averaged after that."""
        if self.processes > 1:
            self.state.destroy_process_group()


def start_engine(device: str) -> Engine:
    """Set up this process.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: no such device.
        ModelError: several processes without `accelerate`.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}, but torch sees no GPU", "--device", "give cpu or auto")
    number = int(device.partition(":")[2] or 0)
    if device.startswith("cuda:") and number >= torch.cuda.device_count():
        raise UsageError(f"device {device!r} of {torch.cuda.device_count()}", "--device", "see nvidia-smi for them")
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not many and not available("accelerate"):
        logger.info("accelerate is not installed: one process on one device")
        return Engine(_single(device))
    cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    state = need("accelerate").PartialState(cpu=cpu)
    # One process may be told its device; of many, each has its own.
    chosen = state.device if state.num_processes > 1 else _single(device)
    return Engine(chosen, state.process_index, state.num_processes, state)


def _single(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def _buckets(tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Tensors of one type in groups of about `BUCKET` numbers."""
    found: list[list[torch.Tensor]] = []
    size = 0
    for tensor in tensors:
        if not found or size + tensor.numel() > BUCKET or found[-1][0].dtype != tensor.dtype:
            found.append([])
            size = 0
        found[-1].append(tensor)
        size += tensor.numel()
    return found
