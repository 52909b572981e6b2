"""Frames of one shot of a picture or clip, evenly chosen and at working size: read again whenever they are wanted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.progress import Progress
from diorama.core.video import Frame, Video
from diorama.errors import DamagedMediaError, UsageError
from diorama.media.read import OpenedVideo
from diorama.perception.shots import track
from diorama.perception.shrink import eight_bits
from diorama.pipelines.cutout_config import CutoutConfig

LEAST_SIDE = 8
"""Pixels of a picture's shorter side, at least."""
WORK_SIDE = 1280
"""Pixels of the longer side to which frames are reduced."""
LOOKS = 10.0
"""Frames a second, at least, where something is followed."""
FAR = 48
"""Frames from one that is wanted to the next above which the file is opened anew there."""


@dataclass(frozen=True, eq=False)
class View:
    """A frame as it is worked on.

    Attributes:
        image: RGB with square pixels; what is transparent shows what is stored there.
        alpha: coverage 0..1; None where the file has none.
        index: number of the frame in its clip, from 0.
    """

    image: UInt8[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"] | None
    index: int

    @property
    def lost(self) -> str:
        """What is told where this is the first frame that does not show the subject."""
        return f"the subject is lost from frame {self.index} on"

    @property
    def frame(self) -> Frame:
        """The picture for those who look at frames."""
        return Frame(self.image, self.index, 1, self.index)


@dataclass(frozen=True, eq=False)
class Clip:
    """Chosen frames of one shot.

    Attributes:
        video: all frames.
        picks: numbers of the chosen ones, rising.
        fps: chosen frames a second.
        height, width: of frames as they are worked on.
        scale: their size over the file's, in rows.
        full: frames, rows and columns of the file.
        notes: what was assumed.
    """

    video: Video
    picks: tuple[int, ...]
    fps: float
    height: int
    width: int
    scale: float
    full: tuple[int, int, int]
    notes: tuple[str, ...]

    def views(self, indices: Sequence[int]) -> Iterator[View]:
        """Frames by their numbers, rising; one that cannot be decoded is told by its successor."""
        for run in _runs(indices):
            wanted = iter(run)
            want, last = next(wanted, None), None
            for frame in self.video[run[0] : run[-1] + 1]:
                last = frame
                while want is not None and frame.index >= want:
                    yield self._view(frame, want)
                    want = next(wanted, None)
            while want is not None and last is not None:
                yield self._view(last, want)
                want = next(wanted, None)

    def first(self) -> View:
        """The first of the chosen frames.

        Raises:
            DamagedMediaError: it cannot be decoded.
        """
        for view in self.views(self.picks[:1]):
            return view
        raise DamagedMediaError("the first frame cannot be decoded", "the clip", "check or re-save it")

    def looks(self) -> tuple[int, ...]:
        """The chosen frames and as many between them as following something needs."""
        found = list[int]()
        for before, after in pairwise(self.picks):
            gap = float(int(self.video.pts[after] - self.video.pts[before]) * self.video.time_base)
            steps = min(after - before, max(1, int(np.ceil(gap * LOOKS))))
            found += [before + (after - before) * step // steps for step in range(steps)]
        return (*found, self.picks[-1])

    def _view(self, frame: Frame, index: int) -> View:
        image, alpha = eight_bits(frame.image), None
        if frame.alpha is not None:
            alpha = (frame.alpha / np.float32(np.iinfo(frame.alpha.dtype).max)).astype(np.float32)
        if image.shape[:2] != (self.height, self.width):
            image = _brought(image, self.height, self.width)
            alpha = None if alpha is None else _brought(alpha, self.height, self.width)
        return View(np.ascontiguousarray(image), alpha, index)


def _brought(values: np.ndarray, height: int, width: int) -> np.ndarray:
    smaller = height * width < values.shape[0] * values.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (width, height), interpolation=way), values.dtype)


def _runs(indices: Sequence[int]) -> list[list[int]]:
    """Frames that are read in one go: from one to the next is not far."""
    runs: list[list[int]] = [[indices[0]]]
    for before, after in pairwise(indices):
        if after - before > FAR:
            runs.append([])
        runs[-1].append(after)
    return runs


def choose(opened: OpenedVideo, config: CutoutConfig, told: Progress) -> Clip:
    """The frames of a picture or clip that are used: of its first shot, evenly over the time asked for.

    Raises:
        UsageError: no frame, or a tiny picture.
        DioramaError: what reading a damaged or missing file raises.
    """
    video = opened.video
    height, width = video.height, video.width
    if len(video) == 0 or min(height, width) < LEAST_SIDE:
        what = "no frame" if len(video) == 0 else f"a picture of {width}x{height} pixels"
        raise UsageError(what, opened.path, f"give a picture or clip of {LEAST_SIDE}x{LEAST_SIDE} pixels or more")
    notes = list(opened.notes if opened.probe is not None else ())
    if config.seconds:
        video = video[: max(1, int(np.searchsorted(video.pts, video.pts[0] + config.seconds / video.time_base)))]
    length = _first_shot(video, told)
    if length < len(video):
        notes.append(f"a scene cut after {_time(video, length):.1f} s: only what is before it is used")
        video = video[:length]
    picks, fps = _picked(video, config)
    wide = width * float(opened.sar)
    scale = min(1.0, WORK_SIDE / max(height, wide))
    size = max(1, round(height * scale)), max(1, round(wide * scale))
    return Clip(video, picks, fps, *size, scale, (len(opened.video), height, width), tuple(notes))


def _first_shot(video: Video, told: Progress) -> int:
    """Frames before the first cut; they are looked at one after the other, none is held."""
    if len(video) < 2:
        return len(video)
    told.begin("scene cuts", len(video))
    for tracked in track(video, moving=False):
        told.advance()
        if tracked.shot > 0:
            return max(1, tracked.frame.index)
    return len(video)


def _time(video: Video, index: int) -> float:
    return float(int(video.pts[index] - video.pts[0]) * video.time_base)


def _picked(video: Video, config: CutoutConfig) -> tuple[tuple[int, ...], float]:
    """Numbers of frames, and how many of them there are in a second."""
    seconds = float(video.seconds)
    if len(video) == 1 or config.frames == 1 or seconds <= 0:
        return (0,), float(video.fps)
    count = config.frames if not config.fps else min(config.frames, max(1, int(np.ceil(seconds * config.fps - 1e-6))))
    count = min(count, len(video))
    step = 1 / config.fps if config.fps else seconds / count
    ticks = (np.arange(count) * step + 1e-6) / float(video.time_base) + int(video.pts[0])
    found = np.unique(np.searchsorted(video.pts, ticks, side="right") - 1)
    return tuple(int(index) for index in found), len(found) / (count * step)
