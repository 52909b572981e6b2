"""Kernels of `peel`: how far colours are from what a body, or its surroundings, would show, and what that costs."""

from typing import no_type_check

import numpy as np
from numba import njit

GOOD = np.float32(0.4)
"""Distance from which on no better place is looked for."""
BLOCK, EACH = 64, 4
"""Pixels of a row that are compared together, and steps after which is asked whether all of them are done."""
LEVELS = 16
"""Steps of a colour channel where colours are counted."""
_STEP = 256 // LEVELS
_SAME = {"nnan", "ninf", "nsz", "contract"}
"""Nothing that would let the result depend on how many pixels are worked on at once."""


@njit(nogil=True, cache=True)
@no_type_check
def planes(picture, scale, rim):
    """A picture "h w 3" times `scale` as "3 h w", with a rim of so many pixels that repeats its edge."""
    height, width = picture.shape[:2]
    out = np.empty((3, height + 2 * rim, width + 2 * rim), np.float32)
    for y in range(out.shape[1]):
        row = picture[min(max(y - rim, 0), height - 1)]
        for c in range(3):
            line = out[c, y]
            for x in range(width):
                line[x + rim] = row[x, c] * scale[c]
            for x in range(rim):
                line[x], line[width + rim + x] = line[rim], line[width + rim - 1]
    return out


@njit(nogil=True, cache=True, fastmath=_SAME)
@no_type_check
def unlike_body(image, plate, body, where, shifts, least, out):
    """How far each colour is from a mixture of the body's colour near it and the plate's; into `out`.

    The first step that leads nearer than `GOOD` ends a pixel's search; the pixels of a block take steps together.

    Args:
        image, plate: "3 h w", each axis in deviations.
        body: the same with a rim as wide as the farthest step.
        where: "h w", pixels that are asked for; others stay as they are.
        shifts: "k 2" rows and columns by which the body may be off, nearest first.
        least: share of the body in the mixture, at least.
        out: squared deviations.
    """
    height, width = where.shape
    rim = (body.shape[1] - height) // 2
    one, tiny, best = np.float32(1), np.float32(1e-6), np.empty(BLOCK, np.float32)
    for y in range(height):
        for first in range(0, width, BLOCK):
            count, asked = min(BLOCK, width - first), 0
            for x in range(count):
                asked += where[y, first + x]
                best[x] = np.float32(1e9) if where[y, first + x] else np.float32(0)
            if asked == 0:
                continue
            last = first + count
            i0, i1, i2 = image[0, y, first:last], image[1, y, first:last], image[2, y, first:last]
            g0, g1, g2 = plate[0, y, first:last], plate[1, y, first:last], plate[2, y, first:last]
            for k in range(shifts.shape[0]):
                yy, xx = y + rim + shifts[k, 0], first + rim + shifts[k, 1]
                b0, b1, b2 = body[0, yy, xx : xx + count], body[1, yy, xx : xx + count], body[2, yy, xx : xx + count]
                for x in range(count):
                    # the image is plate + a (body - plate) with a in least..1
                    p0, p1, p2 = i0[x] - g0[x], i1[x] - g1[x], i2[x] - g2[x]
                    d0, d1, d2 = b0[x] - g0[x], b1[x] - g1[x], b2[x] - g2[x]
                    length = d0 * d0 + d1 * d1 + d2 * d2
                    share = (p0 * d0 + p1 * d1 + p2 * d2) / max(length, tiny)
                    share = min(max(share, least), one)
                    e0, e1, e2 = p0 - share * d0, p1 - share * d1, p2 - share * d2
                    far, now = e0 * e0 + e1 * e1 + e2 * e2, best[x]
                    best[x] = min(far, now) if now >= GOOD else now
                if k % EACH == EACH - 1:
                    searched = 0
                    for x in range(count):
                        searched += best[x] >= GOOD
                    if searched == 0:
                        break
            for x in range(count):
                if where[y, first + x]:
                    out[y, first + x] = best[x]


@njit(nogil=True, cache=True)
@no_type_check
def cost_volume(unlike, image, plate, scale, known, maps, weights):
    """Costs of person, scene and something else, "h w 3".

    Args:
        unlike: "h w", squared deviations from the body.
        image, plate: "h w 3", CIE Lab.
        scale: of their axes to deviations of the scene.
        known: "h w", where the plate was seen.
        maps: soft, others, likely, ahead and loose as in `peel.Around`, "h w" each.
        weights: `MOST`, `TRUST`, `NEARER`, `OBJECT`, `HELD` and `KNOWN` of `peel`, single precision.
    """
    soft, others, likely, ahead, loose = maps
    most, trust, nearer, thing, held, seen = weights
    half, one, two, zero = np.float32(0.5), np.float32(1), np.float32(2), np.float32(0)
    height, width = unlike.shape
    out = np.empty((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            s = soft[y, x]
            other = two * most if others[y, x] > max(s, half) else zero
            body = min(unlike[y, x] / (one + half * (loose[y, x] * loose[y, x])), most)
            off = most / two
            if known[y, x]:
                a = (image[y, x, 0] - plate[y, x, 0]) * scale[0]
                b = (image[y, x, 1] - plate[y, x, 1]) * scale[1]
                c = (image[y, x, 2] - plate[y, x, 2]) * scale[2]
                off = min(a * a + b * b + c * c, most)
            out[y, x, 0] = body + trust * (one - s) + nearer * ahead[y, x] + other
            out[y, x, 1] = off + trust * s
            out[y, x, 2] = thing + held * s - seen * likely[y, x] + other
    return out


@njit(nogil=True, cache=True)
@no_type_check
def continued(look, depth, inner, nearest):
    """A surface and metres to it "h w c", "h w" as "h w c+1": where it is not `inner`, its pixel that is the nearest.

    `nearest` numbers the pixels of the surface, and says of each other one which it is nearest to.
    """
    height, width, channels = look.shape
    places = np.zeros((nearest.max() + 1, 2), np.int64)
    for y in range(height):
        for x in range(width):
            if inner[y, x]:
                places[nearest[y, x], 0], places[nearest[y, x], 1] = y + 1, x
    out = np.zeros((height, width, channels + 1), np.float32)
    for y in range(height):
        for x in range(width):
            row, column = places[nearest[y, x], 0] - 1, places[nearest[y, x], 1]
            if row >= 0:
                for c in range(channels):
                    out[y, x, c] = look[row, column, c]
                out[y, x, channels] = depth[row, column]
    return out


@njit(nogil=True, cache=True)
@no_type_check
def tally(image, where):
    """How many pixels of a picture "h w 3" have each colour, of those in `where`; `LEVELS` cubed numbers."""
    counts = np.zeros(LEVELS**3, np.int64)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if where[y, x]:
                r, g, b = image[y, x, 0] // _STEP, image[y, x, 1] // _STEP, image[y, x, 2] // _STEP
                counts[(np.int64(r) * LEVELS + g) * LEVELS + b] += 1
    return counts


@njit(nogil=True, cache=True)
@no_type_check
def look_up(table, image):
    """What a table by colour, as `tally` counts them, says of each pixel of a picture "h w 3"."""
    out = np.empty(image.shape[:2], np.float32)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = image[y, x, 0] // _STEP, image[y, x, 1] // _STEP, image[y, x, 2] // _STEP
            out[y, x] = table[(np.int64(r) * LEVELS + g) * LEVELS + b]
    return out
