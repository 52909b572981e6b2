"""A row as a polyline: the sub-pixel forward warp.

Neighbouring pixels span a segment from target to target, and colour runs linearly along it; the row is torn where a
segment would stretch beyond the tear length or fold back. At a tear each pixel keeps half a pixel of its own colour
on that side. What covers one point of the target row, two segments or two such halves, is ordered as in the nearest
warp: of two source positions that meet, the one further right is nearer (left to right for the right eye, mirrored
for the left), so overwriting is the z-buffer.

Most segments hold one target pixel. Its colour is computed for all segments of the row at once, in loops that
the compiler turns into vector code; the ordered pass that follows only moves words and sees to the exceptions.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from diorama.geometry._scan import pack_row, unpack_row

FRACTION = 12
"""Target positions are integers in units of 2**-12 pixel."""

_ONE = 1 << FRACTION
_HALF = 1 << (FRACTION - 1)


@njit(nogil=True, cache=True)
@no_type_check
def mesh_rows(image, disparity, gain, mirrored, tear, marks, out, known, first, last):
    """Warp rows ``first`` to ``last - 1``; arguments as `scan_rows`, and `tear` in 2**-12 pixel."""
    width = disparity.shape[1]
    source = np.empty(width, marks.dtype)
    colour = np.empty(width, marks.dtype)
    drawn = np.empty(width + 1, marks.dtype)
    place = np.empty(width, np.int32)
    start = np.empty(width, np.int32)
    plain = np.empty(width, np.uint32)
    for y in range(first, last):
        if mirrored:
            pack_row(image[y], marks[0], colour)
            source[:] = colour[::-1]
        else:
            pack_row(image[y], marks[0], source)
        find_places(disparity[y], gain, mirrored, place, start)
        find_plain(place, start, tear, plain)
        blend_first(source, place, start, marks[0], colour)
        drawn[:] = 0
        draw_row(source, place, start, plain, colour, tear, marks[0], drawn)
        if mirrored:
            source[:] = drawn[:width][::-1]
            unpack_row(source, marks[0], out[y], known[y])
        else:
            unpack_row(drawn, marks[0], out[y], known[y])


@njit(nogil=True, cache=True)
@no_type_check
def find_places(disparity, gain, mirrored, place, start):
    """Target of each pixel in 2**-12 pixel, and the first pixel at or after it."""
    width = np.int32(disparity.shape[0])
    unit, far, half = np.float32(_ONE), np.float32(width), np.float32(0.5)
    for x in range(width):
        shift = min(max(disparity[x] * gain, -far), far)
        place[x] = np.int32(x) * np.int32(_ONE) - np.int32(np.floor(shift * unit + half))
    if mirrored:
        start[:] = place
        for x in range(width):
            other = width - 1 - x
            place[x] = start[other] + (x - other) * _ONE
    for x in range(width):
        start[x] = (place[x] + np.int32(_ONE - 1)) >> FRACTION


@njit(nogil=True, cache=True)
@no_type_check
def find_plain(place, start, tear, plain):
    """For each pixel's segment the one target it holds; the width where it holds none, more where it needs a look."""
    width = place.shape[0]
    longest, none = np.int32(tear), np.uint32(width)
    for x in range(width - 1):
        length = np.int32(place[x + 1] - place[x])
        targets = np.int32(start[x + 1] - start[x])
        single = min(np.uint32(start[x]), none) if targets == 1 else none
        plain[x] = single if (length > 0) & (length <= longest) & (targets <= 1) else none + np.uint32(1)
    plain[width - 1] = none + np.uint32(1)


@njit(nogil=True, cache=True)
@no_type_check
def blend_first(source, place, start, bit, colour):
    """The colour of each segment at its first target."""
    for x in range(source.shape[0] - 1):
        length = max(np.float32(np.int32(place[x + 1] - place[x])), np.float32(1))
        offset = np.float32(np.int32(start[x] * np.int32(_ONE) - place[x]))
        weight = np.int32(min(offset / length, np.float32(1)) * np.float32(256) + np.float32(0.5))
        colour[x] = blend(source[x], source[x + 1], np.uint64(weight), bit)


@njit(nogil=True, cache=True)
@no_type_check
def draw_row(source, place, start, plain, colour, tear, bit, drawn):
    """Put the segments and the loose ends of a row in their places, left to right; `drawn` has a spare place."""
    last, width = source.shape[0] - 1, source.shape[0]
    half_before(source[0], place[0], start[0], drawn, width)
    for i in range(last):
        x = np.uint64(i)
        if plain[x] <= np.uint32(width):
            drawn[plain[x]] = colour[x]
            continue
        length = place[i + 1] - place[i]
        if 0 < length <= tear:
            step = np.float32(256) / np.float32(length)
            for t in range(max(start[i], 0), min(start[i + 1], width)):
                weight = np.int32(np.float32(t * _ONE - place[i]) * step + np.float32(0.5))
                drawn[t] = blend(source[i], source[i + 1], np.uint64(weight), bit)
        else:
            half_after(source[i], place[i], start[i], drawn, width)
            half_before(source[i + 1], place[i + 1], start[i + 1], drawn, width)
    half_after(source[last], place[last], start[last], drawn, width)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def half_after(word, place, start, drawn, width):
    """The half pixel at and right of a loose end."""
    if 0 <= start < width and start * _ONE - place <= _HALF:
        drawn[start] = word


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def half_before(word, place, start, drawn, width):
    """The half pixel left of a loose end."""
    if 1 <= start <= width and place - (start - 1) * _ONE < _HALF:
        drawn[start - 1] = word


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def blend(one, other, weight, bit):
    """`one` moved towards `other` by ``weight / 256``, rounded half up, all channels at once.

    The outer channels and the middle one are two numbers with room for 8 more bits between their fields; as blending
    is linear, borrows between fields cancel in the sum.
    """
    wide = bit > np.uint64(1 << 32)
    size = np.uint64(16 if wide else 8)
    outer = np.uint64(0xFFFF0000FFFF if wide else 0xFF00FF)
    inner = np.uint64(0xFFFF0000 if wide else 0xFF00)
    half = np.uint64(0x8000000080 if wide else 0x800080)
    a, b = one & outer, np.uint64(other) & outer
    c, d = one & inner, np.uint64(other) & inner
    sides = ((a << np.uint64(8)) + (b - a) * weight + half) >> np.uint64(8) & outer
    middle = ((c << np.uint64(8)) + (d - c) * weight + (np.uint64(128) << size)) >> np.uint64(8) & inner
    return sides | middle | bit
