"""Video: frames with their own timestamps, lazily produced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt8, UInt16

from diorama.errors import UsageError

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class ColorTags:
    """Colour description by the code points of ITU-T H.273; 2 means unspecified.

    Attributes:
        primaries: 1 BT.709, 5/6 BT.601, 9 BT.2020.
        transfer: 1 BT.709, 13 sRGB, 16 PQ, 18 HLG.
        matrix: 0 RGB, 1 BT.709, 5/6 BT.601, 9 BT.2020 non-constant.
        full_range: whether code values span the whole range.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False

    @property
    def hdr(self) -> bool:
        """Whether the transfer is PQ or HLG."""
        return self.transfer in (16, 18)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it is shown.

    Attributes:
        image: RGB, uint8, or uint16 spanning the full 16-bit range where the source has more than 8 bits.
        pts: presentation time in ticks of the video's `time_base`.
        duration: ticks until the next frame.
        index: number of the frame in its source, from 0.
        alpha: coverage in the same integer range as `image`, or None where the source has none.
    """

    image: Pixels
    pts: int
    duration: int
    index: int
    alpha: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None = None


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from: an array in memory, a file being decoded."""

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames ``start`` to ``stop - 1`` in display order."""
        ...


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Frames in memory: ``images`` "t h w 3" with one pts and duration each."""

    images: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"]
    pts: Int64[np.ndarray, "t"]
    durations: Int64[np.ndarray, "t"]

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        for i in range(start, min(stop, len(self.images))):
            yield Frame(self.images[i], int(self.pts[i]), int(self.durations[i]), i)


@dataclass(frozen=True, eq=False)
class Video:
    """A clip: a source of frames, their clock, and how their colours are meant.

    Iterating decodes; nothing is held. Slicing gives a window on the same source.

    Attributes:
        source: yields the frames.
        pts: start of each frame in ticks, strictly increasing. For files this comes from the packets, without
            decoding; a decoded `Frame` carries its own.
        durations: ticks each frame is shown.
        time_base: seconds per tick.
        height, width: pixels, after rotation.
        bits: 8, or more where frames are uint16.
        color: colour tags, kept through to the output.
        start: index in `source` of the first frame of this window.
        has_alpha: whether frames carry alpha.

    Raises:
        UsageError: no size, a clock that stands still, or not one duration a frame.
    """

    source: FrameSource = field(repr=False)
    pts: Int64[np.ndarray, "t"] = field(repr=False)
    durations: Int64[np.ndarray, "t"] = field(repr=False)
    time_base: Fraction
    height: int
    width: int
    bits: int = 8
    color: ColorTags = ColorTags()
    start: int = 0
    has_alpha: bool = False

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UsageError(f"frames of {self.width}x{self.height}", "Video", "give sizes of 1 or more")
        if self.time_base <= 0:
            raise UsageError(f"a time base of {self.time_base}", "Video", "give seconds per tick above 0")
        if len(self.durations) != len(self.pts):
            raise UsageError(f"{len(self.durations)} durations for {len(self.pts)} frames", "Video")
        if (np.diff(self.pts) <= 0).any():
            late = int(np.argmax(np.diff(self.pts) <= 0)) + 1
            raise UsageError(f"frame {late} is not shown after the one before it", "Video", "give rising times")

    @classmethod
    def from_array(
        cls,
        images: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"],
        *,
        fps: Fraction | int = 25,
        color: ColorTags = ColorTags(1, 1, 1),
    ) -> "Video":
        """A constant-rate clip of frames in memory."""
        pts = np.arange(len(images), dtype=np.int64)
        source = ArraySource(images, pts, np.ones_like(pts))
        bits = 8 if images.dtype == np.uint8 else 16
        return cls(source, pts, source.durations, 1 / Fraction(fps), images.shape[1], images.shape[2], bits, color)

    def __len__(self) -> int:
        return len(self.pts)

    def __iter__(self) -> Iterator[Frame]:
        return self.source.read(self.start, self.start + len(self))

    def __getitem__(self, window: slice) -> "Video":
        start, stop, step = window.indices(len(self))
        if step != 1:
            raise UsageError(f"step {step} in a video slice", fix="slice with step 1, resample with --fps")
        stop = max(start, stop)
        return replace(
            self,
            pts=self.pts[start:stop],
            durations=self.durations[start:stop],
            start=self.start + start,
        )

    def stack(self) -> UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"]:
        """All frames as one array; memory grows with the clip."""
        return np.stack([frame.image for frame in self])

    @cached_property
    def fps(self) -> Fraction:
        """Average frame rate in 1/s."""
        if len(self) == 0:
            return Fraction(25)
        return Fraction(len(self)) / max(self.seconds, self.time_base)

    @property
    def seconds(self) -> Fraction:
        """Length from the first frame's start to the last frame's end."""
        if len(self) == 0:
            return Fraction(0)
        return int(self.pts[-1] + self.durations[-1] - self.pts[0]) * self.time_base

    @property
    def constant_rate(self) -> bool:
        """Whether all frames but the last last equally long (to the tick that container rounding costs)."""
        if len(self) < 3:
            return True
        steps = np.diff(self.pts)
        return int(steps.max() - steps.min()) <= 1

    def times(self) -> Sequence[float]:
        """Start of each frame in seconds, for reports."""
        return [float(int(t) * self.time_base) for t in self.pts]
