"""What joints are called in the skeletons of others: one table from roles to names for each convention.

A role is a bone that all bodies have; where a skeleton has several joints for it, they share its turn evenly.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np
from jaxtyping import Int32

from diorama.core.figure import Skeleton
from diorama.errors import UsageError

SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "little")
TRUNK = ("hips", "spine", "neck", "head")
LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toes")
ROLES = (
    *TRUNK,
    *(f"{side}_{limb}" for side in SIDES for limb in LIMBS),
    *(f"{side}_{finger}_{k}" for side in SIDES for finger in FINGERS for k in (1, 2, 3)),
)
NEEDED = ("hips", *(f"{side}_{limb}" for side in SIDES for limb in ("upper_arm", "forearm", "thigh", "shin")))
"""Without these there is nothing to retarget."""

Names = Mapping[str, tuple[str, ...]]


def _table(trunk: dict[str, str], limbs: dict[str, str], fingers: dict[str, str], sides: tuple[str, str]) -> Names:
    """A table from patterns: "{s}" is the side, "{k}" the number of a finger's bone; spaces part chains."""
    found = {role: tuple(names.split()) for role, names in trunk.items()}
    for side, short in zip(SIDES, sides, strict=True):
        found |= {f"{side}_{limb}": tuple(n.format(s=short) for n in names.split()) for limb, names in limbs.items()}
        for finger, pattern in fingers.items():
            found |= {f"{side}_{finger}_{k}": (pattern.format(s=short, k=k),) for k in (1, 2, 3)}
    return found


SMPL = _table(
    {"hips": "pelvis", "spine": "spine1 spine2 spine3", "neck": "neck", "head": "head"},
    {
        "shoulder": "{s}_collar",
        "upper_arm": "{s}_shoulder",
        "forearm": "{s}_elbow",
        "hand": "{s}_wrist",
        "thigh": "{s}_hip",
        "shin": "{s}_knee",
        "foot": "{s}_ankle",
        "toes": "{s}_foot",
    },
    {finger: f"{{s}}_{'pinky' if finger == 'little' else finger}{{k}}" for finger in FINGERS},
    ("left", "right"),
)
"""SMPL, SMPL-H and SMPL-X."""

MIXAMO = _table(
    {"hips": "Hips", "spine": "Spine Spine1 Spine2", "neck": "Neck", "head": "Head"},
    {
        "shoulder": "{s}Shoulder",
        "upper_arm": "{s}Arm",
        "forearm": "{s}ForeArm",
        "hand": "{s}Hand",
        "thigh": "{s}UpLeg",
        "shin": "{s}Leg",
        "foot": "{s}Foot",
        "toes": "{s}ToeBase",
    },
    {finger: f"{{s}}Hand{'Pinky' if finger == 'little' else finger.title()}{{k}}" for finger in FINGERS},
    ("Left", "Right"),
)
"""Mixamo, and the many BVH files that are named alike; "mixamorig:" before the names is ignored."""

ANNY = _table(
    {"hips": "root", "spine": "spine05 spine04 spine03 spine02 spine01", "neck": "neck01 neck02", "head": "head"},
    {
        "shoulder": "clavicle.{s} shoulder01.{s}",
        "upper_arm": "upperarm01.{s}",
        "forearm": "lowerarm01.{s}",
        "hand": "wrist.{s}",
        "thigh": "upperleg01.{s}",
        "shin": "lowerleg01.{s}",
        "foot": "foot.{s}",
        "toes": "toes.{s}",
    },
    {finger: f"finger{i}-{{k}}.{{s}}" for i, finger in enumerate(FINGERS, 1)},
    ("L", "R"),
)
"""Anny and the cast."""

COMMON = _table(
    {"hips": "hips pelvis", "spine": "spine spine1 spine2 spine3 chest upperchest", "neck": "neck", "head": "head"},
    {
        "shoulder": "{s}clavicle {s}shoulder",
        "upper_arm": "{s}upperarm",
        "forearm": "{s}forearm {s}lowerarm",
        "hand": "{s}hand",
        "thigh": "{s}thigh {s}upperleg",
        "shin": "{s}shin {s}calf {s}lowerleg",
        "foot": "{s}foot",
        "toes": "{s}toe {s}toes {s}toe0 {s}ball",
    },
    {},
    ("left", "right"),
)
"""What Biped ("Bip01 L Calf"), Rigify ("shin.L"), VRM ("leftLowerLeg") and Unreal ("calf_l") have in common; no
fingers."""

TABLES = {"SMPL": SMPL, "Mixamo": MIXAMO, "Anny": ANNY, "common": COMMON}

Points = Mapping[str, tuple[int, ...]]
"""From what a point of a body is to the numbers of points in a set; several are averaged."""


def _points(left: dict[str, int], step: int, middle: dict[str, tuple[int, ...]]) -> Points:
    found = {f"left_{name}": (number,) for name, number in left.items()}
    found |= {f"right_{name}": (number + step,) for name, number in left.items()}
    return found | middle


COCO_WHOLEBODY = _points(
    {"ear": 3, "shoulder": 5, "elbow": 7, "wrist": 9, "hip": 11, "knee": 13, "ankle": 15},
    1,
    {"nose": (0,), "left_toes": (17, 18), "right_toes": (20, 21), "left_heel": (19,), "right_heel": (22,)},
)
"""The body and feet of the 133 points of COCO-WholeBody (Jin et al., ECCV 2020)."""

LANDMARKS_33 = _points(
    {
        "ear": 7,
        "shoulder": 11,
        "elbow": 13,
        "wrist": 15,
        "hip": 23,
        "knee": 25,
        "ankle": 27,
        "heel": 29,
        "toes": 31,
    },
    1,
    {"nose": (0,)},
)
"""The 33 landmarks of BlazePose, as MediaPipe gives them."""


def roles_of(skeleton: Skeleton, table: Names | None = None) -> dict[str, tuple[int, ...]]:
    """Which joints play which roles.

    Args:
        skeleton: of any of the conventions in `TABLES`.
        table: the convention; the one with most names found by default.

    Raises:
        UsageError: a role of `NEEDED` has no joint; says which names were expected.
    """
    known = {_plain(name): joint for joint, name in reversed(list(enumerate(skeleton.names)))}
    tables = TABLES if table is None else {"given": table}
    found = {title: _roles(known, names) for title, names in tables.items()}
    title = max(found, key=lambda t: (sum(role in found[t] for role in NEEDED), len(found[t])))
    missing = [role for role in NEEDED if role not in found[title]]
    if missing:
        wanted = tables[title][missing[0]][0] if missing[0] in tables[title] else missing[0]
        near = get_close_matches(wanted, skeleton.names, 1, 0.3)
        hint = f" (is it {near[0]!r}?)" if near else ""
        raise UsageError(
            f"no joint for {', '.join(missing[:4])}; {title} calls the first {wanted!r}{hint}",
            "skeleton",
            "give a table of names",
        )
    return found[title]


def _roles(known: Mapping[str, int], names: Names) -> dict[str, tuple[int, ...]]:
    found = {}
    for role, chain in names.items():
        joints = tuple(known[_plain(name)] for name in chain if _plain(name) in known)
        if joints:
            found[role] = joints
    return found


def twins_of(skeleton: Skeleton) -> Int32[np.ndarray, " j"]:
    """The joint of the same name on the other side of the body; itself for joints of neither side."""
    plain = [_plain(name) for name in skeleton.names]
    known = {name: joint for joint, name in reversed(list(enumerate(plain)))}
    other = [re.sub("<[lr]>$", "<r>" if name.endswith("<l>") else "<l>", name) for name in plain]
    return np.array([known.get(name, joint) for joint, name in enumerate(other)], np.int32)


def _plain(name: str) -> str:
    """A name without case, separators and the prefixes that tools put before it; "<l>" or "<r>", its side, comes last.

    A side is "left" at an end of a name or next to a separator ("LeftArm", "left_elbow"), or "l" between separators
    ("arm.L", "Bip01 L Calf", "l_arm").
    """
    bare = re.sub(r"^(.*[:|]|mixamorig\d*_?|bip\d+[ _])", "", name.lower())
    side = re.search(r"(?:^|[^a-z0-9])(left|right)|(left|right)(?:$|[^a-z0-9])", bare)
    side = side or re.search(r"(?:^|[^a-z0-9])([lr])(?:$|[^a-z0-9])", bare)
    if side is None:
        return re.sub(r"[^a-z0-9]", "", bare)
    return re.sub(r"[^a-z0-9]", "", bare[: side.start()] + " " + bare[side.end() :]) + f"<{side[0].strip(' ._-')[0]}>"
