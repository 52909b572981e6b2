"""Pictures of a run: grids of frames, and a small PNG writer, since the trainer needs no image library."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from diorama.errors import UsageError
from diorama.media.atomic import write_bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """An RGB picture as a PNG file (8 bits, rows filtered by difference to the left)."""
    height, width, _ = image.shape
    if not height or not width:
        raise UsageError(f"a picture of {width}x{height}", "preview", "it needs pixels")
    rows = image.astype(np.int16)
    rows[:, 1:] -= image[:, :-1]
    body = np.ones((height, 1 + 3 * width), np.uint8)  # the first byte of a row names its filter: 1
    body[:, 1:] = (rows % 256).astype(np.uint8).reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(body.tobytes(), 6)) + _chunk(b"IEND", b"")


def save_png(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a picture whole."""
    write_bytes(path, png(image))


def grid(rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]], *, gap: int = 2) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures of one size in rows, white between them; short rows are filled with white."""
    height, width, _ = rows[0][0].shape
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    return sheet


def to_picture(frame: Float[np.ndarray, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A frame in [0, 1] as 8 bits."""
    return np.ascontiguousarray((np.clip(frame, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
