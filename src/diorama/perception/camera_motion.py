"""How the camera moves: the homography from each frame to the one before it, from the background alone.

Corners of a reference frame are followed into every later frame (Lucas-Kanade in pyramids, Bouguet 2000) and the
homography is fitted robustly (MAGSAC, Barath et al., CVPR 2019). The reference stays as long as it is found again, so
errors do not add up from frame to frame, and a camera on a tripod gives exactly the identity.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from diorama.errors import UsageError
from diorama.perception.base import Tracked
from diorama.perception.flow import Flow, Small, dense_flow, grey
from diorama.perception.shots import reduce

Homography = Float64[np.ndarray, "3 3"]
Points = Float32[np.ndarray, "n 2"]
Mask = Bool[np.ndarray, "mh mw"]

SIDE = 640
"""Pixels of the longer side of the picture in which corners are followed."""
MOST, APART = 400, 7
"""Corners, and pixels between them."""
LEAST, KEPT = 16, 0.4
"""Corners that must agree: so many, and this share of those that are in sight."""
AGREE = 1.5
"""Pixels by which a corner may miss the homography."""
STILL, LEAST_STILL, AS_GOOD = 0.2, 0.2, 0.85
"""Pixels by which corners may move while the camera stands still, the share of those found that must do so, and of
those that agree as closely with the best homography (moving shadows and corners followed wrongly are in neither)."""
TRAVEL = 0.25
"""Picture sides by which a reference may be left behind."""
ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
"""Steps and pixels at which a corner is found; finer ones took twice as long and changed 0.02 pixels."""
SPREAD = 0.3
"""Picture sides over which the corners must be spread for a homography; fewer give a translation."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A frame that later ones are compared with.

    Attributes:
        picture: grey, at most `SIDE` pixels on the longer side.
        corners: of its background, pixels of `picture` (x, y).
        pose: from this frame to the first of the shot, on the same grid.
    """

    picture: UInt8[np.ndarray, "gh gw"]
    corners: Points
    pose: Homography


class CameraMotion:
    """Follows the camera from frame to frame, holding two reduced frames. A cut starts anew."""

    def __init__(self) -> None:
        self._reference: Reference | None = None
        self._before: tuple[UInt8[np.ndarray, "gh gw"], Mask | None, Homography] | None = None
        self._small: Small | None = None
        self._relative = np.eye(3)  # from the frame before to the reference

    def __call__(self, tracked: Tracked, people: Mask | None = None) -> Homography:
        """From this frame to the one before it, "3 3", pixels of the full-size frame, middles of pixels at integers.

        Args:
            tracked: the next frame.
            people: where people are in it, any size; widened here. None: nowhere.

        Returns:
            The identity in the first frame of a shot, and where nothing can be measured.

        Raises:
            UsageError: an empty mask array.
        """
        picture = grey(reduce(tracked.frame.image, SIDE))
        mask = None if people is None else widened(people, *picture.shape)
        if tracked.first or self._before is None or self._reference is None:
            pose = np.eye(3)
            self._refer(picture, mask, pose)
        else:
            pose = self._pose(picture, mask, tracked)
        step = np.eye(3) if self._before is None or tracked.first else _between(pose, self._before[2])
        self._before, self._small = (picture, mask, pose), tracked.small
        return regridded(step, picture.shape, tracked.frame.image.shape[:2])

    def _refer(self, picture: UInt8[np.ndarray, "gh gw"], mask: Mask | None, pose: Homography) -> None:
        self._reference, self._relative = Reference(picture, corners(picture, mask), pose), np.eye(3)

    def _pose(self, picture: UInt8[np.ndarray, "gh gw"], mask: Mask | None, tracked: Tracked) -> Homography:
        """From this frame to the first of the shot."""
        assert self._reference is not None
        assert self._before is not None
        fit = follow(self._reference, picture, mask, self._relative)
        if fit is None:
            before, old_mask, pose = self._before
            self._refer(before, old_mask, pose)
            fit = follow(self._reference, picture, mask, self._relative)
        if fit is None:
            fit = drift(self._flow(tracked), mask, picture.shape)
            pose = self._reference.pose @ fit
            self._refer(picture, mask, pose)
            return pose
        pose = self._reference.pose if np.array_equal(fit, np.eye(3)) else self._reference.pose @ fit
        self._relative = fit
        if shift(fit, picture.shape) > TRAVEL * max(picture.shape):
            self._refer(picture, mask, pose)
        return pose

    def _flow(self, tracked: Tracked) -> Flow | None:
        """The dense flow to the frame before, measured where it is not known: it is seldom needed."""
        if tracked.flow is not None or self._small is None or self._small.shape != tracked.small.shape:
            return tracked.flow
        return dense_flow(tracked.small, self._small)


def steps(shots: Iterable[Tracked], masks: Iterable[Mask | None]) -> Iterator[Homography]:
    """The camera's step at every frame, as `CameraMotion` gives it.

    Args:
        shots: consecutive frames with their shots.
        masks: where people are, one a frame.
    """
    motion = CameraMotion()
    for tracked, mask in zip(shots, masks, strict=True):
        yield motion(tracked, mask)


def widened(people: Mask, height: int, width: int, *, share: float | int = 0.015) -> Bool[np.ndarray, "gh gw"]:
    """The mask on a grid of `height` x `width`, with all that it touches and a rim around it.

    Args:
        people: any size.
        height, width: of the grid.
        share: of the rim, of the height of what is in the mask; at least 2 pixels.

    Raises:
        UsageError: an empty array.
    """
    if people.size == 0:
        raise UsageError(f"a mask of shape {people.shape}", "people", "give one pixel or more")
    if people.shape == (height, width):
        touched = people
    else:
        flags = cv2.INTER_AREA if people.shape[0] >= height else cv2.INTER_LINEAR
        touched = cv2.resize(people.astype(np.float32), (width, height), interpolation=flags) > 0.01
    rows = np.flatnonzero(touched.any(axis=1))
    if len(rows) == 0:
        return np.zeros((height, width), bool)
    rim = max(2, round(share * int(rows[-1] - rows[0] + 1)))
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    return np.asarray(cv2.dilate(touched.view(np.uint8), kernel), bool)


def corners(picture: UInt8[np.ndarray, "gh gw"], mask: Mask | None) -> Points:
    """Corners of the background, spread over it; pixels (x, y)."""
    free: Any = None if mask is None else (~mask).astype(np.uint8)
    found = cv2.goodFeaturesToTrack(picture, MOST, 0.004, APART, mask=free, blockSize=5)
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found, np.float32).reshape(-1, 2)


def follow(
    reference: Reference, picture: UInt8[np.ndarray, "gh gw"], mask: Mask | None, guess: Homography
) -> Homography | None:
    """From `picture` to the reference; None where too little of it is found again.

    Args:
        reference: the frame whose corners are followed.
        picture: the present frame, grey.
        mask: where people are in it.
        guess: the answer of the frame before.
    """
    if len(reference.corners) < LEAST or min(picture.shape) < SIDE // 40:
        return None
    there = reference.corners
    start = transformed(np.linalg.inv(guess), there)
    window: Any = (21, 21)
    here, found, _ = cv2.calcOpticalFlowPyrLK(
        *(reference.picture, picture, there, start.copy()),
        winSize=window,
        maxLevel=3,
        criteria=ENOUGH,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    good = found.ravel().astype(bool) & inside(here, picture.shape) & np.isfinite(here).all(axis=1)
    seen = int(inside(start, picture.shape).sum())
    if mask is not None:
        x, y = np.rint(here[good]).astype(int).T
        good[good] = ~mask[y, x]
    here, there = np.asarray(here[good], np.float32), there[good]
    if len(here) < max(LEAST, KEPT / 2 * seen):
        return None
    return _fit(here, there, picture.shape)


def _fit(here: Points, there: Points, shape: tuple[int, ...]) -> Homography | None:
    """From `here` to `there`: exactly the identity where it explains as much as the best homography."""
    matrix, agree = cv2.findHomography(here, there, cv2.USAC_MAGSAC, AGREE, maxIters=1000, confidence=0.999)
    if matrix is not None and (agree > 0).sum() >= LEAST:
        chosen = agree.ravel() > 0
        matrix, _ = cv2.findHomography(here[chosen], there[chosen], 0)  # by least squares from all that agree
    spread = np.ptp(here, axis=0) / np.array(shape[1::-1])
    if matrix is None or spread.min() < SPREAD or not sane(matrix, shape):
        matrix = np.eye(3)
        matrix[:2, 2] = np.median(there - here, axis=0)
    moved = np.linalg.norm(here - there, axis=1)
    missed = np.linalg.norm(transformed(matrix, here) - there, axis=1)
    still = int((moved < STILL).sum())
    if still >= max(LEAST, LEAST_STILL * len(here)) and still >= AS_GOOD * (missed < STILL).sum():
        return np.eye(3)
    if (missed < AGREE).sum() < max(LEAST, KEPT * len(here)):
        return None
    return np.asarray(matrix / matrix[2, 2])


def drift(flow: Flow | None, mask: Mask | None, shape: tuple[int, ...]) -> Homography:
    """From this frame to the one before by the dense flow's median, for pictures with hardly a corner."""
    matrix = np.eye(3)
    if flow is None:
        return matrix
    free = np.ones(flow.shape[:2], bool)
    if mask is not None:
        free = cv2.resize(mask.view(np.uint8), free.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
    if not free.any():
        return matrix
    moved = np.median(flow[free], axis=0) * [shape[1] / flow.shape[1], shape[0] / flow.shape[0]]
    spread = np.median(np.abs(flow[free] - np.median(flow[free], axis=0)))
    if np.hypot(*moved) > max(0.5, 2 * float(spread)):
        matrix[:2, 2] = moved
    return matrix


def transformed(matrix: Homography, points: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
    """Where a homography takes points (x, y)."""
    placed = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    depth = placed[:, 2:]
    return np.asarray(placed[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth), np.float32)


def inside(points: Float32[np.ndarray, "n 2"], shape: tuple[int, ...]) -> Bool[np.ndarray, "n"]:
    """Which points lie in a picture of that shape."""
    return np.asarray(((points >= 0) & (points <= np.array(shape[1::-1]) - 1)).all(axis=1))


def shift(matrix: Homography, shape: tuple[int, ...]) -> float:
    """The most by which a homography moves a corner of the picture, pixels."""
    frame = _frame(shape)
    return float(np.linalg.norm(transformed(matrix, frame) - frame, axis=1).max())


def sane(matrix: Homography, shape: tuple[int, ...]) -> bool:
    """Whether a homography may be one frame's step: the picture stays convex, whole, and of about its size."""
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-9:
        return False
    frame = _frame(shape)
    if (np.c_[frame, np.ones(4)] @ (matrix[2] / matrix[2, 2]) < 0.3).any():
        return False
    placed = transformed(matrix, frame)
    size = abs(float(cv2.contourArea(placed))) / (shape[0] * shape[1])
    return bool(cv2.isContourConvex(placed)) and 0.3 < size < 3


def regridded(matrix: Homography, shape: tuple[int, ...], other: tuple[int, ...]) -> Homography:
    """The motion between pictures of `shape` (rows, columns) as it is between the same ones resized to `other`."""
    if np.array_equal(matrix, np.eye(3)):
        return np.eye(3)
    across, down = other[1] / shape[1], other[0] / shape[0]
    scale = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    found = scale @ matrix @ np.linalg.inv(scale)
    return np.asarray(found / found[2, 2])


def _frame(shape: tuple[int, ...]) -> Float32[np.ndarray, "4 2"]:
    height, width = shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def _between(pose: Homography, before: Homography) -> Homography:
    """From the one frame to the other; exactly the identity where both are the same."""
    if np.array_equal(pose, before):
        return np.eye(3)
    step = np.linalg.inv(before) @ pose
    return step / step[2, 2]
