"""Hole pixels looked up in another frame, where the surface in front of them has moved away."""

from typing import no_type_check

import numpy as np
from numba import njit

from diorama.perception._fill_kernels import CRACK, background_end, next_run

PROBES = 3
"""Known background pixels beside a hole whose colour must be found again in the other frame."""

MISMATCH = 0.09
"""Mean absolute difference of the probes, in parts of full scale, above which the flow is not believed."""

MARGIN = 1.5
"""How far into the background its flow is read, in pixels of the flow map, away from the flow of what is in front."""


@njit(nogil=True, cache=True)
@no_type_check
def borrow_rows(filled, done, known, words, disparity, share, right_eye, image, far, flow, first, last):
    """Fill what can be filled of rows ``first`` to ``last - 1`` from one other frame, and mark it in `done`.

    Args:
        filled, done: the view being filled and its mask, changed in place.
        known, words: the mask before filling, and as 8-byte words.
        disparity, share: of the current frame, and the part of it this eye was moved by.
        image, far: the other frame's picture and disparity.
        flow: "sh sw 2", from the current frame to the other, in pixels of the map.
    """
    width = known.shape[1]
    sign = 1 if right_eye else -1
    away = np.int64(np.ceil(MARGIN * width / flow.shape[1]))
    motion = np.empty(2, np.float32)
    for y in range(first, last):
        row, mask, gone, near = filled[y], known[y], done[y], disparity[y]
        x, end = next_run(mask, words[y], 0)
        while x < width:
            edge, step = background_end(x, end, width, right_eye)
            hole = step != 0 and end - x > CRACK and is_open(gone, x, end)
            origin = source_of(near, edge, share, sign) if hole else -1
            if origin >= 0:
                depth = near[origin]
                slack = max(np.float32(1), np.float32(0.25) * np.float32(end - x) / share)
                read_flow(flow, near, origin, step, away, depth, slack, y, motion, known.shape[0])
                if probes_agree(row, mask, edge, step, image, origin, y, motion):
                    u = np.float32(x) + np.float32(sign) * share * depth + motion[0]
                    v = np.float32(y) + motion[1]
                    take_run(image, far, u, v, depth, slack, row[x:end], gone[x:end])
            x, end = next_run(mask, words[y], end)


@njit(nogil=True, cache=True)
@no_type_check
def is_open(done, first, end):
    """Whether some pixel of a run still waits for its colour."""
    x = first
    while x < end and done[x]:
        x += 1
    return x < end


@njit(nogil=True, cache=True)
@no_type_check
def source_of(disparity, target, share, sign):
    """The column of the current frame that the warp put at `target`, to a pixel, or -1; found by fixed-point steps."""
    x, off = target, 0
    for _ in range(6):
        x = min(max(x, 0), disparity.shape[0] - 1)
        off = target - x - sign * np.int64(np.floor(np.float32(0.5) - disparity[x] * share))
        if off == 0:
            return x
        x += off
    return x - off if abs(off) <= 1 else -1


@njit(nogil=True, cache=True)
@no_type_check
def read_flow(flow, disparity, origin, step, away, depth, slack, y, motion, height):
    """The background's motion in full-size pixels, read as deep in the background as it reaches, up to `away`."""
    width = disparity.shape[0]
    x = origin
    for i in range(1, away + 1):
        probe = origin + step * i
        if not 0 <= probe < width or abs(disparity[probe] - depth) > slack:
            break
        x = probe
    rows, cols = flow.shape[0], flow.shape[1]
    fx = min(max((x + 0.5) * cols / width - 0.5, 0.0), cols - 1.0)
    fy = min(max((y + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
    x0, y0 = min(int(fx), cols - 2), min(int(fy), rows - 2)
    a, b = fx - x0, fy - y0
    for c in range(2):
        top = flow[y0, x0, c] * (1 - a) + flow[y0, x0 + 1, c] * a
        bottom = flow[y0 + 1, x0, c] * (1 - a) + flow[y0 + 1, x0 + 1, c] * a
        motion[c] = (top * (1 - b) + bottom * b) * (width / cols if c == 0 else height / rows)


@njit(nogil=True, cache=True)
@no_type_check
def probes_agree(row, known, edge, step, image, origin, y, motion):
    """Whether known background beside the hole looks the same where its flow leads in the other frame."""
    total, count = np.float32(0), 0
    for i in range(2, 2 + 3 * PROBES, 3):
        t = edge + step * i
        u, v = int(np.rint(origin + step * i + motion[0])), int(np.rint(y + motion[1]))
        if 0 <= t < known.shape[0] and known[t] and 0 <= u < image.shape[1] and 0 <= v < image.shape[0]:
            for c in range(3):
                total += abs(np.float32(row[t, c]) - np.float32(image[v, u, c]))
            count += 3
    scale = 255.0 if row.itemsize == 1 else 65535.0
    return count > 0 and total <= MISMATCH * scale * count


@njit(nogil=True, cache=True)
@no_type_check
def take_run(image, far, u, v, depth, slack, row, done):
    """Write the other frame's colours from ``(u, v)`` on to `row` where they lie on the background, bilinearly.

    A pixel is taken where all four neighbours have the background's disparity to within `slack`.
    """
    rows, cols = far.shape
    top, left = np.int64(np.floor(v)), np.int64(np.floor(u))
    if top < 0 or top >= rows:
        return
    bottom = min(top + 1, rows - 1)
    down, over = v - np.float32(top), u - np.float32(left)
    far_top, far_bottom, image_top, image_bottom = far[top], far[bottom], image[top], image[bottom]
    one = np.float32(1)
    w00, w01, w10, w11 = (one - down) * (one - over), (one - down) * over, down * (one - over), down * over
    shown = False
    for i in range(max(0, -left), min(done.shape[0], cols - 1 - left)):
        a = np.uint64(left + i)
        b = a + np.uint64(1)
        # The right neighbours of one pixel are the left ones of the next.
        left_shown = shown if i > max(0, -left) else at_depth(far_top[a], far_bottom[a], depth, slack)
        shown = at_depth(far_top[b], far_bottom[b], depth, slack)
        if left_shown and shown and not done[i]:
            for c in range(3):
                upper = w00 * np.float32(image_top[a, c]) + w01 * np.float32(image_top[b, c])
                lower = w10 * np.float32(image_bottom[a, c]) + w11 * np.float32(image_bottom[b, c])
                row[i, c] = upper + lower + np.float32(0.5)
            done[i] = True


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def at_depth(one, other, depth, slack):
    """Whether two disparities are the background's."""
    return abs(one - depth) <= slack and abs(other - depth) <= slack
