"""A person as an upright card with mild relief, placed where the feet touch the ground."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

AROUND = 0.05  # of the width: how far the surroundings reach
AHEAD = 0.1  # nearer than the surroundings by at least this, in inverse depth
CUT = 0.2  # ... where the feet are not seen
RELIEF = 0.05  # of inverse depth, from the outline to the middle of the body

InverseDepth = Float32[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Person:
    """Where a person stands.

    Attributes:
        mask: their pixels.
        inverse_depth: of the card, 0 farthest .. 1 nearest.
    """

    mask: Mask
    inverse_depth: float


def place(mask: Mask, inverse_depth: InverseDepth) -> Person:
    """Find a person's inverse depth from the map of the scene.

    With feet in sight, it is that of the ground beside the lowest part of the mask. Cut off by the picture's lower
    border (or seen to the waist), the person stands before everything close by. In both cases nearer than the
    surroundings.
    """
    ring = surroundings(mask)
    near = float(np.percentile(inverse_depth[ring], 60)) if ring.any() else 0.5
    foot = _foot(mask, ring, inverse_depth)
    value = near + CUT if foot is None else max(foot, near + AHEAD)
    return Person(mask, float(np.clip(value, 0.0, 1.0 - RELIEF)))


def surroundings(mask: Mask, share: float = AROUND) -> Mask:
    """The pixels directly around a mask, `share` of the width wide."""
    size = 2 * max(1, round(share * mask.shape[1])) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray((cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask)


def _foot(mask: Mask, ring: Mask, inverse_depth: InverseDepth) -> float | None:
    """Inverse depth beside the lowest part of the mask; None where it is cut by the lower border."""
    rows = np.flatnonzero(mask.any(1))
    low, height = int(rows[-1]), len(mask)
    if low >= height - 2:
        return None
    band = slice(max(0, low - max(2, height // 40)), low + 1)
    beside = ring[band]
    return float(np.median(inverse_depth[band][beside])) if beside.any() else None


def paste(inverse_depth: InverseDepth, person: Person) -> InverseDepth:
    """The map with the card in it; its outline is one pixel soft."""
    inside = cv2.distanceTransform(person.mask.astype(np.uint8), cv2.DIST_L2, 3)
    relief = RELIEF * np.sqrt(inside / max(float(inside.max()), 1.0))
    alpha = cv2.blur(person.mask.astype(np.float32), (3, 3)) * person.mask
    return np.asarray(inverse_depth + alpha * (person.inverse_depth + relief - inverse_depth), np.float32)
