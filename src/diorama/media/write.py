"""Frames to encoded video, one stream without audio; `mux` joins the pieces with everything else."""

import logging
import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from diorama.core.video import ColorTags, Pixels
from diorama.errors import LimitError, MediaError, UsageError
from diorama.media.atomic import DISK_FULL
from diorama.media.decode import FULL, LIMITED, RGB_COEFFICIENTS
from diorama.media.encoding import DEFAULT_CRF, DEFAULT_PRESET, Encoding

log = logging.getLogger(__name__)

PIXEL_FORMATS = {
    ("libx264", 8): ("yuv420p", "yuv444p"),
    ("libx265", 8): ("yuv420p", "yuv444p"),
    ("libsvtav1", 8): ("yuv420p", "yuv420p"),
    ("ffv1", 8): ("bgr0", "bgr0"),
    ("libx264", 16): ("yuv420p10le", "yuv444p10le"),
    ("libx265", 16): ("yuv420p10le", "yuv444p10le"),
    ("libsvtav1", 16): ("yuv420p10le", "yuv420p10le"),
    ("ffv1", 16): ("gbrp16le", "gbrp16le"),
}
# x264's AVX-512 macroblock tree reads memory nobody wrote: without the first, equal frames give unequal streams.
ALWAYS = {"libx264": ("x264-params", "cpu-independent=1"), "libx265": ("x265-params", "log-level=error")}


@dataclass(frozen=True)
class StreamSpec:
    """The stream that is written.

    Attributes:
        width, height: pixels.
        time_base: seconds per tick of the frames' pts.
        fps: average rate, for headers.
        bits: 8 for uint8 frames, 16 for uint16.
        color: tags to write; frames are full-range RGB of these primaries and transfer.
        sar: shape of a pixel.
        full_chroma: 4:4:4 instead of 4:2:0 (anaglyph colours do not survive 4:2:0).
        options: extra encoder options, by codec name.
    """

    width: int
    height: int
    time_base: Fraction
    fps: Fraction
    bits: int = 8
    color: ColorTags = ColorTags(1, 1, 1)
    sar: Fraction = Fraction(1)
    full_chroma: bool = False
    options: dict[str, dict[str, str]] = field(default_factory=dict)


class FrameWriter:
    """Encodes frames into one file; a context manager that closes the file.

    Attributes:
        packet_pts: display time of each packet in the order of decoding, in ticks of the spec's time base; complete
            once closed. Containers round these times, so `mux` takes them from here.

    Raises:
        UsageError: a frame size the encoder cannot take.
        LimitError: the disk is full.
        MediaError: the encoder failed.
    """

    def __init__(self, path: Path, spec: StreamSpec, encoding: Encoding) -> None:
        """`encoding` must be resolved; the container goes by the suffix of `path`."""
        self.path, self.spec, self.encoding = path, spec, encoding
        self.packet_pts: list[int] = []
        self._count = 0
        self.pixel_format = PIXEL_FORMATS[encoding.codec, spec.bits][spec.full_chroma]
        if "420" in self.pixel_format and (spec.width % 2 or spec.height % 2):
            raise UsageError(f"{spec.width}x{spec.height} is odd", path, "4:2:0 needs even sizes")
        self.color = _written_color(spec, self.pixel_format)
        self._reformat = VideoReformatter()
        os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder writes its settings to stderr otherwise
        try:
            self._container = av.open(str(path.absolute()), "w")
            self._stream = self._open_stream()
        except (av.error.FFmpegError, OSError) as error:
            raise write_error(error, path) from error

    def _open_stream(self) -> "av.VideoStream":
        spec, encoding = self.spec, self.encoding
        stream = self._container.add_stream(encoding.codec, rate=spec.fps.limit_denominator(100_000))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, self.pixel_format
        context = stream.codec_context
        context.time_base = stream.time_base = spec.time_base
        context.sample_aspect_ratio = spec.sar.limit_denominator(10_000)
        context.color_primaries, context.color_trc = self.color.primaries, self.color.transfer
        context.colorspace = self.color.matrix
        context.color_range = FULL if self.color.full_range else LIMITED
        context.options = _encoder_options(spec, encoding)
        return stream

    def write(self, image: Pixels, pts: int) -> None:
        """Encode one frame: RGB "h w 3" of the stream's size and depth, at `pts` ticks."""
        frame = av.VideoFrame.from_numpy_buffer(
            np.ascontiguousarray(image), format="rgb24" if self.spec.bits == 8 else "rgb48le"
        )
        frame = self._reformat.reformat(
            frame,
            format=self.pixel_format,
            dst_colorspace=RGB_COEFFICIENTS.get(self.color.matrix, 1),
            src_color_range=FULL,
            dst_color_range=FULL if self.color.full_range else LIMITED,
            interpolation=Interpolation.BICUBIC,
            threads=0,
        )
        frame.pts, frame.time_base = pts, self.spec.time_base
        frame.colorspace = self.color.matrix
        self._count += 1
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self.packet_pts.append(int(packet.pts or 0))
                if frame is None and self._count < 3:  # x265 4.2 leaves it undefined in clips of one or two frames
                    packet.dts = packet.pts
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise write_error(error, self.path) from error

    def close(self) -> None:
        """Flush the encoder and finish the file."""
        self._mux(None)
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise write_error(error, self.path) from error

    def __enter__(self) -> "FrameWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # a half-written piece is thrown away by its owner; do not wait for the encoder
            self._container.close()


def write_error(error: Exception, path: Path) -> LimitError | MediaError:
    """What a failed write means to a user."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return LimitError("the disk is full", path.parent, "free some space, then run again with --resume")
    return MediaError(f"writing failed ({getattr(error, 'strerror', '') or error})", path, "try another --codec or -o")


def _written_color(spec: StreamSpec, pixel_format: str) -> ColorTags:
    color = spec.color
    if not pixel_format.startswith("yuv"):
        return ColorTags(color.primaries, color.transfer, 0, True)
    matrix = color.matrix if color.matrix in RGB_COEFFICIENTS else (1 if spec.height >= 720 else 6)
    keep_full = color.full_range and color.matrix in RGB_COEFFICIENTS
    return ColorTags(color.primaries, color.transfer, matrix, keep_full)


def _encoder_options(spec: StreamSpec, encoding: Encoding) -> dict[str, str]:
    options = dict(spec.options.get(encoding.codec, {}))
    if encoding.codec == "ffv1":
        return {"level": "3", "slicecrc": "1", "slices": "4", **options}
    options["preset"] = encoding.preset or DEFAULT_PRESET[encoding.codec]
    options["crf"] = str(encoding.crf if encoding.crf is not None else DEFAULT_CRF[encoding.codec])
    if (always := ALWAYS.get(encoding.codec)) is not None:
        name, value = always
        options[name] = ":".join(filter(None, [value, options.get(name)]))
    return options
