"""Accessors of a glTF document as arrays."""

import numpy as np
from jaxtyping import Float32, Shaped

from diorama.errors import LimitError
from diorama.media.mesh._gltf_file import Document

TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MOST = 20_000_000
"""Elements of an accessor."""


def read_accessor(document: Document, number: int) -> Shaped[np.ndarray, "n c"]:
    """The elements of an accessor, one a row; matrices as 16 numbers, column by column.

    Raises:
        LimitError: more than `MOST` elements.
        ValueError: it reaches beyond its bytes, or is of an unknown kind.
    """
    entry = document.item("accessors", number)
    kind, width, count = np.dtype(TYPES[entry["componentType"]]), WIDTHS[entry["type"]], entry["count"]
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"accessors[{number}] has {count!r} elements")
    if count > MOST:
        raise LimitError(f"an accessor of {count} elements, the limit is {MOST}", document.path)
    if "bufferView" in entry:
        found = _strided(document, entry["bufferView"], entry.get("byteOffset", 0), kind, width, count)
    else:
        found = np.zeros((count, width), kind)
    return _sparse(document, entry["sparse"], found) if "sparse" in entry else found


def as_floats(document: Document, number: int) -> Float32[np.ndarray, "n c"]:
    """An accessor as real numbers; normalised integers in [0, 1] or [-1, 1].

    Raises:
        ValueError: a number is not finite.
    """
    found = read_accessor(document, number)
    if found.dtype == np.float32:
        if not np.isfinite(found).all():
            raise ValueError(f"accessors[{number}] holds numbers that are not finite")
        return found
    real = found.astype(np.float32)
    if document.item("accessors", number).get("normalized"):
        real = np.maximum(real / np.float32(np.iinfo(found.dtype).max), np.float32(-1))
    return real


def _strided(
    document: Document, view: int, offset: int, kind: np.dtype, width: int, count: int
) -> Shaped[np.ndarray, "n c"]:
    data = document.view(view)
    size = kind.itemsize * width
    stride = document.item("bufferViews", view).get("byteStride", size)
    if not isinstance(stride, int) or not isinstance(offset, int) or stride < size or offset < 0:
        raise ValueError(f"a stride of {stride!r} and an offset of {offset!r} for elements of {size} bytes")
    if count and offset + stride * (count - 1) + size > len(data):
        raise ValueError("an accessor reaches beyond its buffer view")
    little = kind.newbyteorder("<")
    found = np.ndarray((count, width), little, data, offset, (stride, kind.itemsize))
    return found.astype(kind)


def _sparse(document: Document, sparse: dict, found: Shaped[np.ndarray, "n c"]) -> Shaped[np.ndarray, "n c"]:
    count, indices, values = sparse["count"], sparse["indices"], sparse["values"]
    if not isinstance(count, int) or not 0 <= count <= len(found):
        raise ValueError(f"{count!r} sparse elements of {len(found)}")
    kind = np.dtype(TYPES[indices["componentType"]])
    places = _strided(document, indices["bufferView"], indices.get("byteOffset", 0), kind, 1, count)[:, 0]
    if count and places.max() >= len(found):
        raise ValueError("a sparse element beyond its accessor")
    new = _strided(document, values["bufferView"], values.get("byteOffset", 0), found.dtype, found.shape[1], count)
    whole = found.copy()
    whole[places.astype(np.int64)] = new
    return whole
