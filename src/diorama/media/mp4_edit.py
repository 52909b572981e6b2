"""Put boxes into the sample descriptions of a moov so that every size and offset still holds."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from diorama.errors import MediaError
from diorama.media.mp4 import (
    RETRY,
    VISUAL_ENTRY,
    Box,
    Track,
    entry_children,
    parse_header,
    sample_entries,
    tracks,
    video_of,
)

_U32 = 0xFFFF_FFFF


@dataclass(frozen=True)
class Edit:
    """Replace bytes ``start`` to ``end - 1`` by `new`."""

    start: int
    end: int
    new: bytes

    @property
    def growth(self) -> int:
        """Bytes gained."""
        return len(self.new) - (self.end - self.start)


def replace_in_entries(moov: bytes, moov_end: int, *, new: bytes, drop: frozenset[bytes]) -> bytes:
    """`moov` with `new` at the end of each sample entry of its video track, and boxes of kinds `drop` gone.

    Args:
        moov: the box with its header.
        moov_end: where it ends in the file: data behind it moves when it grows, data before it stays.
        new: whole boxes.
        drop: kinds removed from the sample entries.

    Returns:
        the new box, with enclosing sizes and chunk offsets (stco, co64) put right; an stco whose offsets pass
        4 GiB becomes a co64.
    """
    every = tracks(moov)
    video = video_of(every)
    entries = sample_entries(moov, video)
    edits = [edit for entry in entries for edit in _entry_edits(moov, entry, new, drop)]
    edits += _offset_edits(moov, every, moov_end, sum(edit.growth for edit in edits))
    holders = [Box(b"moov", 0, parse_header(moov[:16], 0, len(moov)).body, len(moov)), *entries]
    holders += [item for track in every for item in track.chain]
    holders += [video.tables[b"stsd"], *_offset_tables(every)]
    return _apply(moov, [*edits, *_size_edits(holders, edits)])


def _entry_edits(moov: bytes, entry: Box, new: bytes, drop: frozenset[bytes]) -> Iterator[Edit]:
    end = entry.body + VISUAL_ENTRY - 8
    for item in entry_children(moov, entry):
        end = item.end
        if item.kind in drop:
            yield Edit(item.start, item.end, b"")
    yield Edit(end, end, new)


def _offset_tables(every: Sequence[Track]) -> list[Box]:
    return [track.tables[kind] for track in every for kind in (b"stco", b"co64") if kind in track.tables]


def _offset_edits(moov: bytes, every: Sequence[Track], moov_end: int, growth: int) -> list[Edit]:
    """Chunk offsets behind `moov_end`, moved by what the moov gains in the end."""
    tables = _offset_tables(every)
    offsets = [_offsets(moov, table) for table in tables]
    wide = {i for i, table in enumerate(tables) if table.kind == b"co64"}
    while True:
        shift = growth + sum(4 * len(offsets[i]) for i in wide if tables[i].kind == b"stco")
        moved = [np.where(o >= moov_end, o + np.uint64(shift % (1 << 64)), o) for o in offsets]
        late = {i for i, o in enumerate(moved) if i not in wide and o.size and o.max() > _U32}
        if not late:
            break
        wide |= late
    pairs = zip(tables, moved, strict=True)
    return [edit for i, (table, values) in enumerate(pairs) for edit in _table_edits(table, values, i in wide)]


def _table_edits(table: Box, values: UInt64[np.ndarray, "chunks"], wide: bool) -> Iterator[Edit]:
    """New entries of an offset table, which keeps its header and turns into a co64 where `wide`."""
    first, width = table.body + 8, _width(table)
    kind, dtype = (b"co64", ">u8") if wide else (b"stco", ">u4")
    yield Edit(table.start + 4, table.start + 8, kind)
    yield Edit(first, first + width * len(values), values.astype(dtype).tobytes())


def _width(table: Box) -> int:
    return 4 if table.kind == b"stco" else 8


def _offsets(moov: bytes, table: Box) -> UInt64[np.ndarray, "chunks"]:
    width = _width(table)
    count = int.from_bytes(moov[table.body + 4 : table.body + 8], "big")
    if table.end - table.body < 8 + width * count:
        raise MediaError(f"damaged MP4: {count} chunk offsets do not fit", f"byte {table.start} of moov", RETRY)
    return np.frombuffer(moov, f">u{width}", count, table.body + 8).astype(np.uint64)


def _size_edits(holders: Iterable[Box], edits: Sequence[Edit]) -> Iterator[Edit]:
    for holder in holders:
        growth = sum(edit.growth for edit in edits if holder.body <= edit.start and edit.end <= holder.end)
        size = holder.end - holder.start + growth
        if holder.body - holder.start == 16:
            yield Edit(holder.start + 8, holder.start + 16, struct.pack(">Q", size))
        else:
            yield Edit(holder.start, holder.start + 4, struct.pack(">I", size))


def _apply(data: bytes, edits: Iterable[Edit]) -> bytes:
    view, position = memoryview(data), 0
    parts: list[bytes | memoryview] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        parts += [view[position : edit.start], edit.new]
        position = edit.end
    return b"".join([*parts, view[position:]])
