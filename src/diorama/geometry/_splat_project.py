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
FAR_OUT = 1e9
"""Pixels beyond which nothing is drawn."""
BESIDE = 0.3
"""Half picture widths beside the picture up to which the projection's derivative is followed."""

X, Y, XX, XY, YY, OPACITY, RED, GREEN, BLUE, Z = range(10)
"""Columns of a Gaussian on the screen: its centre, its inverse covariance, and what is composed there."""
COLUMNS = 10


@njit(nogil=True, cache=True, error_model="numpy")
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
    for g in range(first, last):
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = 0, 0, 0, 0
        radii[g] = 0
        x, y, z = to_camera(means[g, 0], means[g, 1], means[g, 2], viewmat)
        opacity = np.float64(opacities[g])
        if not (z > near and z < np.inf and opacity >= FAINTEST):
            continue
        turn = rotation(quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3])
        cov = spread(turn, scales[g, 0], scales[g, 1], scales[g, 2])
        _, _, across, down = flatten(x, y, z, lens, viewmat)
        a, b, c = on_screen(across, down, cov)
        det = a * c - b * b
        u, v = fx * x / z + cx, fy * y / z + cy
        if not (det > 0 and abs(u) < FAR_OUT and abs(v) < FAR_OUT and a < FAR_OUT**2 and c < FAR_OUT**2):
            continue
        reach = 2 * log(opacity / FAINTEST) + 1e-3  # a pixel sees it where the quadratic form is below
        wide, high = sqrt(reach * a), sqrt(reach * c)
        left, right = max(ceil(u - wide - 0.5), 0.0), min(floor(u + wide - 0.5) + 1, width)
        top, bottom = max(ceil(v - high - 0.5), 0.0), min(floor(v + high - 0.5) + 1, height)
        if left >= right or top >= bottom:
            continue
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = left, right, top, bottom
        radii[g] = sqrt(reach * ((a + c) / 2 + sqrt((a - c) * (a - c) / 4 + b * b)))
        screen[g, X], screen[g, Y], screen[g, Z] = u, v, z
        screen[g, XX], screen[g, XY], screen[g, YY] = c / det, -b / det, a / det


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def project_back(
    first,
    last,
    order,
    slots,
    means,
    quats,
    scales,
    viewmat,
    lens,
    pairs,
    to_means,
    to_quats,
    to_scales,
    to_looks,
    to_xy,
):
    """Sum the gradients of the drawn Gaussians over their tiles, and lead them back to what they were made of.

    Args:
        order: numbers of the Gaussians as they were drawn.
        slots: where the rows of each of them begin in `pairs`, and the end.
        pairs: gradients by columns, a row for each Gaussian and tile.
        to_looks: gradients of opacity and colour.
        to_xy: of the places on the screen, pixels.
    """
    fx, fy = lens[0], lens[1]
    total = np.empty(COLUMNS, np.float32)
    for rank in range(first, last):
        g = order[rank]
        total[:] = pairs[slots[rank]]
        for slot in range(slots[rank] + 1, slots[rank + 1]):
            for column in range(COLUMNS):
                total[column] += pairs[slot, column]
        for column in range(4):
            to_looks[g, column] = total[OPACITY + column]
        to_xy[g, 0], to_xy[g, 1] = total[X], total[Y]
        x, y, z = to_camera(means[g, 0], means[g, 1], means[g, 2], viewmat)
        turn = rotation(quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3])
        cov = spread(turn, scales[g, 0], scales[g, 1], scales[g, 2])
        u, v, across, down = flatten(x, y, z, lens, viewmat)
        a, b, c = on_screen(across, down, cov)
        # From the inverse covariance K to the covariance: -K G K.
        det = a * c - b * b
        a, b, c = c / det, -b / det, a / det
        p, q, r = np.float64(total[XX]), np.float64(total[XY]) / 2, np.float64(total[YY])
        ap, aq, bp, bq = a * p + b * q, a * q + b * r, b * p + c * q, b * q + c * r
        da, db, dc = -(ap * a + aq * b), -(ap * b + aq * c), -(bp * b + bq * c)
        # From there to the projection's derivative, and with the place to the camera's axes.
        one, two = times(cov, across), times(cov, down)
        of_across = mixed(2 * da, one, 2 * db, two)
        of_down = mixed(2 * db, one, 2 * dc, two)
        ahead = viewmat[2, 0], viewmat[2, 1], viewmat[2, 2]
        jxx, jxz = dot(of_across, (viewmat[0, 0], viewmat[0, 1], viewmat[0, 2])), dot(of_across, ahead)
        jyy, jyz = dot(of_down, (viewmat[1, 0], viewmat[1, 1], viewmat[1, 2])), dot(of_down, ahead)
        dx, dy = fx / z * total[X], fy / z * total[Y]
        dz = total[Z] - (x * dx + y * dy) / z
        dz += (fx * (u * jxz - jxx) + fy * (v * jyz - jyy)) / (z * z)
        if u == x / z:  # not held beside the picture
            dx -= fx * jxz / (z * z)
            dz += fx * jxz * u / (z * z)
        if v == y / z:
            dy -= fy * jyz / (z * z)
            dz += fy * jyz * v / (z * z)
        for i in range(3):
            to_means[g, i] = viewmat[0, i] * dx + viewmat[1, i] * dy + viewmat[2, i] * dz
        # From the covariance N N^T with N = R S to R and S; its gradient is A^T D A with the derivative A.
        rows = mixed(da, across, db, down), mixed(db, across, dc, down)
        length = scales[g, 0], scales[g, 1], scales[g, 2]
        x0, y0, s0 = axis_back(turn, 0, length[0], across, down, rows)
        x1, y1, s1 = axis_back(turn, 1, length[1], across, down, rows)
        x2, y2, s2 = axis_back(turn, 2, length[2], across, down, rows)
        to_scales[g, 0], to_scales[g, 1], to_scales[g, 2] = s0, s1, s2
        of_turn = (
            across[0] * x0 + down[0] * y0, across[0] * x1 + down[0] * y1, across[0] * x2 + down[0] * y2,
            across[1] * x0 + down[1] * y0, across[1] * x1 + down[1] * y1, across[1] * x2 + down[1] * y2,
            across[2] * x0 + down[2] * y0, across[2] * x1 + down[2] * y1, across[2] * x2 + down[2] * y2,
        )  # fmt: skip
        w, x, y, z = rotation_back(quats[g, 0], quats[g, 1], quats[g, 2], quats[g, 3], of_turn)
        to_quats[g, 0], to_quats[g, 1], to_quats[g, 2], to_quats[g, 3] = w, x, y, z


@njit(nogil=True, cache=True)
@no_type_check
def to_camera(x, y, z, viewmat):
    """A centre in camera axes."""
    x, y, z = np.float64(x), np.float64(y), np.float64(z)
    return (
        viewmat[0, 0] * x + viewmat[0, 1] * y + viewmat[0, 2] * z + viewmat[0, 3],
        viewmat[1, 0] * x + viewmat[1, 1] * y + viewmat[1, 2] * z + viewmat[1, 3],
        viewmat[2, 0] * x + viewmat[2, 1] * y + viewmat[2, 2] * z + viewmat[2, 3],
    )


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def unit(w, x, y, z):
    """A quaternion of length 1, and what it was multiplied by."""
    w, x, y, z = np.float64(w), np.float64(x), np.float64(y), np.float64(z)
    share = 1 / max(sqrt(w * w + x * x + y * y + z * z), 1e-30)
    return w * share, x * share, y * share, z * share, share


@njit(nogil=True, cache=True)
@no_type_check
def rotation(w, x, y, z):
    """The matrix of a quaternion of any length, row by row."""
    w, x, y, z, _ = unit(w, x, y, z)
    return (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip


@njit(nogil=True, cache=True)
@no_type_check
def rotation_back(w, x, y, z, m):
    """The gradient of a quaternion from that of its matrix; its length changes nothing."""
    w, x, y, z, share = unit(w, x, y, z)
    dw = 2 * (x * (m[7] - m[5]) + y * (m[2] - m[6]) + z * (m[3] - m[1]))
    dx = 2 * (y * (m[1] + m[3]) + z * (m[2] + m[6]) + w * (m[7] - m[5]) - 2 * x * (m[4] + m[8]))
    dy = 2 * (x * (m[1] + m[3]) + z * (m[5] + m[7]) + w * (m[2] - m[6]) - 2 * y * (m[0] + m[8]))
    dz = 2 * (x * (m[2] + m[6]) + y * (m[5] + m[7]) + w * (m[3] - m[1]) - 2 * z * (m[0] + m[4]))
    along = w * dw + x * dx + y * dy + z * dz
    return (dw - along * w) * share, (dx - along * x) * share, (dy - along * y) * share, (dz - along * z) * share


@njit(nogil=True, cache=True)
@no_type_check
def spread(turn, a, b, c):
    """The covariance R S S R^T: xx, xy, xz, yy, yz, zz."""
    a, b, c = np.float64(a), np.float64(b), np.float64(c)
    a, b, c = a * a, b * b, c * c
    return (
        turn[0] * turn[0] * a + turn[1] * turn[1] * b + turn[2] * turn[2] * c,
        turn[0] * turn[3] * a + turn[1] * turn[4] * b + turn[2] * turn[5] * c,
        turn[0] * turn[6] * a + turn[1] * turn[7] * b + turn[2] * turn[8] * c,
        turn[3] * turn[3] * a + turn[4] * turn[4] * b + turn[5] * turn[5] * c,
        turn[3] * turn[6] * a + turn[4] * turn[7] * b + turn[5] * turn[8] * c,
        turn[6] * turn[6] * a + turn[7] * turn[7] * b + turn[8] * turn[8] * c,
    )


@njit(nogil=True, cache=True)
@no_type_check
def axis_back(turn, k, scale, across, down, rows):
    """What an axis of an ellipsoid receives: its direction along `across` and `down`, and its scale."""
    axis = turn[k], turn[3 + k], turn[6 + k]
    p, q = 2 * dot(rows[0], axis), 2 * dot(rows[1], axis)
    return p * scale * scale, q * scale * scale, (p * dot(across, axis) + q * dot(down, axis)) * scale


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def flatten(x, y, z, lens, viewmat):
    """The derivative of pixels by world axes, in two rows, after the slopes x / z and y / z where it was taken."""
    fx, fy, cx, cy, width, height = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5]
    beside_x, beside_y = BESIDE * 0.5 * width / fx, BESIDE * 0.5 * height / fy
    u = min(max(x / z, -cx / fx - beside_x), (width - cx) / fx + beside_x)
    v = min(max(y / z, -cy / fy - beside_y), (height - cy) / fy + beside_y)
    p, q = fx / z, fy / z
    across = (
        p * (viewmat[0, 0] - u * viewmat[2, 0]),
        p * (viewmat[0, 1] - u * viewmat[2, 1]),
        p * (viewmat[0, 2] - u * viewmat[2, 2]),
    )
    down = (
        q * (viewmat[1, 0] - v * viewmat[2, 0]),
        q * (viewmat[1, 1] - v * viewmat[2, 1]),
        q * (viewmat[1, 2] - v * viewmat[2, 2]),
    )
    return u, v, across, down


@njit(nogil=True, cache=True)
@no_type_check
def on_screen(across, down, cov):
    """The covariance on the screen, square pixels: xx, xy, yy."""
    one, two = times(cov, across), times(cov, down)
    return dot(across, one) + DILATION, dot(down, one), dot(down, two) + DILATION


@njit(nogil=True, cache=True)
@no_type_check
def times(cov, a):
    """A covariance times a vector."""
    return (
        cov[0] * a[0] + cov[1] * a[1] + cov[2] * a[2],
        cov[1] * a[0] + cov[3] * a[1] + cov[4] * a[2],
        cov[2] * a[0] + cov[4] * a[1] + cov[5] * a[2],
    )


@njit(nogil=True, cache=True)
@no_type_check
def dot(a, b):
    """Of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(nogil=True, cache=True)
@no_type_check
def mixed(s, a, t, b):
    """s a + t b."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]
