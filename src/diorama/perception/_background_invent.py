"""What no frame shows: another part of the same picture is put there, in the colours around the hole.

The part is the one whose surroundings look most like the hole's (a shift as in He and Sun, ECCV 2012, but one for each
hole or band of it), preferably from the same height, where ground and walls go on; the difference to the hole's
surroundings is carried into it smoothly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64
from numba import njit

from diorama.core.video import Pixels
from diorama.perception._background_box import spread

SMALL = 160
"""Pixels of the longer side of the picture in which shifts are sought and colours are carried into holes."""
TINY = 24  # reduced pixels: smaller holes get smooth colour
RING = 5  # reduced pixels around a hole that are compared
UPRIGHT, NEAR = 0.5, 0.04
"""Levels of 255 that each reduced pixel of height between hole and part costs, and each of distance."""
BANDS = 4
"""Parts into which a hole is cut for which there is no other part as large."""
HEIGHTS = (0, -1, 1, -2, 2, -4, 4, -7, 7, -12, 12, -20, 20)
"""Reduced pixels by which a part may be lower or higher than the hole."""

Mask = Bool[np.ndarray, "h w"]
SmallMask = Bool[np.ndarray, "sh sw"]
Small = Float32[np.ndarray, "sh sw 3"]
Shift = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Reduced:
    """The picture in which parts are sought: levels of 255, and its known pixels."""

    picture: Small
    known: SmallMask


def invent(image: Pixels, known: Mask, wanted: Mask) -> Pixels:
    """Fill the `wanted` pixels; all others come back as they are.

    Args:
        image: the picture.
        known: pixels that may be copied and matched.
        wanted: pixels to be filled, none of them known.
    """
    if not wanted.any() or not known.any():
        return image.copy()
    height, width = known.shape
    share = min(1.0, SMALL / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    reduced = _reduced(image, known, size)
    filled = np.where(wanted[..., None], _smooth(image, reduced), image)
    hole = cv2.resize(wanted.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 16
    for piece, shift in _parts(reduced, hole):
        _put(filled, image, known & ~wanted, piece=_enlarged(piece, wanted), reduced=reduced, shift=shift)
    return filled


def _reduced(image: Pixels, known: Mask, size: tuple[int, int]) -> Reduced:
    weights = known.astype(np.float32)
    scaled = image.astype(np.float32) * np.float32(255 / np.iinfo(image.dtype).max)
    sums = cv2.resize(scaled * weights[..., None], size, interpolation=cv2.INTER_AREA)
    area = cv2.resize(weights, size, interpolation=cv2.INTER_AREA)
    return Reduced(np.asarray(sums / np.maximum(area, 1e-6)[..., None], np.float32), area > 0.5)


def _smooth(image: Pixels, reduced: Reduced) -> Pixels:
    """Smooth colour from what is known around."""
    top = np.iinfo(image.dtype).max
    colors = spread(reduced.picture, reduced.known.astype(np.float32)) * np.float32(top / 255)
    full = cv2.resize(colors, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(full).clip(0, top).astype(image.dtype))


def _parts(reduced: Reduced, hole: SmallMask) -> Iterator[tuple[SmallMask, Shift]]:
    """Pieces of the hole with the shift to the part that is to be put there."""
    count, labels = cv2.connectedComponents(hole.astype(np.uint8))
    for number in range(1, count):
        piece = labels == number
        if piece.sum() < TINY:
            continue
        shift = _best(reduced, piece)
        if shift is not None:
            yield piece, shift
            continue
        rows = np.flatnonzero(piece.any(axis=1))
        for band in np.array_split(rows, min(BANDS, len(rows))):
            strip = np.zeros_like(piece)
            strip[band] = piece[band]
            shift = _best(reduced, strip)
            if shift is not None:
                yield strip, shift


def _best(reduced: Reduced, piece: SmallMask) -> Shift | None:
    """The shift (x, y; reduced pixels) whose surroundings fit best; None where no part is as large."""
    size = 2 * RING + 1
    ring = (cv2.dilate(piece.astype(np.uint8), np.ones((size, size), np.uint8)) > 0) & reduced.known
    inner, outer = _some(np.argwhere(piece), 200), _some(np.argwhere(ring), 400)
    if len(outer) < 8:
        return None
    across, down = best_shift(reduced.picture, reduced.known, inner, outer, np.array(HEIGHTS), (UPRIGHT, NEAR))
    return None if across > piece.shape[1] else (int(across), int(down))


@njit(nogil=True, cache=True)
@no_type_check
def best_shift(picture, known, inner, outer, heights, weights):
    """The shift (columns, rows) with the least mean difference at `outer`; more columns than there are where none fits.

    Args:
        picture: "h w 3", levels of 255.
        known: "h w".
        inner: places that the shift must bring to known ones, nearly all of them.
        outer: known places whose colours are compared, most of which it must bring to known ones.
        heights: rows that are tried.
        weights: cost of a row and of a column.
    """
    high, wide = known.shape
    best, across, down = np.inf, wide + 1, 0
    for dy in heights:
        for dx in range(-wide + 1, wide):
            missing = 0
            for n in range(inner.shape[0]):
                y, x = inner[n, 0] + dy, inner[n, 1] + dx
                if y < 0 or y >= high or x < 0 or x >= wide or not known[y, x]:
                    missing += 1
                    if missing >= 0.03 * inner.shape[0]:
                        break
            if missing >= 0.03 * inner.shape[0]:
                continue
            count, total = 0, 0.0
            for n in range(outer.shape[0]):
                y, x = outer[n, 0] + dy, outer[n, 1] + dx
                if y >= 0 and y < high and x >= 0 and x < wide and known[y, x]:
                    count += 1
                    for c in range(3):
                        total += min(abs(picture[y, x, c] - picture[outer[n, 0], outer[n, 1], c]), 60.0)
            if count < 0.6 * outer.shape[0]:
                continue
            cost = total / (3 * count) + weights[0] * abs(dy) + weights[1] * abs(dx)
            if cost < best:
                best, across, down = cost, dx, dy
    return across, down


def _some(places: Int64[np.ndarray, "n 2"], most: int) -> Int64[np.ndarray, "m 2"]:
    return places[:: max(1, len(places) // most)]


def _enlarged(piece: SmallMask, wanted: Mask) -> Mask:
    full = cv2.resize(piece.astype(np.uint8), wanted.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(full & wanted)


def _put(filled: Pixels, image: Pixels, known: Mask, *, piece: Mask, reduced: Reduced, shift: Shift) -> None:
    """Write the shifted part into the piece, in the colours around it."""
    height, width = known.shape
    high, wide = reduced.known.shape
    across, down = round(shift[0] * width / wide), round(shift[1] * height / high)
    y, x = np.nonzero(piece)
    inside = (y + down >= 0) & (y + down < height) & (x + across >= 0) & (x + across < width)
    y, x = y[inside], x[inside]
    shown = known[y + down, x + across]
    y, x = y[shown], x[shown]
    offset = _offsets(reduced, shift)
    top = np.iinfo(image.dtype).max
    full = cv2.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)[y, x] * np.float32(top / 255)
    filled[y, x] = np.rint(image[y + down, x + across] + full).clip(0, top).astype(image.dtype)


def _offsets(reduced: Reduced, shift: Shift) -> Small:
    """What must be added to a shifted part, carried smoothly from where both are known; levels of 255."""
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    size, flags = reduced.known.shape[::-1], cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(reduced.picture, move, size, flags=flags)
    shown = cv2.warpAffine(reduced.known.astype(np.uint8), move, size, flags=flags) > 0
    gap = np.asarray(reduced.picture - there, np.float32)
    weights = (shown & reduced.known) / (1 + (np.abs(gap).max(axis=-1) / 40) ** 2)
    return spread(gap, weights.astype(np.float32))
