"""Kernels of `decode`: means of like colours, where colours are even, which part of those near, and peaks."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath=True)
@no_type_check
def alike_mean(colors, weight, tolerance, reach, out):
    """The mean of neighbours of like colour (sigma filter, Lee 1983) where `weight` is above 0; into `out`.

    Args:
        colors: "h w 3".
        weight: "h w", what a pixel counts; 0 is left out.
        tolerance: distance of colours up to which they are alike.
        reach: pixels to each side that are looked at.
        out: "h w 3".
    """
    height, width = weight.shape
    most = np.float32(tolerance * tolerance)
    for y in range(height):
        for x in range(width):
            if weight[y, x] <= 0:
                continue
            own0, own1, own2 = colors[y, x, 0], colors[y, x, 1], colors[y, x, 2]
            sum0, sum1, sum2, total = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for yy in range(max(y - reach, 0), min(y + reach + 1, height)):
                for xx in range(max(x - reach, 0), min(x + reach + 1, width)):
                    share = weight[yy, xx]
                    c0, c1, c2 = colors[yy, xx, 0], colors[yy, xx, 1], colors[yy, xx, 2]
                    far = (c0 - own0) ** 2 + (c1 - own1) ** 2 + (c2 - own2) ** 2
                    if share > 0 and far <= most:
                        sum0, sum1, sum2, total = sum0 + share * c0, sum1 + share * c1, sum2 + share * c2, total + share
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = sum0 / total, sum1 / total, sum2 / total


@njit(nogil=True, cache=True)
@no_type_check
def even(colors, inside, step, least, out):
    """Where colours hardly change over `step` pixels in any direction within `inside`; into `out` (bool "h w")."""
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = inside[y, x]
            for dy in range(-step, step + 1, step):
                for dx in range(-step, step + 1, step):
                    yy, xx = y + dy, x + dx
                    if not out[y, x] or yy < 0 or xx < 0 or yy >= height or xx >= width or not inside[yy, xx]:
                        continue
                    for c in range(3):
                        if abs(colors[y, x, c] - colors[yy, xx, c]) >= least:
                            out[y, x] = False


@njit(nogil=True, cache=True, fastmath=True)
@no_type_check
def nearest_in_color(colors, inside, labels, palette, reach, out):
    """Each pixel without label takes, of the labels around it, the one whose colour is nearest; -1 where none is.

    A mixture of two parts' colours may look like a third one; which parts meet here tells the third one from them.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = labels[y, x] if inside[y, x] else -1
            if not inside[y, x] or labels[y, x] >= 0:
                continue
            best = np.float32(1e12)
            for yy in range(max(y - reach, 0), min(y + reach + 1, height)):
                for xx in range(max(x - reach, 0), min(x + reach + 1, width)):
                    label = labels[yy, xx]
                    if label < 0:
                        continue
                    far = np.float32(0)
                    for c in range(3):
                        far += (colors[y, x, c] - palette[label, c]) ** 2
                    if far < best:
                        best, out[y, x] = far, label


@njit(nogil=True, cache=True)
@no_type_check
def climb(order, density, size, prominence, labels, parents, peaks):
    """Cells of a cube of densities, densest first, to the peaks they belong to (ToMATo, Chazal et al. 2013).

    A cell joins the highest peak beside it. Where peaks meet, those that rise too little above the meeting are merged.

    Args:
        order: numbers of the cells, densest first.
        density: of all cells of the cube, flat.
        size: cells a side.
        prominence: a peak is one of its own if it is met below this share of it.
        labels: of all cells, -1; receives the number of a peak.
        parents: receives, for each peak, the one that it was merged into, or itself.
        peaks: receives their densities.
    """
    found = 0
    beside = np.empty(26, np.int64)
    for cell in order:
        a, b, c = cell // (size * size), cell // size % size, cell % size
        count, best = 0, -1
        for i in range(max(a - 1, 0), min(a + 2, size)):
            for j in range(max(b - 1, 0), min(b + 2, size)):
                for k in range(max(c - 1, 0), min(c + 2, size)):
                    label = labels[(i * size + j) * size + k]
                    if label < 0:
                        continue
                    while parents[label] != label:
                        label = parents[label]
                    beside[count] = label
                    count += 1
                    if best < 0 or peaks[label] > peaks[best]:
                        best = label
        if best < 0:
            labels[cell], parents[found], peaks[found] = found, found, density[cell]
            found += 1
            continue
        labels[cell] = best
        for k in range(count):
            if beside[k] != best and density[cell] > prominence * peaks[beside[k]]:
                parents[beside[k]] = best
    return found
