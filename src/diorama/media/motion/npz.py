"""NPZ archives from strangers: every size is checked before memory is taken, and no object is ever unpickled."""

import io
import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Shaped

from diorama.errors import DamagedMediaError, LimitError, MediaError
from diorama.media.npy import BAD_HEADER
from diorama.media.safe import regular_file

MEMBERS = 4096
"""Arrays in one file, at most."""

BYTES = 2 << 30
"""Size of a file, and unpacked bytes that may be read from it."""

RATIO = 200
"""How much smaller than its contents an array of more than `RATIO_FROM` bytes may be packed."""

RATIO_FROM = 1 << 26

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_KINDS = "biufSU"  # booleans, numbers and text of fixed size
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(path: Path, wanted: Collection[str] | None = None) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Arrays of an NPZ file by name.

    Args:
        path: a zip of NPY files, as `numpy.savez` and `numpy.savez_compressed` write.
        wanted: names to read where they are present; the others are not even unpacked. None: all.

    Raises:
        MediaError: no such file, not a zip, a repeated name, or a wanted array of Python objects.
        DamagedMediaError: an array that is shorter than it says, or does not unpack.
        LimitError: over `MEMBERS`, `BYTES` or `RATIO`.
    """
    path = regular_file(path)
    if path.stat().st_size > BYTES:
        raise LimitError(f"a file of {path.stat().st_size / 1e9:.1f} GB, the limit is {BYTES / 1e9:.1f} GB", path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, wanted, path)
            return {name: _read_member(archive, info, f"{path}: {name}") for name, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DamagedMediaError(f"not a sound NPZ file ({error})", path, "copy or download it again") from error
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror or error})", path) from error


def _members(archive: zipfile.ZipFile, wanted: Collection[str] | None, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MEMBERS:
        raise LimitError(f"{len(infos)} arrays in one NPZ file, the limit is {MEMBERS}", path)
    chosen: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if wanted is not None and name not in wanted:
            continue
        if name in chosen:
            raise MediaError(f"two arrays are called {name!r}", path, "save the file again")
        chosen[name] = info
    total = sum(info.file_size for info in chosen.values())
    if total > BYTES:
        raise LimitError(f"arrays of {total / 1e9:.1f} GB, the limit is {BYTES / 1e9:.1f} GB", path)
    return chosen


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Shaped[np.ndarray, "..."]:
    if info.file_size > RATIO_FROM and info.file_size > RATIO * info.compress_size:
        times = info.file_size // max(info.compress_size, 1)
        raise LimitError(f"packed to 1/{times} of its size, as zip bombs are", where, "save it uncompressed")
    if info.compress_type not in _METHODS or info.flag_bits & 1:
        raise MediaError("packed in a way that numpy does not write, or encrypted", where, "save it with numpy.savez")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file, where)
        size = math.prod(shape) * dtype.itemsize
        if size > info.file_size:
            raise DamagedMediaError(f"an array {shape} of {dtype} in {info.file_size} bytes", where, "save it again")
        data = file.read(size)
    if len(data) != size:
        raise DamagedMediaError(f"{len(data)} of {size} bytes are there", where, "copy or download it again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes] | io.BufferedIOBase, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        shape, fortran, dtype = _READERS[np.lib.format.read_magic(file)](file)
        if dtype.kind not in _KINDS or not dtype.itemsize:
            raise ValueError("it holds Python objects" if dtype.hasobject else f"it holds {dtype}")
        if min(shape, default=0) < 0 or len(shape) > 8 or max(shape, default=0) > 1 << 40:
            raise ValueError(f"an impossible shape {shape}")
    except BAD_HEADER as error:
        reason = " ".join(str(error).split())[:200]
        raise MediaError(f"not a plain array ({reason})", where, "save numbers, not objects") from error
    return shape, fortran, dtype
