"""NPY files from strangers: mapped, never read whole, nothing in them is run, and one type of error for each fault."""

import math
import os
import tokenize
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Shaped

from diorama.errors import DamagedMediaError, MediaError

# A header is a Python literal of at most 10,000 bytes; tokenizer, parser and dtype each fail in ways of their own.
BAD_HEADER = (
    ValueError,
    EOFError,
    SyntaxError,
    OverflowError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # differs only in the names of fields, which no array here has
}


def open_array(path: Path) -> Shaped[np.ndarray, "..."]:
    """The array of an NPY file, mapped read-only; see `map_array`."""
    try:
        with path.open("rb") as file:
            return map_array(file, path)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error


def map_array(file: IO[bytes], where: object) -> Shaped[np.ndarray, "..."]:
    """An open NPY file as a read-only mapped array; the map outlives the file's closing.

    Raises:
        MediaError: not an NPY, or one of Python objects, which are never loaded.
        DamagedMediaError: shorter than its header says.
    """
    file.seek(0)
    try:
        shape, fortran, dtype = _READERS[np.lib.format.read_magic(file)](file)
        if dtype.hasobject:
            raise ValueError("it holds pickled Python objects")
        if min(shape, default=0) < 0:
            raise ValueError(f"an impossible shape {shape}")
    except BAD_HEADER as error:
        reason = " ".join(str(error).split())[:200]
        raise MediaError(f"not a plain NPY array ({reason})", where, "save it with numpy.save") from error
    start = file.tell()
    if start + math.prod(shape) * dtype.itemsize > os.fstat(file.fileno()).st_size:
        raise DamagedMediaError("the NPY file is shorter than its header says", where, "copy or save it again")
    order = "F" if fortran else "C"
    try:
        return np.memmap(file, dtype, "r", start, shape, order)  # type: ignore[call-overload]
    except BAD_HEADER as error:  # 0 in a shape whose other sides are too large for an index
        raise MediaError(f"not a plain NPY array ({error})", where, "save it with numpy.save") from error
