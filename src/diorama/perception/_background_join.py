"""One background from several views of it: at each pixel the colour that most of them agree on."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16
from numba import njit

from diorama.core.parallel import bands

FAR = 60.0
"""Levels of 255, summed over the channels, beyond which two colours are simply different."""
ALIKE = 30.0
"""The same, up to which colours are averaged."""

Views = UInt8[np.ndarray, "n h w 3"] | UInt16[np.ndarray, "n h w 3"]


def join(
    views: Views,
    there: Bool[np.ndarray, "n h w"],
    gains: Float32[np.ndarray, "n 3"],
    weights: Float32[np.ndarray, "n"],
) -> tuple[UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The colour nearest to all others (their weighted medoid), averaged with those like it.

    Args:
        views: the same place seen several times.
        there: where each shows it.
        gains: factors on their colours.
        weights: of their votes, above 0.

    Returns:
        The picture, 0 where no view shows anything, and where one does.
    """
    out, seen = np.zeros(views.shape[1:], views.dtype), np.zeros(views.shape[1:3], bool)
    top = float(np.iinfo(views.dtype).max)

    def work(first: int, last: int) -> None:
        join_rows(views, there, gains, weights, top, out, seen, first, last)

    bands(len(out), work)
    return out, seen


@njit(nogil=True, cache=True)
@no_type_check
def join_rows(views, there, gains, weights, top, out, seen, first, last):
    """Rows `first` to `last - 1` of `join`; `top` is the largest value of the pixels' type."""
    count, width = views.shape[0], views.shape[2]
    far, alike = np.float32(FAR * top / 255), np.float32(ALIKE * top / 255)
    values, votes = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    costs = np.empty(count, np.float32)
    for y in range(first, last):
        for x in range(width):
            found = 0
            for i in range(count):
                if there[i, y, x]:
                    for c in range(3):
                        values[found, c] = views[i, y, x, c] * gains[i, c]
                    votes[found], costs[found] = weights[i], np.float32(0)
                    found += 1
            if found == 0:
                continue
            for i in range(found):
                for j in range(i):
                    gap = abs(values[i, 0] - values[j, 0]) + abs(values[i, 1] - values[j, 1])
                    gap = min(far, gap + abs(values[i, 2] - values[j, 2]))
                    costs[i] += votes[j] * gap
                    costs[j] += votes[i] * gap
            best = 0
            for i in range(1, found):
                if costs[i] < costs[best]:
                    best = i
            r, g, b, whole = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for i in range(found):
                gap = abs(values[i, 0] - values[best, 0]) + abs(values[i, 1] - values[best, 1])
                gap += abs(values[i, 2] - values[best, 2])
                if gap <= alike:
                    r += votes[i] * values[i, 0]
                    g += votes[i] * values[i, 1]
                    b += votes[i] * values[i, 2]
                    whole += votes[i]
            seen[y, x] = True
            out[y, x, 0] = min(np.float32(top), r / whole + np.float32(0.5))
            out[y, x, 1] = min(np.float32(top), g / whole + np.float32(0.5))
            out[y, x, 2] = min(np.float32(top), b / whole + np.float32(0.5))
