"""What the reference view's depth and flow tell of motion: 3D tracks of pixels, and the motion that most of them share.

Tracks end where a point is hidden or leaves the picture. All are kept in steady axes: those of the middle time, to
which every other time is brought by the shared motion, so that what stands still in the world keeps its place there
whether the camera moved or not.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from diorama.core.camera import Cameras

_SPARSE = 4
"""Pixels between those from which the shared motion is taken."""
_ROUNDS = 12
_SAME_DEPTH = 0.15
"""Relative change of depth in a frame's time beyond which a pixel shows something else."""
_SMOOTH = 1.08
"""Ratio of neighbouring depths up to which they are of one surface."""
_LEVELS, _TELLING = 2.0, 0.4
"""Levels of 255 that pictures of the same differ by, and what part of its contrast they must be below to tell."""
_TREMBLE = 0.3
"""Pixels that flow trembles by."""
_LEAST_SIDE = 16
"""Pixels: flow needs this much."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference view over time.

    Attributes:
        times: seconds.
        depth: metres along z, finite.
        soft: the frames, a little blurred, 0 to 255.
        contrast: how much neighbours differ there.
        cameras: one view for each time.
        ahead, back: flow to the next and to the last frame; not a number where it is not known.
        steady: from the world at each time to steady axes.
        middle: the time whose axes are the steady ones.
    """

    times: Float32[np.ndarray, " t"]
    depth: Float32[np.ndarray, "t h w"]
    soft: Float32[np.ndarray, "t h w 3"]
    contrast: Float32[np.ndarray, "t h w"]
    cameras: tuple[Cameras, ...]
    ahead: Float32[np.ndarray, "s h w 2"]
    back: Float32[np.ndarray, "s h w 2"]
    steady: Float[np.ndarray, "t 4 4"]
    middle: int

    def lift(self, pixels: Float[np.ndarray, "n 2"], time: int) -> Float[np.ndarray, "n 3"]:
        """Steady places of what pixels show at a time."""
        z = depth_at(self.depth[time], pixels)
        world = self.cameras[time].unproject(pixels[None], z[None].astype(np.float64))[0]
        return world @ self.steady[time, :3, :3].T + self.steady[time, :3, 3]

    def seen(
        self, places: Float[np.ndarray, "n 3"], time: int
    ) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
        """Pixels of steady places at a time, and whether they are in the picture and not hidden there."""
        pixels, z = self._project(places, time)
        return pixels, np.abs(depth_at(self.depth[time], pixels) / z - 1) < _SAME_DEPTH

    def through(self, places: Float[np.ndarray, "n 3"], time: int) -> Bool[np.ndarray, " n"]:
        """Whether something farther is seen where steady places are: they are empty then."""
        pixels, z = self._project(places, time)
        nearest_around = cv2.erode(self.depth[time], np.ones((3, 3), np.uint8))
        return nearest_around[nearest(pixels, self.depth.shape[1:])] > (1 + _SAME_DEPTH) * z

    def _project(
        self, places: Float[np.ndarray, "n 3"], time: int
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """Pixels and depth of steady places; infinitely far beside the picture and behind the camera."""
        away = places - self.steady[time, :3, 3]
        ((pixels,), (z,)) = self.cameras[time].project(away @ self.steady[time, :3, :3])
        height, width = self.depth.shape[1:]
        fine = (z > 0) & (pixels > 0).all(axis=1) & (pixels < [width, height]).all(axis=1)
        return np.where(fine[:, None], pixels, 0.5), np.where(fine, z, np.inf)


def reference(
    frames: UInt8[np.ndarray, "t h w 3"],
    times: Float32[np.ndarray, " t"],
    depth: Float32[np.ndarray, "t h w"],
    cameras: tuple[Cameras, ...],
    flow: Float32[np.ndarray, "s h w 2"] | None,
) -> Reference:
    """Flow both ways, measured where it is not given, and the shared motion."""
    if flow is None:
        ahead, back = _measured(frames), _measured(frames[::-1])[::-1]
    else:
        ahead = flow
        back = np.stack([_turned(f, z) for f, z in zip(flow, depth, strict=False)]) if len(flow) else flow
    soft = np.stack([cv2.blur(frame, (3, 3)) for frame in frames]).astype(np.float32)
    contrast = np.stack([cv2.blur(np.abs(f - cv2.blur(f, (7, 7))).mean(axis=-1), (5, 5)) for f in soft])
    middle = len(frames) // 2
    steady = np.tile(np.eye(4), (len(frames), 1, 1))
    told = times, depth, soft, contrast.astype(np.float32), cameras, ahead, np.ascontiguousarray(back)
    found = Reference(*told, steady, middle)
    for time in range(middle + 1, len(frames)):
        steady[time] = steady[time - 1] @ np.linalg.inv(_shared(found, time - 1))
    for time in range(middle - 1, -1, -1):
        steady[time] = steady[time + 1] @ _shared(found, time)
    return found


def tracks(
    ref: Reference, pixels: Float[np.ndarray, "n 2"], start: int
) -> tuple[Float[np.ndarray, "n t 3"], Bool[np.ndarray, "n t"]]:
    """Steady places of pixels of a time at all times, and when they are seen; unseen ones stay where they were last.

    What looks the same where it would be if it stood still stands still, whatever flow and depth tell: both tremble,
    and flow errs where patterns repeat.
    """
    count = len(ref.depth)
    places, seen = np.empty((len(pixels), count, 3)), np.zeros((len(pixels), count), bool)
    places[:, start], seen[:, start] = ref.lift(pixels, start), True
    for step, flows, others, last in ((1, ref.ahead, ref.back, count - 1), (-1, ref.back, ref.ahead, 0)):
        here, there = pixels.copy(), np.ones(len(pixels), bool)
        for time in range(start, last, step):
            gap = min(time, time + step)
            moved, sure = _moved(flows[gap], others[gap], here)
            before, after = depth_at(ref.depth[time], here), depth_at(ref.depth[time + step], moved)
            alive = there
            there = alive & sure & (np.abs(after / before - 1) < _SAME_DEPTH)
            waiting, rests = _resting(ref, (here, moved), places[:, time], (time, time + step))
            rests &= alive
            there = alive & (there | rests)
            here = np.where(rests[:, None], waiting, np.where(there[:, None], moved, here))
            lifted = ref.lift(here, time + step)
            places[:, time + step] = np.where((there & ~rests)[:, None], lifted, places[:, time])
            seen[:, time + step] = there
    return places, seen


def _resting(
    ref: Reference,
    pixels: tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]],
    places: Float[np.ndarray, "n 3"],
    times: tuple[int, int],
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """Where steady places are seen at the second time, and whether what was there rests there."""
    (here, moved), (time, later) = pixels, times
    waiting, fine = ref.seen(places, later)
    size = ref.depth.shape[1:]
    color = ref.soft[time][nearest(here, size)]
    off = np.abs(ref.soft[later][nearest(waiting, size)] - color).mean(axis=1)
    other = np.abs(ref.soft[later][nearest(moved, size)] - color).mean(axis=1)
    same = (off + _LEVELS < _TELLING * ref.contrast[time][nearest(here, size)]) & (off <= other + _LEVELS)
    return waiting, fine & (same | (np.linalg.norm(moved - waiting, axis=1) < _TREMBLE))


def depth_at(depth: Float32[np.ndarray, "h w"], pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Depth between pixels: 1 / z is even on a plane; at edges, where neighbours differ, that of the nearest pixel."""
    height, width = depth.shape
    x, y = np.clip(pixels.T - 0.5, 0, [[width - 1.0], [height - 1.0]])
    left, top = np.minimum(x.astype(np.int64), max(width - 2, 0)), np.minimum(y.astype(np.int64), max(height - 2, 0))
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    corners = 1 / np.stack([depth[top, left], depth[top, right], depth[below, left], depth[below, right]]).astype(float)
    u, v = x - left, y - top
    mixed = np.einsum("cn,cn->n", np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]), corners)
    smooth = corners.max(axis=0) < _SMOOTH * corners.min(axis=0)
    return np.where(smooth, 1 / mixed, depth[nearest(pixels, (height, width))])


def nearest(pixels: Float[np.ndarray, "n 2"], size: tuple[int, ...]) -> tuple[Int[np.ndarray, " n"], ...]:
    """Row and column of the pixel at each place, within the picture."""
    column, row = np.floor(pixels).astype(np.int64).T
    return np.clip(row, 0, size[0] - 1), np.clip(column, 0, size[1] - 1)


def grid(height: int, width: int, step: int) -> Float[np.ndarray, "n 2"]:
    """The middles of squares of pixels, or next to them: always that of a pixel, and one at least."""
    top, left = min(step // 2, height // 2) + 0.5, min(step // 2, width // 2) + 0.5
    y, x = np.mgrid[top:height:step, left:width:step]
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def _moved(
    flow: Float32[np.ndarray, "h w 2"], back: Float32[np.ndarray, "h w 2"], here: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """Where pixels go, and whether the way back leads to them again."""
    height, width = flow.shape[:2]
    step = flow[nearest(here, (height, width))]
    there = here + step
    inside = (there > 0).all(axis=1) & (there[:, 0] < width) & (there[:, 1] < height)
    there = np.where(inside[:, None], there, here)
    again = back[nearest(there, (height, width))]
    off = np.linalg.norm(step + again, axis=1)
    sure = off < 1.5 + 0.05 * np.linalg.norm(step, axis=1)  # never where it is not a number
    return there, inside & sure


def _shared(ref: Reference, time: int) -> Float[np.ndarray, "4 4"]:
    """The rigid motion of the world from a time to the next that most pixels agree on (least squares, reweighted)."""
    height, width = ref.depth.shape[1:]
    pixels = grid(height, width, _SPARSE)
    moved, sure = _moved(ref.ahead[time], ref.back[time], pixels)
    before, after = depth_at(ref.depth[time], pixels), depth_at(ref.depth[time + 1], moved)
    sure &= np.abs(after / before - 1) < _SAME_DEPTH
    if sure.sum() < 16:
        return np.eye(4)
    a, b = (
        ref.cameras[t].unproject(p[None], z[None].astype(np.float64))[0][sure]
        for t, p, z in ((time, pixels, before), (time + 1, moved, after))
    )
    z = before[sure]
    motion, weights = np.eye(4), 1 / z**2
    for _ in range(_ROUNDS):
        motion = _rigid(a, b, weights)
        off = np.linalg.norm(a @ motion[:3, :3].T + motion[:3, 3] - b, axis=1) / z
        scale = max(1.5 * float(np.median(off)), 1e-4)
        weights = 1 / z**2 / (1 + (off / scale) ** 2)
    return motion


def _rigid(
    a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "4 4"]:
    """The rotation and translation that bring a to b (Kabsch 1976)."""
    share = weights / weights.sum()
    middle_a, middle_b = share @ a, share @ b
    u, _, v = np.linalg.svd(((a - middle_a) * share[:, None]).T @ (b - middle_b))
    turn = (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v).T
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, middle_b - turn @ middle_a
    return motion


def _measured(frames: UInt8[np.ndarray, "t h w 3"]) -> Float32[np.ndarray, "s h w 2"]:
    """Flow from each frame to the next (DIS, Kroeger et al. 2016); 0 in pictures that are too small for it."""
    height, width = frames.shape[1:3]
    if min(height, width) < _LEAST_SIDE or len(frames) < 2:
        return np.zeros((len(frames) - 1, height, width, 2), np.float32)
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    return np.stack([search.calc(a, b, None) for a, b in pairwise(grey)]).astype(np.float32)


def _turned(flow: Float32[np.ndarray, "h w 2"], depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 2"]:
    """Flow the other way: each pixel takes that of the nearest surface that came to it."""
    height, width = depth.shape
    places = grid(height, width, 1)
    steps = flow.reshape(-1, 2)
    there = places + steps
    fine = np.isfinite(there).all(axis=1)
    fine[fine] &= ((there[fine] > 0) & (there[fine] < [width, height])).all(axis=1)
    order = np.flatnonzero(fine)[np.argsort(-depth.reshape(-1)[fine], kind="stable")]
    out = np.full((height, width, 2), np.nan, np.float32)
    out[nearest(there[order], (height, width))] = -steps[order]  # nearer ones are written later
    return out
