"""One body in another's place: the same turns of the joints, and the feet, or the head, where the other's were."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures.names import SIDES, roles_of
from diorama.figures.pose import joint_positions

LOWEST = 0.04
"""Metres of height over which the weight of a foot falls: the lower one carries."""
STEADY = 5
"""Frames over which the shift is averaged, so that a change of the carrying foot is no jump."""


def in_place_of(motion: Motion, figure: Figure) -> Motion:
    """The motion for a body of other proportions: it turns its joints alike, and stands where the other one stood.

    Args:
        motion: of somebody else; Y is up.
        figure: of a skeleton with the same joints.

    Raises:
        UsageError: other joints.
    """
    own = _turned_alike(motion, figure)
    feet = _feet(figure)
    there, here = (joint_positions(one)[:, feet] for one in (motion, own))
    height = there[..., 1]
    weight = np.exp(-(height - height.min(axis=1, keepdims=True)) / LOWEST)
    weight /= weight.sum(axis=1, keepdims=True)
    shift = (weight[..., None] * (there - here)).sum(axis=1)
    return replace(own, root=(motion.root + _averaged(shift)).astype(np.float32))


def in_view_of(motion: Motion, figure: Figure, centers: Float[np.ndarray, "t 3"]) -> Motion:
    """As `in_place_of` for somebody whose feet are not seen: the neck is seen where it was, the trunk as large.

    How far away and so how large a half body is cannot be told; a body of another size comes nearer or goes away.

    Args:
        motion: of somebody else.
        figure: of a skeleton with the same joints.
        centers: where the camera is in each frame, metres.

    Raises:
        UsageError: other joints.
    """
    own = _turned_alike(motion, figure)
    neck, hips = (roles_of(figure.skeleton)[role][0] for role in ("neck", "hips"))
    sizes = [float(np.linalg.norm(s.joints[neck] - s.joints[hips])) for s in (figure.skeleton, motion.skeleton)]
    there, here = (joint_positions(one)[:, neck] for one in (motion, own))
    wanted = centers + (there - centers) * (sizes[0] / max(sizes[1], 1e-6))
    return replace(own, root=(motion.root + wanted - here).astype(np.float32))


def _turned_alike(motion: Motion, figure: Figure) -> Motion:
    if motion.skeleton.names != figure.skeleton.names:
        raise UsageError("the motion is of another skeleton", "motion", "retarget it first")
    return Motion(figure.skeleton, motion.rotations, motion.root, motion.fps)


def _feet(figure: Figure) -> list[int]:
    """The joints that stand: toes and feet, else the ends of the legs, else the root."""
    roles = roles_of(figure.skeleton)
    found = [roles[f"{side}_{kind}"][-1] for side in SIDES for kind in ("toes", "foot") if f"{side}_{kind}" in roles]
    return found or [roles[f"{side}_shin"][-1] for side in SIDES if f"{side}_shin" in roles] or [0]


def _averaged(path: Float[np.ndarray, "t 3"]) -> Float32[np.ndarray, "t 3"]:
    count = min(STEADY, len(path))
    bell = np.hanning(count + 2)[1:-1]
    padded = np.pad(path, ((count // 2, count - 1 - count // 2), (0, 0)), mode="edge")
    smooth = np.stack([np.convolve(padded[:, axis], bell / bell.sum(), mode="valid") for axis in range(3)], axis=1)
    return smooth.astype(np.float32)
