"""A glTF document that is added to: its bytes stay as they are, new ones follow."""

import hashlib
import json
import struct

import numpy as np
from jaxtyping import Shaped

from diorama.errors import DamagedMediaError, MediaError
from diorama.media.mesh._glb_bytes import BINARY_CHUNK, JSON_CHUNK, MAGIC, VERSION, Buffer, Json
from diorama.media.mesh._gltf_file import Document

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\xabKTX 20\xbb", "image/ktx2"),
)
"""How files of pictures start."""


class Source(Document):
    """A document whose buffers are wanted whole."""

    def buffer(self, number: int) -> bytes:
        """The bytes of a buffer, without what a file has after its end."""
        return self._buffer(number)[: self.item("buffers", number)["byteLength"]]


class Grown(Buffer):
    """The buffers of a document as one, to which more is added; views of the document are pointed to it.

    Pictures in files of their own or in the text are taken in, as the result is one file. What the document says of
    its first buffer besides the length is kept.

    Raises:
        MediaError: a part is missing or outside the folder, or a picture is of an unknown kind.
        ValueError: a view that reaches beyond its buffer.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.json)
        self._path, self._known = source.path, dict[tuple, int]()
        starts = []
        for number in range(len(source.json.get("buffers", []))):
            self._bytes += b"\0" * (-len(self._bytes) % 4)
            starts.append(len(self._bytes))
            self._bytes += source.buffer(number)
        for number in range(len(source.json.get("bufferViews", []))):
            source.view(number)
            view = source.item("bufferViews", number)
            start, view["buffer"] = starts[view["buffer"]], 0
            if start:
                view["byteOffset"] = start + view.get("byteOffset", 0)
        for number in range(len(source.json.get("images", []))):
            self._take_in(source, number)

    def _take_in(self, source: Source, number: int) -> None:
        image = source.item("images", number)
        if "uri" not in image:
            return
        data = source.image(number)
        kinds = [kind for start, kind in SIGNATURES if data.startswith(start)]
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kinds.append("image/webp")
        if not kinds:
            what = f"a picture of unknown kind, {image['uri'][:80]!r}"
            raise MediaError(what, source.path, "embed everything: GLB with PNG or JPEG pictures")
        del image["uri"]
        image["bufferView"], image["mimeType"] = self.view(data), kinds[0]

    def shared(self, array: Shaped[np.ndarray, "n *shape"], target: int | None = None) -> int:
        """The number of an accessor of these values; the same one for the same values."""
        digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()
        key = (array.dtype.str, array.shape, target, digest)
        if key not in self._known:
            self._known[key] = self.accessor(array, target)
        return self._known[key]

    def file(self) -> bytes:
        """The whole file; entries of the document keep their order.

        Raises:
            DamagedMediaError: the document is nested too deeply.
        """
        self._bytes += b"\0" * (-len(self._bytes) % 4)
        buffers: list[Json] = self._document.get("buffers", [])
        kept = {key: value for key, value in (buffers[0] if buffers else {}).items() if key != "uri"}
        self._document["buffers"] = [kept | {"byteLength": len(self._bytes)}]
        try:
            text = json.dumps(self._document, separators=(",", ":"), allow_nan=False).encode()
        except RecursionError as error:
            raise DamagedMediaError("its entries are nested too deeply", self._path, "export it again") from error
        text += b" " * (-len(text) % 4)
        head = struct.pack("<5I", MAGIC, VERSION, 28 + len(text) + len(self._bytes), len(text), JSON_CHUNK)
        return b"".join([head, text, struct.pack("<2I", len(self._bytes), BINARY_CHUNK), self._bytes])
