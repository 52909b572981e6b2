"""The most memory that torch holds at once, on any device: storages counted as operations make and drop them."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Within the context, new storages are counted; what kernels use inside themselves is not seen.

    Attributes:
        most: bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs the operation and counts what it made."""
        before = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage(), before)
        return out

    def _count(self, storage: torch.UntypedStorage, before: set[int]) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if not size or place in before or place in self._known:
            return
        self._known.add(place)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._dropped, place, size)

    def _dropped(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size
