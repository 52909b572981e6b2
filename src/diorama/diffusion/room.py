"""Whether an error says that memory ran out, and that error in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diorama.errors import OutOfMemoryError

SMALLER = "give fewer frames or smaller ones, or use another device"


def no_memory(error: BaseException) -> bool:
    """On a CPU torch has no type of its own for that: its words tell."""
    said = str(error).lower()
    known = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in said for words in known)


@contextmanager
def in_memory(what: str, where: str, fix: str) -> Iterator[None]:
    """Work that may not fit.

    Args:
        what: "not enough memory for ..."
        where, fix: see `diorama.errors.DioramaError`.

    Raises:
        OutOfMemoryError: it does not.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not no_memory(error):
            raise
        raise OutOfMemoryError(f"not enough memory for {what}", where, fix) from error
