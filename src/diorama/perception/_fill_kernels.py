"""Row kernels that fill holes from the background beside them, and from other frames.

A hole is a run of unknown pixels in a row. It takes its background from one end, the side where the eye sees past
the nearer surface: its right end in the right view, its left end in the left view, and the only end there is at the
picture's border. ``edge`` is the first known pixel at that end and ``step`` points from the hole into the background.
"""

from typing import no_type_check

import numpy as np
from numba import njit

REACH = 24
"""Background pixels beside a hole that its colour is made of."""

SPREAD = 7
"""One more background pixel enters the mean for this many pixels of depth into the hole."""

DETAIL = 64
"""How much of the mirrored background's detail goes over that mean, of 256; all would double the squared error."""

PLAIN = 256 - DETAIL

WIDEST = 3
"""Rows between the five that are averaged, at most; 1 at the edge and one more for each `BLOCK` of depth."""

BLOCK = 8
"""Pixels that are averaged over the same rows."""

LISTED = 48
"""Holes a row has room for in the list of those to be smoothed."""

CRACK = 2
"""Holes of up to this many pixels simply take the colour beside them."""

SOFT = 2
"""Pixels beside a hole that may be blends with the nearer surface, and are then passed over."""


@njit(nogil=True, cache=True)
@no_type_check
def next_run(known, words, x):
    """First and one past the last unknown pixel of a row at or after `x`; `words` is the row, 8 pixels at a time."""
    width = known.shape[0]
    full = np.uint64(0x0101010101010101)
    while x < width and known[x]:
        x += 1
        if x & 7 == 0:
            while x >> 3 < words.shape[0] and words[x >> 3] == full:
                x += 8
    end = x
    while end < width and not known[end]:
        end += 1
    return x, end


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
def extend_rows(filled, known, words, right_eye, rough, runs, first, last):
    """Fill cracks of `filled`, and write a first guess for each other hole pixel into `rough`, from its own row.

    The guess is a mean of background pixels at the edge, of more of them further in, with some detail of the
    background mirrored at the edge. The holes guessed are listed in `runs`: "h n 2" of first hole pixel from the edge
    and signed length; the list ends at length 0, and what it has no room for is filled without smoothing.
    """
    width = known.shape[1]
    for y in range(first, last):
        row, mask, guess, found = filled[y], known[y], rough[y], 0
        x, end = next_run(mask, words[y], 0)
        while x < width:
            edge, step = background_end(x, end, width, right_eye)
            if end - x <= CRACK and step != 0:
                for t in range(x, end):
                    for c in range(3):
                        row[t, c] = row[edge, c]
                        guess[t, c] = row[edge, c]
            elif step != 0:
                count = background_length(mask, edge, step, min(REACH, end - x + SOFT))
                skip = soft_pixels(row, edge, step, count, x - 1 if step == 1 else end)
                extend_run(row, guess, edge, step, end - x, count - skip, skip)
                if found < runs.shape[1]:
                    runs[y, found, 0], runs[y, found, 1] = edge - step, step * (end - x)
                    found += 1
                else:
                    row[x:end] = guess[x:end]
            x, end = next_run(mask, words[y], end)
        if found < runs.shape[1]:
            runs[y, found, 1] = 0


@njit(nogil=True, cache=True)
@no_type_check
def extend_run(row, guess, edge, step, length, count, skip):
    """Guess one run; `count` background pixels from the one `skip` beyond `edge` may be used."""
    origin, t = edge + step * skip, edge
    red, green, blue = np.int32(row[origin, 0]), np.int32(row[origin, 1]), np.int32(row[origin, 2])
    # Colours in units of 2**-8; the mean's part changes only when a background pixel joins it.
    base_red, base_green, base_blue = red * PLAIN + 128, green * PLAIN + 128, blue * PLAIN + 128
    size, fold, turn, due, end = 1, origin, step, SPREAD, origin + step * count
    for _ in range(length):
        due -= 1
        if due < 0 and size < count:
            nearby = origin + step * size
            red += np.int32(row[nearby, 0])
            green += np.int32(row[nearby, 1])
            blue += np.int32(row[nearby, 2])
            size, due = size + 1, SPREAD - 1
            base_red, base_green = red * PLAIN // size + 128, green * PLAIN // size + 128
            base_blue = blue * PLAIN // size + 128
        t -= step
        guess[t, 0] = (base_red + DETAIL * np.int32(row[fold, 0])) >> 8
        guess[t, 1] = (base_green + DETAIL * np.int32(row[fold, 1])) >> 8
        guess[t, 2] = (base_blue + DETAIL * np.int32(row[fold, 2])) >> 8
        fold += turn
        if fold == end or fold == origin - step:
            turn = -turn
            fold += turn


@njit(nogil=True, cache=True)
@no_type_check
def smooth_rows(rough, known, runs, filled, first, last):
    """Average the guesses over five rows of the hole, further apart further in, and write them to `filled`.

    The guesses and the view are rows of samples, "h 3*w". Blocks of eight pixels whose five rows all belong to holes
    are averaged at once, the others pixel by pixel.
    """
    height = known.shape[0]
    for y in range(first, last):
        for i in range(runs.shape[1]):
            start, length = runs[y, i, 0], runs[y, i, 1]
            if length == 0:
                break
            step = 1 if length > 0 else -1
            for k in range(0, abs(length), BLOCK):
                apart = min(1 + k // BLOCK, WIDEST)
                here = start - k - BLOCK + 1 if step == 1 else start + k
                whole = k + BLOCK <= abs(length) and y >= 2 * apart and y + 2 * apart < height
                if whole and all_unknown(known, y, here, apart):
                    smooth_block(rough, filled, y, 3 * here, apart)
                else:
                    for n in range(k, min(k + BLOCK, abs(length))):
                        smooth_pixel(rough, known, filled, y, start - step * n, apart)


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def all_unknown(known, y, x, apart):
    """Whether all of the block's five rows belong to holes."""
    seen = False
    for i in range(-2, 3):
        for n in range(BLOCK):
            seen |= known[y + i * apart, x + n]
    return not seen


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def smooth_block(rough, filled, y, left, apart):
    """The mean of the guesses in five rows, for the samples from `left` on."""
    # Unsigned indices, and no views of rows, which cost more than the sums.
    here, once, twice = np.uint64(y), np.uint64(apart), np.uint64(2 * apart)
    fifth, half = np.float32(0.2), np.float32(0.5)
    for i in range(3 * BLOCK):
        j = np.uint64(left + i)
        total = np.int32(rough[here - twice, j]) + np.int32(rough[here - once, j]) + np.int32(rough[here, j])
        total += np.int32(rough[here + once, j]) + np.int32(rough[here + twice, j])
        filled[here, j] = np.float32(total) * fifth + half


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def smooth_pixel(rough, known, filled, y, x, apart):
    """The mean of the guesses at ``y - 2 * apart`` to ``y + 2 * apart`` that belong to a hole."""
    red, green, blue, count = 0, 0, 0, 0
    for i in range(-2, 3):
        v = y + i * apart
        if 0 <= v < known.shape[0] and not known[np.uint64(v), np.uint64(x)]:
            row, at = np.uint64(v), np.uint64(3 * x)
            red += rough[row, at]
            green += rough[row, at + np.uint64(1)]
            blue += rough[row, at + np.uint64(2)]
            count += 1
    share, half = np.float32(1) / np.float32(count), np.float32(0.5)
    filled[y, 3 * x] = np.float32(red) * share + half
    filled[y, 3 * x + 1] = np.float32(green) * share + half
    filled[y, 3 * x + 2] = np.float32(blue) * share + half
