"""Part identity as colour: where a part is in the first frame is its colour in all frames and views (SP4D section 3.1).

No palette and no number of parts is fixed, and a part keeps its colour by construction. The paper leaves open what
"where" is; here it is the area-weighted centre of the part's surface, in the axes of the input view, with the longest
side of the object's box as the unit.
"""

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from diorama.errors import UsageError


def part_centers(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    face_parts: Int32[np.ndarray, " f"],
    num_parts: int,
) -> Float32[np.ndarray, "k 3"]:
    """The centre of each part's surface, metres; not a number for a part without surface."""
    corners = vertices[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    middle = corners.mean(axis=1)
    total = np.bincount(face_parts, area, num_parts)
    sums = np.stack([np.bincount(face_parts, area * middle[:, i], num_parts) for i in range(3)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total[:, None] > 0, sums / total[:, None], np.nan).astype(np.float32)


def part_colors(
    centers: Float32[np.ndarray, "k 3"],
    low: Float32[np.ndarray, "3"],
    high: Float32[np.ndarray, "3"],
    azimuth: float | int = 0.0,
) -> UInt8[np.ndarray, "k 3"]:
    """The colours of part centres, RGB from (x right, y up, z towards the viewer) of the input view.

    Args:
        centers: `part_centers` in the first frame, metres.
        low, high: corners of the object's box in the first frame.
        azimuth: of the input camera around Y, degrees; 0 looks at the object from +Z.

    Raises:
        UsageError: the box has no size.
    """
    size = float((high - low).max())
    if not size > 0:
        raise UsageError(f"an object box of size {size}", "part_colors", "give the box of the first frame")
    turn = np.radians(-float(azimuth))
    # Turning the object against the camera brings the input view to azimuth 0.
    x, y, z = ((centers - (low + high) / 2) / size).T
    turned = np.stack([np.cos(turn) * x + np.sin(turn) * z, y, -np.sin(turn) * x + np.cos(turn) * z], axis=1)
    # A turned box is wider than its sides by at most the square root of 2.
    reach = np.array([np.sqrt(0.5), 0.5, np.sqrt(0.5)])
    share = np.nan_to_num(np.clip(turned / (2 * reach) + 0.5, 0, 1), nan=0.0)
    return np.rint(255 * share).astype(np.uint8)
