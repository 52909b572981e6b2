"""A picture cut into regions of one colour, with what the depth cues ask of each."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8

LEAST_PIXELS = 40

Per = Float64[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions and their measures; rows, columns and lengths in pixels.

    Attributes:
        labels: number of the region of each pixel.
        area: pixels of each region.
        colour: mean CIE Lab (8-bit scaling) of each region.
        top, bottom, sides: pixels on the picture's border.
        low, high: lowest and highest row, up to 4 % of the area.
        width: columns spanned, up to 4 % of the area on each side.
    """

    labels: Int32[np.ndarray, "h w"]
    area: Per
    colour: Float64[np.ndarray, "n 3"]
    top: Per
    bottom: Per
    sides: Per
    low: Int64[np.ndarray, "n"]
    high: Int64[np.ndarray, "n"]
    width: Int64[np.ndarray, "n"]

    def mean(self, values: np.ndarray) -> Per:
        """Mean of a per-pixel map over each region."""
        return np.bincount(self.labels.ravel(), values.ravel(), len(self.area)) / self.area


def find_regions(image: UInt8[np.ndarray, "h w 3"]) -> Regions:
    """Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004) in CIE Lab, without fine texture."""
    lab = cv2.cvtColor(cv2.medianBlur(image, 5), cv2.COLOR_RGB2LAB)
    cut = cv2.ximgproc.segmentation.createGraphSegmentation(0.6, 250, LEAST_PIXELS)
    return measure(cut.processImage(lab), lab.astype(np.float32))


def measure(labels: Int32[np.ndarray, "h w"], lab: Float32[np.ndarray, "h w 3"]) -> Regions:
    """The measures of given regions."""
    height, width = labels.shape
    count = int(labels.max()) + 1
    flat = labels.ravel()
    area = np.maximum(np.bincount(flat, minlength=count), 1).astype(np.float64)

    def on(border: np.ndarray) -> Per:
        return np.bincount(border, minlength=count).astype(np.float64)

    rows, cols = np.indices(labels.shape)
    high, low = _extent(flat, rows.ravel(), count, height, area)
    first, last = _extent(flat, cols.ravel(), count, width, area)
    colour = np.stack([np.bincount(flat, lab[..., c].ravel(), count) / area for c in range(3)], 1)
    sides = on(labels[:, 0]) + on(labels[:, -1])
    return Regions(labels, area, colour, on(labels[0]), on(labels[-1]), sides, low, high, last - first + 1)


def _extent(
    flat: np.ndarray, place: np.ndarray, count: int, size: int, area: Per
) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """First and last place that each region fills, leaving out 4 % of its pixels at either end."""
    filled = np.bincount(flat * size + place, minlength=count * size).reshape(count, size).cumsum(1)
    share = filled / area[:, None]
    return (share < 0.04).sum(1), (share < 0.96).sum(1)
