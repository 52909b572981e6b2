"""Kernels of fitting: Gaussians led by their nodes and the way back, and the blur of structural similarity."""

from typing import no_type_check

import numpy as np
from numba import njit

from diorama.geometry._splat_project import rotation, rotation_back

SHIFT, TURN, MATRIX, MOTION = 0, 3, 7, 16
"""Columns of what a node receives: of its shift, of its turn, of its turn's matrix; their number."""
TAPS = 11
_U = tuple(np.uint64(i) for i in range(TAPS))


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def _main_turn(g, links, weights, turns):
    """The turn of the node that a Gaussian follows most, of the first of equals."""
    best = 0
    for k in range(1, links.shape[1]):
        if weights[g, k] > weights[g, best]:
            best = k
    n = links[g, best]
    return turns[n, 0], turns[n, 1], turns[n, 2], turns[n, 3]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
@no_type_check
def _signed(share, turns, n, most):
    """The share with which a node's turn counts: q and -q turn alike, but sum to nothing unless one is flipped."""
    along = turns[n, 0] * most[0] + turns[n, 1] * most[1] + turns[n, 2] * most[2] + turns[n, 3] * most[3]
    return -share if along < 0 else share


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def follow(first, last, rest, quats, links, weights, nodes, shifts, turns, matrices, means, turned):
    """Where Gaussians are and how they lie when their nodes have moved, as in `MovingGaussians.at`.

    Args:
        rest, quats: centres and rotations at rest.
        matrices: of the turns, "n 9".
        means, turned: the results.
    """
    for g in range(first, last):
        x, y, z = np.float32(0), np.float32(0), np.float32(0)
        w, a, b, c = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        most = _main_turn(g, links, weights, turns)
        for k in range(links.shape[1]):
            n, share = links[g, k], weights[g, k]
            p, q, r = rest[g, 0] - nodes[n, 0], rest[g, 1] - nodes[n, 1], rest[g, 2] - nodes[n, 2]
            m = matrices[n]
            x += share * (m[0] * p + m[1] * q + m[2] * r + nodes[n, 0] + shifts[n, 0])
            y += share * (m[3] * p + m[4] * q + m[5] * r + nodes[n, 1] + shifts[n, 1])
            z += share * (m[6] * p + m[7] * q + m[8] * r + nodes[n, 2] + shifts[n, 2])
            signed = _signed(share, turns, n, most)
            w += signed * turns[n, 0]
            a += signed * turns[n, 1]
            b += signed * turns[n, 2]
            c += signed * turns[n, 3]
        means[g, 0], means[g, 1], means[g, 2] = x, y, z
        length = 1 / max(np.sqrt(w * w + a * a + b * b + c * c), np.float32(1e-12))
        w, a, b, c = w * length, a * length, b * length, c * length
        p, q, r, s = quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3]
        turned[g, 0] = w * p - a * q - b * r - c * s
        turned[g, 1] = w * q + a * p + b * s - c * r
        turned[g, 2] = w * r - a * s + b * p + c * q
        turned[g, 3] = w * s + a * r - b * q + c * p


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def follow_back(
    first, last, rest, quats, links, weights, nodes, turns, matrices, to_means, to_turned, to_rest, to_quats, to_nodes
):
    """Gradients of `follow`; those of nodes are added to `to_nodes`, in the columns `SHIFT`, `TURN` and `MATRIX`."""
    for g in range(first, last):
        x, y, z = to_means[g, 0], to_means[g, 1], to_means[g, 2]
        w, a, b, c = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        p, q, r = np.float32(0), np.float32(0), np.float32(0)
        most = _main_turn(g, links, weights, turns)
        for k in range(links.shape[1]):
            n, share = links[g, k], weights[g, k]
            m = matrices[n]
            p += share * (m[0] * x + m[3] * y + m[6] * z)
            q += share * (m[1] * x + m[4] * y + m[7] * z)
            r += share * (m[2] * x + m[5] * y + m[8] * z)
            signed = _signed(share, turns, n, most)
            w += signed * turns[n, 0]
            a += signed * turns[n, 1]
            b += signed * turns[n, 2]
            c += signed * turns[n, 3]
        to_rest[g, 0], to_rest[g, 1], to_rest[g, 2] = p, q, r
        length = 1 / max(np.sqrt(w * w + a * a + b * b + c * c), np.float32(1e-12))
        w, a, b, c = w * length, a * length, b * length, c * length
        # Of a product: the other factor's conjugate times the gradient.
        p, q, r, s = to_turned[g, 0], to_turned[g, 1], to_turned[g, 2], to_turned[g, 3]
        to_quats[g, 0] = w * p + a * q + b * r + c * s
        to_quats[g, 1] = w * q - a * p - b * s + c * r
        to_quats[g, 2] = w * r + a * s - b * p - c * q
        to_quats[g, 3] = w * s - a * r + b * q - c * p
        e, f, h, i = quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3]
        dw = p * e + q * f + r * h + s * i
        da = -p * f + q * e - r * i + s * h
        db = -p * h + q * i + r * e - s * f
        dc = -p * i - q * h + r * f + s * e
        along = dw * w + da * a + db * b + dc * c
        dw, da, db, dc = (
            (dw - along * w) * length,
            (da - along * a) * length,
            (db - along * b) * length,
            (dc - along * c) * length,
        )
        for k in range(links.shape[1]):
            n, share = links[g, k], weights[g, k]
            out = to_nodes[n]
            p, q, r = rest[g, 0] - nodes[n, 0], rest[g, 1] - nodes[n, 1], rest[g, 2] - nodes[n, 2]
            sx, sy, sz = share * x, share * y, share * z
            out[SHIFT] += sx
            out[SHIFT + 1] += sy
            out[SHIFT + 2] += sz
            signed = _signed(share, turns, n, most)
            out[TURN] += signed * dw
            out[TURN + 1] += signed * da
            out[TURN + 2] += signed * db
            out[TURN + 3] += signed * dc
            out[MATRIX] += sx * p
            out[MATRIX + 1] += sx * q
            out[MATRIX + 2] += sx * r
            out[MATRIX + 3] += sy * p
            out[MATRIX + 4] += sy * q
            out[MATRIX + 5] += sy * r
            out[MATRIX + 6] += sz * p
            out[MATRIX + 7] += sz * q
            out[MATRIX + 8] += sz * r


@njit(nogil=True, cache=True)
@no_type_check
def turn_nodes(turns, matrices):
    """The matrices "n 9" of turns."""
    for n in range(turns.shape[0]):
        m = rotation(turns[n, 0], turns[n, 1], turns[n, 2], turns[n, 3])
        for i in range(9):
            matrices[n, i] = m[i]


@njit(nogil=True, cache=True)
@no_type_check
def turn_nodes_back(turns, received, to_turns):
    """Gradients of turns from all that the nodes received."""
    for n in range(turns.shape[0]):
        m = received[n]
        of = (
            m[MATRIX], m[MATRIX + 1], m[MATRIX + 2], m[MATRIX + 3], m[MATRIX + 4],
            m[MATRIX + 5], m[MATRIX + 6], m[MATRIX + 7], m[MATRIX + 8],
        )  # fmt: skip
        w, x, y, z = rotation_back(turns[n, 0], turns[n, 1], turns[n, 2], turns[n, 3], of)
        to_turns[n, 0], to_turns[n, 1] = m[TURN] + w, m[TURN + 1] + x
        to_turns[n, 2], to_turns[n, 3] = m[TURN + 2] + y, m[TURN + 3] + z


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def blur(first, last, maps, taps, out):
    """Blur the maps "m h w" from `first` to `last` along both axes, with nothing beyond the border.

    Taps are symmetric. Indices cannot be below 0, so that the compiler takes many pixels at a time.
    """
    _, height, width = maps.shape
    half = TAPS // 2
    row, across = np.zeros(width + TAPS, np.float32), np.zeros((height + TAPS, width), np.float32)
    a, b, c, d, e, f = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for m in range(first, last):
        for y in range(height):
            row[half : half + width] = maps[m, y]
            p, goal = row, across[y + half]
            for i in range(np.uint64(width)):
                goal[i] = (
                    a * (p[i] + p[i + _U[10]]) + b * (p[i + _U[1]] + p[i + _U[9]]) + c * (p[i + _U[2]] + p[i + _U[8]])
                    + d * (p[i + _U[3]] + p[i + _U[7]]) + e * (p[i + _U[4]] + p[i + _U[6]]) + f * p[i + _U[5]]
                )  # fmt: skip
        for y in range(height):
            goal, r0, r1, r2, r3 = out[m, y], across[y], across[y + 1], across[y + 2], across[y + 3]
            r4, r5, r6, r7 = across[y + 4], across[y + 5], across[y + 6], across[y + 7]
            r8, r9, r10 = across[y + 8], across[y + 9], across[y + 10]
            for i in range(np.uint64(width)):
                goal[i] = (
                    a * (r0[i] + r10[i]) + b * (r1[i] + r9[i]) + c * (r2[i] + r8[i])
                    + d * (r3[i] + r7[i]) + e * (r4[i] + r6[i]) + f * r5[i]
                )  # fmt: skip


@njit(nogil=True, cache=True)
@no_type_check
def similarity(first, last, blurred, weights, to_blurred):
    """Structural similarity of rows from `first` to `last`, weighted and summed, and its gradients.

    Args:
        blurred: of three channels the means of x, y, x x, y y and x y: "15 h w".
        to_blurred: of three channels by the means of x, x x and x y: "9 h w".
    """
    one, two = np.float32(0.01**2), np.float32(0.03**2)
    total = 0.0
    for c in range(3):
        for y in range(first, last):
            for x in range(blurred.shape[2]):
                a, b = blurred[c, y, x], blurred[3 + c, y, x]
                xx, yy, xy = blurred[6 + c, y, x], blurred[9 + c, y, x], blurred[12 + c, y, x]
                weight = weights[y, x]
                a1, a2 = 2 * a * b + one, 2 * (xy - a * b) + two
                b1, b2 = a * a + b * b + one, xx - a * a + yy - b * b + two
                share = 1 / (b1 * b2)
                value = a1 * a2 * share
                total += weight * value
                to_blurred[c, y, x] = weight * (2 * b * (a2 - a1) * share - 2 * a * value * (1 / b1 - 1 / b2))
                to_blurred[3 + c, y, x] = -weight * value / b2
                to_blurred[6 + c, y, x] = weight * 2 * a1 * share
    return total
