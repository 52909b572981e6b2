"""Encoded pieces plus everything the source carried besides video, into one container, without re-encoding.

Timestamps are the pipeline's own: a piece's container may round them (Matroska: milliseconds), so every packet gets
back its exact pts, and a decoding time that is monotonic across pieces.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.stream
import numpy as np
from av.format import Flags

from diorama.errors import MediaError
from diorama.media.probe import open_container
from diorama.media.write import write_error

PASSED_TYPES = ("audio", "subtitle")
_MUXER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}


@dataclass(frozen=True)
class Piece:
    """A closed, encoded run of frames.

    Attributes:
        path: a file with one video stream.
        pts: display time of each packet in the order of decoding, in the assembly's time base.
    """

    path: Path
    pts: tuple[int, ...]


@dataclass(frozen=True)
class Assembly:
    """What goes into the finished file.

    Attributes:
        pieces: encoded video, in order.
        time_base: seconds per tick of the pieces' pts.
        source: where audio, subtitles and chapters come from; None for none.
        streams: indexes in `source` to keep (None: all audio and subtitles).
        shift: seconds added to the timestamps of `source`; the pieces are on the output's clock already.
        span: start and end in source seconds outside which source packets are dropped (None: open).
        metadata: container tags.
        video_metadata: tags of the video stream.
        last_duration: ticks that the last frame is shown (None: as long as the one before).
    """

    pieces: tuple[Piece, ...]
    time_base: Fraction
    source: Path | None = None
    streams: tuple[int, ...] | None = None
    shift: Fraction = Fraction(0)
    span: tuple[Fraction | None, Fraction | None] = (None, None)
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    last_duration: int | None = None


def assemble(assembly: Assembly, target: Path) -> tuple[str, ...]:
    """Write `target`; returns notes on streams that its container cannot hold.

    Raises:
        LimitError: the disk is full.
        MediaError: the container refused a stream.
    """
    notes: list[str] = []
    try:
        with av.open(str(target.absolute()), "w", options=_muxer_options(target)) as out:
            out.metadata.update(assembly.metadata)
            feeds = [_video_feed(assembly, out)]
            if assembly.source is not None:
                feeds.append(_source_feed(assembly, out, notes))
            for _, packet in heapq.merge(*_started(feeds, out), key=lambda item: item[0]):
                out.mux(packet)
    except (av.error.FFmpegError, OSError) as error:
        raise write_error(error, target) from error
    return tuple(notes)


def _muxer_options(target: Path) -> dict[str, str]:
    if target.suffix in (".mp4", ".m4v", ".mov"):
        return {"movflags": "+faststart+use_metadata_tags"}
    return {}


Timed = tuple[float, av.Packet]


def _started(feeds: Sequence[Iterator[Timed]], out: av.container.OutputContainer) -> list[Iterator[Timed]]:
    """Run each feed up to its first packet, so that all streams exist before the header is written."""
    started = []
    for feed in feeds:
        first = next(feed, None)
        started.append(iter(()) if first is None else _chain(first, feed))
    out.start_encoding()
    return started


def _chain(first: Timed, rest: Iterator[Timed]) -> Iterator[Timed]:
    yield first
    yield from rest


def _video_feed(assembly: Assembly, out: av.container.OutputContainer) -> Iterator[Timed]:
    stream: Any = None
    shown = np.sort(np.array([p for piece in assembly.pieces for p in piece.pts], np.int64))
    depth = max((_reorder_depth(piece.pts) for piece in assembly.pieces), default=0)
    done = 0
    for piece in assembly.pieces:
        with open_container(piece.path) as container:
            encoded = container.streams.video[0]
            if stream is None:
                stream = out.add_stream_from_template(encoded, opaque=True)  # else AV1's decoder is asked to encode
                stream.time_base = assembly.time_base
                if encoded.codec_context.name == "hevc" and out.format.name in ("mp4", "mov", "ipod"):
                    stream.codec_context.codec_tag = "hvc1"  # Apple plays no hev1
                stream.metadata.update(assembly.video_metadata)
            for packet, pts in _stamped(container, piece):
                packet.time_base = assembly.time_base
                packet.pts = pts
                packet.dts = _decode_time(shown, done, depth)
                packet.duration = _lasts(shown, int(np.searchsorted(shown, pts)), assembly.last_duration)
                packet.stream = stream
                yield float(packet.dts * assembly.time_base), packet
                done += 1


def _stamped(container: av.container.InputContainer, piece: Piece) -> Iterator[tuple[av.Packet, int]]:
    """The packets of a piece, each with its display time."""
    packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
    if len(packets) != len(piece.pts):
        raise MediaError(f"a piece holds {len(packets)} frames, expected {len(piece.pts)}", piece.path)
    return zip(packets, piece.pts, strict=True)


def _reorder_depth(pts: Sequence[int]) -> int:
    """By how many packets decoding runs ahead of display."""
    order = np.argsort(np.array(pts, np.int64), kind="stable")
    ranks = np.empty(len(pts), np.int64)
    ranks[order] = np.arange(len(pts))
    return int(np.max(np.arange(len(pts)) - ranks, initial=0))


def _decode_time(pts: np.ndarray, i: int, depth: int) -> int:
    """Display times delayed by the reorder depth: monotonic, and never after the frame's own display time."""
    if i >= depth:
        return int(pts[i - depth])
    return int(pts[0]) - (depth - i) * _lasts(pts, 0)


def _lasts(pts: np.ndarray, i: int, last: int | None = None) -> int:
    if i + 1 < len(pts):
        return int(pts[i + 1] - pts[i])
    if last is not None:
        return last
    return int(pts[i] - pts[i - 1]) if i else 1


def _source_feed(assembly: Assembly, out: av.container.OutputContainer, notes: list[str]) -> Iterator[Timed]:
    assert assembly.source is not None
    with open_container(assembly.source) as container:
        out.set_chapters(_moved_chapters(container.chapters(), assembly))
        for key, value in container.metadata.items():
            if key.lower() not in _MUXER_TAGS:
                out.metadata.setdefault(key, value)
        copies = {}
        for stream in container.streams:
            copy = _copied(stream, out, assembly, notes)
            if copy is not None:
                copies[stream.index] = copy
        if copies:
            yield from _packets(container, copies, assembly, notes)


def _copied(stream: Any, out: av.container.OutputContainer, assembly: Assembly, notes: list[str]) -> Any:
    if stream.type not in PASSED_TYPES or (assembly.streams is not None and stream.index not in assembly.streams):
        return None
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in out.supported_codecs:
        notes.append(
            f"{stream.type} stream {stream.index} ({codec}) dropped: {out.format.name} cannot hold it; use .mkv"
        )
        return None
    if stream.type == "audio" and not stream.codec_context.sample_rate:
        notes.append(f"audio stream {stream.index} ({codec}) dropped: its header states no sample rate")
        return None
    copy = out.add_stream_from_template(stream)
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def _packets(
    container: av.container.InputContainer, copies: dict[int, Any], assembly: Assembly, notes: list[str]
) -> Iterator[Timed]:
    clock = _Clock()
    for packet in _readable(container, copies, notes):
        at = packet.pts * packet.time_base
        if _outside(at, at + (packet.duration or 0) * packet.time_base, assembly.span):
            continue
        offset = round(assembly.shift / packet.time_base)
        start = packet.pts if packet.dts is None else packet.dts
        packet.pts, packet.dts = packet.pts + offset, start + offset
        packet.stream = copies[packet.stream.index]
        clock.forward(packet)
        yield float(packet.dts * packet.time_base), packet
    if clock.moved:
        notes.append(f"{clock.moved} packets of sound or subtitles whose times went backwards were moved")


class _Clock:
    """Keeps decoding times rising in each stream, which containers insist on; Matroska lets them stand still."""

    def __init__(self) -> None:
        self.moved = 0
        self._reached: dict[int, Fraction] = {}

    def forward(self, packet: av.Packet) -> None:
        """Move a packet that comes too early to one tick of its new stream after the one before."""
        time: Any = (packet.dts or 0) * packet.time_base
        stream: Any = packet.stream
        before = self._reached.get(stream.index, time - 1)
        if time < before or (time == before and not stream.container.format.flags & Flags.ts_nonstrict.value):
            self.moved += time < before
            tick = stream.time_base
            packet.pts = packet.dts = int(before // tick) + 1
            packet.time_base = tick
            time = packet.dts * tick
        self._reached[stream.index] = time


def _readable(container: av.container.InputContainer, copies: Iterable[int], notes: list[str]) -> Iterator[Any]:
    """The timed packets of some streams up to where the source, already accepted, cannot be read further."""
    try:
        for packet in container.demux([container.streams[i] for i in copies]):
            if packet.size and packet.pts is not None:
                yield packet
    except av.error.FFmpegError as error:
        notes.append(f"sound and subtitles end where the source is damaged ({error.strerror})")


def _outside(first: Fraction, last: Fraction, span: tuple[Fraction | None, Fraction | None]) -> bool:
    start, end = span
    return (start is not None and last <= start) or (end is not None and first >= end)


def _moved_chapters(chapters: Iterable[Any], assembly: Assembly) -> list[Any]:
    """Chapters cut to the span and shifted with the video."""
    start, end = assembly.span
    moved = []
    for chapter in chapters:
        base = chapter["time_base"]
        first, last = chapter["start"] * base, chapter["end"] * base
        if _outside(first, last, assembly.span):
            continue
        first = first if start is None else max(first, start)
        last = last if end is None else min(last, end)
        moved.append(
            {
                **chapter,
                "start": round((first + assembly.shift) / base),
                "end": round((last + assembly.shift) / base),
            }
        )
    return moved
