"""Filling what neither eye's picture shows: disocclusions and the border after a warp.

``fast`` takes true background from other frames of the shot where it was seen, and extends the background beside
the hole elsewhere; ``telea`` is OpenCV's inpainting (Telea 2004). Known pixels are never changed.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16, UInt64

from diorama.core.parallel import bands
from diorama.errors import UsageError
from diorama.geometry.warp import Eye
from diorama.perception._borrow_kernel import borrow_rows
from diorama.perception._fill_kernels import LISTED, extend_rows, smooth_rows
from diorama.perception.neighbours import History, Neighbour, compose_flow

__all__ = [
    "History",
    "Method",
    "Neighbour",
    "borrow",
    "compose_flow",
    "edge_fill",
    "fill",
    "telea_fill",
]

Pixels = TypeVar("Pixels", UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h w 3"])
Method = Literal["fast", "telea"]

TELEA_RADIUS = 3
"""Pixels around a hole that OpenCV's inpainting looks at."""


def fill(
    warped: Pixels,
    known: Bool[np.ndarray, "h w"],
    *,
    eye: Eye = "right",
    method: Method = "fast",
    disparity: Float32[np.ndarray, "h w"] | None = None,
    share: float | int = 1.0,
    neighbours: Sequence[Neighbour] = (),
) -> Pixels:
    """Fill the unknown pixels of a warped view.

    Args:
        warped: the view, uint8 or uint16.
        known: its known pixels; they come back bit for bit.
        eye: which eye's view it is: holes lie right of the nearer surface in the right view, left in the left one.
        method: "fast" or "telea".
        disparity: of the frame before the warp, full-size pixels; needed with `neighbours`.
        share: the part of `disparity` by which this eye was moved, in (0, 1].
        neighbours: frames to borrow true background from, the preferred one first.

    Returns:
        The view without holes. A row without a single known or borrowed pixel takes after the nearest row with one.

    Raises:
        UsageError: for an unknown method, neighbours without disparity, or one of another size or type.
    """
    if method == "telea":
        return telea_fill(warped, known)
    if method != "fast":
        raise UsageError(f"unknown fill method {method!r}", "method", "choose fast or telea")
    if not neighbours:
        return edge_fill(warped, known, eye=eye)
    if disparity is None:
        raise UsageError("borrowing needs the frame's disparity", "disparity", "pass disparity with neighbours")
    filled, done = borrow(warped, known, disparity, neighbours=neighbours, eye=eye, share=share)
    return _extend(filled, done, eye, filled)


def edge_fill(warped: Pixels, known: Bool[np.ndarray, "h w"], *, eye: Eye = "right") -> Pixels:
    """Extend the background beside each hole into it, row by row, growing smoother inwards.

    Arguments as in `fill`.
    """
    warped = np.ascontiguousarray(warped)
    return _extend(warped, np.ascontiguousarray(known), eye, np.empty_like(warped))


def telea_fill(warped: Pixels, known: Bool[np.ndarray, "h w"]) -> Pixels:
    """OpenCV's inpainting from all sides of the hole (16-bit pictures channel by channel). Slow at full size."""
    holes = np.ascontiguousarray(~known).view(np.uint8)
    if not known.any():
        return warped.copy()
    if warped.dtype == np.uint8:
        filled = cv2.inpaint(warped, holes, TELEA_RADIUS, cv2.INPAINT_TELEA)
    else:
        planes = [np.ascontiguousarray(warped[..., c]) for c in range(3)]
        filled = np.stack([cv2.inpaint(p, holes, TELEA_RADIUS, cv2.INPAINT_TELEA) for p in planes], axis=-1)
    filled[known] = warped[known]
    return filled


def borrow(
    warped: Pixels,
    known: Bool[np.ndarray, "h w"],
    disparity: Float32[np.ndarray, "h w"],
    *,
    neighbours: Sequence[Neighbour],
    eye: Eye = "right",
    share: float | int = 1.0,
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """Fill hole pixels whose background another frame shows.

    The background's disparity and motion are read at the hole's background end; its place in the other frame follows
    from both. A pixel is taken only where the other frame's disparity there is the background's too, and only where
    known background beside the hole is found again by the same motion. Arguments as in `fill`.

    Returns:
        The view with those pixels filled, and the mask of known and filled pixels.
    """
    for neighbour in neighbours:
        _check(neighbour, warped)
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}, expected a number in (0, 1]", "share", "0.5 where both eyes move")
    warped, known = np.ascontiguousarray(warped), np.ascontiguousarray(known)
    filled, done, words = np.empty_like(warped), np.empty_like(known), _words(known)
    near = np.ascontiguousarray(disparity)
    part, right = np.float32(share), eye == "right"
    others = [tuple(map(np.ascontiguousarray, (n.image, n.disparity, n.flow))) for n in neighbours]

    def work(first: int, last: int) -> None:
        filled[first:last], done[first:last] = warped[first:last], known[first:last]
        for image, far, flow in others:
            borrow_rows(filled, done, known, words, near, part, right, image, far, flow, first, last)

    bands(len(filled), work)
    return filled, done


def _extend(warped: Pixels, known: Bool[np.ndarray, "h w"], eye: Eye, filled: Pixels) -> Pixels:
    """`edge_fill` into `filled`, which may be `warped` itself."""
    rough, words, right = np.empty_like(filled), _words(known), eye == "right"
    runs = np.empty((len(known), LISTED, 2), np.int32)
    guesses, samples = rough.reshape(len(rough), -1), filled.reshape(len(filled), -1)

    def guess(first: int, last: int) -> None:
        if filled is not warped:
            filled[first:last] = warped[first:last]
        extend_rows(filled, known, words, right, rough, runs, first, last)

    def smooth(first: int, last: int) -> None:
        smooth_rows(guesses, known, runs, samples, first, last)

    bands(len(filled), guess)
    bands(len(filled), smooth)
    return _blank_rows(filled, known)


def _check(neighbour: Neighbour, warped: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]) -> None:
    image = neighbour.image
    if image.shape != warped.shape or image.dtype != warped.dtype:
        given = f"a neighbour is {image.dtype} {image.shape}, the view is {warped.dtype} {warped.shape}"
        raise UsageError(given, "neighbours", "give frames of one clip")
    if min(neighbour.flow.shape[:2]) < 2:
        raise UsageError(f"flow of shape {neighbour.flow.shape}", "neighbours", "give a map of at least 2 x 2")


def _words(known: Bool[np.ndarray, "h w"]) -> UInt64[np.ndarray, "h n"]:
    """Rows of the mask 8 pixels at a time, or nothing where rows are no multiple of 8."""
    if known.shape[1] % 8:
        return np.empty((len(known), 0), np.uint64)
    return known.view(np.uint64)


def _blank_rows(filled: Pixels, known: Bool[np.ndarray, "h w"]) -> Pixels:
    """Give rows without any known pixel the nearest row that has one."""
    # One byte a row is read where the first pixel is known, which it nearly always is.
    blank = np.flatnonzero(~known[:, 0])
    blank = blank[~known[blank].any(axis=1)]
    if 0 < len(blank) < len(known):
        whole = np.setdiff1d(np.arange(len(known)), blank)
        filled[blank] = filled[whole[np.abs(whole[None] - blank[:, None]).argmin(axis=1)]]
    return filled
