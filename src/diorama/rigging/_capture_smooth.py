"""Poses over time without jitter: each is changed the less the surer it is."""

import numpy as np
from jaxtyping import Float64

from diorama.core.extras import need
from diorama.core.rotations import inverse, multiply, to_axis_angle
from diorama.rigging._capture_fit import Fit
from diorama.rigging._capture_model import Pose

JERK = 0.1
"""Radians by which the turn from one frame to the next is likely to differ from the next turn."""
SHIFT = 0.03
"""The same of the root's shift, sides of the box."""
PIECE, OVERLAP = 48, 8
"""Frames that are smoothed at once, and of their neighbours that are looked at."""


def smoothed(fits: list[Fit], size: float) -> list[Pose]:
    """One step of Gauss-Newton over all frames, of what they cost alone and of how suddenly they turn.

    Args:
        fits: of consecutive frames.
        size: of the figure, metres.
    """
    if len(fits) < 3:
        return [fit.pose for fit in fits]
    found: list[Pose] = []
    for first in range(0, len(fits), PIECE):
        start = max(0, first - OVERLAP)
        piece = fits[start : first + PIECE + OVERLAP]
        steps = _steps(piece, size)
        kept = range(first - start, min(first - start + PIECE, len(piece)))
        found += [piece[i].pose.stepped(steps[i]) for i in kept]
    return found


def _steps(fits: list[Fit], size: float) -> Float64[np.ndarray, "t d"]:
    count, unknowns = len(fits), len(fits[0].sure)
    quats = np.stack([fit.pose.quats for fit in fits])
    root = np.stack([fit.pose.root for fit in fits])
    turns = to_axis_angle(multiply(inverse(quats[:-1]), quats[1:])).reshape(count - 1, -1)
    sudden = np.concatenate([np.diff(root, n=2, axis=0), np.diff(turns, axis=0)], axis=1)
    firm = np.concatenate([np.full(3, (SHIFT * size) ** -2), np.full(unknowns - 3, JERK**-2)])
    second = np.diff(np.eye(count), n=2, axis=0)
    coupled = second.T @ second
    band = np.zeros((2 * unknowns + 1, count * unknowns))
    for frame, fit in enumerate(fits):
        at = frame * unknowns
        for below in range(unknowns):
            band[below, at : at + unknowns - below] = np.diagonal(fit.sure, -below)
        for other in range(frame, min(frame + 3, count)):
            band[(other - frame) * unknowns, at : at + unknowns] += coupled[frame, other] * firm
    right = -(second.T @ sudden) * firm
    solved = need("scipy.linalg").solveh_banded(band, right.ravel(), lower=True)
    return solved.reshape(count, unknowns)
