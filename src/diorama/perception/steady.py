"""Painted holes made steady: what is painted at a place is the mean of what is painted or shown there over time."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.parallel import bands
from diorama.errors import UsageError
from diorama.perception._steady_kernel import steady_rows

REACH = 8
"""Frames before and after."""
DECAY = 0.8
"""What a frame counts against the one before it on the way."""
TOLERANCE = 0.5
"""Pixels of disparity by which what another frame shows may differ from the background behind the hole."""

RETURN = 1.0
"""Pixels by which the way back from what another frame shows may miss: what moves by itself is not the background."""


def steady(
    pictures: UInt8[np.ndarray, "t h w 3"],
    shown: Bool[np.ndarray, "t h w"],
    ways: tuple[Float32[np.ndarray, "t h w 2"], Float32[np.ndarray, "t h w 2"]],
    disparity: Float32[np.ndarray, "t h w"],
    *,
    fixed: int = 0,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Average what is open along the background's way through time.

    From each open pixel the way leads over up to `REACH` frames to either side. Where it meets another open pixel, what
    is painted there counts; where it meets one that is shown, that counts if its disparity and motion are the
    background's.

    Args:
        pictures: of a view, holes painted, at least 2 x 2.
        shown: pixels that are not painted; they come back bit for bit.
        ways: for each frame where the background behind each pixel is in the frame before, and in the next one, minus
            where it is now (x, y; pixels).
        disparity: of that background, pixels.
        fixed: so many first frames are read and not changed.

    Raises:
        UsageError: arrays of different size, or below 2 x 2.
    """
    sizes = {each.shape[:3] for each in (pictures, shown, *ways, disparity)}
    if len(sizes) > 1 or min(pictures.shape[1:3]) < 2:
        raise UsageError(f"arrays of sizes {sorted(sizes)}", "steady", "give all of one size, at least 2 x 2")
    out, height = pictures.copy(), pictures.shape[1]
    if not shown[fixed:].all():
        given = (np.ascontiguousarray(each) for each in (pictures, shown))
        both = np.ascontiguousarray(ways[0]), np.ascontiguousarray(ways[1])
        arrays = (out, *given, both, np.ascontiguousarray(disparity))
        bands(height, lambda first, last: steady_rows(*arrays, (fixed, REACH, DECAY, TOLERANCE, RETURN), first, last))
    return out
