"""Finished windows of the generative engine on disk, so that a killed run goes on after the last of them."""

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from diorama.media.atomic import write_bytes

NARROW = 64
"""Pixels that what lies beyond the sides may always measure; else at most twice the paint's width."""
BESIDE = 1 << 16
"""Bytes of a file beside its arrays."""
HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d{1,9}(?:, \d{1,9})*)\), \} *\n")
"""As numpy writes it. Its own reader takes any text for Python, on which it may fail in any way."""
_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)


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
        """The window that ends with a frame; None where it is not there, damaged, or not of this shape (v t h w 3).

        What a file claims of its size is checked before it is believed.
        """
        _, frames, height, width, _ = shape
        widest = (frames, height, max(2 * width, NARROW), 3)
        path = self._path(last)
        try:
            if path.stat().st_size > prod(shape) + prod(widest) + BESIDE:
                return None
            with zipfile.ZipFile(path) as file:
                paint = _array(file, "paint.npy", shape, shape)
                there = "beyond.npy" in file.namelist()
                beyond = _array(file, "beyond.npy", (frames, height, width, 3), widest) if there else None
        except _DAMAGE:
            return None
        return Painted(paint, beyond)

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


def _array(
    file: zipfile.ZipFile, name: str, least: tuple[int, ...], most: tuple[int, ...]
) -> UInt8[np.ndarray, "*sides"]:
    """An array of a file as `numpy.savez_compressed` writes them, every side within bounds.

    Raises:
        ValueError: another one; of the archive's reader for other damage.
    """
    info = file.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("another compression")
    with file.open(info) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("another version")
        told = HEADER.fullmatch(member.read(int.from_bytes(member.read(2), "little")))
        shape = tuple(map(int, told[1].split(b", "))) if told else ()
        sound = len(shape) == len(most) and all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        if not sound or info.file_size != member.tell() + prod(shape):
            raise ValueError("another array")
        data = member.read(prod(shape))  # no more, whatever the archive unpacks to
    return np.frombuffer(data, np.uint8).reshape(shape)
