"""PLY files: positions, colours and faces, as text or binary of either byte order."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32, Int64, Shaped, UInt8

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.mesh._limits import CORNERS, FACES, FAR, VERTICES, check_count, checked_file

HEADER_LINES = 512
LINE = 1 << 16
"""Bytes in a line of text."""
_NAMES = {
    "i1": ("char", "int8"),
    "u1": ("uchar", "uint8"),
    "i2": ("short", "int16"),
    "u2": ("ushort", "uint16"),
    "i4": ("int", "int32"),
    "u4": ("uint", "uint32"),
    "f4": ("float", "float32"),
    "f8": ("double", "float64"),
}
TYPES = {name: kind for kind, names in _NAMES.items() for name in names}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
LISTS = ("vertex_indices", "vertex_index")

Columns = dict[str, Shaped[np.ndarray, "_ *_"]]


@dataclass(frozen=True)
class Element:
    """A table of a PLY file: scalar columns as (name, type), lists as (name, count type, item type)."""

    name: str
    count: int
    columns: tuple[tuple[str, ...], ...]

    @property
    def plain(self) -> bool:
        """Whether it has no lists."""
        return all(len(column) == 2 for column in self.columns)


def read_ply(path: Path) -> Mesh:
    """The triangles of a PLY file; faces with more corners become fans.

    Raises:
        MediaError: no such file, no PLY, or no faces in it.
        DamagedMediaError: a header or table that cannot be read, or an index out of range.
        LimitError: too large a file, a face of too many corners, too many vertices or faces.
    """
    path = checked_file(path)
    stream = io.BytesIO(path.read_bytes())
    try:
        order, elements = _header(stream, path)
        tables: dict[str, Columns] = {}
        while {"vertex", "face"} - set(tables) and elements:
            element = elements.pop(0)
            tables[element.name] = _table(stream, element, order, path)
        return _mesh(tables, path)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        detail = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
        raise DamagedMediaError(f"cannot be read: {detail}", path, "copy or export it again") from error
    except UsageError as error:
        raise DamagedMediaError(f"{error.where}: {error.what}", path, error.fix) from error


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
    else:
        raise ValueError(f"a header of more than {HEADER_LINES} lines")
    if order is None or "vertex" not in [element.name for element in elements]:
        raise ValueError("a header without a format or without vertices")
    return order, elements


def _count(word: str) -> int:
    count = int(word)
    if count < 0:
        raise ValueError(f"a table of {count} rows")
    return count


def _table(stream: io.BytesIO, element: Element, order: str, path: Path) -> Columns:
    """The columns of a table; a list of corners becomes an array of triangles."""
    left = len(stream.getbuffer()) - stream.tell()
    if element.count > left:
        raise ValueError(f"{element.count} {element.name} rows in a file with {left} bytes left")
    check_count(element.count, VERTICES if element.name == "vertex" else FACES, f"rows of {element.name}", path)
    if not element.columns:
        raise ValueError(f"{element.name} has no properties")
    if any(len(column) == 3 and column[0] in LISTS and column[2].startswith("f") for column in element.columns):
        raise ValueError("corners of faces as real numbers")
    if element.plain:
        return _columns(stream, element, order)
    alike = _alike(stream, element, order) if order else None
    return {"triangles": alike if alike is not None else _lists(stream, element, order, path)}


def _columns(stream: io.BytesIO, element: Element, order: str) -> Columns:
    names, count = [column[0] for column in element.columns], element.count
    if order:
        kind = np.dtype([(name, order + column[1]) for name, column in zip(names, element.columns, strict=True)])
        raw = stream.read(kind.itemsize * count)
        if len(raw) < kind.itemsize * count:
            raise ValueError(f"cut short in {element.name}")
        rows = np.frombuffer(raw, kind)
        return {name: rows[name] for name in names}
    table = np.empty((count, len(names)))
    for row in range(count):
        numbers = [float(word) for word in stream.readline(LINE).split()]
        if len(numbers) != len(names):
            raise ValueError(f"row {row} of {element.name} with {len(numbers)} numbers, expected {len(names)}")
        table[row] = numbers
    return {name: _typed(table[:, i], kind) for i, (name, kind) in enumerate(element.columns)}


def _typed(numbers: Float64[np.ndarray, " n"], kind: str) -> Shaped[np.ndarray, " n"]:
    """Numbers of a text file as their property says."""
    wanted = np.dtype(kind)
    if wanted.kind == "f":
        return numbers
    info = np.iinfo(wanted)
    if not ((numbers >= info.min) & (numbers <= info.max)).all():
        raise ValueError(f"a number beyond those of {wanted}")
    return numbers.astype(wanted)


def _alike(stream: io.BytesIO, element: Element, order: str) -> Int64[np.ndarray, "f 3"] | None:
    """The triangles of a binary table with one list, as long in every row as in the first; none for other tables."""
    start, widths = stream.tell(), [len(column) for column in element.columns]
    if widths.count(3) != 1 or not element.count:
        return None
    name, counts, items = element.columns[widths.index(3)]
    stream.seek(sum(np.dtype(column[1]).itemsize for column in element.columns[: widths.index(3)]), io.SEEK_CUR)
    size = int(_next(stream, order + counts, 1)[0])
    stream.seek(start)
    if name not in LISTS or not 3 <= size <= CORNERS:
        return None
    fields: list[tuple] = []
    for i, column in enumerate(element.columns):
        one = len(column) == 2
        fields += [(str(i), order + column[1])] if one else [("n", order + counts), ("list", order + items, (size,))]
    kind = np.dtype(fields)
    raw = stream.read(kind.itemsize * element.count)
    if len(raw) == kind.itemsize * element.count:
        rows = np.frombuffer(raw, kind)
        if (rows["n"] == size).all():
            return _fans(rows["list"].astype(np.int64))
    stream.seek(start)
    return None


def _lists(stream: io.BytesIO, element: Element, order: str, path: Path) -> Int64[np.ndarray, "f 3"]:
    """The triangles of a table row by row, whatever else a row holds."""
    found: list[Int64[np.ndarray, "_ 3"]] = []
    for _ in range(element.count):
        words = [] if order else stream.readline(LINE).split()
        for column in element.columns:
            if len(column) == 2:
                _values(stream, words, order, column[1], 1)
                continue
            count = int(_values(stream, words, order, column[1], 1)[0])
            if not 0 <= count <= CORNERS:
                raise LimitError(f"a face of {count} corners, the limit is {CORNERS}", path)
            numbers = _values(stream, words, order, column[2], count)
            if column[0] in LISTS and count >= 3:
                found.append(_fans(numbers.astype(np.int64)[None]))
    return np.concatenate([np.zeros((0, 3), np.int64), *found])


def _fans(polygons: Int64[np.ndarray, "p c"]) -> Int64[np.ndarray, "f 3"]:
    corners = polygons.shape[1]
    return np.stack([polygons[:, [0, k, k + 1]] for k in range(1, corners - 1)], axis=1).reshape(-1, 3)


def _values(stream: io.BytesIO, words: list[bytes], order: str, kind: str, count: int) -> Shaped[np.ndarray, " n"]:
    """The next numbers of a row: of the bytes, or of the words that are left of its line."""
    if order:
        return _next(stream, order + kind, count)
    if len(words) < count:
        raise ValueError("a row of faces that is too short")
    taken, words[:count] = words[:count], []
    if kind.startswith("f"):
        return np.array([float(word) for word in taken], np.float64)
    return np.array([int(word) for word in taken], np.int64)


def _next(stream: io.BytesIO, kind: str, count: int) -> Shaped[np.ndarray, " n"]:
    wanted = np.dtype(kind)
    raw = stream.read(wanted.itemsize * count)
    if len(raw) < wanted.itemsize * count:
        raise ValueError("cut short in the faces")
    return np.frombuffer(raw, wanted)


def _mesh(tables: dict[str, Columns], path: Path) -> Mesh:
    vertex, faces = tables["vertex"], tables.get("face", {}).get("triangles", np.zeros((0, 3), np.int64))
    if not len(faces):
        raise MediaError("no faces", path, "give a mesh, not points")
    check_count(len(faces), FACES, "faces", path)
    if faces.min() < 0 or faces.max() >= len(vertex["x"]):
        worst = faces.min() if faces.min() < 0 else faces.max()
        raise ValueError(f"a face with vertex {int(worst)} of {len(vertex['x'])}")
    places = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64)
    if not (np.abs(places) < FAR).all():
        raise ValueError("a position that is not finite, or too large")
    triangles: Int32[np.ndarray, "f 3"] = faces.astype(np.int32)
    return Mesh(places.astype(np.float32), triangles, colors=_colors(vertex))


def _colors(vertex: Columns) -> UInt8[np.ndarray, "v 3"] | None:
    """Whole numbers are 0 to 255, real ones shares."""
    if not {"red", "green", "blue"} <= set(vertex):
        return None
    given = np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1)
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise ValueError("a colour that is not finite")
    return np.rint((255 if given.dtype.kind == "f" else 1) * given.astype(np.float64)).clip(0, 255).astype(np.uint8)
