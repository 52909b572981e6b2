"""Whether an error says that memory ran out."""

import torch


def no_memory(error: BaseException) -> bool:
    """On a CPU torch has no type of its own for that: its words tell."""
    said = str(error).lower()
    known = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in said for words in known)
