"""Row kernels that fill holes from the background beside them, and from other frames.

A hole is a run of unknown pixels in a row. It takes its background from one end, the side where the eye sees past
the nearer surface: its right end in the right view, its left end in the left view, and the only end there is at the
picture's border. ``edge`` is the first known pixel at that end and ``step`` points from the hole into the background.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, UInt64
from numba import njit

REACH = 24
"""Background pixels beside a hole that its colour is made of."""

SPREAD = 7
"""One more background pixel enters the mean for this many pixels of depth into the hole."""

DETAIL = 64
"""How much of the mirrored background's detail goes over that mean, of 256; all would double the squared error."""

PLAIN = 256 - DETAIL

SHARES = np.array([0.0] + [PLAIN / size for size in range(1, REACH + 1)])
"""The weight of each of so many background pixels in their mean."""

WIDEST = 3
"""Rows between the five that are averaged, at most; 1 at the edge and one more for each `BLOCK` of depth."""

BLOCK = 8
"""Pixels that are averaged over the same rows."""

RING = 16
"""Rows of guesses kept: a power of two, and at least ``4 * WIDEST + 1``."""

LISTED = 48
"""Holes a row has room for in the list of those to be smoothed."""

ALL, NONE = 0x0101010101010101, 0
"""Eight known, and eight unknown, pixels of a mask as one word."""

CRACK = 2
"""Holes of up to this many pixels simply take the colour beside them."""

SOFT = 2
"""Pixels beside a hole that may be blends with the nearer surface, and are then passed over."""


def as_words(known: Bool[np.ndarray, "h w"]) -> UInt64[np.ndarray, "h n"]:
    """For each pixel of a C-contiguous mask the eight from there on as one word, a view; none where fewer are left."""
    height, width = known.shape
    return np.ndarray((height, max(width - 7, 0)), np.uint64, known, strides=(width, 1))


@njit(nogil=True, cache=True)
@no_type_check
def next_run(known, words, x):
    """First and one past the last unknown pixel of a row at or after `x`; `words` is the row by `as_words`."""
    first = skip_equal(known, words, x, ALL)
    return first, skip_equal(known, words, first, NONE)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def skip_equal(known, words, x, same):
    """The first pixel at or after `x` that is not as all pixels of the word `same`, or the width."""
    # Unsigned throughout: signed indices cost a test for negative ones, and mixed arithmetic turns to floats.
    width, ones, same = np.uint64(known.shape[0]), np.uint64(ALL), np.uint64(same)
    x, one, word, four = np.uint64(x), np.uint64(1), np.uint64(8), np.uint64(32)
    while x + word <= width:
        other = words[x] ^ same
        if other:
            # A one in each byte below the lowest that differs; the product counts them in its top byte.
            return np.int64(x + ((((other - one) & ~other & ones) * ones) >> np.uint64(56)))
        x += word
        while (
            x + four <= width
            and words[x] == same == words[x + word] == words[x + four - word - word] == words[x + four - word]
        ):
            x += four
    while x < width and known[x] == (same != 0):
        x += one
    return np.int64(x)


@njit(nogil=True, cache=True)
@no_type_check
def background_end(first, end, width, right_eye):
    """`edge` and `step` of the hole from `first` to ``end - 1``; step 0 where the whole row is unknown."""
    if first == 0 and end == width:
        return 0, 0
    if end < width and (right_eye or first == 0):
        return end, 1
    return first - 1, -1


@njit(nogil=True, cache=True)
@no_type_check
def background_length(known, edge, step, most):
    """How many known pixels lie at `edge` and beyond, up to `most`."""
    width = known.shape[0]
    count = 1
    while count < most and 0 <= edge + step * count < width and known[edge + step * count]:
        count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def soft_pixels(row, edge, step, count, across):
    """How many pixels from `edge` on are blends of the background with the surface at `across`, up to `SOFT`."""
    if count <= SOFT + 1 or not 0 <= across < row.shape[0]:
        return 0
    clean = edge + step * (SOFT + 1)
    span = difference(row, across, clean)
    for i in range(SOFT, 0, -1):
        blend = edge + step * (i - 1)
        off, near = difference(row, blend, clean), difference(row, blend, across)
        if 5 * off > span and near < span and 4 * (off + near) < 5 * span:
            return i
    return 0


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def difference(row, a, b):
    """Sum over channels of the absolute difference of two pixels."""
    red = abs(np.int32(row[a, 0]) - np.int32(row[b, 0]))
    green = abs(np.int32(row[a, 1]) - np.int32(row[b, 1]))
    return red + green + abs(np.int32(row[a, 2]) - np.int32(row[b, 2]))


@njit(nogil=True, cache=True)
@no_type_check
def extend_rows(filled, known, words, right_eye, first, last):
    """Fill the holes of rows ``first`` to ``last - 1`` of `filled` in place.

    Each row is guessed on its own, then the guesses are averaged over five rows; those at hand lie in a ring of rows
    that stays in the cache.
    """
    height, width = known.shape
    guesses = np.empty((RING, width, 3), filled.dtype)
    samples, rows = guesses.reshape(RING, 3 * width), filled.reshape(height, 3 * width)
    runs = np.empty((RING, LISTED, 2), np.int32)
    ready = max(0, first - 2 * WIDEST)
    for y in range(first, last):
        while ready < min(y + 2 * WIDEST + 1, height):
            at, own = ready % RING, first <= ready < last
            guess_row(filled[ready], known[ready], words[ready], right_eye, own, guesses[at], runs[at])
            ready += 1
        smooth_row(samples, known, words, runs[y % RING], rows, y)


@njit(nogil=True, cache=True)
@no_type_check
def guess_row(row, known, words, right_eye, own, guess, runs):
    """Write a first guess for each hole pixel of a row into `guess`.

    The guess is a mean of background pixels at the edge, of more of them further in, with some detail of the
    background mirrored at the edge. The holes guessed are listed in `runs`: "n 2" of first hole pixel from the edge
    and signed length; the list ends at length 0. Cracks, and what the list has no room for, are final: they go into
    `row` too where it is this band's `own`.
    """
    width, found = known.shape[0], 0
    x, end = next_run(known, words, 0)
    while x < width:
        edge, step = background_end(x, end, width, right_eye)
        if end - x <= CRACK and step != 0:
            for t in range(x, end):
                for c in range(3):  # whole-pixel assignments cost three times as much
                    guess[t, c] = row[edge, c]
        elif step != 0:
            count = background_length(known, edge, step, min(REACH, end - x + SOFT))
            skip = soft_pixels(row, edge, step, count, x - 1 if step == 1 else end)
            extend_run(row, guess, edge, step, end - x, count - skip, skip)
        if end - x > CRACK and step != 0 and found < runs.shape[0]:
            runs[found, 0], runs[found, 1] = edge - step, step * (end - x)
            found += 1
        elif step != 0 and own:
            for t in range(x, end):
                for c in range(3):
                    row[t, c] = guess[t, c]
        x, end = next_run(known, words, end)
    if found < runs.shape[0]:
        runs[found, 1] = 0


@njit(nogil=True, cache=True)
@no_type_check
def extend_run(row, guess, edge, step, length, count, skip):
    """Guess one run; `count` background pixels from the one `skip` beyond `edge` may be used."""
    origin = edge + step * skip
    red, green, blue = np.int32(row[origin, 0]), np.int32(row[origin, 1]), np.int32(row[origin, 2])
    size, done, fold, turn = 1, 0, 0, 1
    while done < length:
        # Colours in units of 2**-8; the mean's part changes only when a background pixel joins it.
        share = SHARES[size]
        base_red, base_green, base_blue = np.int32(red * share), np.int32(green * share), np.int32(blue * share)
        same = min(SPREAD, length - done) if size < count else length - done
        for i in range(done, done + same):
            f, t = np.uint64(origin + step * fold), np.uint64(edge - step * (i + 1))
            guess[t, 0] = (base_red + 128 + DETAIL * np.int32(row[f, 0])) >> 8
            guess[t, 1] = (base_green + 128 + DETAIL * np.int32(row[f, 1])) >> 8
            guess[t, 2] = (base_blue + 128 + DETAIL * np.int32(row[f, 2])) >> 8
            fold += turn
            if fold == count or fold < 0:
                turn = -turn
                fold += turn
        done += same
        if size < count:
            nearby = origin + step * size
            red += np.int32(row[nearby, 0])
            green += np.int32(row[nearby, 1])
            blue += np.int32(row[nearby, 2])
            size += 1


@njit(nogil=True, cache=True)
@no_type_check
def smooth_row(guesses, known, words, runs, filled, y):
    """Average the guesses over five rows of the hole, further apart further in, and write them to `filled`.

    The guesses (a ring) and the view are rows of samples, "n 3*w". Eight pixels at a time are averaged over the same
    rows, the last eight of a run overlapping those before.
    """
    height = known.shape[0]
    for i in range(runs.shape[0]):
        start, length = runs[i, 0], abs(runs[i, 1])
        if length == 0:
            break
        if length < BLOCK:
            smooth_few(guesses, known, filled, y, min(start, start - runs[i, 1] + 1), length)
            continue
        for k in range(0, length, BLOCK):
            apart = min(1 + k // BLOCK, WIDEST)
            inwards = min(k, length - BLOCK)
            x = start + inwards if runs[i, 1] < 0 else start - inwards - BLOCK + 1
            a, b = row_of_hole(words, y, y - 2 * apart, x, height), row_of_hole(words, y, y - apart, x, height)
            c, d = row_of_hole(words, y, y + apart, x, height), row_of_hole(words, y, y + 2 * apart, x, height)
            average_block(guesses, a, b, c, d, filled, np.uint64(y), 3 * x)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def row_of_hole(words, y, other, x, height):
    """The row `other` if all eight pixels from `x` on are unknown in it, else `y` itself."""
    if other < 0 or other >= height:
        return np.uint64(y)
    return np.uint64(y if words[np.uint64(other), np.uint64(x)] else other)


@njit(nogil=True, cache=True)
@no_type_check
def average_block(guesses, a, b, c, d, filled, y, left):
    """The mean of the guesses in rows `a` to `d` and `y`, for the samples of eight pixels from `left` on."""
    a, b, c, d, own = ring(a), ring(b), ring(c), ring(d), ring(y)
    fifth, half = np.float32(0.2), np.float32(0.5)
    for i in range(3 * BLOCK):  # unsigned indices and a fixed count, for vector instructions
        j = np.uint64(left + i)
        total = np.int32(guesses[a, j]) + np.int32(guesses[b, j]) + np.int32(guesses[own, j])
        total += np.int32(guesses[c, j]) + np.int32(guesses[d, j])
        filled[y, j] = np.int32(np.float32(total) * fifth + half)


@njit(nogil=True, cache=True)
@no_type_check
def smooth_few(guesses, known, filled, y, x, size):
    """As `smooth_row` for one run of fewer than eight pixels, the first at column `x`."""
    share, half = np.float32(0.2), np.float32(0.5)
    total = np.zeros(3 * BLOCK, np.int32)
    for i in range(-2, 3):
        other = min(max(y + i, 0), known.shape[0] - 1)
        seen = False
        for n in range(size):
            seen |= known[other, x + n]
        row = ring(np.uint64(y if seen else other))
        for j in range(3 * size):
            total[j] += guesses[row, 3 * x + j]
    for j in range(3 * size):
        filled[y, 3 * x + j] = np.int32(np.float32(total[j]) * share + half)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def ring(y):
    """Where row `y` lies in the ring of guesses."""
    return y % np.uint64(RING)
