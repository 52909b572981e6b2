"""Another frame's background brought to the place it has in this one: by homography, then by what flow finds beside
the hole, carried into it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8, UInt16

from diorama.core.video import Pixels
from diorama.perception._background_box import Box, largest, spread
from diorama.perception.flow import LEAST_SIDE, dense_flow
from diorama.perception.shrink import shrink

NONE, INVENTED, SEEN = 0, 1, 2
"""States of a background's pixel: unknown, made up, or seen by the camera."""

SMALL = 192
"""Pixels of the longer side of the pictures that are compared."""
EDGE = 4  # reduced pixels beside what is unknown where flow looks into it
MISFIT = 24.0
"""Levels of 255 from which a difference is another content rather than another light."""
FLAT = 6  # what is at one height lies at one depth more often than what is above it
REACH = 12  # reduced pixels that flow may add to the homography
WORST = 1.35
"""Light may differ by so much between two frames."""

State = UInt8[np.ndarray, "bh bw"]
Small = UInt8[np.ndarray, "sh sw 3"]
Flow = Float32[np.ndarray, "sh sw 2"]
Homography = Float64[np.ndarray, "3 3"]


@runtime_checkable
class Source(Protocol):
    """A frame's picture and the state of its pixels."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def part(self, box: Box) -> tuple[Pixels, State]: ...


@dataclass(frozen=True, eq=False)
class Target:
    """The place to be filled.

    Attributes:
        box: in the frame.
        image: of the box.
        known: its pixels that show background.
        small: the image reduced to `SMALL`.
        free: of `small`, the pixels that show nothing but background, 0 or 255.
    """

    box: Box
    image: Pixels
    known: Bool[np.ndarray, "bh bw"]
    small: Small
    free: UInt8[np.ndarray, "sh sw"]

    @classmethod
    def of(cls, box: Box, image: Pixels, known: Bool[np.ndarray, "bh bw"]) -> "Target":
        """A target with its reduced pictures."""
        share = min(1.0, SMALL / max(box.height, box.width))
        high, wide = max(1, round(box.height * share)), max(1, round(box.width * share))
        small = shrink(image, high, wide)
        return cls(box, image, known, small, _reduced(np.where(known, np.uint8(SEEN), np.uint8(NONE)), small))


@dataclass(frozen=True, eq=False)
class Borrowed:
    """What another frame shows in a target's box.

    Attributes:
        image: its colours.
        state: `NONE`, `INVENTED` or `SEEN`.
        gain: what its colours are to be multiplied with to have this frame's light, a channel each.
        error: mean difference beside the hole after that, levels of 255.
    """

    image: Pixels
    state: State
    gain: Float32[np.ndarray, "3"]
    error: float


@dataclass(frozen=True, eq=False)
class Still:
    """A part of a frame from which the camera has not moved, with its reduced pictures.

    Attributes:
        image, state: of the part.
        small: the image reduced to the size of a target's.
        clear: of `small`, 255 where nothing but background is.
    """

    image: Pixels
    state: State
    small: Small
    clear: UInt8[np.ndarray, "sh sw"]

    @staticmethod
    def of(source: Source, box: Box, size: tuple[int, int]) -> "Still":
        """A frame's part, reduced to rows and columns."""
        image, state = source.part(box)
        small = shrink(image, *size)
        return Still(image, state, small, _reduced(state, small))

    def borrowed(self, target: Target) -> "Borrowed":
        """What it shows in a target's box, which is its own."""
        return Borrowed(self.image, self.state, *_light(target, self.small, self.clear))


def borrow(target: Target, source: Source, matrix: Homography) -> Borrowed | None:
    """The source as it looks in the target's box; None where it lies outside.

    Args:
        target: the place.
        source: the other frame.
        matrix: from pixels of this frame to pixels of the other; exactly the identity means that nothing moved.
    """
    if np.array_equal(matrix, np.eye(3)):
        return Still.of(source, target.box, target.free.shape).borrowed(target)
    x, y = _grid(target)
    u, v = _through(matrix, x, y)
    window = _window(u, v, source.shape)
    if window is None:
        return None
    image, state = source.part(window)
    other = _small_window(image, state, target)
    warped, seen = _small_view(*other, window, u, v)
    flow = _flow(target, warped, seen)
    step = target.box.width / flow.shape[1], target.box.height / flow.shape[0]
    u, v = _through(matrix, x + step[0] * flow[..., 0], y + step[1] * flow[..., 1])
    pulled, seen = _small_view(*other, window, u, v)
    light = _light(target, pulled, seen)
    full, there = _full_view(image, state, window, target, (u - x, v - y))
    return Borrowed(full, there, *light)


def _grid(target: Target) -> tuple[Float32[np.ndarray, "1 sw"], Float32[np.ndarray, "sh 1"]]:
    """Columns and rows in the frame of the middles of the reduced picture's pixels."""
    (high, wide), box = target.free.shape, target.box
    x = (np.arange(wide, dtype=np.float32) + 0.5) * (box.width / wide) - 0.5 + box.left
    y = (np.arange(high, dtype=np.float32) + 0.5) * (box.height / high) - 0.5 + box.top
    return x.astype(np.float32)[None], y.astype(np.float32)[:, None]


def _through(
    matrix: Homography, x: Float32[np.ndarray, "ah sw"], y: Float32[np.ndarray, "sh aw"]
) -> tuple[Float32[np.ndarray, "sh sw"], Float32[np.ndarray, "sh sw"]]:
    """Columns and rows in the other frame; far outside where a point lies behind the camera."""
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    ahead = depth > 1e-3
    depth = np.where(ahead, depth, 1)
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth
    return np.where(ahead, u, -1e6).astype(np.float32), np.where(ahead, v, -1e6).astype(np.float32)


def _window(u: Float32[np.ndarray, "sh sw"], v: Float32[np.ndarray, "sh sw"], shape: tuple[int, int]) -> Box | None:
    """The part of the other frame that is needed; None where little of it exists."""
    inside = (u >= 0) & (v >= 0) & (u <= shape[1] - 1) & (v <= shape[0] - 1)
    if inside.mean() < 0.02:
        return None
    spare = 24
    left, right = int(u[inside].min()) - spare, int(u[inside].max()) + spare
    top, bottom = int(v[inside].min()) - spare, int(v[inside].max()) + spare
    box = Box(max(0, top), max(0, left), min(shape[0], bottom), min(shape[1], right))
    return box if min(box.height, box.width) >= 4 else None


def _small_window(image: Pixels, state: State, target: Target) -> tuple[Small, UInt8[np.ndarray, "sh sw"]]:
    """The window at the target's reduced scale, and where it shows nothing but background (255)."""
    share = target.small.shape[1] / target.box.width
    small = shrink(image, max(2, round(image.shape[0] * share)), max(2, round(image.shape[1] * share)))
    return small, _reduced(state, small)


def _small_view(
    small: UInt8[np.ndarray, "wh ww 3"],
    clear: UInt8[np.ndarray, "wh ww"],
    window: Box,
    u: Float32[np.ndarray, "sh sw"],
    v: Float32[np.ndarray, "sh sw"],
) -> tuple[Small, UInt8[np.ndarray, "sh sw"]]:
    """The reduced window where the target's reduced pixels are, `u` and `v` in the frame, and what of it is clear."""
    high, wide = clear.shape
    a = ((u - window.left + 0.5) * (wide / window.width) - 0.5).astype(np.float32)
    b = ((v - window.top + 0.5) * (high / window.height) - 0.5).astype(np.float32)
    warped = cv2.remap(small, a, b, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(clear, a, b, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped), np.where(seen > 250, np.uint8(255), np.uint8(0))


def _reduced(state: State, small: Small) -> UInt8[np.ndarray, "sh sw"]:
    """255 where nothing but background is, at the size of `small`."""
    seen = np.where(state == SEEN, np.uint8(255), np.uint8(0))
    area = cv2.resize(seen, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.where(area > 250, np.uint8(255), np.uint8(0))


def _flow(target: Target, warped: Small, seen: UInt8[np.ndarray, "sh sw"]) -> Flow:
    """Smooth motion from the target to `warped`, measured where both show background; reduced pixels."""
    both = cv2.bitwise_and(target.free, seen)
    if min(both.shape) < LEAST_SIDE or np.count_nonzero(both) < 64:
        return np.zeros((*both.shape, 2), np.float32)
    known = both[..., None] > 0
    # The same content on both sides where one is unknown: no motion is found there, and none is asked for.
    flow = dense_flow(np.where(known, target.small, warped), warped)
    size = 2 * EDGE + 1
    sure = cv2.erode(both, np.ones((size, size), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255)
    weights = (sure > 0) & (np.hypot(flow[..., 0], flow[..., 1]) < REACH)
    x = flow[..., 0] + np.arange(both.shape[1], dtype=np.float32)
    y = flow[..., 1] + np.arange(both.shape[0], dtype=np.float32)[:, None]
    pulled = cv2.remap(warped, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    after = largest(cv2.absdiff(target.small, pulled)).astype(np.float32)
    trust = weights / (1 + (after / 8) ** 2) + np.float32(1e-4) * weights
    return spread(flow, trust.astype(np.float32), flat=FLAT)


def _light(target: Target, pulled: Small, seen: UInt8[np.ndarray, "sh sw"]) -> tuple[Float32[np.ndarray, "3"], float]:
    """The gain of each channel, and the mean difference that is left."""
    both = cv2.bitwise_and(target.free, seen)
    if cv2.countNonZero(both) < 32:
        return np.ones(3, np.float32), MISFIT
    apart = largest(cv2.absdiff(target.small, pulled))
    alike = cv2.bitwise_and(both, np.where(apart < MISFIT * 1.5, np.uint8(255), np.uint8(0)))
    gain = np.ones(3, np.float32)
    if cv2.countNonZero(alike) >= 32:
        here, there = (np.array(cv2.mean(image, mask=alike)[:3], np.float32) for image in (target.small, pulled))
        gain = np.clip((here + 0.01) / (there + 0.01), 1 / WORST, WORST).astype(np.float32)
    rest = np.minimum(cv2.absdiff(target.small, lit(pulled, gain)), np.uint8(2 * MISFIT))
    return gain, float(np.mean(cv2.mean(rest, mask=both)[:3]))


def lit(image: Pixels, gain: Float32[np.ndarray, "3"]) -> Pixels:
    """The colours times the gain, rounded and kept in range."""
    return np.asarray(cv2.transform(image, np.diag(gain)))


def _full_view(
    image: UInt8[np.ndarray, "wh ww 3"] | UInt16[np.ndarray, "wh ww 3"],
    state: UInt8[np.ndarray, "wh ww"],
    window: Box,
    target: Target,
    shift: tuple[Float32[np.ndarray, "sh sw"], Float32[np.ndarray, "sh sw"]],
) -> tuple[Pixels, State]:
    """The window at full size, moved by the reduced planes `shift`."""
    box = target.box
    size = box.width, box.height
    x = cv2.resize(shift[0], size) + np.arange(box.left - window.left, box.right - window.left, dtype=np.float32)
    rows = np.arange(box.top - window.top, box.bottom - window.top, dtype=np.float32)
    y = cv2.resize(shift[1], size) + rows[:, None]
    full = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.remap(state, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=NONE)
    return np.asarray(full), np.asarray(there)
