"""Gaussians onto the picture: where their ellipses fall, and the way of gradients back (Zwicker et al. 2001, EWA).

A Gaussian's covariance is carried over by the projection's derivative at its centre, taken no further out than a
little beside the picture, and widened by `DILATION`; as in gsplat, so that both see the same. What is computed per
Gaussian is cheap next to the pixels, so it is in 64 bits.
"""

from math import ceil, floor, log, sqrt
from typing import no_type_check

import numpy as np
from numba import njit

DILATION = 0.3
"""Square pixels added to the variances on the screen."""
FAINTEST = 1 / 255
"""Opacity below which a Gaussian is not seen at a pixel."""
BESIDE = 0.3
"""Half picture widths beside the picture up to which the projection's derivative is followed."""

X, Y, XX, XY, YY, OPACITY, RED, GREEN, BLUE, Z = range(10)
"""Columns of a Gaussian on the screen: its centre, its inverse covariance, and what is composed there."""
COLUMNS = 10


@njit(nogil=True, cache=True)
@no_type_check
def project(first, last, means, quats, scales, opacities, viewmat, lens, near, screen, boxes, radii):
    """Columns `X` to `YY` and `Z` of the Gaussians from `first` to `last`, the pixels that they may reach, their radii.

    Args:
        viewmat: 3x4.
        lens: focal lengths x and y, principal point x and y, width, height; pixels.
        boxes: first and past-the-last column, first and past-the-last row; empty where nothing is seen.
        radii: the longer half axis of what is seen, pixels; 0 where nothing is.
    """
    fx, fy, cx, cy, width, height = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5]
    turn, cov, flat = np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    for g in range(first, last):
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = 0, 0, 0, 0
        radii[g] = 0
        x, y, z = to_camera(means, g, viewmat)
        opacity = np.float64(opacities[g])
        if not (z > near and z < np.inf and opacity >= FAINTEST):
            continue
        length = rotation(quats, g, turn)
        spread(turn, scales, g, cov)
        flatten(x, y, z, lens, viewmat, flat)
        a, b, c = on_screen(flat, cov)
        det = a * c - b * b
        u, v = fx * x / z + cx, fy * y / z + cy
        if not (det > 0 and length > 0 and abs(u) < 1e9 and abs(v) < 1e9 and a < 1e18 and c < 1e18):
            continue
        reach = 2 * log(opacity / FAINTEST) + 1e-3  # a pixel sees it where the quadratic form is below
        wide, high = sqrt(reach * a), sqrt(reach * c)
        left, right = max(ceil(u - wide - 0.5), 0.0), min(floor(u + wide - 0.5) + 1, width)
        top, bottom = max(ceil(v - high - 0.5), 0.0), min(floor(v + high - 0.5) + 1, height)
        if left >= right or top >= bottom:
            continue
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = left, right, top, bottom
        radii[g] = sqrt(reach * ((a + c) / 2 + sqrt(max((a - c) ** 2 / 4 + b * b, 0.0))))
        screen[g, X], screen[g, Y], screen[g, Z] = u, v, z
        screen[g, XX], screen[g, XY], screen[g, YY] = c / det, -b / det, a / det


@njit(nogil=True, cache=True)
@no_type_check
def project_back(
    first, last, order, slots, means, quats, scales, viewmat, lens, pairs, to_means, to_quats, to_scales, to_looks, to_xy
):
    """Sum the gradients of the drawn Gaussians over their tiles, and add them to those of what they were made of.

    Args:
        order: numbers of the Gaussians as they were drawn.
        slots: where the rows of each of them begin in `pairs`, and the end.
        pairs: gradients by columns, a row for each Gaussian and tile.
        to_looks: gradients of opacity and colour.
        to_xy: of the places on the screen, pixels.
    """
    fx, fy = lens[0], lens[1]
    turn, cov, flat = np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    total, to_flat, to_cov, to_axes = np.empty(COLUMNS), np.empty((2, 3)), np.empty((3, 3)), np.empty((3, 3))
    for rank in range(first, last):
        g = order[rank]
        for column in range(COLUMNS):
            total[column] = 0
        for slot in range(slots[rank], slots[rank + 1]):
            for column in range(COLUMNS):
                total[column] += pairs[slot, column]
        for column in range(4):
            to_looks[g, column] += total[OPACITY + column]
        to_xy[g, 0] += total[X]
        to_xy[g, 1] += total[Y]
        x, y, z = to_camera(means, g, viewmat)
        rotation(quats, g, turn)
        spread(turn, scales, g, cov)
        u, v = flatten(x, y, z, lens, viewmat, flat)
        a, b, c = on_screen(flat, cov)
        det = a * c - b * b
        a, b, c = c / det, -b / det, a / det
        # Of the inverse covariance back to the covariance: -K G K.
        p, q, r = total[XX], total[XY] / 2, total[YY]
        ap, aq, bp, bq = a * p + b * q, a * q + b * r, b * p + c * q, b * q + c * r
        da, db, dc = -(ap * a + aq * b), -(ap * b + aq * c), -(bp * b + bq * c)
        for j in range(3):
            s, t = 0.0, 0.0
            for i in range(3):
                s += flat[0, i] * cov[i, j]
                t += flat[1, i] * cov[i, j]
            to_flat[0, j], to_flat[1, j] = 2 * (da * s + db * t), 2 * (db * s + dc * t)
        for i in range(3):
            s, t = da * flat[0, i] + db * flat[1, i], db * flat[0, i] + dc * flat[1, i]
            for j in range(3):
                to_cov[i, j] = s * flat[0, j] + t * flat[1, j]
        # Of the projection's derivative and of the place to the camera's axes.
        jxx, jxz, jyy, jyz = 0.0, 0.0, 0.0, 0.0
        for i in range(3):
            jxx += to_flat[0, i] * viewmat[0, i]
            jxz += to_flat[0, i] * viewmat[2, i]
            jyy += to_flat[1, i] * viewmat[1, i]
            jyz += to_flat[1, i] * viewmat[2, i]
        dx, dy = fx / z * total[X], fy / z * total[Y]
        dz = total[Z] - (x * dx + y * dy) / z
        dz += (-fx * jxx - fy * jyy + fx * u * jxz + fy * v * jyz) / (z * z)
        if u == x / z:
            dx -= fx * jxz / (z * z)
            dz += fx * jxz * u / (z * z)
        if v == y / z:
            dy -= fy * jyz / (z * z)
            dz += fy * jyz * v / (z * z)
        for i in range(3):
            to_means[g, i] += viewmat[0, i] * dx + viewmat[1, i] * dy + viewmat[2, i] * dz
        # Of the covariance to scales and rotation: Sigma = N N^T with N = R S.
        for i in range(3):
            for k in range(3):
                s = 0.0
                for j in range(3):
                    s += to_cov[i, j] * turn[j, k]
                to_axes[i, k] = 2 * s * scales[g, k]
        for k in range(3):
            s = 0.0
            for i in range(3):
                s += to_axes[i, k] * turn[i, k]
                to_axes[i, k] *= scales[g, k]
            to_scales[g, k] += s
        rotation_back(quats, g, to_axes, to_quats)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def to_camera(means, g, viewmat):
    """A centre in camera axes."""
    x, y, z = np.float64(means[g, 0]), np.float64(means[g, 1]), np.float64(means[g, 2])
    return (
        viewmat[0, 0] * x + viewmat[0, 1] * y + viewmat[0, 2] * z + viewmat[0, 3],
        viewmat[1, 0] * x + viewmat[1, 1] * y + viewmat[1, 2] * z + viewmat[1, 3],
        viewmat[2, 0] * x + viewmat[2, 1] * y + viewmat[2, 2] * z + viewmat[2, 3],
    )


@njit(nogil=True, cache=True)
@no_type_check
def rotation(quats, g, turn):
    """The matrix of a quaternion of any length; returns its length."""
    w, x, y, z = np.float64(quats[g, 0]), np.float64(quats[g, 1]), np.float64(quats[g, 2]), np.float64(quats[g, 3])
    length = sqrt(w * w + x * x + y * y + z * z)
    share = 1 / max(length, 1e-30)
    w, x, y, z = w * share, x * share, y * share, z * share
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    return length


@njit(nogil=True, cache=True)
@no_type_check
def rotation_back(quats, g, to_turn, to_quats):
    """Add a gradient of the matrix to that of the quaternion, across its length."""
    w, x, y, z = np.float64(quats[g, 0]), np.float64(quats[g, 1]), np.float64(quats[g, 2]), np.float64(quats[g, 3])
    share = 1 / max(sqrt(w * w + x * x + y * y + z * z), 1e-30)
    w, x, y, z = w * share, x * share, y * share, z * share
    m = to_turn
    dw = 2 * (x * (m[2, 1] - m[1, 2]) + y * (m[0, 2] - m[2, 0]) + z * (m[1, 0] - m[0, 1]))
    dx = 2 * (y * (m[0, 1] + m[1, 0]) + z * (m[0, 2] + m[2, 0]) + w * (m[2, 1] - m[1, 2]) - 2 * x * (m[1, 1] + m[2, 2]))
    dy = 2 * (x * (m[0, 1] + m[1, 0]) + z * (m[1, 2] + m[2, 1]) + w * (m[0, 2] - m[2, 0]) - 2 * y * (m[0, 0] + m[2, 2]))
    dz = 2 * (x * (m[0, 2] + m[2, 0]) + y * (m[1, 2] + m[2, 1]) + w * (m[1, 0] - m[0, 1]) - 2 * z * (m[0, 0] + m[1, 1]))
    along = w * dw + x * dx + y * dy + z * dz
    to_quats[g, 0] += (dw - along * w) * share
    to_quats[g, 1] += (dx - along * x) * share
    to_quats[g, 2] += (dy - along * y) * share
    to_quats[g, 3] += (dz - along * z) * share


@njit(nogil=True, cache=True)
@no_type_check
def spread(turn, scales, g, cov):
    """The covariance R S S R^T."""
    for i in range(3):
        for j in range(i + 1):
            total = 0.0
            for k in range(3):
                s = np.float64(scales[g, k])
                total += turn[i, k] * turn[j, k] * s * s
            cov[i, j] = total
            cov[j, i] = total


@njit(nogil=True, cache=True)
@no_type_check
def flatten(x, y, z, lens, viewmat, flat):
    """The derivative of pixels by world axes (2x3); returns the slopes x / z and y / z where it was taken."""
    fx, fy, cx, cy, width, height = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5]
    beside_x, beside_y = BESIDE * 0.5 * width / fx, BESIDE * 0.5 * height / fy
    u = min(max(x / z, -cx / fx - beside_x), (width - cx) / fx + beside_x)
    v = min(max(y / z, -cy / fy - beside_y), (height - cy) / fy + beside_y)
    for i in range(3):
        flat[0, i] = fx / z * (viewmat[0, i] - u * viewmat[2, i])
        flat[1, i] = fy / z * (viewmat[1, i] - v * viewmat[2, i])
    return u, v


@njit(nogil=True, cache=True)
@no_type_check
def on_screen(flat, cov):
    """The covariance on the screen, square pixels: xx, xy, yy."""
    a, b, c = DILATION, 0.0, DILATION
    for i in range(3):
        s, t = 0.0, 0.0
        for j in range(3):
            s += cov[i, j] * flat[0, j]
            t += cov[i, j] * flat[1, j]
        a += flat[0, i] * s
        b += flat[0, i] * t
        c += flat[1, i] * t
    return a, b, c
