"""glTF files from strangers: the document and its bytes, with every size checked before it is believed."""

import base64
import json
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from diorama.errors import DamagedMediaError, LimitError, MediaError
from diorama.media.mesh._glb_bytes import BINARY_CHUNK, JSON_CHUNK, MAGIC, Json
from diorama.media.safe import regular_file

FILE_BYTES = 512 << 20
JSON_BYTES = 64 << 20
JSON_ITEMS = 5_000_000
"""Values in the document: each becomes an object many times its size in the file."""
CHUNKS = 64
BUDGETS = {
    "numbers in accessors": 128_000_000,
    "vertices": 5_000_000,
    "texels": 128_000_000,
    "primitives": 16_384,
    "animations": 4096,
    "animation channels": 200_000,
    "joints": 65_536,
    "joint poses": 16_000_000,
}
"""What a whole file may hold, counted as it is read: parts may refer to the same bytes over and over."""
SUPPORTED = frozenset(
    {
        *("KHR_materials_unlit", "KHR_materials_specular", "KHR_materials_ior", "KHR_materials_clearcoat"),
        *("KHR_materials_emissive_strength", "KHR_materials_sheen", "KHR_materials_transmission"),
        *("KHR_lights_punctual", "KHR_mesh_quantization", "KHR_materials_pbrSpecularGlossiness"),
    }
)
"""Extensions that a file may require: those that do not change where anything is."""


class Document:
    """A glTF document and its buffers.

    Attributes:
        json: the document.
        path: of the file.
        materials: those read already, by number.
    """

    def __init__(self, path: Path, max_bytes: int = FILE_BYTES) -> None:
        self.path, self._max_bytes = Path(path), max_bytes
        self._spent: Counter[str] = Counter()
        self._budgets = BUDGETS | {"bytes in files": 2 * max_bytes}
        data = self._file(self.path)
        text, self._binary = _chunks(data, path) if data[:4] == b"glTF" else (data, None)
        self.json = _parsed(text, path)
        self._buffers: dict[int, bytes] = {}
        self.materials: dict[int, Any] = {}
        version = str(self.json.get("asset", {}).get("version", ""))[:20]
        if not version.startswith("2."):
            raise MediaError(f"glTF version {version or 'unknown'!r}, expected 2.0", path, "export it as glTF 2.0")
        unknown = sorted({str(name) for name in self.json.get("extensionsRequired", [])} - SUPPORTED)
        if unknown:
            fix = "export it again without compression or texture transforms"
            raise MediaError(f"the file needs {', '.join(unknown)[:200]}", path, fix)

    def spend(self, what: str, amount: int) -> None:
        """Count towards what a whole file may hold.

        Raises:
            LimitError: more than `BUDGETS` has.
        """
        self._spent[what] += amount
        if self._spent[what] > self._budgets[what]:
            raise LimitError(f"more than {self._budgets[what]} {what}", self.path, "simplify or split the model")

    def item(self, kind: str, number: Any) -> Json:
        """An entry of a list of the document.

        Raises:
            IndexError: there is no such entry.
        """
        entries = self.json.get(kind, [])
        if not isinstance(number, int) or not 0 <= number < len(entries):
            raise IndexError(f"{kind}[{str(number)[:40]}] of {len(entries)}")
        entry = entries[number]
        if not isinstance(entry, dict):
            raise TypeError(f"{kind}[{number}] is no object")
        return entry

    def view(self, number: int) -> memoryview:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", number)
        start, length = view.get("byteOffset", 0), view["byteLength"]
        data = self._buffer(view["buffer"])
        if not 0 <= start <= start + length <= len(data):
            raise ValueError(f"bufferViews[{number}] reaches beyond its buffer")
        return memoryview(data)[start : start + length]

    def image(self, number: int) -> bytes:
        """The bytes of an image file."""
        image = self.item("images", number)
        return bytes(self.view(image["bufferView"])) if "bufferView" in image else self._resource(image["uri"])

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            entry = self.item("buffers", number)
            if "uri" in entry:
                data = self._resource(entry["uri"])
            elif number == 0 and self._binary is not None:
                data = self._binary
            else:
                raise ValueError(f"buffers[{number}] has no data")
            if not 0 <= entry["byteLength"] <= len(data):
                raise ValueError(f"buffers[{number}] has {len(data)} bytes of {entry['byteLength']}")
            self._buffers[number] = data
        return self._buffers[number]

    def _resource(self, uri: str) -> bytes:
        """A data URI, or a file in the model's own folder or below it."""
        if uri.startswith("data:"):
            head, comma, data = uri.partition(",")
            if not comma or not head.endswith(";base64"):
                raise ValueError("a data URI that is not base64")
            self.spend("bytes in files", len(data))
            return base64.b64decode(data, validate=True)
        name = unquote(uri)
        folder = self.path.parent.resolve()
        odd = any(mark in uri or mark in name for mark in (":", "\\", "\0")) or ".." in Path(name).parts
        if odd or Path(name).is_absolute() or not (folder / name).resolve().is_relative_to(folder):
            raise MediaError(f"it points to {uri[:80]!r}, outside its own folder", self.path, "embed everything: GLB")
        return self._file(folder / name)

    def _file(self, path: Path) -> bytes:
        path = regular_file(path)
        size = path.stat().st_size
        if size > self._max_bytes:
            raise LimitError(f"a file of {size / 1e6:.0f} MB, the limit is {self._max_bytes / 1e6:.0f} MB", path)
        self.spend("bytes in files", size)
        try:
            return path.read_bytes()
        except OSError as error:
            raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error


def label(document: Document, kind: str, number: int, default: str) -> str:
    """The name of an entry, fit to be written as UTF-8; `default` with its number where it has none."""
    name = document.item(kind, number).get("name", "")
    known = name if isinstance(name, str) and name else f"{default}{number}"
    return known[:200].encode("utf-8", "replace").decode()


def _chunks(data: bytes, path: Path) -> tuple[bytes, bytes | None]:
    """The JSON and the binary chunk of a GLB file."""
    damaged = DamagedMediaError("no whole GLB file: its chunks do not fit its length", path, "copy it again")
    if len(data) < 20:
        raise damaged
    magic, version, length = struct.unpack_from("<3I", data)
    if magic != MAGIC or version != 2:
        raise MediaError(f"GLB version {version}, expected 2", path, "export it as glTF 2.0")
    if length > len(data):
        raise damaged
    found: dict[int, bytes] = {}
    place = 12
    for _ in range(CHUNKS):
        if place + 8 > length:
            break
        size, kind = struct.unpack_from("<2I", data, place)
        if place + 8 + size > length or (place == 12 and kind != JSON_CHUNK):
            raise damaged
        if kind in (JSON_CHUNK, BINARY_CHUNK):
            found.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size
    if JSON_CHUNK not in found:
        raise damaged
    return found[JSON_CHUNK], found.get(BINARY_CHUNK)


def _parsed(text: bytes, path: Path) -> Json:
    if len(text) > JSON_BYTES:
        raise LimitError(f"a document of {len(text) / 1e6:.0f} MB, the limit is {JSON_BYTES / 1e6:.0f} MB", path)
    items = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if items > JSON_ITEMS:
        raise LimitError(f"a document of {items} values, the limit is {JSON_ITEMS}", path, "simplify the model")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"no glTF document ({type(error).__name__})", path, "give a .glb or .gltf file") from error
    if not isinstance(found, dict):
        raise MediaError("no glTF document: the JSON is no object", path, "give a .glb or .gltf file")
    return found


BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error, zlib.error)
"""What a document that breaks the rules of glTF leads to while it is read."""
