"""A person's soft mask as the network gives it, in a turned square, and its way back into the frame."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from diorama.core.person import Box
from diorama.core.video import Pixels
from diorama.perception.people_detect import Region
from diorama.perception.shrink import eight_bits

CENTER = 0.5  # of a pixel: places here count from its edge, OpenCV's from its middle


@dataclass(frozen=True, eq=False)
class SoftMask:
    """Coverage 0..1 of one person, on its own grid.

    Attributes:
        values: 0..1.
        to_frame: leads from places on this grid to places in the frame, (x, y, 1) to (x, y), both in pixels from the
            upper left edge.
    """

    values: Float32[np.ndarray, "mh mw"]
    to_frame: Float64[np.ndarray, "2 3"]

    def whole(self, height: int, width: int, *, scale: float | int = 1.0) -> Float32[np.ndarray, "h w"]:
        """The mask on a grid of `height` x `width`, zero where its own ends.

        Args:
            height, width: of the picture wanted.
            scale: size of that picture over the size of the frame.
        """
        matrix = centered(self.to_frame * scale)
        return np.asarray(cv2.warpAffine(self.values, matrix, (width, height), flags=cv2.INTER_LINEAR), np.float32)

    def bounds(self, threshold: float = 0.5) -> Box | None:
        """The box around what is above `threshold`, in pixels of the frame; None where nothing is."""
        above = self.values > threshold
        rows = np.flatnonzero(above.any(axis=1))
        if len(rows) == 0:
            return None
        taken = above[rows]  # a map of lines to lines takes the ends of a row to the ends of what lies between them
        ends = taken.argmax(axis=1), above.shape[1] - 1 - taken[:, ::-1].argmax(axis=1)
        places = np.stack([np.concatenate(ends), np.tile(rows, 2)], -1) + CENTER
        placed = places @ self.to_frame[:, :2].T + self.to_frame[:, 2]
        half = CENTER * np.abs(self.to_frame[:, :2]).sum(axis=1)
        return np.concatenate([placed.min(axis=0) - half, placed.max(axis=0) + half]).astype(np.float32)


def region_matrix(region: Region, size: int) -> Float64[np.ndarray, "2 3"]:
    """From places in a square picture of `size` pixels to the places in the frame that it shows."""
    step = region.side / size
    turned = step * np.array([[np.cos(region.turn), -np.sin(region.turn)], [np.sin(region.turn), np.cos(region.turn)]])
    corner = np.array([region.x, region.y]) - turned @ np.full(2, size / 2)
    return np.concatenate([turned, corner[:, None]], axis=1)


def cut_out(image: Pixels, region: Region, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The region as an 8-bit square picture of `size` pixels, black beyond the frame."""
    height, width = image.shape[:2]
    reach = region.side * 0.75  # half a diagonal and a little
    left, right = _window(region.x, reach, width)
    top, bottom = _window(region.y, reach, height)
    part = eight_bits(image[top:bottom, left:right])
    part, matrix = _reduced(part, region_matrix(region.moved(-left, -top), size))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(part, centered(matrix), (size, size), flags=flags), np.uint8)


def _window(center: float | int, reach: float, side: int) -> tuple[int, int]:
    """What lies within reach, at least one pixel of the `side` there are."""
    start = int(np.clip(center - reach, 0, side - 1))
    return start, int(np.clip(center + reach + 1, start + 1, side))


def _reduced(
    part: UInt8[np.ndarray, "h w 3"], matrix: Float64[np.ndarray, "2 3"]
) -> tuple[UInt8[np.ndarray, "rh rw 3"], Float64[np.ndarray, "2 3"]]:
    """The picture at the half, the quarter... of its size where little is wanted of it: fine patterns stay true."""
    factor = 2 ** int(np.log2(max(1.0, np.hypot(*matrix[:, 0]))))
    across, down = part.shape[1] // factor, part.shape[0] // factor
    if factor == 1 or min(across, down) < 1:
        return part, matrix
    whole = part[: down * factor, : across * factor]
    return np.asarray(cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA), np.uint8), matrix / factor


def centered(matrix: Float64[np.ndarray, "2 3"]) -> Float64[np.ndarray, "2 3"]:
    """The same map between middles of pixels, which OpenCV counts from."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.full(2, CENTER) - CENTER
    return moved
