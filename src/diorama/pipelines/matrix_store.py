"""Finished windows of the generative engine on disk, so that a killed run goes on after the last of them."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from diorama.media.atomic import write_bytes


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
    """A folder of windows, known by the number of their last frame.

    Attributes:
        folder: made when the first is saved.
        behind: frames by which a window may end before the one that is saved, and stay; None: all stay. A run goes on
            from its last encoded piece, which may be some windows back.
    """

    folder: Path
    behind: int | None = None

    def load(self, last: int, shape: tuple[int, ...]) -> Painted | None:
        """The window that ends with a frame; None where it is not there, damaged, or not of this shape (v t h w 3)."""
        try:
            with np.load(self._path(last), allow_pickle=False) as file:
                paint, beyond = file["paint"], file.get("beyond")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        sound = paint.shape == shape and paint.dtype == np.uint8
        sound = sound and (beyond is None or (beyond.ndim == 4 and beyond.dtype == np.uint8))
        return Painted(paint, beyond) if sound else None

    def save(self, last: int, painted: Painted) -> None:
        """Keep a window, and drop those that no resumed run needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        if painted.beyond is None:
            np.savez_compressed(data, paint=painted.paint)
        else:
            np.savez_compressed(data, paint=painted.paint, beyond=painted.beyond)
        write_bytes(self._path(last), data.getvalue())
        if self.behind is not None:
            for old in self.folder.glob("window-*.npz"):
                if old.name < self._path(max(last - self.behind, 0)).name:
                    old.unlink(missing_ok=True)

    def _path(self, last: int) -> Path:
        return self.folder / f"window-{last:09d}.npz"
