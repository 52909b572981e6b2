"""Gaussians on the screen to pixels, tile by tile, and gradients back: what takes the time.

A tile's pixels lie in a row of memory, 16 to a line of the tile, so that a Gaussian's lines are one run of numbers,
taken eight at a time. Each Gaussian's gradient in a tile has a slot of its own and slots are summed in their order:
whoever draws which tile, the result is the same to the bit.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from diorama.geometry._splat_project import BLUE, GREEN, OPACITY, RED, XX, XY, YY, X, Y, Z

WIDE, HIGH = 16, 16
"""Pixels of a tile."""
PIXELS = np.uint64(WIDE * HIGH)
OPAQUE = np.float32(0.99)
"""The most that an opacity counts: nothing hides what is behind it altogether."""
FAINT = np.float32(1 / 255)
DARK = np.float32(1e-4)
"""A pixel is finished before its transmittance falls below."""
_LOOK = 24
"""Gaussians after which a tile is looked at for unfinished pixels."""
_FAST = {"reassoc", "contract", "nsz", "arcp"}
# Rows of a tile's buffer. All is in one array, with indices that cannot be below 0, so that the compiler sees that
# loops over pixels touch nothing twice, and takes eight at a time.
_DOWN, _RED, _GREEN, _BLUE, _Z = (np.uint64(k) * PIXELS for k in (1, 3, 4, 5, 6))
_ACROSS, _BEHIND, _ALPHA, _ROWS = np.uint64(2) * PIXELS, np.uint64(7) * PIXELS, np.uint64(8) * PIXELS, 9
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
# exp(-x) on 0..6 as a polynomial of x / 8, squared three times; relative error 1e-6.
_C0, _C1, _C2 = np.float32(0.9999998766), np.float32(-0.9999893548), np.float32(0.4998451758)
_C3, _C4, _C5 = np.float32(-0.1658196499), np.float32(0.0395127723), np.float32(-0.0056939358)
_EIGHTH, _SIX = np.float32(0.125), np.float32(6)


@njit(nogil=True, cache=True)
@no_type_check
def by_depth(boxes, depth_bits):
    """Numbers of the Gaussians with a box, nearest first and in their order where equally near (a radix sort)."""
    count = 0
    for g in range(boxes.shape[0]):
        count += boxes[g, 1] > boxes[g, 0]
    order, other = np.empty(count, np.int32), np.empty(count, np.int32)
    at = 0
    for g in range(boxes.shape[0]):
        if boxes[g, 1] > boxes[g, 0]:
            order[at] = g
            at += 1
    edges = np.empty(2048, np.int64)
    for shift in (0, 11, 22):  # floats above 0 rise with their bits
        edges[:] = 0
        for i in range(count):
            edges[(depth_bits[order[i]] >> shift) & 2047] += 1
        total = 0
        for digit in range(2048):
            here = edges[digit]
            edges[digit] = total
            total += here
        for i in range(count):
            digit = (depth_bits[order[i]] >> shift) & 2047
            other[edges[digit]] = order[i]
            edges[digit] += 1
        order, other = other, order
    return order


@njit(nogil=True, cache=True)
@no_type_check
def to_tiles(order, boxes, screen, looks, tiles_x, tiles_y):
    """What is drawn, nearest first, and the list of each tile.

    Args:
        looks: opacity and colour.

    Returns:
        columns of the drawn Gaussians, their boxes, the slots of each, the tiles' first entries, and the entries:
        places in the drawn order.
    """
    count = len(order)
    drawn, reach = np.empty((count, screen.shape[1]), np.float32), np.empty((count, 4), np.int32)
    slots, starts = np.zeros(count + 1, np.int64), np.zeros(tiles_x * tiles_y + 1, np.int64)
    for rank in range(count):
        g = order[rank]
        drawn[rank] = screen[g]
        drawn[rank, OPACITY : OPACITY + 4] = looks[g]
        drawn[rank, OPACITY] = min(drawn[rank, OPACITY], OPAQUE)
        reach[rank] = boxes[g]
        left, right = boxes[g, 0] // WIDE, (boxes[g, 1] - 1) // WIDE
        top, bottom = boxes[g, 2] // HIGH, (boxes[g, 3] - 1) // HIGH
        slots[rank + 1] = slots[rank] + (right - left + 1) * (bottom - top + 1)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                starts[row * tiles_x + column + 1] += 1
    for tile in range(tiles_x * tiles_y):
        starts[tile + 1] += starts[tile]
    fill, entries = starts[:-1].copy(), np.empty(slots[count], np.int32)
    for rank in range(count):
        for row in range(reach[rank, 2] // HIGH, (reach[rank, 3] - 1) // HIGH + 1):
            for column in range(reach[rank, 0] // WIDE, (reach[rank, 1] - 1) // WIDE + 1):
                tile = row * tiles_x + column
                entries[fill[tile]] = rank
                fill[tile] += 1
    return drawn, reach, slots, starts, entries


@njit(nogil=True, cache=True, inline="always", fastmath=_FAST)
@no_type_check
def fading(x):
    """exp(-x) for x from 0 to 6."""
    x = x if x > _ZERO else _ZERO
    x = (x if x < _SIX else _SIX) * _EIGHTH
    e = ((((_C5 * x + _C4) * x + _C3) * x + _C2) * x + _C1) * x + _C0
    e = e * e
    e = e * e
    return e * e


@njit(nogil=True, cache=True)
@no_type_check
def finished(buffer):
    """Whether no pixel of a tile lets anything through."""
    through = _ZERO
    for p in range(PIXELS):
        through = max(through, buffer[p])
    return through <= _ZERO


@njit(nogil=True, cache=True, fastmath=_FAST)
@no_type_check
def compose(buffer, shown, first, last):
    """One Gaussian over the pixels from `first` to `last` of a tile.

    Args:
        buffer: of each pixel the transmittance (below 0: finished), where it is, then red, green, blue and depth so
            far.
        shown: the Gaussian's columns.
    """
    x, y, xx, xy, yy = shown[X], shown[Y], shown[XX] * _HALF, shown[XY], shown[YY] * _HALF
    opacity, red, green, blue, z = shown[OPACITY], shown[RED], shown[GREEN], shown[BLUE], shown[Z]
    for i in range(first, last):
        p = np.uint64(i)
        dx, dy = buffer[p + _ACROSS] - x, buffer[p + _DOWN] - y
        alpha = opacity * fading(dx * (xx * dx + xy * dy) + yy * dy * dy)
        before = buffer[p]
        after = before * (_ONE - alpha)
        seen = (alpha >= FAINT) & (before > _ZERO)
        stays = seen & (after >= DARK)
        weight = before * alpha if stays else _ZERO
        buffer[p] = after if stays else (-before if seen else before)
        buffer[p + _RED] += weight * red
        buffer[p + _GREEN] += weight * green
        buffer[p + _BLUE] += weight * blue
        buffer[p + _Z] += weight * z


@njit(nogil=True, cache=True)
@no_type_check
def draw_tiles(first, last, step, drawn, reach, starts, entries, background, color, alpha, depth):
    """Compose the tiles ``step * i`` (modulo their number) for i from `first` to `last`."""
    height, width = alpha.shape
    tiles_x, tiles = (width + WIDE - 1) // WIDE, len(starts) - 1
    buffer = np.empty(_ROWS * WIDE * HIGH, np.float32)
    for i in range(first, last):
        tile = i * step % tiles
        left, top = tile % tiles_x * WIDE, tile // tiles_x * HIGH
        begin(buffer, left, top)
        for k in range(starts[tile], starts[tile + 1]):
            if (k - starts[tile]) % _LOOK == _LOOK - 1 and finished(buffer):
                break
            rank = entries[k]
            above, below = max(reach[rank, 2] - top, 0), min(reach[rank, 3] - top, HIGH)
            compose(buffer, drawn[rank], np.uint64(above * WIDE), np.uint64(below * WIDE))
        for row in range(top, min(top + HIGH, height)):
            for column in range(left, min(left + WIDE, width)):
                p = np.uint64((row - top) * WIDE + column - left)
                through = abs(buffer[p])
                color[row, column, 0] = buffer[p + _RED] + through * background[0]
                color[row, column, 1] = buffer[p + _GREEN] + through * background[1]
                color[row, column, 2] = buffer[p + _BLUE] + through * background[2]
                alpha[row, column] = _ONE - through
                depth[row, column] = buffer[p + _Z]


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def decompose(buffer, shown, first, last, out):
    """The gradients of one Gaussian from the pixels `first` to `last` of a tile.

    Args:
        buffer: of each pixel the transmittance (below 0: finished), where it is, the gradients of red, green, blue,
            depth and alpha, and what is behind times its gradient.
        out: gradients by columns.
    """
    x, y, xx, xy, yy = shown[X], shown[Y], shown[XX] * _HALF, shown[XY], shown[YY] * _HALF
    opacity, red, green, blue, z = shown[OPACITY], shown[RED], shown[GREEN], shown[BLUE], shown[Z]
    to_red, to_green, to_blue, to_z, to_opacity = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    to_x, to_y, to_xx, to_xy, to_yy = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    for i in range(first, last):
        p = np.uint64(i)
        dx, dy = buffer[p + _ACROSS] - x, buffer[p + _DOWN] - y
        bell = fading(dx * (xx * dx + xy * dy) + yy * dy * dy)
        alpha = opacity * bell
        before = buffer[p]
        after = before * (_ONE - alpha)
        seen = (alpha >= FAINT) & (before > _ZERO)
        stays = seen & (after >= DARK)
        weight = before * alpha if stays else _ZERO
        buffer[p] = after if stays else (-before if seen else before)
        of_red, of_green, of_blue, of_z = buffer[p + _RED], buffer[p + _GREEN], buffer[p + _BLUE], buffer[p + _Z]
        value = red * of_red + green * of_green + blue * of_blue + z * of_z + buffer[p + _ALPHA]
        behind = buffer[p + _BEHIND] - weight * value
        buffer[p + _BEHIND] = behind
        to_alpha = before * value - behind / (_ONE - alpha)
        to_alpha = to_alpha if stays else _ZERO
        to_red += weight * of_red
        to_green += weight * of_green
        to_blue += weight * of_blue
        to_z += weight * of_z
        to_opacity += bell * to_alpha
        force = alpha * to_alpha
        across_force, down_force = force * dx, force * dy
        to_x += across_force
        to_y += down_force
        to_xx += across_force * dx
        to_xy += across_force * dy
        to_yy += down_force * dy
    out[RED], out[GREEN], out[BLUE], out[Z], out[OPACITY] = to_red, to_green, to_blue, to_z, to_opacity
    out[X], out[Y] = shown[XX] * to_x + shown[XY] * to_y, shown[XY] * to_x + shown[YY] * to_y
    out[XX], out[XY], out[YY] = -_HALF * to_xx, -to_xy, -_HALF * to_yy


@njit(nogil=True, cache=True)
@no_type_check
def undraw_tiles(
    first, last, step, drawn, reach, slots, starts, entries, color, alpha, depth, to_color, to_alpha, to_depth, pairs
):
    """The gradients of `draw_tiles`: a row of `pairs` for each Gaussian in each tile."""
    height, width = alpha.shape
    tiles_x, tiles = (width + WIDE - 1) // WIDE, len(starts) - 1
    buffer = np.empty(_ROWS * WIDE * HIGH, np.float32)
    for i in range(first, last):
        tile = i * step % tiles
        left, top = tile % tiles_x * WIDE, tile // tiles_x * HIGH
        begin(buffer, left, top)
        for row in range(top, min(top + HIGH, height)):
            for column in range(left, min(left + WIDE, width)):
                p = np.uint64((row - top) * WIDE + column - left)
                red, green, blue = to_color[row, column, 0], to_color[row, column, 1], to_color[row, column, 2]
                buffer[p + _RED], buffer[p + _GREEN], buffer[p + _BLUE] = red, green, blue
                buffer[p + _Z], buffer[p + _ALPHA] = to_depth[row, column], to_alpha[row, column]
                behind = color[row, column, 0] * red + color[row, column, 1] * green + color[row, column, 2] * blue
                behind += alpha[row, column] * to_alpha[row, column] + depth[row, column] * to_depth[row, column]
                buffer[p + _BEHIND] = behind
        for k in range(starts[tile], starts[tile + 1]):
            if (k - starts[tile]) % _LOOK == _LOOK - 1 and finished(buffer):
                break
            rank = entries[k]
            above, below = max(reach[rank, 2] - top, 0), min(reach[rank, 3] - top, HIGH)
            from_left, from_right = reach[rank, 0] // WIDE, (reach[rank, 1] - 1) // WIDE
            row, column = tile // tiles_x - reach[rank, 2] // HIGH, tile % tiles_x - from_left
            slot = slots[rank] + row * (from_right - from_left + 1) + column
            decompose(buffer, drawn[rank], np.uint64(above * WIDE), np.uint64(below * WIDE), pairs[slot])


@njit(nogil=True, cache=True)
@no_type_check
def begin(buffer, left, top):
    """An empty tile, and where the centres of its pixels are."""
    buffer[:] = 0
    for p in range(WIDE * HIGH):
        buffer[p] = 1
        buffer[p + _ACROSS] = left + p % WIDE + _HALF
        buffer[p + _DOWN] = top + p // WIDE + _HALF
