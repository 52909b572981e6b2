"""Latents that are computed once and read in every later epoch, mapped from the disk.

They are filed under the content of the codec and the name of the sample: another codec never meets them.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from diorama.core.progress import Progress, Silent
from diorama.errors import DioramaError, ModelError
from diorama.media.atomic import atomic_path
from diorama.media.npy import open_array

logger = logging.getLogger(__name__)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 (hexadecimal) over names, types, shapes and values of a network's state."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class LatentCache:
    """Latents of one codec.

    Attributes:
        folder: of the cache.
        codec: from `fingerprint`, with whatever else decides the latents (the size of frames, say).
    """

    folder: Path
    codec: str

    def path(self, name: str) -> Path:
        """The file of a sample."""
        digest = hashlib.blake2b(f"{self.codec} {name}".encode(), digest_size=20).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.npy"

    def get(self, name: str, make: Callable[[], Float[torch.Tensor, "..."]]) -> Float[torch.Tensor, "..."]:
        """The latents of a sample (fp16), made and stored when they are not there.

        What comes back is what was stored, the first time too: a run does not depend on what the cache holds.

        Raises:
            ModelError: the codec gives values that half precision cannot hold.
        """
        found = self._read(name)
        if found is not None:
            return found
        self.put(name, make())
        found = self._read(name)
        assert found is not None
        return found

    def put(self, name: str, latents: Float[torch.Tensor, "..."]) -> None:
        """Store the latents of a sample."""
        half = latents.detach().to("cpu", torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise ModelError("latents that are not finite in half precision", name, "check the codec and the frames")
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.save(file, half.numpy(), allow_pickle=False)

    def _read(self, name: str) -> Float[torch.Tensor, "..."] | None:
        """Stored latents; a damaged file counts as none, and is told of."""
        path = self.path(name)
        if not path.exists():
            return None
        try:
            array = open_array(path)
        except DioramaError as error:
            logger.warning("made again: %s", error)
            return None
        if array.dtype != np.float16:
            logger.warning("made again: %s holds %s", path, array.dtype)
            return None
        return torch.from_numpy(np.array(array))

    def fill(
        self,
        names: Sequence[str],
        encode: Callable[[Sequence[str]], Iterable[Float[torch.Tensor, "..."]]],
        *,
        batch: int = 8,
        progress: Progress | None = None,
    ) -> int:
        """Make what is missing, several samples at a time; returns how many those were.

        Args:
            names: of the samples.
            encode: latents of the samples of some names, in their order; on any device.
            batch: samples at a time.
            progress: told of each sample.
        """
        told = progress or Silent()
        missing = [name for name in names if self._read(name) is None]
        told.begin("latents", len(names))
        told.advance(len(names) - len(missing))
        for start in range(0, len(missing), batch):
            chosen = missing[start : start + batch]
            for name, latents in zip(chosen, encode(chosen), strict=True):
                self.put(name, latents)
            told.advance(len(chosen))
        return len(missing)
