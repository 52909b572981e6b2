"""The people of a clip kept on disk, frame by frame: soft masks on their own grids, a few kilobytes a person.

A file is a row of records, one a person and frame, frames rising. A record is the frame's number, the person's number,
the rows and columns of the mask and its bytes (five little-endian uint32), the way from the mask's grid to the frame
(six float64), and the mask in 8 bits, compressed. It belongs to one run and is read by the run that wrote it.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from diorama.errors import DamagedMediaError
from diorama.perception.people_frames import PeopleFrame
from diorama.perception.people_mask import SoftMask

_HEAD = struct.Struct("<5I6d")
_MOST_SIDE = 4096


class MaskLog:
    """Writes the masks of frame after frame."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")

    def __enter__(self) -> "MaskLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, frame: PeopleFrame) -> None:
        """Keep the masks of everybody in the frame."""
        for sighting in frame.people:
            values = np.rint(np.clip(sighting.mask.values, 0, 1) * 255).astype(np.uint8)
            data = zlib.compress(values.tobytes(), 1)
            sides = frame.index, sighting.number, *values.shape, len(data)
            self._file.write(_HEAD.pack(*sides, *sighting.mask.to_frame.ravel()) + data)


def read_masks(path: Path) -> Iterator[tuple[int, dict[int, SoftMask]]]:
    """Frame numbers with the masks of everybody in them, in order; frames without people are left out.

    Raises:
        DamagedMediaError: the file is not what was written.
    """
    with path.open("rb") as file:
        frame, people = -1, dict[int, SoftMask]()
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise DamagedMediaError("ends within a record", path)
            index, number, rows, columns, size, *matrix = _HEAD.unpack(head)
            if index != frame and people:
                yield frame, people
                people = {}
            if index < frame or not 0 < rows <= _MOST_SIDE or not 0 < columns <= _MOST_SIDE:
                raise DamagedMediaError(f"an impossible record after frame {frame}", path)
            frame, people[number] = index, _mask(file.read(size), (rows, columns), matrix, path)
        if people:
            yield frame, people


def _mask(data: bytes, shape: tuple[int, int], matrix: list[float], path: Path) -> SoftMask:
    least = shape[0] * shape[1]
    try:
        values = zlib.decompressobj().decompress(data, least + 1)
    except zlib.error as error:
        raise DamagedMediaError("a mask that cannot be read", path) from error
    if len(values) != least or not np.isfinite(matrix).all():
        raise DamagedMediaError("a mask of another size than it says", path)
    soft = np.frombuffer(values, np.uint8).reshape(shape).astype(np.float32) / 255
    return SoftMask(soft, np.array(matrix).reshape(2, 3))
