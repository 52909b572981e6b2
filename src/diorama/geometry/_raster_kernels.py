"""Triangles to pixels on one core: exact edge tests on a grid of 1/1024 pixel, the nearest face at each centre.

Corners are snapped to the grid once, so that both faces at an edge test the same line in whole numbers: a pixel centre
on it belongs to exactly one of them (the top-left rule), and no crack opens. What the eye needs to be exact, depth and
barycentrics, is then read from the unsnapped corners by the ray through the pixel's centre.
"""

from typing import no_type_check

import numpy as np
from numba import njit

GRID = 1024
"""Steps in a pixel."""

FAR_OUT = 1 << 20
"""Pixels to which corners are brought in; further out, products of differences would not fit 64 bits."""


@njit(nogil=True, cache=True)
@no_type_check
def project(vertices, viewmat, K, near, local, snapped, inverse):
    """Vertices in camera axes, on the pixel grid, and 1 / z (0 where not before `near`); how many are not before it."""
    behind = 0
    limit = np.float64(FAR_OUT)
    for v in range(vertices.shape[0]):
        x, y, z = np.float64(vertices[v, 0]), np.float64(vertices[v, 1]), np.float64(vertices[v, 2])
        for i in range(3):
            local[v, i] = viewmat[i, 0] * x + viewmat[i, 1] * y + viewmat[i, 2] * z + viewmat[i, 3]
        a, b, c = local[v, 0], local[v, 1], local[v, 2]
        if c <= near:
            inverse[v] = 0
            behind += 1
            continue
        inverse[v] = 1 / c
        u = (K[0, 0] * a + K[0, 1] * b + K[0, 2] * c) / c
        w = (K[1, 0] * a + K[1, 1] * b + K[1, 2] * c) / c
        snapped[v, 0] = np.int64(np.floor(min(max(u, -limit), limit) * GRID + 0.5))
        snapped[v, 1] = np.int64(np.floor(min(max(w, -limit), limit) * GRID + 0.5))
    return behind


@njit(nogil=True, cache=True)
@no_type_check
def draw_faces(faces, numbers, snapped, inverse, nearest, face_ids):
    """Write the faces, called by `numbers` (none: their own), where they are nearer than `nearest` (1 / z).

    Faces with a corner that is not before the near plane are left out; of two equally near the first drawn stays.
    """
    height, width = face_ids.shape
    half = np.int64(GRID // 2)
    for f in range(faces.shape[0]):
        a, b, c = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        ia, ib, ic = inverse[a], inverse[b], inverse[c]
        if ia == 0 or ib == 0 or ic == 0:
            continue
        ax, bx, cx = snapped[a, 0], snapped[b, 0], snapped[c, 0]
        ay, by, cy = snapped[a, 1], snapped[b, 1], snapped[c, 1]
        # The first and last pixel whose centre may lie inside.
        left = max((min(ax, bx, cx) + half - 1) >> 10, 0)
        right = min((max(ax, bx, cx) - half) >> 10, width - 1)
        top = max((min(ay, by, cy) + half - 1) >> 10, 0)
        bottom = min((max(ay, by, cy) - half) >> 10, height - 1)
        if left > right or top > bottom:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        if area < 0:
            area = -area
            bx, by, ib, cx, cy, ic = cx, cy, ic, bx, by, ib
        x, y = left * GRID + half, top * GRID + half
        # Edge values at the first centre, lowered by one where the line itself belongs to the neighbour.
        row_a = (cx - bx) * (y - by) - (cy - by) * (x - bx) - not_owned(bx, by, cx, cy)
        row_b = (ax - cx) * (y - cy) - (ay - cy) * (x - cx) - not_owned(cx, cy, ax, ay)
        row_c = (bx - ax) * (y - ay) - (by - ay) * (x - ax) - not_owned(ax, ay, bx, by)
        right_a, right_b, right_c = (by - cy) * GRID, (cy - ay) * GRID, (ay - by) * GRID
        down_a, down_b, down_c = (cx - bx) * GRID, (ax - cx) * GRID, (bx - ax) * GRID
        # 1 / z is linear on the screen.
        share = 1.0 / np.float64(area)
        first_z = (row_a * ia + row_b * ib + row_c * ic) * share
        right_z = (right_a * ia + right_b * ib + right_c * ic) * share
        down_z = (down_a * ia + down_b * ib + down_c * ic) * share
        number = f if numbers.shape[0] == 0 else numbers[f]
        for row in range(top, bottom + 1):
            ea, eb, ec = row_a, row_b, row_c
            row_z = first_z + (row - top) * down_z
            for column in range(left, right + 1):
                if (ea | eb | ec) >= 0:
                    z = np.float32(row_z + (column - left) * right_z)
                    i, j = np.uint64(row), np.uint64(column)
                    if z > nearest[i, j]:
                        nearest[i, j] = z
                        face_ids[i, j] = number
                ea, eb, ec = ea + right_a, eb + right_b, ec + right_c
            row_a, row_b, row_c = row_a + down_a, row_b + down_b, row_c + down_c


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def not_owned(ax, ay, bx, by):
    """1 for edges that are neither top nor left of a face whose edges run clockwise on the screen, else 0."""
    top = ay == by and bx > ax
    return np.int64(0) if top or by < ay else np.int64(1)


@njit(nogil=True, cache=True)
@no_type_check
def read_faces(faces, local, rays, face_ids, weights, depth):
    """Barycentrics and depth of each covered pixel from the corners in camera axes.

    With the ray d through a centre, the weights of corners A, B, C are as d.(BxC), d.(CxA), d.(AxB) [Olano and Greer
    1997], which holds for corners behind the camera too. What snapping puts outside is brought to the edge.

    Args:
        rays: 2x3, from (column + 0.5, row + 0.5, 1) to x and y of the ray at z = 1.
    """
    height, width = face_ids.shape
    across, last = np.empty((3, 3)), -1
    za, zb, zc = 0.0, 0.0, 0.0
    for row in range(height):
        v = row + 0.5
        for column in range(width):
            f = face_ids[row, column]
            if f < 0:
                continue
            if f != last:
                last = f
                a, b, c = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
                cross(local, b, c, across[0])
                cross(local, c, a, across[1])
                cross(local, a, b, across[2])
                za, zb, zc = local[a, 2], local[b, 2], local[c, 2]
            u = column + 0.5
            x, y = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2], rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
            wa = x * across[0, 0] + y * across[0, 1] + across[0, 2]
            wb = x * across[1, 0] + y * across[1, 1] + across[1, 2]
            wc = x * across[2, 0] + y * across[2, 1] + across[2, 2]
            if wa + wb + wc < 0:
                wa, wb, wc = -wa, -wb, -wc
            wa, wb, wc = max(wa, 0.0), max(wb, 0.0), max(wc, 0.0)
            total = wa + wb + wc
            if total > 0:
                share = 1 / total
                wa, wb, wc = wa * share, wb * share, wc * share
            else:  # seen exactly from its edge
                wa, wb, wc = 1 / 3, 1 / 3, 1 / 3
            weights[row, column, 0], weights[row, column, 1], weights[row, column, 2] = wa, wb, wc
            depth[row, column] = wa * za + wb * zb + wc * zc


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def cross(local, a, b, out):
    """The cross product of two corners."""
    out[0] = local[a, 1] * local[b, 2] - local[a, 2] * local[b, 1]
    out[1] = local[a, 2] * local[b, 0] - local[a, 0] * local[b, 2]
    out[2] = local[a, 0] * local[b, 1] - local[a, 1] * local[b, 0]


@njit(nogil=True, cache=True)
@no_type_check
def blend(face_ids, weights, faces, attributes, out):
    """Vertex attributes "v c" at each covered pixel, "h w c"; what is not covered stays as it is."""
    for row in range(face_ids.shape[0]):
        for column in range(face_ids.shape[1]):
            f = face_ids[row, column]
            if f >= 0:
                a, b, c = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
                wa, wb, wc = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
                for i in range(out.shape[2]):
                    out[row, column, i] = wa * attributes[a, i] + wb * attributes[b, i] + wc * attributes[c, i]
