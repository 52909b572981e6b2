"""Files to frames: one door for videos, animated and still images, and folders of numbered images."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8, UInt16

from diorama.core.video import ColorTags, Frame, Video
from diorama.errors import DamagedMediaError
from diorama.media.images import is_image, open_images
from diorama.media.probe import Probe, decoder_options, open_container, probe
from diorama.media.safe import Limits, local_path

RGB_COEFFICIENTS = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
FULL, LIMITED = 2, 1


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
class OpenedVideo:
    """A video with what only its file knows.

    Attributes:
        video: frames and clock, rotated upright.
        path: the file or folder.
        sar: shape of a pixel after rotation, width over height.
        notes: what the user should know (damage tolerated, other streams, interlacing).
        probe: the container's facts; None for images.
    """

    video: Video
    path: Path
    sar: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()
    probe: Probe | None = None


def open_media(given: str | Path, options: ReadOptions | None = None) -> OpenedVideo:
    """Open a video file, an image, an animated image, or a folder of numbered images.

    Raises:
        UsageError: a URL or protocol instead of a path.
        MediaError: missing, empty, or not media.
        DamagedMediaError: holds less than it declares, unless `options.tolerant`.
        LimitError: over a budget.
    """
    options = options or ReadOptions()
    path = local_path(given)
    if path.is_dir() or is_image(path):
        images = open_images(path, options.limits)
        return OpenedVideo(images.video, path, notes=images.notes)
    facts = probe(path, stream=options.stream, limits=options.limits, tolerant=options.tolerant)
    notes = facts.notes
    if facts.interlaced and not options.deinterlace:
        notes = (*notes, "the video is interlaced; --deinterlace gives cleaner edges")
    sideways = facts.rotation % 2 == 1
    width, height = (facts.height, facts.width) if sideways else (facts.width, facts.height)
    source = FileSource(facts, options)
    video = Video(
        source,
        facts.scan.pts,
        facts.scan.durations,
        facts.time_base,
        height,
        width,
        facts.bits,
        source.color,
        has_alpha=facts.has_alpha,
    )
    return OpenedVideo(video, path, 1 / facts.sar if sideways else facts.sar, notes, facts)


def open_video(given: str | Path, options: ReadOptions | None = None) -> Video:
    """As `open_media`, when only the frames and their clock are wanted."""
    return open_media(given, options).video


def assumed_color(tags: ColorTags, height: int) -> ColorTags:
    """Fill unspecified tags by the size of the picture: BT.709 from 720 lines, BT.601 below."""
    default = 1 if height >= 720 else 6
    primaries, transfer, matrix = (
        default if value in (2, 3) else value for value in (tags.primaries, tags.transfer, tags.matrix)
    )
    return ColorTags(primaries, transfer, matrix, tags.full_range)


@dataclass(frozen=True, eq=False)
class FileSource:
    """Decodes frames of one stream, from any frame on, in display order."""

    facts: Probe
    options: ReadOptions = field(default_factory=ReadOptions)

    @property
    def color(self) -> ColorTags:
        """Tags with the documented defaults filled in; all sources leave here as RGB of these primaries."""
        return assumed_color(self.facts.color, self.facts.height)

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames ``start`` to ``stop - 1``.

        Raises:
            DamagedMediaError: a frame is corrupt or changes size, unless ``options.tolerant``.
        """
        pts = self.facts.scan.pts
        stop = min(stop, len(pts))
        for picture in self._decode(int(pts[start]) if 0 < start < len(pts) else None):
            index = int(np.searchsorted(pts, picture.pts or 0))
            if index >= stop:
                return
            if index >= start:
                yield self._frame(picture, index)

    def _decode(self, since: int | None) -> Iterator[av.VideoFrame]:
        facts = self.facts
        with open_container(facts.path) as container:
            stream = container.streams[facts.stream]
            assert isinstance(stream, av.VideoStream)
            stream.thread_type = "SLICE"  # 1.4 times as fast as AUTO on two cores (platform.md 2.1)
            stream.codec_context.options = decoder_options(self.options.limits)
            if since is not None:
                container.seek(since, stream=stream, backward=True)
            graph = _Deinterlace(stream) if self.options.deinterlace else None
            for count, picture in enumerate(self._pictures(container, stream)):
                self._check(picture)
                if picture.pts is None:  # raw streams carry no clock
                    picture.pts = int(facts.scan.pts[min(count, len(facts.scan.pts) - 1)])
                yield from graph(picture) if graph else (picture,)
            if graph:
                yield from graph(None)

    def _pictures(self, container: "av.container.InputContainer", stream: "av.VideoStream") -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                if not self.options.tolerant:
                    at = float((packet.pts or 0) * self.facts.time_base)
                    raise self._damaged(f"cannot be decoded at {at:.3f} s ({error.strerror})") from error
                continue
            for picture in pictures:
                if isinstance(picture, av.VideoFrame):
                    yield picture

    def _check(self, picture: av.VideoFrame) -> None:
        facts = self.facts
        if (picture.width, picture.height) != (facts.width, facts.height):
            size = f"{picture.width}x{picture.height} after {facts.width}x{facts.height}"
            if not self.options.tolerant:
                raise self._damaged(f"the frame size changes in mid-stream ({size})")
        if picture.is_corrupt and not self.options.tolerant:
            seconds = float((picture.pts or 0) * facts.time_base)
            raise self._damaged(f"a damaged frame at {seconds:.3f} s")

    def _damaged(self, what: str) -> DamagedMediaError:
        return DamagedMediaError(what, self.facts.path, "--tolerant converts it anyway")

    def _frame(self, picture: av.VideoFrame, index: int) -> Frame:
        facts = self.facts
        rgb, alpha = to_rgb(picture, self.color, bits=facts.bits, size=(facts.width, facts.height))
        if facts.rotation:
            rgb = np.ascontiguousarray(np.rot90(rgb, facts.rotation))
            alpha = None if alpha is None else np.ascontiguousarray(np.rot90(alpha, facts.rotation))
        return Frame(rgb, int(picture.pts or 0), int(facts.scan.durations[index]), index, alpha)


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
