"""The loops in which a fit spends its time, compiled; they hold no lock, so that windows are solved side by side.

`_solve_energy` and `_solve_newton` say what they compute; the tests hold readable twins.
"""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def move_points(turns, places, arms, mass, parents, roles, found):
    """Fill `found`, "t n 3 d": how points move with small turns of the joints' roles, and with the root.

    `arms` and `mass` are "t n j 3" and "t n j", or of one frame that stands for all; parents come before children.
    """
    joints = len(parents)
    apart, weight = np.empty((joints, 3)), np.empty(joints)
    for t in range(len(found)):
        frame = t if len(arms) > 1 else 0
        for n in range(found.shape[1]):
            out = found[t, n]
            out[:] = 0
            for j in range(joints):
                b, m = arms[frame, n, j], mass[frame, n, j]
                weight[j] = m
                for i in range(3):
                    turned = turns[t, j, i, 0] * b[0] + turns[t, j, i, 1] * b[1] + turns[t, j, i, 2] * b[2]
                    apart[j, i] = turned + m * places[t, j, i]
            for j in range(joints - 1, -1, -1):
                if j > 0:
                    weight[parents[j]] += weight[j]
                    for i in range(3):
                        apart[parents[j], i] += apart[j, i]
                x = apart[j, 0] - weight[j] * places[t, j, 0]
                y = apart[j, 1] - weight[j] * places[t, j, 1]
                z = apart[j, 2] - weight[j] * places[t, j, 2]
                if x == 0 and y == 0 and z == 0:
                    continue
                for i in range(3):
                    u, v, w = turns[t, j, 0, i], turns[t, j, 1, i], turns[t, j, 2, i]
                    column = 3 * roles[j] + i
                    out[0, column] += v * z - w * y
                    out[1, column] += w * x - u * z
                    out[2, column] += u * y - v * x
            for i in range(3):
                out[i, found.shape[3] - 3 + i] = 1


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def project_changes(views, change, pixels, depths, found):
    """Fill `found`, "t n 2 d": how `pixels` at `depths` change under views "t 3 4" with points that `change`."""
    for t in range(len(found)):
        v = views[t]
        for n in range(found.shape[1]):
            x, y, z, out, near = change[t, n, 0], change[t, n, 1], change[t, n, 2], found[t, n], 1 / depths[t, n]
            for i in range(2):
                p, line = pixels[t, n, i], out[i]
                a, b, c = near * (v[i, 0] - p * v[2, 0]), near * (v[i, 1] - p * v[2, 1]), near * (v[i, 2] - p * v[2, 2])
                for k in range(found.shape[3]):
                    line[k] = a * x[k] + b * y[k] + c * z[k]


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def turn_changes(turns, shares, change, found):
    """Fill `found`, "t n 3 d": changes of points about the change of their mean by `shares`, turned by "t 3 3"."""
    mean = np.empty(found.shape[2:])
    for t in range(len(found)):
        mean[:] = 0
        for n in range(found.shape[1]):
            if shares[t, n] != 0:
                mean += shares[t, n] * change[t, n]
        for n in range(found.shape[1]):
            x, y, z, out = change[t, n, 0], change[t, n, 1], change[t, n, 2], found[t, n]
            for i in range(3):
                a, b, c, line = turns[t, i, 0], turns[t, i, 1], turns[t, i, 2], out[i]
                for k in range(found.shape[3]):
                    line[k] = a * (x[k] - mean[0, k]) + b * (y[k] - mean[1, k]) + c * (z[k] - mean[2, k])


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def add_squares(change, weights, residuals, blocks, slope):
    """Add the squares of "t n d" rows to `blocks`, and the rows times their residuals to `slope`; by weights "t n"."""
    frames, rows, size = change.shape
    total, scaled, chosen = np.empty((size, size)), np.empty((4, size)), np.empty(4, np.int64)
    for t in range(frames):
        total[:] = 0
        row = 0
        while row < rows:
            count = 0
            while row < rows and count < 4:
                if weights[t, row] != 0:
                    chosen[count] = row
                    count += 1
                row += 1
            if count == 0:
                break
            for k in range(4):
                for a in range(size):
                    scaled[k, a] = 0
                if k < count:
                    w = weights[t, chosen[k]]
                    for a in range(size):
                        scaled[k, a] = w * change[t, chosen[k], a]
                        slope[t, a] += scaled[k, a] * residuals[t, chosen[k]]
                else:
                    chosen[k] = chosen[0]
            one, two, three, four = (
                change[t, chosen[0]],
                change[t, chosen[1]],
                change[t, chosen[2]],
                change[t, chosen[3]],
            )
            for a in range(size):
                p, q, r, s = scaled[0, a], scaled[1, a], scaled[2, a], scaled[3, a]
                if p == 0 and q == 0 and r == 0 and s == 0:
                    continue
                line = total[a]
                for b in range(a + 1):
                    line[b] += p * one[b] + q * two[b] + r * three[b] + s * four[b]
        for a in range(size):
            for b in range(a):
                blocks[t, a, b] += total[a, b]
                blocks[t, b, a] += total[a, b]
            blocks[t, a, a] += total[a, a]


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def eliminate(blocks, near, far, right, found):
    """Fill `found` with the solution of a symmetric system five blocks wide; all else is overwritten.

    Blocks are taken apart into L D L^T, which lets a pivot be below 0; only their lower halves are read.
    """
    frames, size = right.shape
    wide = 2 * size + 1  # the next block, the right side, the block after the next
    columns = np.zeros((frames, size, wide))
    pivots, scaled = np.empty((frames, size)), np.empty((wide, size))
    for t in range(frames):
        block, beside = blocks[t], columns[t]
        for i in range(size):
            beside[i, size] = right[t, i]
            if t + 1 < frames:
                for k in range(size):
                    beside[i, k] = near[t, i, k]
            if t + 2 < frames:
                beside[i, size + 1 + i] = far[t, i]
        _take_apart(block, pivots[t])
        for i in range(size):
            _subtract_rows(beside[i], block[i], beside, (0, i), size + 1 + i)
            share = 1 / pivots[t, i]
            for k in range(wide):
                scaled[k, i] = share * beside[i, k]
        if t + 1 < frames:
            for a in range(size):
                _subtract_rows(blocks[t + 1, a], scaled[a], beside, (0, size), a + 1)
                right[t + 1, a] -= _product(scaled[a], beside, size)
                if t + 2 < frames:
                    _subtract_rows(near[t + 1, a], scaled[a], beside[:, size + 1 :], (0, size), size)
        if t + 2 < frames:
            for a in range(size):  # a column of the block after the next begins at its own row
                _subtract_rows(blocks[t + 2, a], scaled[size + 1 + a], beside[:, size + 1 :], (a, size), a + 1)
                right[t + 2, a] -= _product(scaled[size + 1 + a], beside, size)
    for t in range(frames - 1, -1, -1):
        mine, beside = found[t], columns[t]
        for i in range(size):
            total = beside[i, size]
            if t + 1 < frames:
                for k in range(size):
                    total -= beside[i, k] * found[t + 1, k]
            if t + 2 < frames:
                for k in range(i + 1):
                    total -= beside[i, size + 1 + k] * found[t + 2, k]
            mine[i] = total / pivots[t, i]
        for i in range(size - 1, 0, -1):
            for k in range(i):
                mine[k] -= mine[i] * blocks[t, i, k]


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def _subtract_rows(line, factors, rows, span, count):
    """Take rows of a span, each times its factor, from so many values of a line; four at a time."""
    k = span[0]
    while k + 4 <= span[1]:
        p, q, r, s = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        one, two, three, four = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        for b in range(count):
            line[b] -= p * one[b] + q * two[b] + r * three[b] + s * four[b]
        k += 4
    while k < span[1]:
        p, one = factors[k], rows[k]
        for b in range(count):
            line[b] -= p * one[b]
        k += 1


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def _product(factors, rows, column):
    """The sum of a column's values times their factors."""
    total = 0.0
    for k in range(len(rows)):
        total += factors[k] * rows[k, column]
    return total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
@no_type_check
def _take_apart(block, pivots):
    """Put L, without its diagonal of ones, into the lower half of a block, and D into `pivots`."""
    size = len(pivots)
    scaled = np.empty(size)
    for i in range(size):
        for j in range(i):
            total = 0.0
            for k in range(j):
                total += scaled[k] * block[j, k]
            scaled[j] = block[i, j] - total
        pivots[i] = block[i, i]
        for j in range(i):
            block[i, j] = scaled[j] / pivots[j]
            pivots[i] -= scaled[j] * block[i, j]
