"""Which source frame is shown when: trimming, resampling and resizing decided before anything is decoded."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np
from jaxtyping import Int64

from diorama.core.video import Frame, Video
from diorama.errors import UsageError
from diorama.pipelines.presets import Clip

MIN_SIDE = 32


@dataclass(frozen=True, eq=False)
class Schedule:
    """The frames of a run.

    Attributes:
        video: the source.
        index: source frame of each output frame.
        pts: when each output frame is shown, in ticks of `time_base`.
        time_base: seconds per tick of `pts`.
        first, end: span of the source that is used, in source seconds.
        trimmed: whether the span is only a part of the source, which then moves to time 0.
        height, width: of the frames after scaling, even.
        background: 8-bit RGB behind transparent pixels.
    """

    video: Video = field(repr=False)
    index: Int64[np.ndarray, "n"] = field(repr=False)
    pts: Int64[np.ndarray, "n"] = field(repr=False)
    time_base: Fraction
    first: Fraction
    end: Fraction
    trimmed: bool
    height: int
    width: int
    background: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shift(self) -> Fraction:
        """Seconds to add to source times to get output times."""
        return -self.first if self.trimmed else Fraction(0)

    @property
    def fps(self) -> Fraction:
        """Average rate of the output."""
        return Fraction(len(self)) / max(self.end - self.first, self.time_base)

    @property
    def last_duration(self) -> int:
        """Ticks that the last output frame is shown."""
        whole = round((self.end - self.first) / self.time_base)
        return max(1, whole - int(self.pts[-1] - self.pts[0]))

    def frames(self, since: int = 0) -> Iterator[tuple[int, Frame]]:
        """Yield (position, frame) from output position `since` on, scaled and opaque, with the output's pts."""
        if since >= len(self):
            return
        start = int(self.index[since])
        source = self.video.source.read(start, int(self.index[-1]) + 1)
        place = since
        for shown, following in _with_next(source):
            upto = len(self) if following is None else int(np.searchsorted(self.index, following.index))
            if place >= upto:
                continue
            ready = self._prepared(shown)
            while place < upto:
                yield place, replace(ready, pts=int(self.pts[place]))
                place += 1

    def _prepared(self, frame: Frame) -> Frame:
        image, alpha = frame.image, frame.alpha
        if alpha is not None:
            image = _over(image, alpha, self.background)
        if image.shape[:2] != (self.height, self.width):
            smaller = self.height * self.width < image.shape[0] * image.shape[1]
            method = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
            image = cv2.resize(image, (self.width, self.height), interpolation=method)
        return replace(frame, image=np.ascontiguousarray(image), alpha=None)


def schedule(video: Video, clip: Clip, widen: Fraction = Fraction(1), *, clocked: bool = True) -> Schedule:
    """Decide the frames of a run.

    Args:
        video: the source.
        clip: trimming, rate, scale and background.
        widen: factor on the width, which makes pixels square where the output cannot say that they are not.
        clocked: whether the source has a clock of its own. Numbered images have none: there `clip.fps` says how fast
            they follow each other, and every one of them is shown.

    Raises:
        UsageError: nothing lies between start and end, or the frames are too small to have two eyes.
    """
    height = _scaled(video.height, clip.scale)
    width = _scaled(video.width, clip.scale * float(widen))
    if min(height, width) < MIN_SIDE:
        raise UsageError(
            f"frames of {width}x{height} are too small", "", f"at least {MIN_SIDE} pixels a side are needed"
        )
    if clip.fps is not None and not clocked:
        video, clip = _paced(video, _rate(clip.fps)), replace(clip, fps=None)
    start, stop = _span(video, clip)
    first = int(video.pts[start]) * video.time_base
    end = int(video.pts[stop - 1] + video.durations[stop - 1]) * video.time_base
    trimmed = start > 0 or stop < len(video)
    if clip.fps is None:
        index = np.arange(start, stop, dtype=np.int64)
        moved = int(video.pts[start]) if trimmed else 0
        pts, time_base = video.pts[start:stop] - moved, video.time_base
    else:
        rate = _rate(clip.fps)
        count = max(1, round((end - first) * rate))
        ticks = np.arange(count, dtype=np.int64)
        at = np.array([float(first + Fraction(int(k)) / rate) for k in ticks]) + 1e-9
        starts = video.pts[start:stop] * float(video.time_base)
        index = start + np.maximum(np.searchsorted(starts, at, side="right") - 1, 0)
        offset = Fraction(0) if trimmed else first
        pts, time_base = ticks + round(offset * rate), 1 / rate
    return Schedule(
        video,
        index.astype(np.int64),
        pts.astype(np.int64),
        time_base,
        first,
        end,
        trimmed,
        height,
        width,
        clip.background_rgb,
    )


def _rate(fps: float) -> Fraction:
    """Frames per second as a fraction; 23.976, 29.97 and 59.94 are how people write multiples of 1000/1001."""
    television = Fraction(round(fps) * 1000, 1001)
    whole = fps == round(fps)
    return television if not whole and abs(fps - television) < 0.002 else Fraction(fps).limit_denominator(1001)


def _paced(video: Video, rate: Fraction) -> Video:
    """The same frames, one after the other at `rate`."""
    ticks = np.arange(len(video), dtype=np.int64)
    return replace(video, pts=ticks, durations=np.ones_like(ticks), time_base=1 / rate)


def _scaled(side: int, factor: float) -> int:
    """A side after scaling, even unless it is as it was."""
    return side if factor == 1 else max(2, 2 * round(side * factor / 2))


def _span(video: Video, clip: Clip) -> tuple[int, int]:
    start, end = clip.span
    times = (video.pts - video.pts[0]) * float(video.time_base) + 1e-6
    first = int(np.searchsorted(times, start)) if start else 0
    stop = len(video) if end is None else int(np.searchsorted(times, end))
    if first >= stop:
        length = float(video.seconds)
        raise UsageError(
            f"no frame between {clip.start or 0} and {clip.end or 'the end'}",
            "--start/--end",
            f"the clip is {length:.2f} s long",
        )
    return first, stop


def _with_next(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    held = next(frames, None)
    while held is not None:
        following = next(frames, None)
        yield held, following
        held = following


def _over(image: np.ndarray, alpha: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Alpha-over on a plain colour, in the integer range of the image."""
    top = np.iinfo(image.dtype).max
    ground = np.array(background, np.uint32) * (top // 255)
    cover = alpha[..., None].astype(np.uint32)
    blended = (image * cover + ground * (top - cover) + top // 2) // top
    return blended.astype(image.dtype)
