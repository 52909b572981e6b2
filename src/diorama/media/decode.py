"""Frames of a video file: decoded from any frame on, with what was damaged, as RGB with the right matrix and range."""

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8, UInt16

from diorama.core.video import ColorTags, Frame
from diorama.errors import DamagedMediaError
from diorama.media.damage import Damage
from diorama.media.probe import Probe, decoder_options, open_container
from diorama.media.safe import Limits

RGB_COEFFICIENTS = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
log = logging.getLogger(__name__)

FULL, LIMITED = 2, 1
SEEK_SECONDS = (0, 2, 10)


@dataclass(frozen=True)
class ReadOptions:
    """How a file is opened.

    Attributes:
        stream: index of the video stream (None: the best one).
        tolerant: convert what a damaged file still holds, instead of refusing it.
        deinterlace: rebuild whole frames from fields (bwdif), one a frame.
        limits: budgets checked before memory is taken.
    """

    stream: int | None = None
    tolerant: bool = False
    deinterlace: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, eq=False)
class FileSource:
    """Decodes frames of one stream, from any frame on, in display order; `damage` collects what was tolerated."""

    facts: Probe
    options: ReadOptions = field(default_factory=ReadOptions)
    damage: Damage = field(default_factory=Damage)

    @property
    def color(self) -> ColorTags:
        """Tags with the documented defaults filled in; all sources leave here as RGB of these primaries."""
        return assumed_color(self.facts.color, self.facts.height)

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames ``start`` to ``stop - 1``.

        Raises:
            DamagedMediaError: a frame is corrupt or changes size, unless ``options.tolerant``.
        """
        stop = min(stop, len(self.facts.scan.pts))
        following = start
        for index, picture in self._since(start) if start < stop else ():
            self._miss(following, min(index, stop))
            if index >= stop:
                return
            following = max(following, index + 1)
            yield self._frame(picture, index)
        self._miss(following, stop)

    def _miss(self, first: int, last: int) -> None:
        """Frames that no picture came for; whoever reads shows the one before."""
        for index in range(first, last):
            self.damage.add("frames without a picture, the one before is shown", self._seconds(index))

    def _since(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Numbered pictures from frame `start` on.

        A seek may land behind the frame, or on a key frame whose first neighbours refer to what lies before it. So
        what comes first is looked at, and if it is not the frame asked for, reading begins earlier.
        """
        for target in self._seeks(start):
            pictures = self._numbered(target, start)
            found = self._arrival(pictures, start)
            if found is not None:
                yield found
                yield from pictures
                return
        yield from (picture for picture in self._numbered(None, start) if picture[0] >= start)

    def _seeks(self, start: int) -> Iterator[int]:
        """Where to seek to for a frame, in ticks: rather near, then earlier."""
        scan = self.facts.scan
        for back in SEEK_SECONDS if start and scan.clocked else ():
            target = int(scan.pts[start]) - round(back / self.facts.time_base)
            if target > scan.pts[0]:
                yield target

    def _arrival(self, pictures: Iterator[tuple[int, av.VideoFrame]], start: int) -> tuple[int, av.VideoFrame] | None:
        """Picture number `start`, if it is the first that is not before it."""
        enough = not self.options.deinterlace  # that filter looks one frame back
        try:
            for picture in pictures:
                if picture[0] >= start:
                    return picture if picture[0] == start and enough else None
                enough = True
        except DamagedMediaError as error:  # a seek may land between frames
            log.debug("reading begins earlier: %s", error)
        return None

    def _numbered(self, since: int | None, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Pictures with their place in the clip, from a key frame about `since` ticks (None: from the beginning)."""
        scan = self.facts.scan
        for count, picture in enumerate(self._decode(since, start)):
            if picture.pts is None or not scan.clocked:
                picture.pts = int(scan.pts[min(count, len(scan.pts) - 1)])
            yield int(np.searchsorted(scan.pts, picture.pts)), picture

    def _decode(self, since: int | None, start: int) -> Iterator[av.VideoFrame]:
        with open_container(self.facts.path) as container:
            stream = container.streams[self.facts.stream]
            assert isinstance(stream, av.VideoStream)
            stream.thread_type = "SLICE"  # 1.4 times as fast as AUTO on two cores (platform.md 2.1)
            stream.codec_context.options = decoder_options(self.options.limits)
            packets = container.demux(stream)
            if since is not None:
                container.seek(since, stream=stream, backward=True)
                packets = itertools.dropwhile(lambda packet: not packet.is_keyframe, packets)
            graph = _Deinterlace(stream) if self.options.deinterlace else None
            for picture in self._pictures(packets, start):
                self._check(picture, start)
                yield from graph(picture) if graph else (picture,)
            if graph:
                yield from graph(None)

    def _pictures(self, packets: Iterable[av.Packet], start: int) -> Iterator[av.VideoFrame]:
        for packet in packets:
            try:
                pictures = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self._tolerate(
                    "packets that cannot be decoded", f"it cannot be decoded ({error.strerror})", packet, start
                )
                continue
            for picture in pictures:
                if isinstance(picture, av.VideoFrame):
                    yield picture

    def _check(self, picture: av.VideoFrame, start: int) -> None:
        facts = self.facts
        if (picture.width, picture.height) != (facts.width, facts.height):
            size = f"{picture.width}x{picture.height} after {facts.width}x{facts.height}"
            self._tolerate("frames of another size, scaled", f"the frame size changes ({size})", picture, start)
        if picture.is_corrupt:
            self._tolerate("damaged frames", "a damaged frame", picture, start)

    def _tolerate(self, kind: str, what: str, item: av.Packet | av.VideoFrame, start: int) -> None:
        """Note damage at or after frame `start`, or refuse it; what comes before is not shown."""
        at = float((item.pts or 0) * self.facts.time_base)
        if item.pts is not None and at < self._seconds(start):
            return
        if not self.options.tolerant:
            raise DamagedMediaError(f"{what} at {at:.3f} s", self.facts.path, "--tolerant converts it anyway")
        self.damage.add(kind, at)

    def _seconds(self, index: int) -> float:
        return float(int(self.facts.scan.pts[index]) * self.facts.time_base)

    def _frame(self, picture: av.VideoFrame, index: int) -> Frame:
        facts = self.facts
        rgb, alpha = to_rgb(picture, self.color, bits=facts.bits, size=(facts.width, facts.height))
        if facts.rotation:
            rgb = np.ascontiguousarray(np.rot90(rgb, facts.rotation))
            alpha = None if alpha is None else np.ascontiguousarray(np.rot90(alpha, facts.rotation))
        return Frame(rgb, int(picture.pts or 0), int(facts.scan.durations[index]), index, alpha)


def assumed_color(tags: ColorTags, height: int) -> ColorTags:
    """Fill unspecified tags by the size of the picture: BT.709 from 720 lines, BT.601 below."""
    default = 1 if height >= 720 else 6
    primaries, transfer, matrix = (
        default if value in (2, 3) else value for value in (tags.primaries, tags.transfer, tags.matrix)
    )
    return ColorTags(primaries, transfer, matrix, tags.full_range)


def to_rgb(
    picture: av.VideoFrame, color: ColorTags, *, bits: int, size: tuple[int, int]
) -> tuple[
    UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"],
    UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None,
]:
    """A decoded picture as full-range RGB (and alpha) of its own primaries and transfer.

    Args:
        picture: as FFmpeg decoded it.
        color: tags without unspecified fields (`assumed_color`).
        bits: 8 gives uint8; more gives uint16 spanning 0..65535.
        size: width and height of the result.
    """
    alpha = any(component.is_alpha for component in picture.format.components)
    layout = ("rgba" if alpha else "rgb24") if bits == 8 else ("rgba64le" if alpha else "rgb48le")
    full = color.full_range or picture.format.is_rgb
    converted = VideoReformatter().reformat(
        picture,
        *size,
        format=layout,
        src_colorspace=RGB_COEFFICIENTS.get(color.matrix, 5),
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
        threads=1,
    )
    array = converted.to_ndarray()
    if not alpha:
        return array, None
    return np.ascontiguousarray(array[..., :3]), np.ascontiguousarray(array[..., 3])


class _Deinterlace:
    """FFmpeg's bwdif filter as a function from a picture (None: the end) to finished pictures."""

    def __init__(self, stream: "av.VideoStream") -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream)
        bwdif = graph.add("bwdif", "mode=send_frame:deint=all")
        sink = graph.add("buffersink")
        graph.link_nodes(source, bwdif, sink).configure()
        self._graph, self._time_base = graph, stream.time_base

    def __call__(self, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        self._graph.push(picture)
        while True:
            try:
                done = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(done, av.VideoFrame)
            if done.pts is not None and done.time_base and self._time_base:  # the filter counts fields
                done.pts = round(done.pts * done.time_base / self._time_base)
            yield done
