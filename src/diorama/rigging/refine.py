"""Borders of decoded parts as a segmenter of pictures sees them, where it agrees with what was decoded.

The segmenter is asked for every part by its innermost point and its box. It may move the borders between parts, never
the outline of the object, and it can take no more than half of a part away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64, UInt8

from diorama.core.progress import Progress, Silent

AGREE = 0.5
"""Intersection over union of a mask and the decoded part, from which on the mask is believed."""

Segment = Callable[
    [UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "k 2"], Float32[np.ndarray, "k 4"]], Bool[np.ndarray, "k h w"]
]
"""A picture, points (x, y) and boxes (left, top, right, bottom), pixels from the upper left edge; a mask for each."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Where the parts of a picture are.

    Attributes:
        numbers: of the parts, rising.
        points: x and y of the middle of each part's innermost pixel, pixels from the upper left edge.
        boxes: left, top, right, bottom around each part, the same.
    """

    numbers: Int64[np.ndarray, " k"]
    points: Float32[np.ndarray, "k 2"]
    boxes: Float32[np.ndarray, "k 4"]


@dataclass(frozen=True, eq=False)
class Refined:
    """Parts with other borders.

    Attributes:
        labels: number of the part, -1 beside the object.
        asked: parts of pictures that the segmenter was asked for.
        believed: those whose mask agreed.
    """

    labels: Int16[np.ndarray, "v t h w"]
    asked: int
    believed: int


def refined(
    colored: UInt8[np.ndarray, "v t h w 3"],
    labels: Int16[np.ndarray, "v t h w"],
    segment: Segment,
    progress: Progress | None = None,
) -> Refined:
    """Refine the parts of all views and frames.

    Args:
        colored: part maps on white.
        labels: as decoded from them, -1 beside the object.
        segment: answers prompts with masks.
        progress: told of pictures.
    """
    told, found, asked, believed = progress or Silent(), labels.copy(), 0, 0
    told.begin("borders of parts", labels.shape[0] * labels.shape[1])
    for place in np.ndindex(labels.shape[:2]):
        prompts = prompts_of(labels[place])
        if len(prompts.numbers):
            masks = segment(colored[place], prompts.points, prompts.boxes)
            good = agreeing(labels[place], prompts.numbers, masks)
            found[place] = accepted(labels[place], prompts.numbers, masks, good)
            asked, believed = asked + len(good), believed + int(good.sum())
        told.advance()
    return Refined(found, asked, believed)


def prompts_of(labels: Int16[np.ndarray, "h w"]) -> Prompts:
    """Where each part of a picture is: the pixel farthest from all other parts, and the box around it."""
    numbers = np.unique(labels[labels >= 0]).astype(np.int64)
    points, boxes = np.zeros((len(numbers), 2), np.float32), np.zeros((len(numbers), 4), np.float32)
    for place, number in enumerate(numbers):
        own = np.pad(labels == number, 1)  # what ends at the picture's border ends there
        deep = cv2.distanceTransform(own.view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(deep.argmax()), deep.shape)
        points[place] = column + 0.5, row + 0.5
        rows, columns = np.nonzero(own[1:-1, 1:-1])
        boxes[place] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return Prompts(numbers, points, boxes)


def agreeing(
    labels: Int16[np.ndarray, "h w"], numbers: Int64[np.ndarray, " k"], masks: Bool[np.ndarray, "k h w"]
) -> Bool[np.ndarray, " k"]:
    """Which masks, within the object, overlap the decoded part by `AGREE` and more."""
    inside, good = labels >= 0, np.zeros(len(numbers), bool)
    for place, (number, mask) in enumerate(zip(numbers, masks, strict=True)):
        own, claimed = labels == number, mask & inside
        good[place] = (own & claimed).sum() >= AGREE * (own | claimed).sum()
    return good


def accepted(
    labels: Int16[np.ndarray, "h w"],
    numbers: Int64[np.ndarray, " k"],
    masks: Bool[np.ndarray, "k h w"],
    good: Bool[np.ndarray, " k"],
) -> Int16[np.ndarray, "h w"]:
    """Decoded parts with the borders of believed masks: pixels that exactly one part claims are its.

    A part whose mask is not believed claims what it had. Pixels that several parts claim, or none, stay as decoded.

    Args:
        labels: as decoded, -1 beside the object.
        numbers: of the parts that masks are for.
        masks: as the segmenter sees them.
        good: which of them are believed, as `agreeing` tells.
    """
    inside = labels >= 0
    claims, owner = np.zeros(labels.shape, np.int16), labels.copy()
    for number, mask, sound in zip(numbers, masks, good, strict=True):
        claimed = mask & inside if sound else labels == number
        claims += claimed
        owner[claimed] = number
    return np.where(claims == 1, owner, labels)
