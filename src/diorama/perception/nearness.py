"""How much nearer than a person its surroundings are: one picture's inverse depth against the body that lies in it.

Networks give inverse depth up to a scale, which the person's own pixels tell, since the fitted body knows their metres.
The ground before somebody's feet is nearer than the person too, and hides nothing: what counts is nearer than the
ground of its row as well.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32

LEAST = 24
"""Pixels that must surely show the person."""
INNER = np.ones((5, 5), np.uint8)
"""What is taken off the person's edge, where maps of depth are soft."""
GROUND = 25.0
"""Percent of a row's pixels that lie behind its ground, or are it; at 40 large things before a person became ground."""


def nearness(
    inverse: Float32[np.ndarray, "dh dw"],
    size: tuple[int, int],
    part: tuple[slice, slice],
    *,
    metres: Float32[np.ndarray, "h w"],
    seen: Bool[np.ndarray, "h w"],
) -> Float32[np.ndarray, "h w"]:
    """Inverse depth over that of the person, or of the ground where that is nearer; above 1 something is before both.

    Args:
        inverse: of the whole picture, of any size and scale.
        size: rows and columns of the picture.
        part: the rows and columns of it that are asked for.
        metres: to the fitted body there, continued beyond its outline.
        seen: where the person surely is seen there.

    Returns:
        0 and more; 1 everywhere where too little is seen of the person.
    """
    fine = cv2.resize(inverse, size[::-1], interpolation=cv2.INTER_LINEAR)[part]
    sure = cv2.erode(seen.view(np.uint8), INNER) > 0
    if np.count_nonzero(sure) < LEAST:
        return np.ones(metres.shape, np.float32)
    ground = np.percentile(inverse, GROUND, axis=1).astype(np.float32)[:, None]
    rows = cv2.resize(ground, (1, size[0]), interpolation=cv2.INTER_LINEAR).reshape(-1, 1)[part[0]]
    person = np.float32(np.median(fine[sure] * metres[sure])) / np.maximum(metres, np.float32(1e-3))
    return np.asarray(fine / np.maximum(np.maximum(person, rows), np.float32(1e-6)), np.float32)
