"""What a media file holds, found without decoding more than its first frame.

Packets are listed once (no decoding): that gives every timestamp, and shows whether the file holds as many frames as
its header declares, before hours are spent on a damaged file.
"""

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.video.stream
import numpy as np
from jaxtyping import Int64

from diorama.core.video import ColorTags
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.media.hdr import HdrMetadata, hdr_metadata
from diorama.media.refusal import beyond_ffmpeg, encrypted, is_protected, reason, unreadable
from diorama.media.safe import CONTAINER_OPTIONS, Limits, regular_file

log = logging.getLogger(__name__)

CLOCKLESS = ("avi",)
"""Formats whose packets are only in decoding order, whatever times FFmpeg makes up for them."""


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a container, for listing and choosing."""

    index: int
    type: str
    codec: str
    language: str = ""

    def __str__(self) -> str:
        return f"{self.index}: {self.type} {self.codec} {self.language}".rstrip()


@dataclass(frozen=True, eq=False)
class Scan:
    """The packets of one video stream.

    Attributes:
        pts: start of each frame in ticks, sorted.
        durations: ticks each frame is shown.
        declared: frames the header promises (0: it does not say).
        declared_seconds: length the header promises (0: it does not say).
        reached: where the last packet of any stream ends, in seconds.
        corrupt: seconds at which packets begin that FFmpeg flagged as damaged.
        clocked: whether packets say when their frames are shown; else frames come in order, one a packet.
    """

    pts: Int64[np.ndarray, "t"] = field(repr=False)
    durations: Int64[np.ndarray, "t"] = field(repr=False)
    declared: int
    declared_seconds: float
    reached: float = 0.0
    corrupt: tuple[float, ...] = ()
    clocked: bool = True


@dataclass(frozen=True, eq=False)
class Probe:
    """A readable video file and its facts.

    Attributes:
        width, height: coded pixels, before rotation.
        rotation: counter-clockwise quarter turns to apply to decoded frames.
        sar: shape of a pixel, width over height, before rotation.
        bits: per component.
        hdr: static HDR10 metadata, where the first frame carries it.
    """

    path: Path
    format: str
    streams: tuple[StreamInfo, ...]
    stream: int
    width: int
    height: int
    rotation: int
    sar: Fraction
    time_base: Fraction
    bits: int
    color: ColorTags
    has_alpha: bool
    interlaced: bool
    scan: Scan
    notes: tuple[str, ...] = ()
    hdr: HdrMetadata | None = None


def open_container(path: Path) -> av.container.InputContainer:
    """Open a local media file with every other door closed.

    Raises:
        MediaError: not media of a listed format, or without its index.
        LimitError: frames larger than FFmpeg takes at all.
    """
    try:
        return av.open(str(path.absolute()), options=dict(CONTAINER_OPTIONS), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def probe(
    given: str | Path, *, stream: int | None = None, limits: Limits | None = None, tolerant: bool = False
) -> Probe:
    """Read the facts of a video file.

    Args:
        given: a path to a local file.
        stream: index of the video stream to take; the default is FFmpeg's best.
        limits: budgets, checked against the header before a frame is allocated.
        tolerant: accept a file that holds fewer frames than it declares.

    Raises:
        MediaError: unreadable, or no video stream.
        DamagedMediaError: fewer frames than declared, unless `tolerant`.
        LimitError: over a budget.
    """
    limits = limits or Limits()
    path = regular_file(given)
    with open_container(path) as container:
        streams = tuple(StreamInfo(s.index, s.type, _codec_name(s), s.language or "") for s in container.streams)
        chosen = _choose(container, streams, stream, path)
        context = chosen.codec_context
        limits.check_size(context.width, context.height, path)
        if context.width == 0:
            raise beyond_ffmpeg(path) or MediaError("the header states no frame size", path, "re-encode it")
        scan = _scan(container, chosen, path)
        format_name, index = container.format.name, chosen.index
        time_base = chosen.time_base or Fraction(1, 1000)
        sar = context.sample_aspect_ratio or Fraction(1)
    with open_container(path) as container:
        first = _first_frame(container, index, limits, path)
    limits.check_size(first.width, first.height, path)
    seconds = float((scan.pts[-1] - scan.pts[0] + scan.durations[-1]) * time_base) if len(scan.pts) else 0.0
    limits.check_length(len(scan.pts), seconds, path)
    notes = _check_complete(scan, seconds, path, tolerant=tolerant)
    others = [s for s in streams if s.type == "video" and s.index != index]
    if others:
        listed = "; ".join(str(s) for s in others)
        notes = (*notes, f"several video streams, taking {index} (others: {listed}); choose with --map")
    return Probe(
        path,
        format_name,
        streams,
        index,
        first.width,
        first.height,
        round(first.rotation / 90) % 4,
        sar,
        time_base,
        max(component.bits for component in first.format.components),
        color_tags(first),
        any(component.is_alpha for component in first.format.components),
        bool(first.interlaced_frame),
        scan,
        notes,
        hdr_metadata(first),
    )


def color_tags(frame: av.VideoFrame) -> ColorTags:
    """The colour tags of a decoded frame."""
    rgb = frame.format.is_rgb
    return ColorTags(
        int(frame.color_primaries),
        int(frame.color_trc),
        0 if rgb else int(frame.colorspace),
        rgb or int(frame.color_range) == 2 or frame.format.name.startswith("yuvj"),
    )


def decoder_options(limits: Limits) -> dict[str, str]:
    """Codec options: FFmpeg itself refuses a frame over the budget, also when it grows in mid-stream."""
    return {"max_pixels": str(limits.frame_pixels)}


def _codec_name(stream: "av.stream.Stream") -> str:
    context = stream.codec_context
    return context.name if context is not None else "unknown"


def _choose(
    container: av.container.InputContainer, streams: tuple[StreamInfo, ...], wanted: int | None, path: Path
) -> "av.video.stream.VideoStream":
    videos = [s for s in container.streams.video if s.codec_context is not None and not _is_cover(s)]
    if not videos:
        if is_protected(path):
            raise encrypted(path)
        unknown = {s.index: " of an unknown codec" for s in streams if s.codec == "unknown"}
        found = ", ".join(sorted({s.type + unknown.get(s.index, "") for s in streams})) or "nothing"
        raise MediaError(f"no video stream (found: {found})", path, "give a file with video")
    if wanted is None:
        return container.streams.best("video", None) if len(videos) > 1 else videos[0]  # type: ignore[return-value]
    for video in videos:
        if video.index == wanted:
            return video
    known = "; ".join(str(s) for s in streams)
    raise UsageError(f"stream {wanted} is not a video stream", path, f"the streams are {known}")


def _is_cover(stream: "av.video.stream.VideoStream") -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _scan(container: av.container.InputContainer, stream: "av.video.stream.VideoStream", path: Path) -> Scan:
    pts: list[int] = []
    durations: list[int] = []
    corrupt: list[float] = []
    hidden, reached, timed = 0, 0.0, False
    tick = stream.time_base or Fraction(1, 1000)
    try:
        for packet in container.demux():
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and packet.time_base:
                reached = max(reached, float((stamp + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            if packet.size == 0 or packet.is_discard:  # an edit list hides some packets
                hidden += packet.size > 0
                continue
            if packet.has_sidedata("encryption_info"):
                raise encrypted(path)
            timed |= packet.pts is not None
            pts.append(stamp if stamp is not None else len(pts))
            if packet.is_corrupt:
                corrupt.append(float(pts[-1] * tick))
            durations.append(packet.duration or 0)
    except av.error.FFmpegError as error:
        log.debug("listing packets stopped: %s", error)
        corrupt.append(float(max(pts, default=0) * tick))
    stamps = np.array(pts, np.int64)
    order = np.argsort(stamps, kind="stable")
    stamps, lengths = stamps[order], np.array(durations, np.int64)[order]
    stamps, first = np.unique(stamps, return_index=True)
    lengths = _fill_durations(stamps, lengths[first], stream)
    declared_seconds = float((stream.duration or 0) * tick)
    if not declared_seconds and container.duration:
        declared_seconds = container.duration / 1e6
    declared, clocked = max(0, stream.frames - hidden), timed and container.format.name not in CLOCKLESS
    return Scan(stamps, lengths, declared, declared_seconds, reached, tuple(sorted(corrupt)), clocked)


def _fill_durations(
    pts: Int64[np.ndarray, "t"], durations: Int64[np.ndarray, "t"], stream: "av.video.stream.VideoStream"
) -> Int64[np.ndarray, "t"]:
    """A frame lasts until the next one starts; only the last needs the packet's own word."""
    if len(pts) == 0:
        return durations
    rate = stream.average_rate or Fraction(25)
    last = int(durations[-1]) or max(1, round(1 / rate / (stream.time_base or Fraction(1, 1000))))
    return np.append(np.diff(pts), last).astype(np.int64)


def _first_frame(container: av.container.InputContainer, index: int, limits: Limits, path: Path) -> av.VideoFrame:
    stream = container.streams[index]
    stream.codec_context.options = decoder_options(limits)
    try:
        for frame in container.decode(stream):
            if isinstance(frame, av.VideoFrame):
                return frame
    except av.error.FFmpegError as error:
        raise MediaError(f"its video cannot be decoded ({reason(error)})", path, "re-encode it") from error
    raise MediaError("a video stream with 0 frames", path, "check how it was made")


def _check_complete(scan: Scan, seconds: float, path: Path, *, tolerant: bool) -> tuple[str, ...]:
    have, promised = len(scan.pts), scan.declared
    whole = not scan.corrupt or have >= promised > 0
    # Containers without a frame count still state a length; some stream must come near it.
    reached = max(seconds, scan.reached)
    short = have < promised if promised else reached + max(0.5, 0.1 * reached) < scan.declared_seconds
    if not short and whole:
        return ()
    if short:
        usable = have - len(scan.corrupt)
        lengths = f"({seconds:.2f} of {scan.declared_seconds:.2f} s)"
        found = f"damaged or cut off: {usable} of {promised or '?'} frames {lengths}"
    else:
        found = f"damaged at {scan.corrupt[0]:.3f} s ({len(scan.corrupt)} of {have} packets)"
    if not tolerant:
        raise DamagedMediaError(found, path, "--tolerant converts what is there")
    return (f"{found}; converting what is there",)
