"""Pictures made smaller by area averaging, quickly."""

import cv2
import numpy as np
from jaxtyping import UInt8

from diorama.core.layers import Map
from diorama.core.video import Pixels


def shrink(image: Pixels, height: int, width: int) -> UInt8[np.ndarray, "sh sw 3"]:
    """The picture at `height` x `width` as 8-bit RGB; sides that are already smaller are interpolated.

    Halving first takes OpenCV's fast path for whole factors: a third of the time of one step from 720p to 384 x 216.
    """
    while _halves(image.shape[0], height) and _halves(image.shape[1], width):
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(eight_bits(image))


def eight_bits(image: Pixels | Map) -> UInt8[np.ndarray, "h w *c"]:
    """The upper 8 bits of a picture or of coverage; one that has no more is returned itself."""
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _halves(side: int, goal: int) -> bool:
    return side % 2 == 0 and side >= 2 * goal
