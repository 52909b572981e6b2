"""The joints of SMPL, SMPL-H and SMPL-X by name, and a generic adult skeleton for sequences without a body.

Names and order follow the published models (Loper et al. 2015; Romero et al. 2017; Pavlakos et al. 2019). The
positions are not theirs: they are a rounded table of an adult of 1.70 m after the segment lengths of Drillis and
Contini (1966), good enough to draw or retarget a motion and no substitute for a body file.
"""

import numpy as np
from jaxtyping import Float32, Int32

from diorama.core.figure import Skeleton
from diorama.errors import UsageError

_BODY = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle"),
    *("right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_FACE = ("jaw", "left_eye", "right_eye")
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
JOINT_COUNTS = (24, 52, 55)
"""Joints of SMPL, SMPL-H and SMPL-X."""

PELVIS = np.array([0, -0.22, 0.03], np.float32)
"""About where the pelvis of an average body lies in the models' own coordinates, metres."""

_PLACES = (
    {"pelvis": (0, 0.93, 0), "spine1": (0, 1.04, -0.02), "spine2": (0, 1.17, -0.01), "spine3": (0, 1.23, 0)}
    | {"neck": (0, 1.44, -0.03), "head": (0, 1.53, 0.02), "jaw": (0, 1.52, 0.03)}
    | {"hip": (0.08, 0.86, 0), "knee": (0.10, 0.48, 0), "ankle": (0.09, 0.08, -0.04), "foot": (0.11, 0.02, 0.09)}
    | {"collar": (0.08, 1.35, -0.02), "shoulder": (0.18, 1.38, -0.03), "elbow": (0.45, 1.38, -0.04)}
    | {"wrist": (0.70, 1.38, -0.04), "hand": (0.78, 1.38, -0.04), "eye": (0.03, 1.60, 0.08)}
)
_KNUCKLES = {"index": (0.80, 0.00), "middle": (0.80, -0.03), "ring": (0.79, -0.05), "pinky": (0.78, -0.08)}
"""x and z of the first joints of the fingers; the next lie `_PHALANX` further out."""
_PHALANX = {"index": 0.03, "middle": 0.03, "ring": 0.03, "pinky": 0.02}
_THUMB = ((0.74, 1.37, 0.00), (0.76, 1.36, 0.02), (0.79, 1.36, 0.04))


def smpl_names(count: int) -> tuple[str, ...]:
    """Names of the 24 joints of SMPL, 52 of SMPL-H or 55 of SMPL-X.

    Raises:
        UsageError: another `count`.
    """
    _check(count)
    if count == 24:
        return (*_BODY, "left_hand", "right_hand")
    hands = tuple(f"{side}_{finger}{k}" for side in ("left", "right") for finger in _FINGERS for k in (1, 2, 3))
    return (*_BODY, *(_FACE if count == 55 else ()), *hands)


def smpl_parents(count: int) -> Int32[np.ndarray, " j"]:
    """The parent of each joint of `smpl_names`, -1 for the pelvis; raises as it does."""
    _check(count)
    names, parents = smpl_names(count), list(_BODY_PARENTS)
    for joint in range(len(_BODY), count):
        name = names[joint]
        if name in _FACE:
            parents.append(_BODY.index("head"))
        elif name.endswith(("2", "3")):
            parents.append(joint - 1)
        else:
            parents.append(_BODY.index(f"{name.split('_')[0]}_wrist"))
    return np.array(parents, np.int32)


def smpl_skeleton(count: int) -> Skeleton:
    """A generic adult of 1.70 m in the T-pose with the soles at y = 0, rest frames without rotation.

    Raises:
        UsageError: `count` is none of `JOINT_COUNTS`.
    """
    rest = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    names = smpl_names(count)
    rest[:, :3, 3] = np.stack([_place(name) for name in names])
    return Skeleton(names, smpl_parents(count), rest)


def _place(name: str) -> Float32[np.ndarray, "3"]:
    side, _, joint = name.rpartition("_")
    if joint in _PLACES:
        place = _PLACES[joint]
    elif joint.startswith("thumb"):
        place = _THUMB[int(joint[-1]) - 1]
    else:
        x, z = _KNUCKLES[joint[:-1]]
        place = (x + _PHALANX[joint[:-1]] * (int(joint[-1]) - 1), 1.38, z)
    return np.array(place, np.float32) * np.array([-1 if side == "right" else 1, 1, 1], np.float32)


def _check(count: int) -> None:
    if count not in JOINT_COUNTS:
        raise UsageError(f"{count} joints, expected 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X)", "count")
