"""Wavefront OBJ files: positions, colours of vertices, texture coordinates and faces; materials are left out."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.mesh._limits import CORNERS, FACES, FAR, VERTICES, check_count, checked_file

LINE = 1 << 16
"""Characters in a line."""


@dataclass(eq=False)
class _Lists:
    """What the lines read so far hold."""

    places: list[list[float]] = field(default_factory=list)
    uvs: list[list[float]] = field(default_factory=list)
    faces: list[tuple[int, int, int]] = field(default_factory=list)
    uv_faces: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, line: str) -> None:
        key, *words = line.split()
        if key == "v":
            self.places.append(_numbers(words, (3, 4, 6, 7)))
        elif key == "vt":
            self.uvs.append(_numbers(words, (1, 2, 3)))
        elif key == "f":
            self._face(words)

    def _face(self, corners: list[str]) -> None:
        """Add the triangles of a face; negative indices count from the last one read."""
        if not 3 <= len(corners) <= CORNERS:
            raise ValueError(f"a face of {len(corners)} corners")
        pairs = [corner.split("/") for corner in corners]
        self.faces += _fan([_index(pair[0], len(self.places)) for pair in pairs])
        if all(len(pair) > 1 and pair[1] for pair in pairs):
            self.uv_faces += _fan([_index(pair[1], len(self.uvs)) for pair in pairs])


def read_obj(path: Path) -> Mesh:
    """The triangles of an OBJ file; faces with more corners become fans.

    Texture coordinates are kept where every face has them. Colours behind the positions may be shares or 0 to 255.

    Raises:
        MediaError: no such file, or no faces in it.
        DamagedMediaError: a line that cannot be read, or an index out of range; says which line.
        LimitError: too large a file, line or face, too many vertices or faces.
    """
    path = checked_file(path)
    lists = _Lists()
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE), ""), 1):
            where = f"{path}: line {number}"
            if len(line) >= LINE:
                raise LimitError(f"a line of {LINE} characters or more", where)
            if not line.startswith(("v", "f", " ", "\t", "\ufeff")) or line.isspace():
                continue
            try:
                lists.add(line.removeprefix("\ufeff"))
            except (ValueError, IndexError) as error:
                raise DamagedMediaError(f"cannot be read: {error}", where) from error
            check_count(max(len(lists.places), len(lists.uvs)), VERTICES, "vertices", where)
            check_count(len(lists.faces), FACES, "faces", where)
    if not lists.faces:
        raise MediaError("no faces", path, "give a mesh, not points or curves")
    return _mesh(lists, path)


def _mesh(lists: _Lists, path: Path) -> Mesh:
    textured = len(lists.uv_faces) == len(lists.faces)
    coordinates = np.array([[row[0], 1 - (row[1] if len(row) > 1 else 0)] for row in lists.uvs or [[0.0]]])
    try:
        return Mesh(
            np.array([row[:3] for row in lists.places], np.float32),
            np.array(lists.faces, np.int32),
            coordinates.astype(np.float32) if textured else None,
            np.array(lists.uv_faces, np.int32) if textured else None,
            _colors(lists.places),
        )
    except UsageError as error:
        raise DamagedMediaError(f"{error.where}: {error.what}", path, error.fix) from error


def _colors(places: list[list[float]]) -> UInt8[np.ndarray, "v 3"] | None:
    if not all(len(row) >= 6 for row in places):
        return None
    given = np.array([row[3:6] for row in places])
    return np.rint(given if given.max() > 1 else 255 * given).clip(0, 255).astype(np.uint8)


def _numbers(words: list[str], counts: tuple[int, ...]) -> list[float]:
    found = [float(word) for word in words]
    if len(found) not in counts:
        raise ValueError(f"{len(found)} numbers, expected {counts[0]}")
    if not all(abs(number) < FAR for number in found):
        raise ValueError("a number that is not finite, or too large")
    return found


def _fan(corners: list[int]) -> list[tuple[int, int, int]]:
    return [(corners[0], b, c) for b, c in pairwise(corners[1:])]


def _index(word: str, count: int) -> int:
    number = int(word)
    place = number - 1 if number > 0 else count + number
    if number == 0 or not 0 <= place < count:
        raise ValueError(f"index {number} of {count}")
    return place
