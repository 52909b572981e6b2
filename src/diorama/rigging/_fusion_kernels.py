"""Kernels of `fusion`: what depth maps say of each other, and of the points of a grid."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def _footprint(picture, x, y):
    """The smallest and largest of the four pixels around a place, unknown ones left out, and how many are known."""
    height, width = picture.shape
    column, row = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    low, high, known = np.inf, -np.inf, 0
    for yy in range(max(row, 0), min(row + 2, height)):
        for xx in range(max(column, 0), min(column + 2, width)):
            value = picture[yy, xx]
            if value > 0:
                low, high, known = min(low, value), max(high, value), known + 1
    return low, high, known


@njit(nogil=True, cache=True)
@no_type_check
def compare(depth, into, rays, centers, trusted, partners, tolerance, support, against):
    """Count which views say that the surface is where a pixel shows it, and which say that it is not.

    A view says so where the pixel's point lies at its own depth; it denies it where it sees further than that, and is
    then denied itself: one of both is wrong. What a view has something before, it does not see.

    Args:
        depth: "v h w" along z, 0 where it is not known.
        into: "v 3 4", world to pixels.
        rays: "v 3 3", pixels to directions in the world, of length 1 along z.
        centers: "v 3", of the cameras.
        trusted: "v", whether a view is asked, and answers.
        partners: numbers of the views that are asked.
        tolerance: metres.
        support, against: "v h w", counts, to be added to.
    """
    views, height, width = depth.shape
    stamp = np.full(depth.shape, -1, np.int32)
    for v in range(views):
        for y in range(height):
            for x in range(width):
                d = depth[v, y, x]
                if d <= 0:
                    continue
                a, b = x + 0.5, y + 0.5
                p0 = centers[v, 0] + d * (rays[v, 0, 0] * a + rays[v, 0, 1] * b + rays[v, 0, 2])
                p1 = centers[v, 1] + d * (rays[v, 1, 0] * a + rays[v, 1, 1] * b + rays[v, 1, 2])
                p2 = centers[v, 2] + d * (rays[v, 2, 0] * a + rays[v, 2, 1] * b + rays[v, 2, 2])
                for u in partners:
                    if u == v or not trusted[u]:
                        continue
                    m = into[u]
                    z = m[2, 0] * p0 + m[2, 1] * p1 + m[2, 2] * p2 + m[2, 3]
                    if z <= 0:
                        continue
                    px = (m[0, 0] * p0 + m[0, 1] * p1 + m[0, 2] * p2 + m[0, 3]) / z
                    py = (m[1, 0] * p0 + m[1, 1] * p1 + m[1, 2] * p2 + m[1, 3]) / z
                    if not (0 <= px < width and 0 <= py < height):
                        continue
                    low, high, known = _footprint(depth[u], px, py)
                    if known == 0 or z > high + tolerance:
                        continue
                    if z >= low - tolerance:
                        support[v, y, x] += 1
                    elif known == 4:
                        against[v, y, x] += 1
                        yy, xx = int(py), int(px)
                        if trusted[v] and stamp[u, yy, xx] != v:
                            stamp[u, yy, xx] = v
                            against[u, yy, xx] += 1


@njit(nogil=True, cache=True)
@no_type_check
def integrate(field, start, step, depth, weight, facing, into, band, jump, out):
    """Mean signed distance of grid points before (positive) or behind the surface that depth maps show; into `out`.

    Args:
        field: "a b c", of the hull; only what lies less than two steps outside it is looked at.
        start, step: of the grid, metres.
        depth, weight: "v h w", along z and what it counts; 0 is no evidence.
        facing: "v h w", cosine between the surface and the camera.
        into: "v 3 4", world to pixels.
        band: metres behind the surface up to which it says something, and before it up to which distance is told.
        jump: metres between neighbouring pixels from which on they show different surfaces.
        out: "a b c", left as it is where nothing is known.
    """
    na, nb, nc = field.shape
    views, height, width = depth.shape
    for i in range(na):
        p0 = start[0] + step * i
        for j in range(nb):
            p1 = start[1] + step * j
            for k in range(nc):
                if field[i, j, k] > 2 * step:
                    continue
                p2 = start[2] + step * k
                total, count = 0.0, 0.0
                for v in range(views):
                    m = into[v]
                    z = m[2, 0] * p0 + m[2, 1] * p1 + m[2, 2] * p2 + m[2, 3]
                    if z <= 0:
                        continue
                    x = (m[0, 0] * p0 + m[0, 1] * p1 + m[0, 2] * p2 + m[0, 3]) / z
                    y = (m[1, 0] * p0 + m[1, 1] * p1 + m[1, 2] * p2 + m[1, 3]) / z
                    if not (0 <= x < width and 0 <= y < height):
                        continue
                    yy, xx = int(y), int(x)
                    share, d = weight[v, yy, xx], depth[v, yy, xx]
                    if share <= 0:
                        continue
                    r, c = int(np.floor(y - 0.5)), int(np.floor(x - 0.5))
                    if r >= 0 and c >= 0 and r + 1 < height and c + 1 < width:
                        d00, d01 = depth[v, r, c], depth[v, r, c + 1]
                        d10, d11 = depth[v, r + 1, c], depth[v, r + 1, c + 1]
                        low, high = min(min(d00, d01), min(d10, d11)), max(max(d00, d01), max(d10, d11))
                        if low > 0 and high - low < jump:
                            s, t = x - 0.5 - c, y - 0.5 - r
                            d = (1 - t) * ((1 - s) * d00 + s * d01) + t * ((1 - s) * d10 + s * d11)
                    far = (d - z) * facing[v, yy, xx]
                    if far <= -band:
                        continue
                    if far < 0:
                        share *= 1 + far / band
                    total += share * min(far, band)
                    count += share
                if count > 1e-6:
                    out[i, j, k] = total / count
