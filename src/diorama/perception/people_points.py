"""Points of a body in the orders of others, brought into the 33 of `diorama.core.person`."""

import numpy as np
from jaxtyping import Float64

from diorama.core.person import LANDMARKS, Points
from diorama.errors import UsageError


def _numbered(names: str) -> dict[str, int]:
    """From names in order to their numbers; "-" has no counterpart."""
    return {name: number for number, name in enumerate(names.split()) if name != "-"}


COCO = _numbered(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist"
    " right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
"""The 17 points of COCO."""

_FEET = {"left_toes": 17, "left_heel": 19, "right_toes": 20, "right_heel": 22}
_FACE = {"right_eye_outer": 59, "right_eye_inner": 62, "left_eye_inner": 65, "left_eye_outer": 68}
_MOUTH = {"mouth_right": 71, "mouth_left": 77}
_LEFT_HAND = {"left_thumb": 94, "left_index": 96, "left_little": 108}
_RIGHT_HAND = {"right_thumb": 115, "right_index": 117, "right_little": 129}
WHOLEBODY = COCO | _FEET | _FACE | _MOUTH | _LEFT_HAND | _RIGHT_HAND
"""The 133 points of COCO-WholeBody (Jin et al., ECCV 2020): body, feet, 68 of the face, 21 of each hand."""

BODY_25 = _numbered(
    "nose - right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist - right_hip right_knee"
    " right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_toes - left_heel right_toes"
    " - right_heel"
)
"""OpenPose's BODY_25; its neck and the middle of its hips have no counterpart."""

ORDERS = {17: COCO, 25: BODY_25, 33: {name: number for number, name in enumerate(LANDMARKS)}, 133: WHOLEBODY}
"""From the number of points to where each landmark is among them."""

LEAST_KNOWN = 4


def to_landmarks(points: Float64[np.ndarray, "n 3"], where: object) -> Points:
    """The 33 landmarks from another order; those that it lacks get visibility 0 and the middle of the others.

    Args:
        points: x, y in pixels and confidence, 0 where a point is not known. Confidence above 1 counts as 1.
        where: for messages.

    Raises:
        UsageError: a number of points that no order has, NaN or negative confidence, hardly a point known.
    """
    order = ORDERS.get(len(points))
    if order is None:
        known = "17 (COCO), 25 (OpenPose), 33 (mediapipe) or 133 (COCO-WholeBody)"
        raise UsageError(f"{len(points)} points, expected {known}", where)
    if not np.isfinite(points).all():
        raise UsageError("points with NaN or infinity", where, "leave out frames that are not known")
    if (points[:, 2] < 0).any():
        raise UsageError(f"confidence {points[:, 2].min():.3g}, expected 0..1", where)
    found = np.zeros((len(LANDMARKS), 3))
    for name, number in order.items():
        found[LANDMARKS.index(name)] = points[number]
    given = found[:, 2] > 0
    if given.sum() < LEAST_KNOWN:
        raise UsageError(f"{given.sum()} points of a person known, expected {LEAST_KNOWN} at least", where)
    found[~given, :2] = found[given, :2].mean(axis=0)
    found[:, 2] = found[:, 2].clip(0, 1)
    return found.astype(np.float32)
