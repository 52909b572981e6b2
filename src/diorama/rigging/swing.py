"""A motion that shows what a rig can do: every joint bends in turn, then all rest."""

import numpy as np
from jaxtyping import Float32

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError

REACH = np.radians(35)
EACH = 0.8
"""Seconds a joint takes: there, to the other side, and back."""


def range_of_motion(skeleton: Skeleton, *, fps: float | int = 24.0, axes: str = "xz") -> Motion:
    """Every joint but the root swings about some of its own axes, one after the other; the first frame is at rest.

    Args:
        skeleton: whose joints bend.
        fps: frames a second.
        axes: letters of "xyz".

    Raises:
        UsageError: no such axes, or a rate that is none.
    """
    if not axes or set(axes) - set("xyz") or not 0 < fps <= 1000:
        raise UsageError(f"axes {axes!r}, {fps} frames a second", "range_of_motion", "give some of xyz, up to 1000")
    steps = max(2, round(EACH * fps))
    swing = np.sin(np.arange(steps) / steps * 2 * np.pi) * REACH
    bent = [joint for joint, parent in enumerate(skeleton.parents) if parent >= 0]
    frames = len(bent) * len(axes) * steps + 1
    vectors = np.zeros((frames, len(skeleton), 3))
    for number, (joint, axis) in enumerate((j, a) for j in bent for a in axes):
        vectors[number * steps : (number + 1) * steps, joint, "xyz".index(axis)] = swing
    rotations: Float32[np.ndarray, "t j 4"] = from_axis_angle(vectors).astype(np.float32)
    return Motion(skeleton, rotations, np.zeros((frames, 3), np.float32), float(fps))
