"""From a small depth map to the full frame, with edges where the picture has them.

Joint bilateral upsampling (Kopf et al., SIGGRAPH 2007) over the four nearest map pixels: each full pixel takes the mean
of its neighbours, weighted by closeness and by likeness of colour. Being a weighted mean it can neither ring nor leave
the range of its neighbours, so there are no haloes, and a constant stays constant.
"""

from functools import cache
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit

from diorama.core.parallel import bands
from diorama.core.video import Pixels
from diorama.perception.shrink import eight_bits, shrink

COLOUR = 10.0  # of 255 a channel: colours this far apart count as different surfaces
EDGE = 0.01  # of the map's range: steps below this are no edges
FLOOR = 1e-3  # weight of an unlike colour: where nothing is alike, plain bilinear remains


def upsample(
    inverse_depth: Float32[np.ndarray, "dh dw"], image: Pixels, small: UInt8[np.ndarray, "dh dw 3"] | None = None
) -> Float32[np.ndarray, "h w"]:
    """A depth map on the grid of `image` (uint8 or uint16 RGB), at most 8 ms at 720p.

    Args:
        inverse_depth: any scale; the frame's aspect, at most its size.
        image: the frame that the map describes.
        small: the same reduced to the map's size; made here by default.
    """
    height, width = image.shape[:2]
    rows, cols = inverse_depth.shape
    if (rows, cols) == (height, width):
        return inverse_depth
    bright = eight_bits(image)
    if rows > height or cols > width:
        return np.asarray(cv2.resize(inverse_depth, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    guide = shrink(bright, rows, cols) if small is None else np.ascontiguousarray(small)
    values = np.ascontiguousarray(inverse_depth, np.float32)
    out = np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    uneven = _uneven(values)
    starts = np.ceil((np.arange(cols) + 0.5) * width / cols - 0.5).astype(np.int32)
    picture, likeness = np.ascontiguousarray(bright), _likeness()
    bands(height, lambda a, b: _sharpen_rows((values, uneven, starts), guide, picture, likeness, out, a, b))
    return out


def _uneven(values: Float32[np.ndarray, "dh dw"]) -> Bool[np.ndarray, "ch cw"]:
    """Which cells between four neighbouring map pixels hold an edge; elsewhere bilinear is as good."""
    high = np.maximum(values[:, :-1], values[:, 1:])
    low = np.minimum(values[:, :-1], values[:, 1:])
    high, low = np.maximum(high[:-1], high[1:]), np.minimum(low[:-1], low[1:])
    return np.asarray(high - low > EDGE * max(float(values.max() - values.min()), 1e-12))


@cache
def _likeness() -> Float32[np.ndarray, "n"]:
    """Weight by squared colour distance, in steps of 64."""
    squared = np.arange(3 * 255**2 // 64 + 1, dtype=np.float64) * 64
    return (np.exp(-squared / (2 * 3 * COLOUR**2)) + FLOOR).astype(np.float32)


@njit(nogil=True, cache=True, fastmath=True)
@no_type_check
def _sharpen_rows(small, guide, image, likeness, out, first, last):
    """Overwrite the pixels of uneven cells in rows ``first..last`` of `out`."""
    values, uneven, starts = small
    rows, cols = values.shape
    height, width = out.shape
    down, across = np.float32(rows / height), np.float32(cols / width)
    half, one, spare = np.float32(0.5), np.float32(1.0), np.float32(0.02)
    for y in range(first, last):
        v = (y + half) * down - half
        if v < 0 or v >= rows - 1:
            continue
        y0 = int(v)
        fy = v - np.float32(y0)
        for x0 in range(cols - 1):
            if not uneven[y0, x0]:
                continue
            for x in range(starts[x0], starts[x0 + 1]):
                fx = (x + half) * across - half - np.float32(x0)
                total, weight = np.float32(0.0), np.float32(0.0)
                for k in range(4):
                    yy, xx = y0 + (k >> 1), x0 + (k & 1)
                    near = (fy if k & 2 else one - fy) * (fx if k & 1 else one - fx) + spare
                    distance = np.int32(0)
                    for c in range(3):
                        step = np.int32(guide[yy, xx, c]) - np.int32(image[y, x, c])
                        distance += step * step
                    w = near * likeness[distance >> 6]
                    total += w * values[yy, xx]
                    weight += w
                out[y, x] = total / weight
