"""Accessors of a glTF document as arrays."""

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from diorama.errors import LimitError
from diorama.media.mesh._gltf_file import Document

TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MOST = 20_000_000
"""Elements of an accessor."""


def read_accessor(document: Document, number: int) -> Shaped[np.ndarray, "n c"]:
    """The elements of an accessor, one a row; matrices as 16 numbers, column by column.

    Raises:
        LimitError: more than `MOST` elements, or all accessors read together are too large.
        ValueError: it reaches beyond its bytes, or is of an unknown kind.
    """
    entry = document.item("accessors", number)
    kind, width, count = np.dtype(TYPES[entry["componentType"]]), WIDTHS[entry["type"]], entry["count"]
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"accessors[{number}] has {str(count)[:40]} elements")
    if count > MOST:
        raise LimitError(f"an accessor of {count} elements, the limit is {MOST}", document.path)
    document.spend("numbers in accessors", count * width)
    if "bufferView" in entry:
        found = _strided(document, entry["bufferView"], entry.get("byteOffset", 0), kind, width, count)
    else:
        found = np.zeros((count, width), kind)
    return _sparse(document, entry["sparse"], found) if "sparse" in entry else found


def as_floats(document: Document, number: int, widths: tuple[int, ...]) -> Float32[np.ndarray, "n c"]:
    """An accessor as real numbers; normalised integers in [0, 1] or [-1, 1].

    Args:
        document: that holds it.
        number: of the accessor.
        widths: how many numbers an element may have.

    Raises:
        ValueError: a number is not finite, or elements of another kind.
    """
    found = read_accessor(document, number)
    if found.shape[1] not in widths:
        raise ValueError(f"accessors[{number}] has {found.shape[1]} numbers an element, expected {widths[0]}")
    if found.dtype == np.float32:
        if not np.isfinite(found).all():
            raise ValueError(f"accessors[{number}] holds numbers that are not finite")
        return found
    real = found.astype(np.float32)
    if document.item("accessors", number).get("normalized"):
        real = np.maximum(real / np.float32(np.iinfo(found.dtype).max), np.float32(-1))
    return real


def as_indices(document: Document, number: int, width: int) -> Int64[np.ndarray, "n c"]:
    """An accessor of whole numbers from 0.

    Raises:
        ValueError: signed or real numbers, or elements of another width.
    """
    found = read_accessor(document, number)
    if found.dtype.kind != "u" or found.shape[1] != width:
        raise ValueError(f"accessors[{number}] of {found.dtype} x {found.shape[1]}, expected whole numbers x {width}")
    return found.astype(np.int64)


def _strided(
    document: Document, view: int, offset: int, kind: np.dtype, width: int, count: int
) -> Shaped[np.ndarray, "n c"]:
    data = document.view(view)
    size = kind.itemsize * width
    stride = document.item("bufferViews", view).get("byteStride", size)
    if not isinstance(stride, int) or not isinstance(offset, int) or stride < size or offset < 0:
        raise ValueError(f"a stride of {str(stride)[:40]} and an offset of {str(offset)[:40]} for {size} bytes")
    if count == 0:
        return np.zeros((0, width), kind)
    if offset + stride * (count - 1) + size > len(data):
        raise ValueError("an accessor reaches beyond its buffer view")
    little = kind.newbyteorder("<")
    found = np.ndarray((count, width), little, data, offset, (stride, kind.itemsize))
    return found.astype(kind)


def _sparse(document: Document, sparse: dict, found: Shaped[np.ndarray, "n c"]) -> Shaped[np.ndarray, "n c"]:
    count, indices, values = sparse["count"], sparse["indices"], sparse["values"]
    if not isinstance(count, int) or not 0 <= count <= len(found):
        raise ValueError(f"{str(count)[:40]} sparse elements of {len(found)}")
    kind = np.dtype(TYPES[indices["componentType"]])
    if kind.kind != "u":
        raise ValueError(f"sparse indices of {kind}")
    places = _strided(document, indices["bufferView"], indices.get("byteOffset", 0), kind, 1, count)[:, 0]
    places = places.astype(np.int64)
    if count and places.max() >= len(found):
        raise ValueError("a sparse element beyond its accessor")
    if (np.diff(places) <= 0).any():
        raise ValueError("sparse elements that overlap or do not rise")
    found[places] = _strided(
        document, values["bufferView"], values.get("byteOffset", 0), found.dtype, found.shape[1], count
    )
    return found
