"""Kernels of the completion of holes: patches of a picture are matched with known ones, and vote for its pixels.

A patch is a square of pixels `REACH` to each side of its centre, cut off at the picture's border. A source is a
centre whose whole square lies in the picture and is known. Colours are float32, levels of 255; a field holds the
source (row, column) of each centre.
"""

from typing import no_type_check

import numpy as np
from numba import njit

REACH = 3
"""Pixels to each side of a patch's centre: patches of 7 x 7 (Wexler, Shechtman and Irani 2007 take 5 to 9)."""

FREE = 0.25
"""What a difference in brightness costs against one in texture, as penalty of the added bias (0: nothing)."""

MOST = 24.0
"""Levels that are added to a source at most, each channel for itself (Darabi et al. 2012, section 3.1)."""


@njit(nogil=True, cache=True)
@no_type_check
def bias_of(total, count):
    """Levels added to a source whose differences have that sum: the least squared error with the penalty `FREE`."""
    return min(MOST, max(-MOST, total / (count * (1.0 + FREE))))


@njit(nogil=True, cache=True)
@no_type_check
def compare(picture, done, y, x, sy, sx, most):
    """Mean squared difference of two patches after the bias, and the biases; inf where it must exceed `most`.

    Only the pixels of the first patch that are `done` count.
    """
    high, wide = done.shape
    y0, y1 = max(-REACH, -y), min(REACH, high - 1 - y)
    x0, x1 = max(-REACH, -x), min(REACH, wide - 1 - x)
    whole = np.float32((y1 - y0 + 1) * (x1 - x0 + 1))
    r = g = b = rr = gg = bb = np.float32(0)
    count = np.float32(0)
    for j in range(y0, y1 + 1):
        for i in range(x0, x1 + 1):
            if done[y + j, x + i]:
                u = picture[y + j, x + i, 0] - picture[sy + j, sx + i, 0]
                v = picture[y + j, x + i, 1] - picture[sy + j, sx + i, 1]
                w = picture[y + j, x + i, 2] - picture[sy + j, sx + i, 2]
                r += u
                g += v
                b += w
                rr += u * u
                gg += v * v
                bb += w * w
                count += 1
        # The sum about the mean so far only grows.
        if count > 0 and rr + gg + bb - (r * r + g * g + b * b) / count > most * whole:
            return np.float32(np.inf), np.float32(0), np.float32(0), np.float32(0)
    if count == 0:
        return np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    p, q, s = bias_of(r, count), bias_of(g, count), bias_of(b, count)
    total = rr + gg + bb - 2 * (p * r + q * g + s * b) + (1 + FREE) * count * (p * p + q * q + s * s)
    return np.float32(total / count), np.float32(p), np.float32(q), np.float32(s)


@njit(nogil=True, cache=True)
@no_type_check
def match(picture, done, y, x, sy, sx, upright, most):
    """What a source costs: its difference, and the square of `upright` levels for each pixel it is lower or higher."""
    height = upright * (sy - y)
    apart = np.float32(height * height)
    if apart >= most:
        return np.float32(np.inf)
    return compare(picture, done, y, x, sy, sx, most - apart)[0] + apart


@njit(nogil=True, cache=True)
@no_type_check
def peel(picture, done, order, sources, upright):
    """Fill a small picture's hole pixel by pixel, each with the centre of the source that fits what is done around it.

    Args:
        picture: "h w 3", filled in place.
        done: "h w", known pixels; in the end all.
        order: "n 2", the hole's pixels, the outermost first.
        sources: "m 2", at least one.
        upright: as in `match`.
    """
    for n in range(order.shape[0]):
        y, x = order[n, 0], order[n, 1]
        best, which = np.float32(np.inf), 0
        for m in range(sources.shape[0]):
            cost = match(picture, done, y, x, sources[m, 0], sources[m, 1], upright, best)
            if cost < best:
                best, which = cost, m
        sy, sx = sources[which, 0], sources[which, 1]
        _, p, q, s = compare(picture, done, y, x, sy, sx, np.float32(np.inf))
        picture[y, x, 0] = picture[sy, sx, 0] + p
        picture[y, x, 1] = picture[sy, sx, 1] + q
        picture[y, x, 2] = picture[sy, sx, 2] + s
        done[y, x] = True


@njit(nogil=True, cache=True)
@no_type_check
def exhaust(picture, done, centres, sources, field, costs, upright):
    """The best source of each centre, all tried; `field` "h w 2" and `costs` "h w" are written at the centres."""
    for n in range(centres.shape[0]):
        y, x = centres[n, 0], centres[n, 1]
        best = np.float32(np.inf)
        for m in range(sources.shape[0]):
            cost = match(picture, done, y, x, sources[m, 0], sources[m, 1], upright, best)
            if cost < best:
                best = cost
                field[y, x, 0], field[y, x, 1] = sources[m, 0], sources[m, 1]
        costs[y, x] = best


@njit(nogil=True, cache=True)
@no_type_check
def drawn(state, low, high):
    """A number from `low` to `high`, both possible; `state` holds a linear congruential generator (Knuth's MMIX)."""
    state[0] = state[0] * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return low + np.int64(state[0] >> np.uint64(33)) % (high - low + 1)


@njit(nogil=True, cache=True)
@no_type_check
def settle(picture, done, centres, sources, valid, field, costs, upright, state):
    """Cost of every centre's source in the present picture; one that is no source is replaced by any."""
    for n in range(centres.shape[0]):
        y, x = centres[n, 0], centres[n, 1]
        if not valid[field[y, x, 0], field[y, x, 1]]:
            m = drawn(state, 0, sources.shape[0] - 1)
            field[y, x, 0], field[y, x, 1] = sources[m, 0], sources[m, 1]
        costs[y, x] = match(picture, done, y, x, field[y, x, 0], field[y, x, 1], upright, np.float32(np.inf))


@njit(nogil=True, cache=True)
@no_type_check
def sweep(picture, done, centres, valid, field, costs, upright, back, state):
    """One pass of PatchMatch (Barnes et al. 2009): take over a neighbour's shift, then try places ever nearer by.

    Args:
        picture, done: "h w 3" and "h w".
        centres: "n 2", in reading order.
        valid: "h w", sources.
        field, costs: "h w 2" and "h w", improved in place; costs are negative beside the centres.
        upright: as in `match`.
        back: from the last centre to the first, and from the other neighbours.
        state: of the generator.
    """
    high, wide = valid.shape
    step = 1 if back else -1
    for k in range(centres.shape[0]):
        n = centres.shape[0] - 1 - k if back else k
        y, x = centres[n, 0], centres[n, 1]
        best, by, bx = costs[y, x], field[y, x, 0], field[y, x, 1]
        for way in range(2):
            ny, nx = (y + step, x) if way == 0 else (y, x + step)
            if ny < 0 or ny >= high or nx < 0 or nx >= wide or costs[ny, nx] < 0:
                continue
            sy, sx = field[ny, nx, 0] + y - ny, field[ny, nx, 1] + x - nx
            if sy < 0 or sy >= high or sx < 0 or sx >= wide or not valid[sy, sx] or (sy == by and sx == bx):
                continue
            cost = match(picture, done, y, x, sy, sx, upright, best)
            if cost < best:
                best, by, bx = cost, sy, sx
        radius = max(high, wide)
        while radius >= 1:
            down = max(1, radius // 3)  # what is beside is likelier than what is above and below
            sy = drawn(state, max(0, by - down), min(high - 1, by + down))
            sx = drawn(state, max(0, bx - radius), min(wide - 1, bx + radius))
            radius //= 2
            if valid[sy, sx]:
                cost = match(picture, done, y, x, sy, sx, upright, best)
                if cost < best:
                    best, by, bx = cost, sy, sx
        costs[y, x], field[y, x, 0], field[y, x, 1] = best, by, bx


@njit(nogil=True, cache=True)
@no_type_check
def vote(picture, done, centres, weights, field, sums, winner):
    """What the sources of all patches over a pixel say about it.

    Args:
        picture, done, field: as in `sweep`.
        centres: "n 2".
        weights: "n", of each centre, positive.
        sums: "3 h w 4", zero; of colours, of the differences to the pixel on the right and to the one below the
            weighted sum, and of the weights.
        winner: "h w 2", the shift (rows, columns) of the weightiest patch over a pixel.
    """
    high, wide = done.shape
    heaviest = np.zeros((high, wide), np.float32)
    bias = np.zeros(3, np.float32)
    for n in range(centres.shape[0]):
        y, x, weight = centres[n, 0], centres[n, 1], weights[n]
        sy, sx = field[y, x, 0], field[y, x, 1]
        _, bias[0], bias[1], bias[2] = compare(picture, done, y, x, sy, sx, np.float32(np.inf))
        low, right = min(REACH, high - 1 - y), min(REACH, wide - 1 - x)
        for j in range(max(-REACH, -y), low + 1):
            for i in range(max(-REACH, -x), right + 1):
                for c in range(3):
                    color = picture[sy + j, sx + i, c]
                    sums[0, y + j, x + i, c] += weight * (color + bias[c])
                    if i < right:
                        sums[1, y + j, x + i, c] += weight * (picture[sy + j, sx + i + 1, c] - color)
                    if j < low:
                        sums[2, y + j, x + i, c] += weight * (picture[sy + j + 1, sx + i, c] - color)
                sums[0, y + j, x + i, 3] += weight
                if i < right:
                    sums[1, y + j, x + i, 3] += weight
                if j < low:
                    sums[2, y + j, x + i, 3] += weight
                near = weight / (1 + j * j + i * i)
                if near > heaviest[y + j, x + i]:
                    heaviest[y + j, x + i] = near
                    winner[y + j, x + i, 0], winner[y + j, x + i, 1] = sy - y, sx - x


@njit(nogil=True, cache=True)
@no_type_check
def relax(picture, colors, across, down, hold, places, turns, speed):
    """Solve a screened Poisson equation by successive over-relaxation: differences as voted, colours nearly so.

    Args:
        picture: "h w 3", improved in place at the places; all else is the boundary.
        colors: "h w 3", voted.
        across, down: "h w 3", voted differences to the pixel on the right, and to the one below.
        hold: "h w", the weight of the colours against that of one difference.
        places: "n 2".
        turns: over all places, in turn from both ends.
        speed: of relaxation, 1 to 2.
    """
    high, wide = hold.shape
    for turn in range(turns):
        for k in range(places.shape[0]):
            n = places.shape[0] - 1 - k if turn % 2 else k
            y, x = places[n, 0], places[n, 1]
            own = hold[y, x]
            for c in range(3):
                total, count = own * colors[y, x, c], own
                if x > 0:
                    total += picture[y, x - 1, c] + across[y, x - 1, c]
                    count += 1
                if x + 1 < wide:
                    total += picture[y, x + 1, c] - across[y, x, c]
                    count += 1
                if y > 0:
                    total += picture[y - 1, x, c] + down[y - 1, x, c]
                    count += 1
                if y + 1 < high:
                    total += picture[y + 1, x, c] - down[y, x, c]
                    count += 1
                picture[y, x, c] += speed * (total / count - picture[y, x, c])
