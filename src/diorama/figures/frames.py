"""Turns of joints in the world and in their own rest frames, for work that thinks in directions."""

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_matrix, inverse, multiply, normalize, to_matrix

Changes = Float[np.ndarray, "t j 4"]
"""By how much each joint is turned in the world from its rest pose, quaternions."""


def changes_of(motion: Motion) -> Changes:
    """How far every joint is turned in the world from its rest pose."""
    skeleton = motion.skeleton
    rest = from_matrix(skeleton.rest[:, :3, :3].astype(np.float64))
    found = np.empty(motion.rotations.shape)
    for joint, parent in enumerate(skeleton.parents):
        own = multiply(multiply(rest[joint], motion.rotations[:, joint].astype(np.float64)), inverse(rest[joint]))
        found[:, joint] = own if parent < 0 else multiply(found[:, parent], own)
    return found


def with_changes(skeleton: Skeleton, changes: Changes, root: Float32[np.ndarray, "t 3"], fps: float) -> Motion:
    """The motion whose joints are turned in the world by `changes`; undoes `changes_of`."""
    rest = from_matrix(skeleton.rest[:, :3, :3].astype(np.float64))
    found = np.empty(changes.shape)
    for joint, parent in enumerate(skeleton.parents):
        own = changes[:, joint] if parent < 0 else multiply(inverse(changes[:, parent]), changes[:, joint])
        found[:, joint] = multiply(multiply(inverse(rest[joint]), own), rest[joint])
    return Motion(skeleton, normalize(found).astype(np.float32), root, fps)


def places_of(skeleton: Skeleton, changes: Changes, root: Float32[np.ndarray, "t 3"]) -> Float[np.ndarray, "t j 3"]:
    """Where the joints are when they are turned by `changes`, metres."""
    rest, turns = skeleton.joints.astype(np.float64), to_matrix(changes)
    found = np.empty((*changes.shape[:2], 3))
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            found[:, joint] = rest[joint] + root
        else:
            found[:, joint] = found[:, parent] + turns[:, parent] @ (rest[joint] - rest[parent])
    return found
