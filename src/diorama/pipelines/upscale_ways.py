"""Ways from the pixels of a frame to the same surface in a neighbour, and how far each can be believed.

To the frame before by optical flow, to the other eye by disparity; checked forwards and backwards, and by colours.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.diffusion.upscaler import TEXTURE, TOLERANCE
from diorama.errors import UsageError
from diorama.perception.flow import Flow, Plane, dense_flow, places, pull

Small = UInt8[np.ndarray, "h w 3"]
SeenFrom = Literal["left", "center", "right"]
SHARES = {"left": 1.0, "center": 0.5, "right": 0.0}
"""Of the disparity, by which a pixel seen from there moves on its way to the right eye."""
FINER = 2
"""Flow is sought at this many times the size: its fast settings stop at four pixels."""
RETURN, RETURN_SHARE = 0.75, 0.05
"""Pixels, and share of the way, by which the way there and back may miss."""
MEMORY = 0.6
"""How far the frame before is believed at most. With more, errors of flow pile up in fine texture: on grass,
after 16 frames, the result was worse than interpolation."""
LEVEL_LIMIT = 1.0
"""Pixels that surfaces may be higher or lower in the other eye."""
NEXT = np.ones((3, 3), np.uint8)
"""A pixel and those around it."""
SAME, NEARLY = 1.5 / 255, 4 / 255
"""Difference within which colours are the same, and from which on they are not."""


@dataclass(frozen=True, eq=False)
class Way:
    """From each pixel of a frame to a neighbour.

    Attributes:
        flow: columns and rows, pixels.
        mask: how far it is believed, 0 to 1.
        same: how far the frame shows just what the neighbour does, 0 to 1.
    """

    flow: Flow
    mask: Plane
    same: Plane


def way_before(here: Small, before: Small) -> Way:
    """To the frame before of the same eye."""
    flow, sure = _sought(here, before)
    return _way(flow, np.float32(MEMORY) * sure, here, before)


def way_beside(
    right: Small, left: Small, disparity: Float32[np.ndarray, "_ _"] | None = None, seen_from: SeenFrom = "left"
) -> Way:
    """From the right eye to the left.

    Args:
        right, left: the two pictures, rectified.
        disparity: left minus right in pixels, where it is known; what is not finite is unknown.
        seen_from: whose pixels `disparity` belongs to: an eye's, or those of a view in the middle.

    Raises:
        UsageError: a disparity of another size.
    """
    if disparity is None:
        flow, sure = _sought(right, left)
        level = np.abs(flow[..., 1]) <= LEVEL_LIMIT
        flow[..., 1] = 0
        return _way(flow, sure * level, right, left)
    if disparity.shape != right.shape[:2]:
        given, wanted = (f"{shape[1]}x{shape[0]}" for shape in (disparity.shape, right.shape))
        raise UsageError(f"disparity of {given} for frames of {wanted}", "upscale", "give one of the frame's size")
    found = [_way(flow, sure, right, left) for flow, sure in _carried(disparity, SHARES[seen_from])]
    return max(found, key=lambda way: float(way.same.sum() + way.mask.sum()))


def _sought(here: Small, there: Small) -> tuple[Flow, Plane]:
    """Flow, and 1 where it leads back to where it began."""
    height, width = here.shape[:2]
    size = FINER * width, FINER * height
    fine = [np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)) for image in (here, there)]
    ways = [cv2.resize(dense_flow(a, b), (width, height), interpolation=cv2.INTER_AREA) for a, b in (fine, fine[::-1])]
    forth, back = (np.asarray(way, np.float32) / np.float32(FINER) for way in ways)
    missed = np.linalg.norm(forth + pull(back, forth), axis=-1)
    return forth, (missed <= RETURN + RETURN_SHARE * np.linalg.norm(forth, axis=-1)).astype(np.float32)


def _carried(disparity: Float32[np.ndarray, "h w"], share: float) -> list[tuple[Flow, Plane]]:
    """Disparity brought to the right eye's pixels, the nearer first, as whole pixels and as fractions of them.

    A view made by the nearest pixel is right with the first, a sub-pixel one and a camera's with the second. What
    nothing lands on takes what lies to its right, the background; colours tell where that is wrong.
    """
    height, width = disparity.shape
    known = np.isfinite(disparity) & (np.abs(disparity) < 2 * width)
    given = np.where(known, disparity, 0).astype(np.float32)
    x = np.arange(width, dtype=np.float32)[None]
    target = np.floor(x - np.float32(share) * given + 0.5).astype(np.int64)
    known &= (target >= 0) & (target < width)
    rows = np.nonzero(known)[0]
    # Among pixels of a row that land on the same place the last one is the nearest (specs: s2vg.md 3.2).
    whole, parts = np.full((height, width), np.nan, np.float32), np.full((height, width), np.nan, np.float32)
    whole[rows, target[known]] = (x + np.float32(1 - share) * given - target)[known]
    parts[rows, target[known]] = given[known]
    return [_filled(values) for values in (whole, parts)]


def _filled(values: Float32[np.ndarray, "h w"]) -> tuple[Flow, Plane]:
    """Ways along rows, holes filled from their right, else from their left; 0 in rows without any."""
    width = values.shape[1]
    known = np.isfinite(values)
    columns = np.arange(width)
    right = np.minimum.accumulate(np.where(known, columns, width)[:, ::-1], axis=1)[:, ::-1]
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    source = np.where(right < width, right, left)
    some = source >= 0
    filled = np.where(some, np.take_along_axis(values, source.clip(0), 1), 0).astype(np.float32)
    return np.stack([filled, np.zeros_like(filled)], -1), some.astype(np.float32)


def _way(flow: Flow, sure: Plane, here: Small, there: Small) -> Way:
    x, y = places(flow)
    height, width = sure.shape
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    sure = sure * inside
    theirs = pull(there, flow)
    apart = cv2.dilate(_largest(cv2.absdiff(here, theirs)), NEXT).astype(np.float32) / 255
    same = np.clip((NEARLY - apart) / (NEARLY - SAME), 0, 1) * sure
    return Way(flow, believed(here, theirs) * sure, same.astype(np.float32))


def believed(here: Small, warped: Small) -> Plane:
    """`diorama.diffusion.upscaler.agreement` of pictures of 8 bits, in a tenth of the time."""
    apart = _largest(cv2.absdiff(here, warped)).astype(np.float32)
    spread = _largest(cv2.subtract(cv2.dilate(here, NEXT), cv2.erode(here, NEXT)))
    borne = np.float32(255 * TOLERANCE) + np.float32(TEXTURE) * spread
    return np.clip(2 - apart / borne, 0, 1)


def _largest(image: Small) -> UInt8[np.ndarray, "h w"]:
    """Of the channels."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def carry(image: Float32[np.ndarray, "h2 w2 3"], flow: Flow) -> Float32[np.ndarray, "h2 w2 3"]:
    """A larger picture of the neighbour at the frame's pixels, cubic."""
    height, width = image.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    fine = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)) * scale
    x, y = places(fine)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
