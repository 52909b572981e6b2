"""Batches made ahead of the step that needs them: in a thread, or in processes."""

import os
import pickle
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait

import numpy as np
import torch
from jaxtyping import Shaped

from diorama.core.interrupts import deaf
from diorama.core.parallel import ahead, one_thread
from diorama.errors import OutOfMemoryError, UsageError
from diorama.train.recipe import Batch, Recipe

DEPTH = 2
"""Batches that are ready before they are asked for, beside those that are being made."""
_recipe: Recipe | None = None


@dataclass(frozen=True)
class Order:
    """Which samples a process gets, step by step: its even share of each batch, in the order of the ranks.

    Attributes:
        batch: samples of a step.
        rank, processes: of this process.
    """

    batch: int
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.processes:
            given = f"a batch of {self.batch} for {self.processes} processes"
            raise UsageError(given, "--batch", f"give a multiple of {self.processes}")

    def share(self, first: int) -> range:
        """The samples of this process in a batch that starts with number `first`."""
        size = self.batch // self.processes
        return range(first + self.rank * size, first + (self.rank + 1) * size)

    def shares(self, first: int, last: int | None) -> Iterator[range]:
        """Of all batches from number `first` on, before number `last`."""
        while last is None or first < last:
            yield self.share(first)
            first += self.batch


@contextmanager
def batches(
    recipe: Recipe, shares: Iterator[range], *, workers: int = 0
) -> Iterator[Generator[tuple[range, Batch], None, None]]:
    """Batches with the numbers of their samples, in order.

    Args:
        recipe: makes them.
        shares: numbers of the samples of each batch.
        workers: processes; 0: a thread.
    """
    made = _in_processes(recipe, shares, workers) if workers else ahead(_in_turn(recipe, shares), DEPTH)
    try:
        yield made
    finally:
        made.close()


def _in_turn(recipe: Recipe, shares: Iterator[range]) -> Iterator[tuple[range, Batch]]:
    for numbers in shares:
        yield numbers, checked(recipe.batch(numbers), numbers)


def checked(batch: Batch, numbers: Sequence[int]) -> Batch:
    """A batch that holds as many samples as were asked for."""
    for name, value in batch.items():
        if not value.ndim or len(value) != len(numbers):
            given = f"{name} of shape {tuple(value.shape)} for {len(numbers)} samples"
            raise UsageError(given, "the recipe's batch", "stack the samples along the first axis")
    return batch


def _in_processes(recipe: Recipe, shares: Iterator[range], workers: int) -> Generator[tuple[range, Batch], None, None]:
    """Fresh processes, one thread each; Ctrl-C is for their parent alone."""
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(pickle.dumps(recipe),))
    queue: deque[tuple[range, Future[dict[str, np.ndarray]]]] = deque()
    try:
        with deaf(), one_thread():  # inherited by the processes, which start at the first jobs
            queue.extend((numbers, pool.submit(_make, numbers)) for numbers in islice(shares, workers + DEPTH))
        while queue:
            numbers, job = queue.popleft()
            batch = {name: torch.from_numpy(value) for name, value in job.result().items()}
            queue.extend((later, pool.submit(_make, later)) for later in islice(shares, 1))
            yield numbers, batch
    except BrokenProcessPool as error:
        raise OutOfMemoryError(
            "a process that makes batches was ended, most likely for want of memory", "--workers", "give fewer"
        ) from error
    finally:
        for child in set(active_children()) - others:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(recipe: bytes) -> None:
    global _recipe
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _recipe = pickle.loads(recipe)


def _end_with_parent() -> None:
    """A killed parent tells nobody, and its processes would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _make(numbers: range) -> dict[str, np.ndarray]:
    """A batch as arrays: tensors would travel by open files, of which there may be few."""
    assert _recipe is not None
    batch = checked(_recipe.batch(numbers), numbers)
    return {name: value.contiguous().numpy() for name, value in batch.items()}


def stacked(samples: Sequence[dict[str, Shaped[torch.Tensor, "..."]]]) -> dict[str, Shaped[torch.Tensor, "b ..."]]:
    """Samples with the same names and shapes as a batch."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
