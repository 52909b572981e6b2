"""The background beside a hole, continued into it: the guess where nothing better is known. Loads no OpenCV."""

from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt8, UInt16

from diorama.core.parallel import bands
from diorama.errors import UsageError
from diorama.geometry.warp import Eye
from diorama.perception._fill_kernels import as_words, extend_rows

Pixels = TypeVar("Pixels", UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h w 3"])


def edge_fill(
    warped: Pixels, known: Bool[np.ndarray, "h w"], *, eye: Eye = "right", out: Pixels | None = None
) -> Pixels:
    """Extend the background beside each hole into it, row by row, growing smoother inwards.

    Arguments as in `diorama.perception.fill.fill`.
    """
    filled, known = target(warped, out), np.ascontiguousarray(known)
    words, right = as_words(known), eye == "right"
    bands(len(filled), lambda first, last: extend_rows(filled, known, words, right, first, last))
    return _blank_rows(filled, known)


def target(warped: Pixels, out: Pixels | None) -> Pixels:
    """The picture to fill: `out`, or a new one, holding the view."""
    if out is None:
        return warped.copy(order="C")
    if out.shape != warped.shape or out.dtype != warped.dtype or not out.flags.c_contiguous:
        given = f"out is {out.dtype} {out.shape}, the view is {warped.dtype} {warped.shape}"
        raise UsageError(given, "out", "give a C-contiguous array like the view")
    return out if out is warped else copied(warped, out)


def copied(source: Pixels, goal: Pixels) -> Pixels:
    """`goal`, now holding `source`."""
    np.copyto(goal, source)
    return goal


def _blank_rows(filled: Pixels, known: Bool[np.ndarray, "h w"]) -> Pixels:
    """Give rows without any known pixel the nearest row that has one."""
    # One byte a row is read where the first pixel is known, which it nearly always is.
    blank = np.flatnonzero(~known[:, 0])
    blank = blank[~known[blank].any(axis=1)]
    if 0 < len(blank) < len(known):
        whole = np.setdiff1d(np.arange(len(known)), blank)
        filled[blank] = filled[whole[np.abs(whole[None] - blank[:, None]).argmin(axis=1)]]
    return filled
