"""Depth out of OpenEXR files: scanline images, one channel, uncompressed, RLE or ZIP.

The layout follows the published description of the OpenEXR file format (openexr.com, "OpenEXR File Layout").
OpenCV's wheels are built without OpenEXR; this reader needs only zlib and numpy, checks every length against the
file before it allocates, and refuses what it cannot read by its name.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.errors import DamagedMediaError, LimitError, MediaError
from diorama.media.safe import Limits

BLOCK_LIMIT = 1 << 28
_MAGIC = b"\x76\x2f\x31\x01"
_HEADER_LIMIT = 1 << 20
_TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
_ROWS_PER_BLOCK = {0: 1, 1: 1, 2: 1, 3: 16}
_COMPRESSIONS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_PREFERRED = ("z", "depth", "y", "r", "v")


@dataclass(frozen=True)
class ExrHeader:
    """What is needed to read one channel.

    Attributes:
        width, height: pixels of the data window.
        top: y of its first row.
        compression: 0 none, 1 RLE, 2 ZIP by row, 3 ZIP by 16 rows.
        channels: name and sample type of each channel, in file order.
        offset: where the table of block positions starts, bytes.
    """

    width: int
    height: int
    top: int
    compression: int
    channels: tuple[tuple[str, np.dtype], ...]
    offset: int


def read_header(path: Path, limits: Limits | None = None) -> ExrHeader:
    """Read the header of an EXR file, within a pixel budget (None: the usual one).

    Raises:
        MediaError: not an EXR, or a kind this reader does not know (tiled, deep, several parts, PIZ, ...).
        LimitError: over the pixel budget, or blocks over `BLOCK_LIMIT` bytes.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_LIMIT)
    if head[:4] != _MAGIC:
        raise MediaError("not an OpenEXR file", path)
    version = int.from_bytes(head[4:8], "little")
    if version & 0xFF != 2 or version & 0x1A00:
        raise MediaError("a tiled, deep or multi-part EXR", path, "save it as one scanline image")
    try:
        attributes, offset = _attributes(head)
        return _understand(attributes, offset, path, limits or Limits())
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise MediaError(f"the EXR header is damaged ({error})", path) from error


def _attributes(head: bytes) -> tuple[dict[str, bytes], int]:
    """Header attributes by name, and the position after them."""
    found, at = {}, 8
    while head[at] != 0:
        name_end = head.index(b"\0", at)
        type_end = head.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", head, type_end + 1)
        start = type_end + 5
        if size < 0 or start + size >= len(head):
            raise ValueError("an attribute is longer than the header")
        found[head[at:name_end].decode("latin-1")] = head[start : start + size]
        at = start + size
    return found, at + 1


def _understand(attributes: dict[str, bytes], offset: int, path: Path, limits: Limits) -> ExrHeader:
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if width <= 0 or height <= 0:
        raise ValueError(f"data window {width} x {height}")
    limits.check_size(width, height, path)
    if attributes["displayWindow"] != attributes["dataWindow"]:
        raise MediaError("the EXR's data window is not its display window", path, "save it uncropped")
    kind = attributes["compression"][0]
    if kind not in _ROWS_PER_BLOCK:
        name = _COMPRESSIONS[kind] if kind < len(_COMPRESSIONS) else str(kind)
        raise MediaError(f"EXR compression {name} is not supported", path, "save it with ZIP or uncompressed")
    channels = _channels(attributes["channels"], path)
    block = width * _ROWS_PER_BLOCK[kind] * sum(sample.itemsize for _, sample in channels)
    if block > BLOCK_LIMIT:
        raise LimitError(f"blocks of {block / 1e6:.0f} MB in {len(channels)} EXR channels", path, "keep depth only")
    return ExrHeader(width, height, top, kind, channels, offset)


def _channels(raw: bytes, path: Path) -> tuple[tuple[str, np.dtype], ...]:
    found, at = [], 0
    while raw[at] != 0:
        end = raw.index(b"\0", at)
        kind, _, across, down = struct.unpack_from("<iB3x2i", raw, end + 1)
        name = raw[at:end].decode("latin-1")
        if (across, down) != (1, 1):
            raise MediaError(f"EXR channel {name} is subsampled", path, "save depth at full resolution")
        found.append((name, _TYPES[kind]))
        at = end + 17
    if not found:
        raise ValueError("no channels")
    return tuple(found)


def depth_channel(header: ExrHeader) -> int:
    """Number of the channel most likely to be depth: Z, depth, Y, R, V (also at the end of a layer name), else 0."""
    last = [name.rpartition(".")[2].lower() for name, _ in header.channels]
    return next((last.index(name) for name in _PREFERRED if name in last), 0)


def read_depth(path: Path, limits: Limits | None = None) -> Float32[np.ndarray, "h w"]:
    """Read the depth channel (see `depth_channel`) of an EXR file, values as stored.

    Raises:
        MediaError, LimitError: as `read_header`.
        DamagedMediaError: the pixels are incomplete or do not unpack.
    """
    header = read_header(path, limits)
    sizes = [kind.itemsize * header.width for _, kind in header.channels]
    wanted = depth_channel(header)
    kind, skip = header.channels[wanted][1], sum(sizes[:wanted])
    depth = np.zeros((header.height, header.width), np.float32)
    try:
        for row, block in _blocks(path.read_bytes(), header, sum(sizes)):
            rows = block.reshape(-1, sum(sizes))[:, skip : skip + sizes[wanted]]
            depth[row : row + len(rows)] = np.ascontiguousarray(rows).view(kind)
    except (struct.error, ValueError, zlib.error) as error:
        raise DamagedMediaError(f"the EXR's pixels are damaged ({error})", path) from error
    return depth


def _blocks(data: bytes, header: ExrHeader, row_bytes: int) -> Iterator[tuple[int, UInt8[np.ndarray, "n"]]]:
    """First row and unpacked bytes of each block of rows."""
    per_block = _ROWS_PER_BLOCK[header.compression]
    count = -(-header.height // per_block)
    for position in struct.unpack_from(f"<{count}Q", data, header.offset):
        if position > len(data) - 8:
            raise ValueError("a block lies outside the file")
        y, size = struct.unpack_from("<2i", data, position)
        row, packed = y - header.top, data[position + 8 : position + 8 + size]
        if not 0 <= row < header.height or size < 0 or len(packed) < size:
            raise ValueError("a block lies outside the file")
        whole = min(per_block, header.height - row) * row_bytes
        yield row, _unpack(packed, whole, header.compression)


def _unpack(packed: bytes, whole: int, compression: int) -> UInt8[np.ndarray, "n"]:
    """Undo the compression of one block of `whole` bytes; blocks that did not shrink are stored as they are."""
    if compression == 0 or len(packed) == whole:
        plain = np.frombuffer(packed, np.uint8)
        return _whole(plain, whole)
    raw = _run_lengths(packed, whole) if compression == 1 else zlib.decompressobj().decompress(packed, whole)
    coded = _whole(np.frombuffer(raw, np.uint8), whole).copy()
    coded[1:] -= 128
    summed = np.cumsum(coded, dtype=np.uint8)
    halves = np.empty(whole, np.uint8)
    middle = (whole + 1) // 2
    halves[0::2], halves[1::2] = summed[:middle], summed[middle:]
    return halves


def _whole(values: UInt8[np.ndarray, "n"], size: int) -> UInt8[np.ndarray, "n"]:
    if len(values) != size:
        raise ValueError(f"a block has {len(values)} of {size} bytes")
    return values


def _run_lengths(packed: bytes, whole: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(packed) and len(out) <= whole:
        count = packed[at]
        if count >= 128:
            out += packed[at + 1 : at + 257 - count]
            at += 257 - count
        else:
            out += packed[at + 1 : at + 2] * (count + 1)
            at += 2
    return bytes(out)
