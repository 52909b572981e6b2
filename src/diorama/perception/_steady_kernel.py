"""The kernel of `diorama.perception.steady`: means along ways through time, for some rows."""

from typing import no_type_check

import numpy as np
from numba import njit

ALL = 0.999
"""Share of a pixel's four neighbours that counts as all of them."""


@njit(nogil=True, cache=True)
@no_type_check
def steady_rows(out, pictures, shown, ways, disparity, limits, first, last):
    """Write the means of the open pixels of rows `first` to `last`; see `diorama.perception.steady.steady`.

    Args:
        ways: back and ahead.
        limits: first frame to write, farthest frame on the way, what it counts against the one before it, and the
            tolerances of disparity and of the way back.
    """
    frames, _, width = shown.shape
    total = np.empty(3)
    for t in range(limits[0], frames):
        for y in range(first, last):
            for x in range(width):
                if shown[t, y, x]:
                    continue
                total[:] = pictures[t, y, x]
                weights = 1.0
                for side in range(2):
                    film = pictures, shown, ways[side], ways[1 - side], disparity
                    weights += walk(total, film, t, y, x, 2 * side - 1, limits)
                for c in range(3):
                    out[t, y, x, c] = np.uint8(total[c] / weights + 0.5)


@njit(nogil=True, cache=True)
@no_type_check
def walk(total, film, t, y, x, step, limits):
    """Add what lies on the way from a pixel, `step` frames at a time, and return how much it weighs."""
    pictures, shown, way, back, disparity = film
    frames, height, width = shown.shape
    there_x, there_y, weight, weights = float(x), float(y), 1.0, 0.0
    for s in range(t, t + step * limits[1], step):
        if not 0 <= s + step < frames:
            break
        i, j, down, right = corner(there_x, there_y, height, width)
        moved_x = between(way[s, :, :, 0], i, j, down, right)
        moved_y = between(way[s, :, :, 1], i, j, down, right)
        there_x, there_y = there_x + moved_x, there_y + moved_y
        if not (0 <= there_x <= width - 1 and 0 <= there_y <= height - 1):
            break
        weight *= limits[2]
        i, j, down, right = corner(there_x, there_y, height, width)
        part = between(shown[s + step], i, j, down, right)
        same = abs(between(disparity[s + step], i, j, down, right) - disparity[t, y, x]) < limits[3]
        same &= abs(between(back[s + step, :, :, 0], i, j, down, right) + moved_x) < limits[4]
        same &= abs(between(back[s + step, :, :, 1], i, j, down, right) + moved_y) < limits[4]
        if part < 1 - ALL or (part > ALL and same):  # painted, or shown and of the same surface
            weights += weight
            for c in range(3):
                total[c] += weight * between(pictures[s + step, :, :, c], i, j, down, right)
    return weights


@njit(nogil=True, cache=True)
@no_type_check
def corner(x, y, height, width):
    """Row and column of the upper left one of four neighbours, and how far from it (down, right)."""
    i, j = min(int(y), height - 2), min(int(x), width - 2)
    return i, j, y - i, x - j


@njit(nogil=True, cache=True)
@no_type_check
def between(plane, i, j, down, right):
    """The bilinear value between four neighbours."""
    above = plane[i, j] * (1 - right) + plane[i, j + 1] * right
    below = plane[i + 1, j] * (1 - right) + plane[i + 1, j + 1] * right
    return above * (1 - down) + below * down
