"""Moments of parts in a picture, and how they change as joints turn: sums over pixels, and over borders of parts.

The sum of f over the pixels of a part changes only at its borders, by f times how fast they move across themselves
(Reynolds' transport theorem). Between two pixels of different parts the border moves as the surface of the nearer one
does, so that what comes out from behind another part, or goes there, counts too. Borders of pixels run along rows and
columns; what they add up to is that of the true, slanted ones.
"""

from typing import no_type_check

import numpy as np
from numba import njit

MOMENTS = 6
"""Of a part: its pixels, and their sums of x, y, xx, xy and yy."""


@njit(nogil=True, cache=True)
@no_type_check
def add_moments(labels, middle, moments):
    """Add the moments of all parts.

    Args:
        labels: "h w", parts of the pixels, below 0 for none.
        middle: x and y that the moments are about, pixels.
        moments: "k 6", added to; parts beyond k are left out.
    """
    count = moments.shape[0]
    for row in range(labels.shape[0]):
        y = row + 0.5 - middle[1]
        for column in range(labels.shape[1]):
            part = labels[row, column]
            if part < 0 or part >= count:
                continue
            x = column + 0.5 - middle[0]
            moments[part, 0] += 1
            moments[part, 1] += x
            moments[part, 2] += y
            moments[part, 3] += x * x
            moments[part, 4] += x * y
            moments[part, 5] += y * y


@njit(nogil=True, cache=True)
@no_type_check
def add_slopes(picture, surface, posed, camera, middle, slopes):
    """Add the derivatives of the moments.

    Args:
        picture: labels, depth and face numbers of the pixels, and the shares of the face's corners in each.
        surface: faces, vertices at rest, their joints and weights.
        posed: "j 3 4", what each joint does to the rest pose; "j 3 4", frames of the joints; parents.
        camera: world to camera, and intrinsics.
        middle: as in `add_moments`.
        slopes: "k 6 3+3j", added to; by metres of the root, then by radians about the axes of each joint's own frame.
    """
    labels, depth = picture[0], picture[1]
    height, width = labels.shape
    joints = posed[2].shape[0]
    speeds, weight, place = np.zeros(3 + 3 * joints), np.zeros(joints), np.zeros((joints, 3))
    f = np.ones(6)
    for row in range(height):
        for column in range(width):
            here = labels[row, column]
            for way in range(2):
                other_row, other_column = row + way, column + 1 - way
                if other_row >= height or other_column >= width:
                    continue
                there = labels[other_row, other_column]
                if here == there:
                    continue
                front_row, front_column = row, column
                if depth[other_row, other_column] < depth[row, column]:
                    front_row, front_column = other_row, other_column
                gather(picture, surface, posed, front_row, front_column, weight, place)
                speeds_across(place, weight, posed, camera, way, speeds)
                x = column + 1 - 0.5 * way - middle[0]
                y = row + 0.5 + 0.5 * way - middle[1]
                f[1], f[2], f[3], f[4], f[5] = x, y, x * x, x * y, y * y
                for m in range(MOMENTS):
                    if here >= 0:
                        for i in range(speeds.shape[0]):
                            slopes[here, m, i] += f[m] * speeds[i]
                    if there >= 0:
                        for i in range(speeds.shape[0]):
                            slopes[there, m, i] -= f[m] * speeds[i]


@njit(nogil=True, cache=True)
@no_type_check
def gather(picture, surface, posed, row, column, weight, place):
    """What a pixel shows, by joints: how far each carries it together with all below it, and where, times that."""
    face_ids, shares = picture[2], picture[3]
    faces, rest, skin_joints, skin_weights = surface
    moves, parents = posed[0], posed[2]
    weight[:] = 0
    place[:] = 0
    face = face_ids[row, column]
    for corner in range(3):
        v = faces[face, corner]
        for n in range(skin_joints.shape[1]):
            w = shares[row, column, corner] * skin_weights[v, n]
            if w == 0:
                continue
            j = skin_joints[v, n]
            weight[j] += w
            for i in range(3):
                moved = moves[j, i, 3]
                for k in range(3):
                    moved += moves[j, i, k] * rest[v, k]
                place[j, i] += w * moved
    for j in range(parents.shape[0] - 1, 0, -1):
        weight[parents[j]] += weight[j]
        for i in range(3):
            place[parents[j], i] += place[j, i]


@njit(nogil=True, cache=True)
@no_type_check
def speeds_across(place, weight, posed, camera, way, speeds):
    """How fast what was gathered moves along x (way 0) or y (1) of the picture, by each unknown, pixels."""
    frames, (view, K) = posed[1], camera
    local = np.empty(3)
    for i in range(3):  # the root carries all
        local[i] = view[i, 0] * place[0, 0] + view[i, 1] * place[0, 1] + view[i, 2] * place[0, 2] + view[i, 3]
    a, b = K[way, 0] / local[2], K[way, 1] / local[2]
    c = -(a * local[0] + b * local[1]) / local[2]
    gx = a * view[0, 0] + b * view[1, 0] + c * view[2, 0]
    gy = a * view[0, 1] + b * view[1, 1] + c * view[2, 1]
    gz = a * view[0, 2] + b * view[1, 2] + c * view[2, 2]
    speeds[0], speeds[1], speeds[2] = gx, gy, gz
    for j in range(weight.shape[0]):
        if weight[j] == 0:
            speeds[3 + 3 * j : 6 + 3 * j] = 0
            continue
        dx = place[j, 0] - weight[j] * frames[j, 0, 3]
        dy = place[j, 1] - weight[j] * frames[j, 1, 3]
        dz = place[j, 2] - weight[j] * frames[j, 2, 3]
        tx, ty, tz = dy * gz - dz * gy, dz * gx - dx * gz, dx * gy - dy * gx
        for i in range(3):
            speeds[3 + 3 * j + i] = frames[j, 0, i] * tx + frames[j, 1, i] * ty + frames[j, 2, i] * tz
