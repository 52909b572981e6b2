"""Parts of a picture around what has to be filled, and smooth values carried into holes."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.video import Pixels

GRID = 32  # pixels: boxes start and end on multiples, so that they seldom change from frame to frame
COARSE = 8  # pixels of a step when parts are looked for
SCALES = (2, 6, 18, 54)
"""Reach of the averages that `spread` is made of, pixels."""
SHARE = 0.06
"""Of one average's weight to the next finer one's."""

Mask = Bool[np.ndarray, "h w"]
Plane = Float32[np.ndarray, "h w"]
Values = Float32[np.ndarray, "h w c"]


@dataclass(frozen=True)
class Box:
    """A part of a picture: rows `top` to `bottom - 1`, columns `left` to `right - 1`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def cut(self) -> tuple[slice, slice]:
        """Rows and columns, to index a picture with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: "Box") -> tuple[slice, slice]:
        """Rows and columns of this box in a picture of `other`, which holds it."""
        rows = slice(self.top - other.top, self.bottom - other.top)
        return rows, slice(self.left - other.left, self.right - other.left)

    def common(self, other: "Box") -> "Box | None":
        """What both cover."""
        box = Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )
        return box if box.height > 0 and box.width > 0 else None

    def around(self, other: "Box") -> "Box":
        """The smallest box that covers both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def grown(self, down: int, across: int, shape: tuple[int, int]) -> "Box":
        """With so many pixels more on each side, within a picture of that shape."""
        return Box(
            max(0, self.top - down),
            max(0, self.left - across),
            min(shape[0], self.bottom + down),
            min(shape[1], self.right + across),
        )


def boxes_of(mask: Mask, *, margin: int) -> list[Box]:
    """Boxes that cover all of a mask with a margin, none overlapping, in reading order."""
    height, width = mask.shape
    coarse = _coarse(mask)
    if not coarse.any():
        return []
    reach = 2 * (margin // COARSE) + 1
    grown = cv2.dilate(coarse, np.ones((reach, reach), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(grown)
    blocks = (stats[1:, :4] * COARSE).tolist()
    found = [_snapped(x, y, wide, high, margin=margin, shape=(height, width)) for x, y, wide, high in blocks]
    return _merged(found)


def _coarse(mask: Mask) -> UInt8[np.ndarray, "ch cw"]:
    """1 for each block of `COARSE` x `COARSE` pixels with anything in it."""
    height, width = mask.shape
    padded = np.zeros((-(-height // COARSE) * COARSE, -(-width // COARSE) * COARSE), bool)
    padded[:height, :width] = mask
    words = padded.view(np.uint64)  # eight pixels each
    return np.asarray(np.bitwise_or.reduce(words.reshape(-1, COARSE, words.shape[1]), axis=1) != 0, np.uint8)


def _snapped(x: int, y: int, wide: int, high: int, *, margin: int, shape: tuple[int, int]) -> Box:
    rest = margin % COARSE

    def down(value: int) -> int:
        return max(0, (value - rest) // GRID * GRID)

    def up(value: int, most: int) -> int:
        return min(most, -(-(value + rest) // GRID) * GRID)

    return Box(down(y), down(x), up(y + high, shape[0]), up(x + wide, shape[1]))


def _merged(boxes: list[Box]) -> list[Box]:
    """The same with all that overlap made one."""
    done: list[Box] = []
    for box in sorted(boxes, key=lambda b: (b.top, b.left)):
        joined = box
        while others := [other for other in done if other.common(joined)]:
            for other in others:
                done.remove(other)
                joined = joined.around(other)
        done.append(joined)
    return done


def either(mask: Mask, one: Pixels, other: Pixels) -> Pixels:
    """`one` where the mask is true, else `other`; a new array."""
    out = np.array(other, order="C")
    return np.asarray(cv2.copyTo(one, np.ascontiguousarray(mask).view(np.uint8), out))


def largest(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """The largest of the three channels (numpy's reduction over so short an axis takes twenty times as long)."""
    return np.asarray(np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2]))


def spread(values: Values, weights: Plane, *, flat: int = 1) -> Values:
    """Smooth values everywhere from those that have weight: near ones count most, far ones where there are no near.

    A sum of averages over ever wider windows, which does not depend on where a box begins. Zero where nothing has
    weight.

    Args:
        values: any channels.
        weights: 0 where a value is unknown.
        flat: how many times wider than high the windows are: what is beside counts more than what is above and below.
    """
    packed = np.concatenate([values * weights[..., None], weights[..., None]], axis=-1)
    total = np.zeros_like(packed)
    for order, reach in enumerate(SCALES):
        size = (2 * reach + 1, 2 * max(1, reach // flat) + 1)
        once = cv2.blur(packed, size, borderType=cv2.BORDER_CONSTANT)
        part = cv2.blur(once, size, borderType=cv2.BORDER_CONSTANT)
        total += np.float32(SHARE**order) * part.reshape(packed.shape)
    whole = total[..., -1:]
    return np.asarray(np.where(whole > 1e-12, total[..., :-1] / np.maximum(whole, 1e-12), 0), np.float32)
