"""MP4 boxes as bytes, and the way from a file to its sample descriptions.

ISO/IEC 14496-12. Nothing here trusts a size or a count: each is checked against the bytes that are there before
anything is read or allocated.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase

from diorama.errors import LimitError, MediaError

MAX_MOOV = 256 << 20
"""Bytes of header that are held in memory; a film of ten hours needs about 50 MB."""
MAX_BOXES = 4096
MAX_TRACKS = 1024
MAX_ENTRIES = 64
VISUAL_ENTRY = 86
"""Bytes of a visual sample entry before its child boxes, header included."""
RETRY = "write the file again, or remux it"


@dataclass(frozen=True)
class Box:
    """A box between two positions: bytes of the file, or of the moov held in memory.

    Attributes:
        kind: four-character code.
        start: of the header.
        body: of the content.
        end: first byte after the box.
    """

    kind: bytes
    start: int
    body: int
    end: int


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box around `parts`."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, *parts: bytes) -> bytes:
    """A box of version 0 without flags around `parts`."""
    return box(kind, bytes(4), *parts)


def parse_header(head: bytes, start: int, limit: int) -> Box:
    """The box whose first bytes are `head`, at `start` of a parent that ends at `limit`.

    Raises:
        MediaError: the size is smaller than its own header, or reaches past the parent.
    """
    if len(head) < 8:
        raise MediaError("damaged MP4: a box is cut off", f"byte {start}", RETRY)
    size, kind = struct.unpack_from(">I4s", head)
    header = 8
    if size == 1 and len(head) >= 16:
        size, header = struct.unpack_from(">Q", head, 8)[0], 16
    elif size == 0:
        size = limit - start
    if size < header or start + size > limit:
        what = f"damaged MP4: box {kind!r} of {size} bytes where {limit - start} are left"
        raise MediaError(what, f"byte {start}", RETRY)
    return Box(kind, start, start + header, start + size)


def children(data: bytes, first: int, last: int) -> Iterator[Box]:
    """Boxes from `first` to `last` of `data`; a size of zero ends the list, as in QuickTime files.

    Raises:
        MediaError: a box that does not fit, or too many.
    """
    for _ in range(MAX_BOXES):
        if last - first < 8 or data[first : first + 4] == bytes(4):
            return
        item = parse_header(data[first : first + 16], first, last)
        yield item
        first = item.end
    raise LimitError(f"more than {MAX_BOXES} boxes in one MP4 box", f"byte {first}", RETRY)


def find_moov(file: BufferedIOBase, length: int) -> Box:
    """The moov of an open file of `length` bytes, by stepping over the other boxes.

    Raises:
        MediaError: not an MP4, no moov, or fragments, whose samples moov does not describe.
        LimitError: a header above `MAX_MOOV`.
    """
    position, found = 0, None
    for number in range(MAX_BOXES):
        if length - position < 8:
            break
        file.seek(position)
        item = parse_header(file.read(16), position, length)
        if number == 0 and item.kind not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            raise MediaError("not an MP4 file", fix="tags are written to .mp4, .m4v and .mov")
        if item.kind in (b"moof", b"mfra", b"sidx"):
            raise MediaError("fragmented MP4 cannot be tagged", fix="write it without fragments (no frag_* movflags)")
        if item.kind == b"moov":
            if found is not None:
                raise MediaError("damaged MP4: two headers (moov)", f"byte {position}", RETRY)
            found = item
        position = item.end
    if found is None:
        raise MediaError("header (moov) missing", fix=RETRY)
    if found.end - found.start > MAX_MOOV:
        raise LimitError(f"MP4 header of {found.end - found.start} bytes", fix=f"at most {MAX_MOOV}")
    return found


def read_moov(file: BufferedIOBase, moov: Box) -> bytes:
    """The bytes of `moov`, header included."""
    file.seek(moov.start)
    data = file.read(moov.end - moov.start)
    if len(data) != moov.end - moov.start:
        raise MediaError("MP4 header is cut off", fix=RETRY)
    return data


@dataclass(frozen=True)
class Track:
    """A trak in a moov.

    Attributes:
        handler: what it carries: b"vide", b"soun", ...
        chain: the boxes from trak down to stbl, whose sizes cover what is in them.
        tables: what stbl holds, by kind.
    """

    handler: bytes
    chain: tuple[Box, ...]
    tables: dict[bytes, Box]


def tracks(moov: bytes) -> list[Track]:
    """Every track of a moov, given with its header.

    Raises:
        MediaError: the boxes do not nest, or the samples are in fragments or encrypted.
    """
    found: list[Track] = []
    root = parse_header(moov[:16], 0, len(moov))
    for item in children(moov, root.body, root.end):
        if item.kind == b"mvex":
            raise MediaError("fragmented MP4 cannot be tagged", fix="write it without fragments (no frag_* movflags)")
        if item.kind == b"trak":
            found.append(_track(moov, item))
        if len(found) > MAX_TRACKS:
            raise LimitError(f"more than {MAX_TRACKS} tracks", fix=RETRY)
    return found


def _track(moov: bytes, trak: Box) -> Track:
    mdia = _child(moov, trak, b"mdia")
    minf = _child(moov, mdia, b"minf")
    stbl = _child(moov, minf, b"stbl")
    hdlr = _child(moov, mdia, b"hdlr")
    tables: dict[bytes, Box] = {}
    for item in children(moov, stbl.body, stbl.end):
        if item.kind in tables and item.kind in (b"stsd", b"stco", b"co64"):
            raise MediaError(f"damaged MP4: two {item.kind!r}", f"byte {item.start} of moov", RETRY)
        tables[item.kind] = item
    if b"saio" in tables:
        raise MediaError("encrypted MP4 cannot be tagged", fix="use an unencrypted file")
    return Track(moov[hdlr.body + 8 : min(hdlr.body + 12, hdlr.end)], (trak, mdia, minf, stbl), tables)


def _child(data: bytes, parent: Box, kind: bytes) -> Box:
    for item in children(data, parent.body, parent.end):
        if item.kind == kind:
            return item
    raise MediaError(f"damaged MP4: {parent.kind!r} without {kind!r}", f"byte {parent.start} of moov", RETRY)


def video_of(every: Sequence[Track]) -> Track:
    """The first of the tracks that carries pictures.

    Raises:
        MediaError: there is none.
    """
    for track in every:
        if track.handler == b"vide":
            return track
    raise MediaError("no video stream in this MP4")


def sample_entries(moov: bytes, track: Track) -> list[Box]:
    """The sample descriptions of `track`, each long enough for a visual one."""
    stsd = track.tables.get(b"stsd")
    if stsd is None or stsd.end - stsd.body < 8:
        raise MediaError("damaged MP4: no sample description", fix=RETRY)
    count = int.from_bytes(moov[stsd.body + 4 : stsd.body + 8], "big")
    if count > MAX_ENTRIES:
        raise LimitError(f"{count} sample descriptions", fix=f"at most {MAX_ENTRIES}")
    entries = list(children(moov, stsd.body + 8, stsd.end))
    if len(entries) != count or not entries:
        raise MediaError(f"damaged MP4: {len(entries)} sample descriptions of {count}", fix=RETRY)
    if any(entry.end - entry.start < VISUAL_ENTRY for entry in entries):
        raise MediaError("damaged MP4: sample description too short for video", fix=RETRY)
    return entries


def entry_children(moov: bytes, entry: Box) -> list[Box]:
    """The boxes inside a visual sample entry."""
    return list(children(moov, entry.body + VISUAL_ENTRY - 8, entry.end))
