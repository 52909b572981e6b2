"""PLY files: positions, colours and faces, as text or binary of either byte order."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Shaped

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.safe import regular_file

FILE_BYTES = 2 << 30
HEADER_LINES = 512
CORNERS = 256
"""Of a face."""
TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class Element:
    """A table of a PLY file: scalar columns as (name, type), lists as (name, count type, item type)."""

    name: str
    count: int
    columns: tuple[tuple[str, ...], ...]


def read_ply(path: Path) -> Mesh:
    """The triangles of a PLY file; faces with more corners become fans.

    Raises:
        MediaError: no such file, no PLY, or no faces in it.
        DamagedMediaError: a header or table that cannot be read, or an index out of range.
        LimitError: too large a file, or a face of too many corners.
    """
    path = regular_file(path)
    if path.stat().st_size > FILE_BYTES:
        raise LimitError(f"a file of {path.stat().st_size / 1e9:.1f} GB", path)
    data = path.read_bytes()
    stream = io.BytesIO(data)
    try:
        order, elements = _header(stream, path)
        tables = {e.name: _table(stream, e, order, len(data)) for e in elements if e.name in ("vertex", "face")}
        return _mesh(tables, path)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise DamagedMediaError(f"cannot be read: {error}", path, "copy or export it again") from error
    except UsageError as error:
        raise DamagedMediaError(error.what, path, error.fix) from error


def _header(stream: io.BytesIO, path: Path) -> tuple[str, list[Element]]:
    if stream.readline(16).strip() != b"ply":
        raise MediaError("no PLY file", path, "give a .ply file")
    order, elements = None, []
    for _ in range(HEADER_LINES):
        words = stream.readline(4096).decode("ascii", "replace").split()
        if words[:1] == ["format"]:
            order = ORDERS[words[1]]
        elif words[:1] == ["element"]:
            elements.append(Element(words[1], _count(words[2]), ()))
        elif words[:1] == ["property"]:
            last = elements.pop()
            column = (words[4], TYPES[words[2]], TYPES[words[3]]) if words[1] == "list" else (words[2], TYPES[words[1]])
            elements.append(Element(last.name, last.count, (*last.columns, column)))
        elif words == ["end_header"]:
            break
        elif words[:1] not in (["comment"], ["obj_info"]):
            raise ValueError(f"header line {' '.join(words)[:60]!r}")
    if order is None or [e.name for e in elements][:1] != ["vertex"]:
        raise ValueError("a header without a format, or whose first table is not the vertices")
    return order, elements


def _count(word: str) -> int:
    count = int(word)
    if count < 0:
        raise ValueError(f"a table of {count} rows")
    return count


def _table(stream: io.BytesIO, element: Element, order: str, size: int) -> dict[str, Shaped[np.ndarray, "n *c"]]:
    """The columns of a table; a list becomes an array of triangles."""
    if element.count > size:
        raise ValueError(f"{element.count} rows in a file of {size} bytes")
    if any(len(column) == 3 for column in element.columns):
        return _lists(stream, element, order)
    names = [column[0] for column in element.columns]
    if order:
        kind = np.dtype([(name, order + column[1]) for name, column in zip(names, element.columns, strict=True)])
        raw = stream.read(kind.itemsize * element.count)
        if len(raw) < kind.itemsize * element.count:
            raise ValueError(f"cut short in {element.name}")
        rows = np.frombuffer(raw, kind)
        return {name: rows[name] for name in names}
    table = np.array([[float(w) for w in stream.readline(4096).split()] for _ in range(element.count)])
    if table.shape != (element.count, len(names)):
        raise ValueError(f"rows of {element.name} with other than {len(names)} numbers")
    return {name: table[:, i] for i, name in enumerate(names)}


def _lists(stream: io.BytesIO, element: Element, order: str) -> dict[str, Shaped[np.ndarray, "n *c"]]:
    """Faces as triangles, whatever else a row holds."""
    found: list[tuple[int, int, int]] = []
    for _ in range(element.count):
        words = iter(stream.readline(1 << 16).split()) if not order else iter(())
        for column in element.columns:
            if len(column) == 2:
                _next(stream, words, order, column[1], 1)
                continue
            count = int(_next(stream, words, order, column[1], 1)[0])
            if not 0 <= count <= CORNERS:
                raise LimitError(f"a face of {count} corners, the limit is {CORNERS}")
            numbers = _next(stream, words, order, column[2], count)
            if column[0] in ("vertex_indices", "vertex_index"):
                found += [(int(numbers[0]), int(numbers[k]), int(numbers[k + 1])) for k in range(1, count - 1)]
    return {"triangles": np.array(found, np.int64).reshape(-1, 3)}


def _next(stream: io.BytesIO, words: object, order: str, kind: str, count: int) -> Shaped[np.ndarray, " n"]:
    if not order:
        assert hasattr(words, "__next__")
        return np.array([float(next(words, b"x")) for _ in range(count)])  # b"x": a row that ends too early
    wanted = np.dtype(order + kind)
    raw = stream.read(wanted.itemsize * count)
    if len(raw) < wanted.itemsize * count:
        raise ValueError("cut short in the faces")
    return np.frombuffer(raw, wanted)


def _mesh(tables: dict[str, dict[str, np.ndarray]], path: Path) -> Mesh:
    vertex, faces = tables["vertex"], tables.get("face", {}).get("triangles", np.zeros((0, 3), np.int64))
    if not len(faces):
        raise MediaError("no faces", path, "give a mesh, not points")
    if faces.min() < 0 or faces.max() >= len(vertex["x"]):
        raise ValueError(f"a face with vertex {int(faces.max())} of {len(vertex['x'])}")
    colors = None
    if {"red", "green", "blue"} <= set(vertex):
        colors = np.stack([vertex[c] for c in ("red", "green", "blue")], axis=1)
        colors = colors.clip(0, 255).astype(np.uint8) if colors.max(initial=0) > 1 else (255 * colors).astype(np.uint8)
    places = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float32)
    triangles: Int32[np.ndarray, "f 3"] = faces.astype(np.int32)
    return Mesh(places, triangles, colors=colors)
