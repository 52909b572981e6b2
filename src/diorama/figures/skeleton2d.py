"""Skeletons drawn flat, as OpenPose and DWPose draw them: networks were trained on exactly these pictures.

Eighteen body points in OpenPose's order, limbs as ellipses of fixed thickness at 60 % of their colour, points as
discs; hands of 21 points in hues around the circle, faces as white points. Points of COCO-WholeBody are brought into
that order; its neck is between the shoulders.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.figures.landmarks import POINT_NAMES

BODY = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
"""The points of a body, in order."""

LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""Pairs of points that a limb joins, in the order of their colours."""

COLORS = np.array(
    [
        *([255, 0, 0], [255, 85, 0], [255, 170, 0], [255, 255, 0], [170, 255, 0], [85, 255, 0], [0, 255, 0]),
        *([0, 255, 85], [0, 255, 170], [0, 255, 255], [0, 170, 255], [0, 85, 255], [0, 0, 255], [85, 0, 255]),
        *([170, 0, 255], [255, 0, 255], [255, 0, 170], [255, 0, 85]),
    ],
    np.uint8,
)

FINGERS = tuple((0 if k == 0 else 4 * f + k, 4 * f + k + 1) for f in range(5) for k in range(4))
"""Pairs of the 21 points of a hand: wrist, then four a finger from the thumb on."""

THICKNESS = 4
"""Half the width of a limb and the radius of a point, pixels, at any size of picture."""

DIMMED = 0.6

DRAWN_SIDE = 256
"""Lines have a fixed thickness: smaller pictures are drawn at this size and averaged."""

COCO = {name: number for number, name in enumerate(POINT_NAMES["coco133"])}
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
"""Among the 133 points of COCO-WholeBody."""


@dataclass(frozen=True, eq=False)
class Points2d:
    """Points of one person in a picture.

    Attributes:
        body: pixels (x, y), in the order of `BODY`; not a number where it is not known.
        hands: left, then right.
        face: any number of them.
    """

    body: Float32[np.ndarray, "18 2"]
    hands: Float32[np.ndarray, "2 21 2"] | None = None
    face: Float32[np.ndarray, "n 2"] | None = None


def draw_skeleton(people: tuple[Points2d, ...] | list[Points2d], height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """The drawing on black; points that are not known or outside leave out their limbs."""
    picture = np.zeros((height, width, 3), np.uint8)
    for person in people:
        for (a, b), color in zip(LIMBS, COLORS, strict=False):
            _limb(picture, person.body[a], person.body[b], np.rint(DIMMED * color).astype(np.uint8), THICKNESS)
        for point, color in zip(person.body, COLORS, strict=True):
            _disc(picture, point, color, THICKNESS)
        for hand in person.hands if person.hands is not None else ():
            for k, (a, b) in enumerate(FINGERS):
                _limb(picture, hand[a], hand[b], _hue(k / len(FINGERS)), 1)
            for point in hand:
                _disc(picture, point, np.array([0, 0, 255], np.uint8), THICKNESS)
        for point in person.face if person.face is not None else ():
            _disc(picture, point, np.full(3, 255, np.uint8), 3)
    return picture


def draw_coco(points: Float32[np.ndarray, "133 2"], height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """One person by its points of COCO-WholeBody, pixels; as fine as lines at `DRAWN_SIDE` are."""
    times = max(1, DRAWN_SIDE // height)
    drawn = draw_skeleton([points_of_coco(times * points)], times * height, times * width)
    blocks = drawn.reshape(height, times, width, times, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def points_of_coco(points: Float32[np.ndarray, "133 2"]) -> Points2d:
    """OpenPose's points from those of COCO-WholeBody."""
    neck = (points[COCO["left_shoulder"]] + points[COCO["right_shoulder"]]) / 2
    body = np.stack([neck if name == "neck" else points[COCO[name]] for name in BODY])
    return Points2d(body, np.stack([points[LEFT_HAND], points[RIGHT_HAND]]), points[FACE])


def _limb(
    picture: UInt8[np.ndarray, "h w 3"],
    a: Float32[np.ndarray, "2"],
    b: Float32[np.ndarray, "2"],
    color: UInt8[np.ndarray, "3"],
    half: int,
) -> None:
    """A filled ellipse from `a` to `b`."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return
    middle, along = (a + b) / 2, b - a
    length = max(float(np.hypot(*along)) / 2, 0.5)
    box = _around(picture, middle, length + half)
    if box is None:
        return
    ys, xs = np.mgrid[box]
    dx, dy = xs - middle[0], ys - middle[1]
    unit = along / (2 * length)
    forth, across = dx * unit[0] + dy * unit[1], dy * unit[0] - dx * unit[1]
    _paint(picture, box, (forth / length) ** 2 + (across / half) ** 2 <= 1, color)


def _disc(
    picture: UInt8[np.ndarray, "h w 3"], center: Float32[np.ndarray, "2"], color: UInt8[np.ndarray, "3"], radius: int
) -> None:
    box = _around(picture, center, radius) if np.isfinite(center).all() else None
    if box is not None:
        ys, xs = np.mgrid[box]
        _paint(picture, box, (xs - center[0]) ** 2 + (ys - center[1]) ** 2 <= radius**2, color)


def _paint(
    picture: UInt8[np.ndarray, "h w 3"],
    box: tuple[slice, slice],
    inside: Bool[np.ndarray, "y x"],
    color: UInt8[np.ndarray, "3"],
) -> None:
    picture[box][inside] = color


def _around(
    picture: UInt8[np.ndarray, "h w 3"], center: Float32[np.ndarray, "2"], reach: float | int
) -> tuple[slice, slice] | None:
    """Rows and columns within `reach` of a point that lie in the picture, or None."""
    height, width = picture.shape[:2]
    left, right = max(int(center[0] - reach), 0), min(int(center[0] + reach) + 2, width)
    top, bottom = max(int(center[1] - reach), 0), min(int(center[1] + reach) + 2, height)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _hue(share: float) -> UInt8[np.ndarray, "3"]:
    """A full colour at `share` of the way round the circle from red."""
    distance = np.abs((share * 6 - np.array([0, 2, 4]) + 3) % 6 - 3)
    return np.rint(255 * np.clip(2 - distance, 0, 1)).astype(np.uint8)
