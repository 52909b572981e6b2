"""The ordered scan: a nearest forward warp along rows without sort or depth buffer.

With target ``x + floor(0.5 - disparity)``, two pixels of a row that meet in one target differ in disparity, and the
one further right is the nearer: floor never rises with disparity, so ``x1 < x2`` with equal targets needs
``disparity2 > disparity1``. Scanning left to right and overwriting is therefore the z-buffer. For the left eye all
is mirrored.

Inside a row a pixel travels as one machine word, uint32 for 8-bit and uint64 for 16-bit samples, with a bit above
the three channels that says it is known.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8, UInt16, UInt32, UInt64
from numba import njit

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Words1 = UInt32[np.ndarray, "h"] | UInt64[np.ndarray, "h"]
Words2 = UInt32[np.ndarray, "h n"] | UInt64[np.ndarray, "h n"]


def known_mark(dtype: np.dtype) -> UInt32[np.ndarray, "1"] | UInt64[np.ndarray, "1"]:
    """The bit above three channels of `dtype`, as an array of the word that a pixel travels in."""
    return np.array([1 << 24], np.uint32) if dtype == np.uint8 else np.array([1 << 48], np.uint64)


def as_words(image: Pixels) -> tuple[Words2, Words1]:
    """Each pixel of a C-contiguous image as a word: a view of all but the last of a row, and those last ones.

    A word of the view spans one pixel and the first sample of the next, which the reader masks away.
    """
    height, width, _ = image.shape
    mark = known_mark(image.dtype)
    words = np.ndarray((height, width - 1), mark.dtype, image, strides=image.strides[:2])
    last = image[:, -1].astype(mark.dtype)
    size = mark.dtype.type(8 * image.itemsize)
    return words, last[:, 0] | last[:, 1] << size | last[:, 2] << size + size | mark


@njit(nogil=True, cache=True)
@no_type_check
def finite_rows(disparity, first, last):
    """Whether rows ``first`` to ``last - 1`` hold finite numbers only."""
    bad = 0
    for y in range(first, last):
        row = disparity[y]
        for x in range(disparity.shape[1]):
            bad += not (abs(row[x]) < np.inf)
    return bad == 0


@njit(nogil=True, cache=True)
@no_type_check
def scan_rows(words, ends, disparity, gain, mirrored, marks, out, known, first, last):
    """Warp rows ``first`` to ``last - 1``; `gain` scales the disparity, `mirrored` is for the left eye."""
    width = disparity.shape[1]
    end, bit, channels = width - 1, marks[0], np.uint64(marks[0]) - np.uint64(1)
    target = np.empty(width, np.uint32)
    moved = np.empty(width + 1, marks.dtype)
    for y in range(first, last):
        find_targets(disparity[y], gain, mirrored, target)
        row = words[y]
        moved[:] = 0
        if mirrored:
            moved[target[end]] = ends[y]
            for i in range(end):
                x = np.uint64(end - 1 - i)
                moved[target[x]] = row[x] & channels | bit
        else:
            for i in range(end):
                x = np.uint64(i)
                moved[target[x]] = row[x] & channels | bit
            moved[target[end]] = ends[y]
        unpack_row(moved, bit, out[y], known[y])


@njit(nogil=True, cache=True)
@no_type_check
def find_targets(disparity, gain, mirrored, target):
    """Where each pixel of a row goes; the width stands for outside."""
    width = np.int32(disparity.shape[0])
    far, half, sign = np.float32(width), np.float32(0.5), np.int32(-1 if mirrored else 1)
    for x in range(width):
        shift = np.int32(np.floor(half - min(max(disparity[x] * gain, -far), far)))
        target[x] = min(np.uint32(np.int32(x) + sign * shift), np.uint32(width))


@njit(nogil=True, cache=True)
@no_type_check
def unpack_row(words, bit, samples, known):
    """A row of words as samples, 0 where unknown, and the mask."""
    if samples.itemsize == 1:
        _unpack(words, samples, known.shape[0], np.uint64(8))
    else:
        _unpack(words, samples, known.shape[0], np.uint64(16))
    for x in range(known.shape[0]):
        known[x] = words[x] >= bit


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def _unpack(words, samples, width, size):
    for x in range(width):
        word = words[x]
        samples[3 * x] = word
        samples[3 * x + 1] = word >> size
        samples[3 * x + 2] = word >> (size + size)
