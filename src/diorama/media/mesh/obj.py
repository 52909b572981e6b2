"""Wavefront OBJ files: positions, colours of vertices, texture coordinates and faces; materials are left out."""

from pathlib import Path

import numpy as np

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.safe import regular_file

FILE_BYTES = 1 << 30
LINE = 1 << 16
"""Characters in a line."""
CORNERS = 256
"""Of a face."""


def read_obj(path: Path) -> Mesh:
    """The triangles of an OBJ file; faces with more corners become fans.

    Raises:
        MediaError: no such file, or no faces in it.
        DamagedMediaError: a line that cannot be read, or an index out of range; says which line.
        LimitError: too large a file, line or face.
    """
    path = regular_file(path)
    if path.stat().st_size > FILE_BYTES:
        raise LimitError(f"a file of {path.stat().st_size / 1e9:.1f} GB", path)
    places: list[list[float]] = []
    uvs: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    uv_faces: list[tuple[int, int, int]] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE), ""), 1):
            if len(line) >= LINE:
                raise LimitError(f"a line of {LINE} characters or more", f"{path}: line {number}")
            key, _, rest = line.strip().partition(" ")
            try:
                if key == "v":
                    places.append(_numbers(rest, (3, 4, 6, 7)))
                elif key == "vt":
                    uvs.append(_numbers(rest, (1, 2, 3)))
                elif key == "f":
                    _face(rest.split(), len(places), len(uvs), faces, uv_faces)
            except (ValueError, IndexError) as error:
                raise DamagedMediaError(f"cannot be read: {error}", f"{path}: line {number}") from error
    if not faces:
        raise MediaError("no faces", path, "give a mesh, not points or curves")
    return _mesh(places, uvs, faces, uv_faces, path)


def _mesh(
    places: list[list[float]],
    uvs: list[list[float]],
    faces: list[tuple[int, int, int]],
    uv_faces: list[tuple[int, int, int]],
    path: Path,
) -> Mesh:
    colors = None
    if all(len(row) >= 6 for row in places):
        colors = np.rint(255 * np.clip([row[-3:] for row in places], 0, 1)).astype(np.uint8)
    textured = bool(uvs) and len(uv_faces) == len(faces)
    coordinates = np.array([[row[0], 1 - (row[1] if len(row) > 1 else 0)] for row in uvs], np.float32)
    try:
        return Mesh(
            np.array([row[:3] for row in places], np.float32),
            np.array(faces, np.int32),
            coordinates if textured else None,
            np.array(uv_faces, np.int32) if textured else None,
            colors,
        )
    except UsageError as error:
        raise DamagedMediaError(error.what, path, error.fix) from error


def _numbers(text: str, counts: tuple[int, ...]) -> list[float]:
    found = [float(word) for word in text.split()]
    if len(found) not in counts or not np.isfinite(found).all():
        raise ValueError(f"{len(found)} numbers, or one that is not finite")
    return found


def _face(
    corners: list[str],
    places: int,
    uvs: int,
    faces: list[tuple[int, int, int]],
    uv_faces: list[tuple[int, int, int]],
) -> None:
    """Add the triangles of a face; negative indices count from the last one read."""
    if not 3 <= len(corners) <= CORNERS:
        raise ValueError(f"a face of {len(corners)} corners")
    pairs = [corner.split("/") for corner in corners]
    vertices = [_index(pair[0], places) for pair in pairs]
    textured = all(len(pair) > 1 and pair[1] for pair in pairs)
    coordinates = [_index(pair[1], uvs) for pair in pairs] if textured else []
    for k in range(1, len(corners) - 1):
        faces.append((vertices[0], vertices[k], vertices[k + 1]))
        if textured:
            uv_faces.append((coordinates[0], coordinates[k], coordinates[k + 1]))


def _index(word: str, count: int) -> int:
    number = int(word)
    place = number - 1 if number > 0 else count + number
    if number == 0 or not 0 <= place < count:
        raise ValueError(f"index {number} of {count}")
    return place
