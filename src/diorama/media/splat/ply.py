"""Gaussians as PLY files, as the reference implementation writes them and every viewer reads them (Kerbl et al. 2023).

Opacity is stored as its logit, scales as their logarithms, colour as spherical harmonics of degree 0; rotations as
(w, x, y, z). The axes are those of the scene.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from diorama.core.gaussians import Gaussians
from diorama.errors import DamagedMediaError, MediaError
from diorama.media.atomic import atomic_path
from diorama.media.mesh.ply import TYPES
from diorama.media.splat._numbers import (
    AGAIN,
    checked_count,
    coefficients,
    from_coefficients,
    from_file,
    from_logits,
    given,
    logits,
    unit,
    whole,
)

MAGIC = b"ply"
MOST_HEADER = 64 << 10
_PLACES = ("x", "y", "z")
_NORMALS = ("nx", "ny", "nz")
_COLORS = tuple(f"f_dc_{i}" for i in range(3))
_SCALES = tuple(f"scale_{i}" for i in range(3))
_TURNS = tuple(f"rot_{i}" for i in range(4))
_WRITTEN = (*_PLACES, *_NORMALS, *_COLORS, "opacity", *_SCALES, *_TURNS)
_NEEDED = tuple(name for name in _WRITTEN if name not in _NORMALS)
_TIME = "diorama_time"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Header:
    """What stands before the table: its rows, their layout, where it begins, and the time in a comment."""

    count: int
    row: np.dtype
    start: int
    time: float | None


def write_splat_ply(path: Path, gaussians: Gaussians, *, time: float | int | None = None) -> None:
    """Write Gaussians; the same bytes for the same values.

    Args:
        path: to write; appears when it is complete.
        gaussians: at least one.
        time: seconds, kept in a comment that other programs pass over.

    Raises:
        UsageError: no Gaussians, too many, or `path` cannot be written.
    """
    with atomic_path(path) as partial:
        partial.write_bytes(ply_bytes(gaussians, time))


def ply_bytes(gaussians: Gaussians, time: float | int | None = None) -> bytes:
    """The file that `write_splat_ply` writes."""
    count = len(given(gaussians, "write_splat_ply"))
    table = np.concatenate(
        [
            gaussians.means,
            np.zeros((count, 3), np.float32),
            coefficients(gaussians.colors),
            logits(gaussians.opacities)[:, None],
            np.log(gaussians.scales.astype(np.float64)).astype(np.float32),
            gaussians.quats,
        ],
        axis=1,
    )
    said = [] if time is None else [f"comment {_TIME} {float(time)!r}"]
    properties = [f"property float {name}" for name in _WRITTEN]
    lines = ["ply", "format binary_little_endian 1.0", *said, f"element vertex {count}", *properties, "end_header"]
    return ("\n".join(lines) + "\n").encode() + table.astype("<f4").tobytes()


def read_splat_ply(path: Path) -> Gaussians:
    """The Gaussians of a PLY file; what is not needed is passed over, and colours lose what changes with the direction.

    Raises:
        MediaError: no such file, no PLY, or one without Gaussians.
        DamagedMediaError: cut off, longer than it says, or numbers that make no Gaussians.
        LimitError: too large.
    """
    return gaussians_of(whole(path), path)[0]


def gaussians_of(data: bytes, path: Path) -> tuple[Gaussians, float | None]:
    """The Gaussians of a file's bytes, and their time in seconds where it says one; raises as `read_splat_ply`."""
    header = read_header(data, path)
    there, wanted = len(data) - header.start, header.count * header.row.itemsize
    if there != wanted:
        words = "cut off" if there < wanted else "longer than its header says"
        raise DamagedMediaError(f"{words}: {there} bytes of Gaussians, expected {wanted}", path, AGAIN)
    rows = np.frombuffer(data, header.row, header.count, header.start)
    names = header.row.names or ()
    if any(name.startswith("f_rest_") for name in names):
        _log.warning("%s: colours that change with the direction are shown as from all sides", path)
    with from_file(path):
        found = Gaussians(
            _columns(rows, _PLACES),
            unit(_columns(rows, _TURNS)),
            np.exp(_columns(rows, _SCALES).astype(np.float64)).astype(np.float32),
            from_logits(_columns(rows, ("opacity",))[:, 0]),
            from_coefficients(_columns(rows, _COLORS)),
        )
    return found, header.time


def read_header(data: bytes, path: Path) -> Header:
    """What the header of a PLY file of Gaussians says.

    Raises:
        MediaError: no PLY, other than binary little endian, or properties of Gaussians are missing.
        DamagedMediaError: a header that cannot be read.
        LimitError: too many Gaussians.
    """
    end = data.find(b"end_header\n", 0, MOST_HEADER)
    if data[:3] != MAGIC or data[3:4] not in (b"\n", b"\r"):
        raise MediaError("no PLY file", path, "give a .ply file of Gaussians")
    if end < 0:
        end = data.find(b"end_header\r\n", 0, MOST_HEADER)
        if end < 0:
            raise DamagedMediaError(f"no end of the header within {MOST_HEADER} bytes", path, AGAIN)
    start = data.index(b"\n", end) + 1
    try:
        order, tables, time = _header(data[:end].decode("ascii", "replace").splitlines()[1:])
    except (ValueError, IndexError, KeyError) as error:
        unknown = f"{error} is unknown" if isinstance(error, KeyError) else str(error)
        detail = " ".join(unknown.split())[:200]
        raise DamagedMediaError(f"a header that cannot be read ({detail})", path, AGAIN) from error
    if order != "binary_little_endian":
        raise MediaError(f"a PLY file in the format {order[:40]!r}", path, "export it as binary little endian")
    if not tables or tables[0][0] != "vertex":
        raise MediaError("a PLY file that does not begin with vertices", path, "give a .ply file of Gaussians")
    _, count, columns = tables[0]
    missing = [name for name in _NEEDED if name not in [column[0] for column in columns]]
    if missing:
        what = f"a PLY file without {', '.join(missing)}: no Gaussians"
        raise MediaError(what, path, "give Gaussians as the reference implementation stores them")
    if len(tables) > 1 and any(table[1] for table in tables[1:]):
        raise MediaError(f"a PLY file with {tables[1][0][:40]} too", path, "export plain Gaussians, not compressed")
    return Header(checked_count(count, path), np.dtype(columns), start, time)


def _header(lines: list[str]) -> tuple[str, list[tuple[str, int, list[tuple[str, str]]]], float | None]:
    """Format, tables as (name, rows, columns), and the time."""
    order, time = "", None
    tables: list[tuple[str, int, list[tuple[str, str]]]] = []
    for line in lines:
        words = line.split()
        match words[:1]:
            case ["format"]:
                order = words[1]
            case ["element"]:
                if not words[2].isdecimal() or len(words[2]) > 12:
                    raise ValueError(f"a table of {words[2][:20]} rows")
                tables.append((words[1], int(words[2]), []))
            case ["property"] if len(tables) == 1:
                if words[2] in [name for name, _ in tables[0][2]]:
                    raise ValueError(f"the property {words[2][:40]} twice")
                tables[0][2].append((words[2], "<" + TYPES[words[1]]))
            case ["comment"]:
                if len(words) == 3 and words[1] == _TIME:
                    time = float(words[2])
                    if not np.isfinite(time):
                        raise ValueError("a time that is not finite")
            case [] | ["obj_info"] | ["property"]:
                pass
            case _:
                raise ValueError(f"the line {line[:60]!r}")
    return order, tables, time


def _columns(rows: Shaped[np.ndarray, " g"], names: tuple[str, ...]) -> Float32[np.ndarray, "g c"]:
    return np.stack([rows[name] for name in names], axis=1).astype(np.float32)
