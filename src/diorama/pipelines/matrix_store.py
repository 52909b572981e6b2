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
Paint = UInt8[np.ndarray, "v t h w 3"]


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

    def load(self, key: str) -> Paint | None:
        """A window; None where it is not there, or damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                found = file["paint"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return found if found.ndim == 5 and found.dtype == np.uint8 else None

    def save(self, key: str, paint: Paint) -> None:
        """Keep a window, and drop the oldest beyond `KEPT`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        np.savez_compressed(data, paint=paint)
        write_bytes(self._path(key), data.getvalue())
        for old in sorted(self.folder.glob("window-*.npz"))[:-KEPT]:
            old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"window-{key}.npz"
