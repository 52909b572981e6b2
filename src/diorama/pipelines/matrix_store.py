"""Finished windows of the generative engine on disk, so that a killed run goes on after the last of them."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from diorama.media.atomic import write_bytes

KEPT = 4
"""Windows on disk: a run goes on from its last encoded piece, which may be a few windows back."""


@dataclass(frozen=True, eq=False)
class Painted:
    """A finished window.

    Attributes:
        paint: the matrix without holes.
        beyond: the clip continued beyond its sides, where it was.
    """

    paint: UInt8[np.ndarray, "v t h w 3"]
    beyond: UInt8[np.ndarray, "t h w2 3"] | None = None

    def last(self, count: int) -> "Painted":
        """Its last frames alone."""
        first = self.paint.shape[1] - count
        return Painted(self.paint[:, first:], None if self.beyond is None else self.beyond[first:])


@dataclass(frozen=True)
class WindowStore:
    """A folder of windows.

    Attributes:
        folder: made when the first is saved.
    """

    folder: Path

    def has(self, key: str) -> bool:
        """Whether a window is there."""
        return self._path(key).is_file()

    def load(self, key: str) -> Painted | None:
        """A window; None where it is not there, or damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                paint, beyond = file["paint"], file.get("beyond")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        sound = paint.ndim == 5 and paint.dtype == np.uint8
        sound = sound and (beyond is None or (beyond.ndim == 4 and beyond.dtype == np.uint8))
        return Painted(paint, beyond) if sound else None

    def save(self, key: str, painted: Painted) -> None:
        """Keep a window, and drop the oldest beyond `KEPT`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        if painted.beyond is None:
            np.savez_compressed(data, paint=painted.paint)
        else:
            np.savez_compressed(data, paint=painted.paint, beyond=painted.beyond)
        write_bytes(self._path(key), data.getvalue())
        for old in sorted(self.folder.glob("window-*.npz"))[:-KEPT]:
            old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"window-{key}.npz"
