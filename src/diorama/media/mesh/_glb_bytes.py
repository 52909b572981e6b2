"""The binary half of a GLB file: arrays put one after another, and the JSON that says where each is."""

import json
import struct
from typing import Any

import numpy as np
from jaxtyping import Shaped

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963
"""Targets of buffer views."""

Json = dict[str, Any]


class Buffer:
    """Collects arrays; each becomes a buffer view and an accessor of a glTF document.

    Attributes:
        materials: of the textures stored already, by their PNG files.
    """

    def __init__(self, document: Json) -> None:
        self._document, self._bytes = document, bytearray()
        self.materials: dict[bytes, int] = {}

    def accessor(
        self,
        array: Shaped[np.ndarray, "n *shape"],
        target: int | None = None,
        *,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Add an array; the number of its accessor. Matrices are given row by row and stored column by column."""
        shape, stored = array.shape[1:], array
        if shape == (4, 4):
            stored = array.transpose(0, 2, 1)
        little = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<"))
        entry: Json = {
            "bufferView": self.view(little.tobytes(), target),
            "componentType": COMPONENTS[array.dtype.str[1:]],
            "count": len(array),
            "type": SHAPES[shape],
        }
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry["min"] = np.atleast_1d(array.min(axis=0)).tolist()
            entry["max"] = np.atleast_1d(array.max(axis=0)).tolist()
        return added(self._document, "accessors", entry)

    def view(self, data: bytes, target: int | None = None) -> int:
        """Add bytes; the number of their buffer view."""
        self._bytes += b"\0" * (-len(self._bytes) % 4)
        entry: Json = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(data)}
        if target is not None:
            entry["target"] = target
        self._bytes += data
        return added(self._document, "bufferViews", entry)

    def file(self) -> bytes:
        """The whole file."""
        self._bytes += b"\0" * (-len(self._bytes) % 4)
        self._document["buffers"] = [{"byteLength": len(self._bytes)}]
        text = json.dumps(self._document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = _chunk(JSON_CHUNK, text) + _chunk(BINARY_CHUNK, bytes(self._bytes))
        return struct.pack("<3I", MAGIC, VERSION, 12 + len(chunks)) + chunks


def added(document: Json, kind: str, entry: Json) -> int:
    """Append an entry to a list of the document; its number."""
    entries = document.setdefault(kind, [])
    entries.append(entry)
    return len(entries) - 1


def _chunk(kind: int, data: bytes) -> bytes:
    return struct.pack("<2I", len(data), kind) + data
