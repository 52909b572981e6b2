"""Flat pictures on the front half of a sphere, as VR180 players expect them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float64, Int16, UInt8, UInt16

from diorama.core.video import Pixels
from diorama.errors import UsageError

Square = UInt8[np.ndarray, "side side 3"] | UInt16[np.ndarray, "side side 3"]
_LARGEST_DEFAULT = 2048


@dataclass(frozen=True)
class VR180:
    """How a flat picture is hung on the sphere.

    Attributes:
        hfov: degrees that the width of the picture covers, 10 to 150. A film shot at 50 may be shown at 90: like
            a larger screen.
        size: side in pixels of the square of one eye, even, 16 to 8192; None keeps the resolution at the centre, up
            to 2048 (two of them fit H.264 level 5.1).
    """

    hfov: float = 90.0
    size: int | None = None

    def __post_init__(self) -> None:
        if not 10 <= self.hfov <= 150:
            raise UsageError(f"field of view of {self.hfov} degrees", "vr180", "use 10 to 150")
        if self.size is not None and (self.size % 2 or not 16 <= self.size <= 8192):
            raise UsageError(f"eye of {self.size} pixels", "vr180", "use an even number, 16 to 8192")

    def focal(self, width: int) -> float:
        """Focal length in pixels of a picture `width` pixels wide."""
        return width / 2 / math.tan(math.radians(self.hfov) / 2)

    def side(self, width: int) -> int:
        """Pixels of one eye's square for a picture `width` pixels wide."""
        if self.size is not None:
            return self.size
        return max(16, min(_LARGEST_DEFAULT, round(math.pi * self.focal(width) / 2) * 2))


@dataclass(frozen=True, eq=False)
class SphereMap:
    """Where the pixels of a square half-sphere come from.

    Only the rectangle that the picture touches is stored; the rest of the square stays black.

    Attributes:
        top, left: of that rectangle, in pixels of the square.
        whole: integer source position (x, y) of each of its pixels.
        part: index of the sub-pixel position in OpenCV's interpolation table.
    """

    top: int
    left: int
    whole: Int16[np.ndarray, "rows columns 2"]
    part: UInt16[np.ndarray, "rows columns"]


def source_positions(
    rows: Float64[np.ndarray, "rows 1"],
    columns: Float64[np.ndarray, "1 columns"],
    side: int,
    focal: float,
) -> tuple[Float64[np.ndarray, "rows columns"], Float64[np.ndarray, "rows columns"]]:
    """Offset in pixels from the centre of a flat picture, of pixel centres of the half-sphere.

    Longitude grows to the right and latitude upwards, each -90 to 90 degrees over the square; at longitude a and
    latitude b the ray is (cos b sin a, -sin b, cos b cos a) in OpenCV axes.

    Args:
        rows, columns: pixel indices in the square.
        side: of the square, pixels.
        focal: length of the flat picture, pixels.
    """
    longitude = ((columns + 0.5) / side - 0.5) * np.pi
    latitude = (0.5 - (rows + 0.5) / side) * np.pi
    x = focal * np.tan(longitude)
    y = -focal * np.tan(latitude) / np.cos(longitude)
    return np.broadcast_to(x, y.shape), y


@lru_cache(maxsize=4)
def sphere_map(height: int, width: int, side: int, focal: float) -> SphereMap:
    """The map of a picture of `height` x `width` pixels with `focal` length (pixels) to a square of `side`."""
    a = math.atan((width / 2 + 1) / focal)
    b = math.atan((height / 2 + 1) / focal)
    left = max(0, math.floor(side * (0.5 - a / math.pi)))
    top = max(0, math.floor(side * (0.5 - b / math.pi)))
    rows = np.arange(top, side - top, dtype=np.float64)[:, None]
    columns = np.arange(left, side - left, dtype=np.float64)[None]
    x, y = source_positions(rows, columns, side, focal)
    x, y = x + width / 2 - 0.5, y + height / 2 - 0.5
    whole, part = cv2.convertMaps(x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)
    return SphereMap(top, left, whole, part)


def project_into(image: Pixels, square: Square, options: VR180) -> None:
    """Draw a flat `image` into a black `square` of `options.side(width)` pixels.

    A picture with more pixels per degree than the square is first smoothed, by the Gaussian that takes the blur of
    its own pixels to that of the square's, so that fine detail does not alias.
    """
    height, width = image.shape[:2]
    side, focal = square.shape[0], options.focal(width)
    finer = math.pi * focal / side
    if finer > 1.1:
        sigma = 0.5 * math.sqrt(finer**2 - 1)
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    table = sphere_map(height, width, side, focal)
    rows, columns = table.part.shape
    square[table.top : table.top + rows, table.left : table.left + columns] = cv2.remap(
        image, table.whole, table.part, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def half_sphere(image: Pixels, options: VR180 = VR180()) -> Square:
    """`image` on a black half-sphere; see `project_into`."""
    side = options.side(image.shape[1])
    square = np.zeros((side, side, 3), image.dtype)
    project_into(image, square, options)
    return square
