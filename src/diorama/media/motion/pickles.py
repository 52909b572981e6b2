"""Arrays out of pickles, of SMPL body files above all, without running anything.

A pickle is a program that may call whatever it names. Here its opcodes run on a machine of our own
(`_pickle_machine`) in which a global is only a name: the few names below stand for records that are filled in and
turned into arrays afterwards, every other name is refused. numpy, scipy and chumpy are never asked to rebuild
anything, so neither their code nor their memory is at the file's disposal.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from diorama.errors import LimitError, ModelError
from diorama.media.motion._pickle_machine import Name, Record, run
from diorama.media.safe import regular_file

FILE_BYTES = 1 << 30
"""Size of a pickle, at most."""

DENSE = 1 << 27
"""Entries of a sparse matrix that `SparseMatrix.dense` unfolds, at most."""

PICKED = 1 << 24
"""Entries of a `chumpy` selection, at most."""

_DEPTH = 100
_DTYPE = re.compile(r"([biufc])(\d{1,2})|([SUa])(\d{1,6})|\?")
_BROKEN = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)

Plain = Any
"""None, bool, int, float, str, bytes, array, `SparseMatrix`, or list, tuple or dict of such."""


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A compressed sparse matrix, by columns or by rows.

    Attributes:
        shape: rows and columns.
        data: the entries.
        indices: their rows (by columns) or columns (by rows).
        indptr: where each column or row starts in `data`; its last number is the end.
        by_columns: CSC, else CSR.
    """

    shape: tuple[int, int]
    data: Shaped[np.ndarray, " n"]
    indices: Int[np.ndarray, " n"]
    indptr: Int[np.ndarray, " m"]
    by_columns: bool

    def dense(self, where: object = "SparseMatrix") -> Float[np.ndarray, "r c"]:
        """The whole matrix; entries given twice are added. Errors name `where`.

        Raises:
            ModelError: indices that do not fit the shape.
            LimitError: more than `DENSE` entries.
        """
        rows, columns = self.shape
        if rows * columns > DENSE:
            raise LimitError(f"a sparse matrix of {rows} x {columns} is too large to unfold", where)
        major, minor = (columns, rows) if self.by_columns else (rows, columns)
        ends = self.indptr.astype(np.int64)
        steps = ends[1:] - ends[:-1]
        sound = len(self.indptr) == major + 1 and self.indptr[0] == 0 and (steps >= 0).all()
        if not sound or steps.sum() != len(self.data) or len(self.indices) != len(self.data):
            raise ModelError("a sparse matrix whose columns do not fit its entries", where)
        if not ((self.indices >= 0) & (self.indices < minor)).all():
            raise ModelError(f"a sparse matrix with an index beyond {minor}", where)
        unfolded = np.zeros((major, minor))
        np.add.at(unfolded, (np.repeat(np.arange(major), steps), self.indices), self.data)
        return unfolded.T if self.by_columns else unfolded


def load_arrays_pickle(path: Path) -> dict[str, Plain]:
    """The dict of arrays in a pickle, of Python 2 or 3, protocols 0 to 5.

    Arrays are read-only, bytes in either order. Python 2 strings are read as Latin-1. A `chumpy` array becomes its
    values, a sparse CSC or CSR matrix a `SparseMatrix`, an array of objects and a set become lists.

    Raises:
        MediaError: no such file.
        ModelError: it asks for anything else (named, and not executed), is damaged or nested too deeply, or is no
            dict of names.
        LimitError: too large, too many steps, or more copying than the file is worth.
    """
    path = regular_file(path)
    if path.stat().st_size > FILE_BYTES:
        size = path.stat().st_size / 1e9
        raise LimitError(f"a pickle of {size:.1f} GB, the limit is {FILE_BYTES / 1e9:.1f} GB", path)
    try:
        top = _plain(run(path.read_bytes(), path, _KINDS), {}, 0)
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the pickle is damaged ({reason})", path, "copy or download it again") from error
    if not isinstance(top, dict) or not all(isinstance(key, str) for key in top):
        raise ModelError(f"the pickle holds a {type(top).__name__}, expected a dict of named arrays", path)
    return top


def _plain(value: Any, done: dict[int, Plain], depth: int) -> Plain:
    """What a record stands for; shared values are turned once, so that nesting cannot multiply work."""
    if not isinstance(value, list | tuple | dict | Record):
        if isinstance(value, Name):
            raise ValueError("a bare name among the values")
        return value
    if id(value) in done:
        if done[id(value)] is _OPEN:
            raise ValueError("a value that contains itself")
        return done[id(value)]
    if depth > _DEPTH:
        raise ValueError(f"values nested more than {_DEPTH} deep")
    done[id(value)] = _OPEN

    def inner(item: Any) -> Plain:
        return _plain(item, done, depth + 1)

    if isinstance(value, Record):
        plain = _BUILDERS[value.kind](value, inner)
    elif isinstance(value, dict):
        plain = {key: inner(item) for key, item in value.items()}
    else:
        plain = type(value)(inner(item) for item in value)
    done[id(value)] = plain
    return plain


_OPEN = object()
Inner = Callable[[Any], Plain]


def _array(record: Record, inner: Inner) -> Plain:
    *_, shape, dtype, fortran, raw = record.state
    return _from_bytes(raw, dtype, shape, "F" if fortran else "C", inner)


def _buffer(record: Record, inner: Inner) -> Plain:
    raw, dtype, shape, order = record.args
    return _from_bytes(raw, dtype, shape, "F" if order == "F" else "C", inner)


def _scalar(record: Record, inner: Inner) -> Plain:
    dtype, raw = record.args
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    return _from_bytes(data, dtype, (), "C", inner).item()


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: str, inner: Inner) -> Plain:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and 0 <= n < 1 << 40 for n in shape):
        raise ValueError(f"an impossible shape {str(shape)[:60]}")
    if isinstance(raw, list):  # of objects
        if len(raw) != math.prod(shape):
            raise ValueError(f"{len(raw)} objects in an array of shape {shape}")
        items = [inner(item) for item in raw]
        return items if shape else items[0]
    kind = _dtype(dtype)
    if not isinstance(raw, bytes) or math.prod(shape) * kind.itemsize != len(raw):
        size = f"{len(raw)} bytes" if isinstance(raw, bytes) else type(raw).__name__
        raise ValueError(f"an array {shape} of {kind} in {size}")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C")


def _dtype(record: Any) -> np.dtype:
    """The type of numbers that numpy's own record names: code, then byte order as second entry of its state."""
    if not isinstance(record, Record) or record.kind != "dtype":
        raise ValueError("an array without a dtype")
    code = record.args[0]
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise ValueError(f"an array of dtype {str(code)[:60]!r}, expected numbers or text")
    order = record.state[1] if record.state is not None else "="
    return np.dtype(f"{order}{code}") if order in ("<", ">", "=", "|") else np.dtype(code)


def _sparse(record: Record, inner: Inner) -> SparseMatrix:
    state = {key: inner(record.state[key]) for key in ("data", "indices", "indptr")}
    shape = record.state["_shape"] if "_shape" in record.state else record.state["shape"]
    rows, columns = (int(side) for side in inner(shape))
    if min(rows, columns) < 0 or any(part.ndim != 1 for part in state.values()):
        raise ValueError("a sparse matrix of impossible shape")
    if state["indices"].dtype.kind not in "iu" or state["indptr"].dtype.kind not in "iu":
        raise ValueError("a sparse matrix with indices that are no whole numbers")
    return SparseMatrix((rows, columns), **state, by_columns=record.kind == "csc")


def _chumpy(record: Record, inner: Inner) -> Plain:
    """The values of a `chumpy.Ch`: its `x`, or its kept result."""
    for key in ("x", "_x", "r", "_r"):
        if isinstance(record.state, dict) and key in record.state:
            return inner(record.state[key])
    raise ValueError("a chumpy array without its values")


def _select(record: Record, inner: Inner) -> Plain:
    """Entries of another array by flat index, as `chumpy.reordering.Select` keeps them."""
    source, idxs = np.asarray(inner(record.state["a"])), np.asarray(inner(record.state["idxs"]))
    if idxs.size > PICKED:
        raise ValueError(f"a chumpy selection of {idxs.size} entries, the limit is {PICKED}")
    shape = record.state.get("preferred_shape")
    picked = source.ravel()[idxs.ravel()]
    return picked if shape is None else picked.reshape(tuple(int(n) for n in inner(shape)))


_BUILDERS: dict[str, Callable[[Record, Inner], Plain]] = {
    "array": _array,
    "buffer": _buffer,
    "scalar": _scalar,
    "dtype": lambda record, inner: str(_dtype(record)),
    "csc": _sparse,
    "csr": _sparse,
    "chumpy": _chumpy,
    "select": _select,
}
_KINDS = (
    {(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")}
    | {(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")}
    | {(f"numpy.{core}.numeric", "_frombuffer"): "buffer" for core in ("core", "_core")}
    | {("numpy", "dtype"): "dtype", ("numpy", "ndarray"): "ndarray", ("_codecs", "encode"): "encode"}
    | {(module, "_reconstructor"): "reconstructor" for module in ("copyreg", "copy_reg")}
    | {(module, name): name for module in ("builtins", "__builtin__") for name in ("object", "bytes")}
    | {(module, name): "list" for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "list")}
    | {("collections", "OrderedDict"): "dict"}
    | {
        (f"scipy.sparse{module}", f"{kind}_{form}"): kind
        for kind in ("csc", "csr")
        for module in ("", f".{kind}", f"._{kind}")
        for form in ("matrix", "array")
    }
    | {("chumpy.ch", "Ch"): "chumpy", ("chumpy", "Ch"): "chumpy", ("chumpy.reordering", "Select"): "select"}
)
"""What the globals that a pickle may name stand for."""
