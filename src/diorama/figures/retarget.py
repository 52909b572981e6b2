"""One body's motion on another: the same directions of limbs, whatever the rest poses and axes of the two."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import between, from_matrix, multiply, normalize, slerp, to_matrix
from diorama.errors import UsageError
from diorama.figures.frames import changes_of, places_of, with_changes
from diorama.figures.names import FINGERS, SIDES, Points, roles_of

Roles = Mapping[str, tuple[int, ...]]
BONES = {"upper_arm": "forearm", "forearm": "hand", "thigh": "shin", "shin": "foot"}
"""Limbs whose directions are kept, and where they end."""
_SUNK, _SOLE = 0.05, 0.15
"""How far the lowest joint of a body that stands on y = 0 may be below and above it, metres."""
_EASY = {"upper_arm": (0.75, -0.2, 0.6), "thigh": (0.2, -0.7, 0.7)}
"""The middle of where a limb reaches (its left): nothing reaches the opposite, where a turn would flip."""
FOLLOWS = {"hand": "forearm"} | {f"{finger}_{k}": "forearm" for finger in FINGERS for k in (1, 2, 3)}
"""Where two rest poses differ in a limb, what hangs on it goes along."""


def retarget(
    motion: Motion, onto: Skeleton, *, roles: Roles | None = None, source_roles: Roles | None = None
) -> Motion:
    """The same motion on another skeleton.

    Each joint is turned in the world as its like is in the source, after the limbs of the two rest poses were brought
    to the same directions; joints without a like keep their rest pose. Chains of as many joints are taken joint by
    joint. The path is scaled by the legs' lengths, above the ground that each stands on. Onto the same skeleton,
    nothing changes.

    Args:
        motion: of any skeleton whose names `names.roles_of` knows.
        onto: the other one.
        roles, source_roles: from `roles_of` by default.

    Raises:
        UsageError: names that are not known.
    """
    source = roles_of(motion.skeleton) if source_roles is None else source_roles
    target = roles_of(onto) if roles is None else roles
    if source == target and _same(motion.skeleton, onto):
        return motion
    source, target = _jointwise(source, target), _jointwise(target, source)
    turned = changes_of(motion)
    wanted = {
        role: multiply(turned[:, source[role][-1]], _alignment(motion.skeleton, source, onto, target, role)[None])
        for role in target
        if role in source
    }
    places = places_of(motion.skeleton, turned, motion.root)
    for role in wanted:
        side, _, limb = role.partition("_")
        if f"{side}_{BONES.get(limb)}" in source and f"{side}_{BONES.get(limb)}" in target:  # where it really points
            along = places[:, source[f"{side}_{BONES[limb]}"][0]] - places[:, source[role][0]]
            now = to_matrix(wanted[role]) @ _rest_direction(onto, target, role)
            wanted[role] = multiply(between(now, along), wanted[role])
    scale = _leg(onto, target, source) / max(_leg(motion.skeleton, source, target), 1e-6)
    moved = scale * (places[:, source["hips"][0]] - motion.skeleton.joints[source["hips"][0]])
    moved[:, 1] += scale * ground_of(motion.skeleton) - ground_of(onto)
    return posed(onto, target, wanted, moved.astype(np.float32), motion.fps)


def ground_of(skeleton: Skeleton) -> float:
    """The height that the rest pose stands on, metres: 0, or that of its lowest joint where that is far from 0.

    Rest poses of many BVH files have the hips at the origin, and their motions lift them.
    """
    lowest = float(skeleton.joints[:, 1].min())
    return 0.0 if -_SUNK <= lowest <= _SOLE else lowest


def fit_keypoints(points: Float[np.ndarray, "t k 3"], table: Points, onto: Skeleton, fps: float) -> Motion:
    """A motion of a skeleton from points of a body in space.

    Hips and shoulders give the turns of the trunk, ears and nose the head's; limbs point where the points say, without
    twist of their own. Gaps are filled by interpolation in time.

    Args:
        points: metres, Y up, a person who looks along +Z has its left at +X; not a number where unknown.
        table: `names.COCO_WHOLEBODY` or `names.LANDMARKS_33`.
        onto: a skeleton that `names.roles_of` knows.
        fps: frames a second.

    Raises:
        UsageError: hips, shoulders or limbs that are never seen, or too few points for the table.
    """
    roles = roles_of(onto)
    seen = _filled(points, table)
    wanted = _trunk(seen, onto, roles)
    for side in SIDES:
        chain = {"upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist")}
        chain |= {"thigh": ("hip", "knee"), "shin": ("knee", "ankle"), "foot": ("ankle", "toes")}
        above = {"upper_arm": "spine", "forearm": f"{side}_upper_arm", "thigh": "hips", "shin": f"{side}_thigh"}
        above["foot"] = f"{side}_shin"
        for limb, (start, end) in chain.items():
            if f"{side}_{end}" in seen and (limb != "foot" or f"{side}_toes" in roles):
                rest = _rest_direction(onto, roles, f"{side}_{limb}")
                along = seen[f"{side}_{end}"] - seen[f"{side}_{start}"]
                parent = wanted[above[limb]]
                easy = np.array(_EASY.get(limb, rest)) * ([-1, 1, 1] if side == "right" and limb in _EASY else 1)
                own = np.einsum("tji,tj->ti", to_matrix(parent), along)
                wanted[f"{side}_{limb}"] = multiply(parent, _swung(rest, own, easy))
    middle = (seen["left_hip"] + seen["right_hip"]) / 2
    legs = [np.linalg.norm(seen[f"{s}_{a}"] - seen[f"{s}_{b}"], axis=1) for s in SIDES for a, b in _LEGS]
    scale = _leg(onto, roles) / max(float(np.median(legs[0] + legs[1] + legs[2] + legs[3])) / 2, 1e-6)
    floor = np.percentile(np.min([seen[f"{side}_ankle"][:, 1] for side in SIDES], axis=0), 10)
    rest = onto.joints[roles["hips"][0]].astype(np.float64)
    sole = float(np.mean([onto.joints[roles[f"{side}_foot"][0], 1] for side in SIDES])) - ground_of(onto)
    origin = np.array([middle[0, 0], floor, middle[0, 2]])
    below = np.mean([onto.joints[roles[f"{side}_thigh"][0]] for side in SIDES], axis=0) - rest  # hips below the root
    shift = scale * (middle - origin) - to_matrix(wanted["hips"]) @ below
    shift += np.array([below[0], sole - rest[1], below[2]])
    return posed(onto, roles, wanted, shift.astype(np.float32), fps)


_LEGS = (("hip", "knee"), ("knee", "ankle"))


def _swung(
    rest: Float[np.ndarray, "3"], along: Float[np.ndarray, "t 3"], easy: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "t 4"]:
    """Turns of a limb from rest, the least ones near it.

    The least turn flips where a limb points opposite to its rest, which an arm does overhead. Far from rest it gives
    way to the least turn by way of `easy`, whose opposite is out of reach; before the two differ by half a turn.
    """
    rest, easy = rest / np.linalg.norm(rest), easy / np.linalg.norm(easy)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    last = np.radians(170) - np.arccos(np.clip(rest @ easy, -1, 1))
    share = np.clip((np.arccos(np.clip(along @ rest, -1, 1)) - last) / np.radians(60) + 1, 0, 1)
    least = between(np.broadcast_to(rest, along.shape), along)
    by_way = multiply(between(np.broadcast_to(easy, along.shape), along), between(rest, easy)[None])
    return slerp(least, normalize(by_way), share * share * (3 - 2 * share))


def _same(a: Skeleton, b: Skeleton) -> bool:
    same = a.names == b.names and np.array_equal(a.parents, b.parents)
    return a is b or (same and np.allclose(a.rest, b.rest, atol=1e-6))


def _jointwise(roles: Roles, others: Roles) -> Roles:
    """Chains of as many joints in both as roles of one joint each; hips and limbs with ends stay as they are."""
    found: dict[str, tuple[int, ...]] = {}
    for role, chain in roles.items():
        whole = role == "hips" or role.partition("_")[2] in BONES
        if whole or len(chain) == 1 or len(others.get(role, ())) != len(chain):
            found[role] = chain
        else:
            found |= {f"{role}.{i}": (joint,) for i, joint in enumerate(chain)}
    return found


def posed(
    skeleton: Skeleton,
    roles: Roles,
    wanted: Mapping[str, Float[np.ndarray, "t 4"]],
    root: Float32[np.ndarray, "t 3"],
    fps: float,
) -> Motion:
    """The motion in which the roles are turned in the world as wanted; all other joints follow their parents.

    Args:
        skeleton: the joints.
        roles: the joints of each role; several share its turn evenly.
        wanted: quaternions by role.
        root: shift of the root from rest, metres.
        fps: frames a second.
    """
    role_of = {joint: (role, i) for role, chain in roles.items() if role in wanted for i, joint in enumerate(chain)}
    changes = np.zeros((len(root), len(skeleton), 4))
    changes[..., 0] = 1
    for joint, parent in enumerate(skeleton.parents):
        above = changes[:, parent] if parent >= 0 else changes[:, joint]
        if joint not in role_of:
            changes[:, joint] = above
            continue
        role, number = role_of[joint]
        left = len(roles[role]) - number
        changes[:, joint] = slerp(normalize(above), normalize(wanted[role]), 1 / left)
    return with_changes(skeleton, changes, root, fps)


def _alignment(
    source: Skeleton, source_roles: Roles, onto: Skeleton, roles: Roles, role: str
) -> Float[np.ndarray, "4"]:
    """The least turn of a limb of the target's rest pose onto the source's; none for other roles."""
    side, _, limb = role.partition("_")
    limb = FOLLOWS.get(limb, limb)
    if side not in SIDES or limb not in BONES:
        return np.array([1.0, 0, 0, 0])
    ends = f"{side}_{limb}", f"{side}_{BONES[limb]}"
    if not all(end in found for end in ends for found in (source_roles, roles)):
        return np.array([1.0, 0, 0, 0])
    return between(_rest_direction(onto, roles, ends[0]), _rest_direction(source, source_roles, ends[0]))


def _rest_direction(skeleton: Skeleton, roles: Roles, role: str) -> Float[np.ndarray, "3"]:
    side, _, limb = role.partition("_")
    start = skeleton.joints[roles[role][0]].astype(np.float64)
    after = f"{side}_{BONES.get(limb, 'toes')}"
    if after not in roles:
        raise UsageError(f"no joint for {after}", "skeleton", "give a table of names")
    return skeleton.joints[roles[after][0]].astype(np.float64) - start


def _leg(skeleton: Skeleton, roles: Roles, other: Roles | None = None) -> float:
    """Thigh plus shin, metres; the thigh alone where a skeleton, or the `other` one, ends at the knee."""
    known = [f"left_{limb}" for limb in ("thigh", "shin", "foot")]
    chain = [skeleton.joints[roles[role][0]] for role in known if role in roles and role in (other or roles)]
    return float(sum(np.linalg.norm(b - a) for a, b in pairwise(chain)))


def _filled(points: Float[np.ndarray, "t k 3"], table: Points) -> dict[str, Float[np.ndarray, "t 3"]]:
    """Points by name without gaps; those never seen are left out."""
    if points.shape[1] <= max(max(numbers) for numbers in table.values()):
        raise UsageError(f"{points.shape[1]} points a frame, too few for the table", "fit_keypoints")
    found: dict[str, Float[np.ndarray, "t 3"]] = {}
    time = np.arange(len(points))
    for name, numbers in table.items():
        track = points[:, list(numbers)].mean(axis=1).astype(np.float64)
        known = np.isfinite(track).all(axis=1)
        if known.any():
            found[name] = np.stack([np.interp(time, time[known], track[known, i]) for i in range(3)], axis=1)
    needed = [f"{s}_{p}" for s in SIDES for p in ("hip", "shoulder", "knee", "ankle", "elbow", "wrist")]
    missing = [name for name in needed if name not in found]
    if missing:
        raise UsageError(f"never seen: {', '.join(missing[:4])}", "fit_keypoints", "give a clip that shows the body")
    return found


def _trunk(
    seen: Mapping[str, Float[np.ndarray, "t 3"]], onto: Skeleton, roles: Roles
) -> dict[str, Float[np.ndarray, "t 4"]]:
    """Turns of hips, spine and head in the world."""
    rest = {
        f"{side}_{name}": onto.joints[roles[f"{side}_{role}"][0]].astype(np.float64)[None]
        for side in SIDES
        for name, role in (("hip", "thigh"), ("shoulder", "upper_arm"))
    }
    found = {}
    for role, line in (("hips", "hip"), ("spine", "shoulder")):
        now, before = (_frame(s[f"left_{line}"] - s[f"right_{line}"], _up(s)) for s in (seen, rest))
        found[role] = from_matrix(now @ before.transpose(0, 2, 1))
    if all(name in seen for name in ("nose", "left_ear", "right_ear")) and "head" in roles:
        across = seen["left_ear"] - seen["right_ear"]
        ahead = seen["nose"] - (seen["left_ear"] + seen["right_ear"]) / 2
        found["head"] = from_matrix(_frame(across, np.cross(ahead, across)))
    return found


def _up(points: Mapping[str, Float[np.ndarray, "t 3"]]) -> Float[np.ndarray, "t 3"]:
    shoulders = points["left_shoulder"] + points["right_shoulder"]
    return (shoulders - points["left_hip"] - points["right_hip"]) / 2


def _frame(across: Float[np.ndarray, "t 3"], up: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3 3"]:
    """Axes with x along `across`, y towards `up`, as columns."""
    x = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    z = np.cross(x, up)
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    return np.stack([x, np.cross(z, x), z], axis=2)
