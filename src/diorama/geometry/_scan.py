"""The ordered scan: a nearest forward warp along rows without sort or depth buffer.

With target ``x + floor(0.5 - disparity)``, two pixels of a row that meet in one target differ in disparity, and the
one further right is the nearer: floor never rises with disparity, so ``x1 < x2`` with equal targets needs
``disparity2 > disparity1``. Scanning left to right and overwriting is therefore the z-buffer. For the left eye all
is mirrored.

Inside a row a pixel travels as one machine word, uint32 for 8-bit and uint64 for 16-bit samples, with a bit above
the three channels that says it is known. For the right eye words are read from the picture where they lie. Reading
them backwards takes half as long again, so for the left eye a row is first packed, forwards, and then scanned from
the cache.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8, UInt16, UInt32, UInt64
from numba import njit

Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Words = UInt32[np.ndarray, "h n"] | UInt64[np.ndarray, "h n"]


def known_mark(dtype: np.dtype) -> UInt32[np.ndarray, "1"] | UInt64[np.ndarray, "1"]:
    """The bit above three channels of `dtype`, as an array of the word that a pixel travels in."""
    return np.array([1 << 24], np.uint32) if dtype == np.uint8 else np.array([1 << 48], np.uint64)


def as_words(image: Pixels) -> Words:
    """All but the last pixel of each row of a C-contiguous image as words, a view.

    A word spans one pixel and the first sample of the next, which the reader masks away.
    """
    height, width, _ = image.shape
    return np.ndarray((height, width - 1), known_mark(image.dtype).dtype, image, strides=image.strides[:2])


@njit(nogil=True, cache=True)
@no_type_check
def finite_rows(disparity, first, last):
    """Whether rows ``first`` to ``last - 1`` hold finite numbers only."""
    finite = True
    for y in range(first, last):
        finite &= finite_row(disparity[y])
    return finite


@njit(nogil=True, cache=True)
@no_type_check
def finite_row(row):
    """Whether all numbers of a row are finite."""
    finite = True
    for x in range(row.shape[0]):
        finite &= abs(row[x]) < np.float32(np.inf)
    return finite


@njit(nogil=True, cache=True)
@no_type_check
def scan_rows(image, words, disparity, gain, mirrored, marks, out, known, first, last):
    """Warp rows ``first`` to ``last - 1``; False, and the rest left undone, where a disparity is not finite.

    Args:
        image, out: rows of samples, "h 3*w", from and to.
        words: `as_words` of the image.
        gain: scales the disparity.
        mirrored: for the left eye.
        marks: `known_mark` of the samples.
        known: the mask to write.
    """
    width = disparity.shape[1]
    end, bit, channels = width - 1, marks[0], np.uint64(marks[0]) - np.uint64(1)
    target = np.empty(width, np.uint32)
    source = np.empty(width, marks.dtype)
    moved = np.empty(width + 1, marks.dtype)
    for y in range(first, last):
        if not finite_row(disparity[y]):
            return False
        find_targets(disparity[y], gain, mirrored, target)
        moved[:] = 0
        if mirrored:
            pack_row(image[y], bit, source)
            for i in range(width):
                x = np.uint64(width - 1 - i)
                moved[target[x]] = source[x]
        else:
            row = words[y]
            for i in range(end):
                x = np.uint64(i)
                moved[target[x]] = row[x] & channels | bit
            pack_row(image[y, 3 * end :], bit, source[end:])
            moved[target[end]] = source[end]
        unpack_row(moved, bit, out[y], known[y])
    return True


@njit(nogil=True, cache=True)
@no_type_check
def pack_row(samples, bit, words):
    """The pixels of a row as words, the known bit set."""
    if samples.itemsize == 1:
        _pack(samples, bit, words, np.uint64(8))
    else:
        _pack(samples, bit, words, np.uint64(16))


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def _pack(samples, bit, words, size):
    for x in range(words.shape[0]):
        red, green, blue = np.uint64(samples[3 * x]), np.uint64(samples[3 * x + 1]), np.uint64(samples[3 * x + 2])
        words[x] = red | green << size | blue << (size + size) | np.uint64(bit)


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
