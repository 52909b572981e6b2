"""Coverage and depth codes as lossless grey video: FFV1 in Matroska, every frame a key frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import ColorRange
from jaxtyping import Bool, UInt8, UInt16

from diorama.core.layers import Map, Maps
from diorama.errors import DamagedMediaError
from diorama.media.safe import CONTAINER_OPTIONS

_TICK = Fraction(1, 1000)  # Matroska counts milliseconds: frame i is at tick i
_CODEC = {"level": "3", "g": "1", "slices": "4", "context": "0"}
_KINDS = {"gray": np.uint8, "gray16le": np.uint16}


class MapWriter:
    """Writes one map after the other; the file is whole when the block ends."""

    def __init__(self, path: Path, *, height: int, width: int, bits: int) -> None:
        self.count = 0
        self._last: tuple[Map, bytes] | None = None
        options = {"fflags": "+bitexact"}  # no random numbers: the same maps give the same bytes
        self._container = av.open(str(path.absolute()), "w", format="matroska", options=options)
        self._stream = self._container.add_stream("ffv1", rate=1000, options=dict(_CODEC))
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "gray" if bits == 8 else "gray16le"
        self._stream.codec_context.color_range = ColorRange.JPEG
        self._stream.time_base = _TICK

    def __enter__(self) -> "MapWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def write(self, values: Map) -> None:
        """The next map, of the file's size and bits; one like the last is not coded again."""
        assert self._stream.pix_fmt is not None
        if self._last is not None and np.array_equal(self._last[0], values):
            packets = [self._again(self._last[1])]
        else:
            packets = self._stream.encode(_frame(values, self._stream.pix_fmt, self.count))
            self._last = (values.copy(), bytes(packets[0])) if len(packets) == 1 else None
        self._container.mux(packets)
        self.count += 1

    def _again(self, data: bytes) -> av.Packet:
        """The packet of the last frame for this one: as each is a key frame, it says nothing of its place."""
        packet = av.Packet(data)
        packet.stream, packet.time_base = self._stream, _TICK
        packet.pts = packet.dts = self.count
        packet.duration, packet.is_keyframe = 1, True
        return packet


def write_maps(path: Path, maps: Iterable[Map], *, height: int, width: int, bits: int) -> int:
    """Write maps of 8 or 16 bits; returns how many there were."""
    with MapWriter(path, height=height, width=width, bits=bits) as writer:
        for values in maps:
            writer.write(values)
    return writer.count


def open_maps(path: Path, *, length: int, height: int, width: int, bits: int) -> Maps:
    """Maps of a file written by `write_maps`, decoded when read; what it holds is checked then."""
    return Maps(MapFile(path, height, width, bits), length, height, width)


@dataclass(frozen=True)
class MapFile:
    """Decodes the maps of one file.

    Attributes:
        path: the file.
        height, width, bits: what it must hold.
    """

    path: Path
    height: int
    width: int
    bits: int

    def read(self, start: int, stop: int) -> Iterator[Map]:
        """Yield maps ``start`` to ``stop - 1``.

        Raises:
            DamagedMediaError: not such a file, another size or depth, corrupt, or too short.
        """
        wanted = start
        try:
            for index, frame in self._decode(start):
                if index >= stop:
                    return
                if index == wanted:
                    yield self._values(frame)
                    wanted += 1
        except av.error.FFmpegError as error:
            raise DamagedMediaError(f"cannot be decoded ({error.strerror})", self.path) from error
        if wanted < stop:
            raise DamagedMediaError(f"ends at frame {wanted}, expected {stop}", self.path)

    def _decode(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        with av.open(str(self.path.absolute()), options=CONTAINER_OPTIONS) as container:
            if len(container.streams.video) != 1 or container.streams.video[0].codec_context.name != "ffv1":
                raise DamagedMediaError("does not hold one FFV1 stream", self.path)
            stream = container.streams.video[0]
            if (stream.height, stream.width) != (self.height, self.width):
                found = f"{stream.width}x{stream.height}"
                raise DamagedMediaError(f"{found}, expected {self.width}x{self.height}", self.path)
            budget = str((self.height + 128) * (self.width + 128))  # FFmpeg counts aligned rows
            stream.codec_context.options = {"max_pixels": budget, "err_detect": "explode"}
            stream.thread_type = "SLICE"
            if start:
                container.seek(start, stream=stream)
            for frame in container.decode(stream):
                yield round(float((frame.pts or 0) * (frame.time_base or _TICK) / _TICK)), frame

    def _values(self, frame: av.VideoFrame) -> Map:
        kind = _KINDS.get(frame.format.name)
        if kind is None or 8 * np.dtype(kind).itemsize != self.bits or frame.is_corrupt:
            raise DamagedMediaError(f"a frame of {frame.format.name}, expected {self.bits} bits of grey", self.path)
        return frame.to_ndarray()


def _frame(values: Map | Bool[np.ndarray, "h w"], pix_fmt: str, index: int) -> av.VideoFrame:
    codes: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] = np.ascontiguousarray(values)
    frame = av.VideoFrame.from_ndarray(codes, format=pix_fmt)
    frame.pts, frame.time_base = index, _TICK
    frame.color_range = ColorRange.JPEG
    return frame
