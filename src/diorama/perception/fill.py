"""Filling what neither eye's picture shows: disocclusions and the border after a warp.

``fast`` takes true background from other frames of the shot where it was seen, and extends the background beside
the hole elsewhere; ``telea`` is OpenCV's inpainting (Telea 2004). Known pixels are never changed.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16

from diorama.core.parallel import bands
from diorama.errors import UsageError
from diorama.geometry.warp import Eye
from diorama.perception._borrow_kernel import borrow_rows
from diorama.perception._fill_kernels import as_words
from diorama.perception.extend import Pixels, copied, edge_fill, target
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
    out: Pixels | None = None,
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
        out: where to write the result, C-contiguous and of the view's shape and type; it may be the view itself.

    Returns:
        The view without holes, `out` where given. A row without a single known or borrowed pixel takes after the
        nearest row with one.

    Raises:
        UsageError: for an unknown method, neighbours without disparity, or one of another size or type.
    """
    if method == "telea":
        filled = telea_fill(warped, known)
        return filled if out is None else copied(filled, out)
    if method != "fast":
        raise UsageError(f"unknown fill method {method!r}", "method", "choose fast or telea")
    if not neighbours:
        return edge_fill(warped, known, eye=eye, out=out)
    if disparity is None:
        raise UsageError("borrowing needs the frame's disparity", "disparity", "pass disparity with neighbours")
    filled, done = borrow(warped, known, disparity, neighbours=neighbours, eye=eye, share=share, out=out)
    return edge_fill(filled, done, eye=eye, out=filled)


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
    out: Pixels | None = None,
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
    filled, known = target(warped, out), np.ascontiguousarray(known)
    done, words, near = known.copy(), as_words(known), np.ascontiguousarray(disparity)
    part, right = np.float32(share), eye == "right"
    others = [tuple(map(np.ascontiguousarray, (n.image, n.disparity, n.flow))) for n in neighbours]

    def work(first: int, last: int) -> None:
        for image, far, flow in others:
            borrow_rows(filled, done, known, words, near, part, right, image, far, flow, first, last)

    bands(len(filled), work)
    return filled, done


def _check(neighbour: Neighbour, warped: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]) -> None:
    image = neighbour.image
    if image.shape != warped.shape or image.dtype != warped.dtype:
        given = f"a neighbour is {image.dtype} {image.shape}, the view is {warped.dtype} {warped.shape}"
        raise UsageError(given, "neighbours", "give frames of one clip")
    if min(neighbour.flow.shape[:2]) < 2:
        raise UsageError(f"flow of shape {neighbour.flow.shape}", "neighbours", "give a map of at least 2 x 2")
