"""Kernels of `peel`: how far a colour is from what a body, or its surroundings, would show there."""

from typing import no_type_check

import numpy as np
from numba import njit

GOOD = np.float32(0.4)
"""Distance from which on no better place is looked for."""


@njit(nogil=True, cache=True, fastmath=True)
@no_type_check
def unlike_body(image, plate, body, where, shifts, least, out):
    """How far each colour is from a mixture of the body's colour near it and the plate's; into `out`.

    Args:
        image, plate, body: "h w 3", each axis in deviations.
        where: "h w", pixels that are asked for; others stay as they are.
        shifts: "k 2" rows and columns by which the body may be off, nearest first.
        least: share of the body in the mixture, at least.
        out: squared deviations.
    """
    height, width = where.shape
    for y in range(height):
        for x in range(width):
            if not where[y, x]:
                continue
            i0, i1, i2 = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            p0, p1, p2 = i0 - plate[y, x, 0], i1 - plate[y, x, 1], i2 - plate[y, x, 2]
            best = np.float32(1e9)
            for k in range(shifts.shape[0]):
                yy = min(max(y + shifts[k, 0], 0), height - 1)
                xx = min(max(x + shifts[k, 1], 0), width - 1)
                # the image is plate + a (body - plate) with a in least..1
                d0, d1, d2 = body[yy, xx, 0], body[yy, xx, 1], body[yy, xx, 2]
                d0, d1, d2 = d0 - i0 + p0, d1 - i1 + p1, d2 - i2 + p2
                length = d0 * d0 + d1 * d1 + d2 * d2
                share = (p0 * d0 + p1 * d1 + p2 * d2) / max(length, np.float32(1e-6))
                share = min(max(share, least), np.float32(1))
                e0, e1, e2 = p0 - share * d0, p1 - share * d1, p2 - share * d2
                far = e0 * e0 + e1 * e1 + e2 * e2
                if far < best:
                    best = far
                    if best < GOOD:
                        break
            out[y, x] = best
