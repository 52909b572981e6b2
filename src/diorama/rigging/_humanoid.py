"""A person's body in a tree of parts: two legs, a trunk, two arms and a head, found by their shape.

All ways from a part with legs (the hips) to one above (the head) are looked at; what hangs on the way on both sides
are legs and arms. How long the pieces of limbs are tells which bones they hold. Lengths are shares of a person's
height after Drillis and Contini (1966).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from diorama.figures.names import SIDES
from diorama.rigging._limbs import UP, Limb, Parts, Place

LEG = ("thigh", "shin", "foot", "toes")
LEG_POINTS = np.array([[0, 0], [0, -0.245], [0, -0.491], [0.1, -0.53], [0.15, -0.53]])
ARM = ("shoulder", "upper_arm", "forearm", "hand")
ARM_POINTS = np.array([[0, 0], [0.1, 0], [0.286, 0], [0.432, 0], [0.54, 0]])
"""Where the bones begin, and the last ends; shares of the height."""
STANDS, HANGS = 0.12, 0.1
"""How near to the floor legs come at least, and arms at most; of the height."""
LEGS, ARMS = (0.2, 0.75), (0.15, 0.8)
"""How long they are, of the height."""
UPRIGHT = 0.6
"""Cosine between the trunk and straight up, at least."""
ALIKE = 0.6
"""How long the shorter of two limbs is at least, of the other."""
REST = 0.12
"""Of the surface, what hangs on the trunk and is neither limb nor head at most."""
Roles = dict[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Body:
    """Where a person was found.

    Attributes:
        trunk: parts from the hips up to where the arms are.
        head: parts of neck and head, none where they are one with the trunk.
        legs, arms: left and right, in the person's own sense.
        forward: where the person looks, horizontal.
    """

    trunk: tuple[int, ...]
    head: tuple[int, ...]
    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    forward: Place


def find_body(parts: Parts) -> Body | None:
    """The person in a tree of parts; None where none is surely there."""
    best, score = None, 0.0
    for way, headed in _ways(parts):
        bears = way[:-1] if headed else way
        hung = [(k, parts.limb(n, p)) for k, p in enumerate(bears) for n in parts.near[p] if n not in way]
        stand = [limb for k, limb in hung if k <= 1 and limb.low < parts.floor + STANDS * parts.height]
        for legs in combinations(stand, 2):
            if not _stands(parts, legs):
                continue
            free = [(k, limb) for k, limb in hung if limb not in legs]
            for (i, one), (j, other) in combinations(free, 2):
                chest = max(i, j) + 1
                rest = [part for _, limb in free if limb not in (one, other) for part in limb.parts]
                left, end = float(parts.areas[rest].sum()), way[-1]
                found = float(parts.areas[end]) * (1 - left) * (1 if headed else 1e-6)
                if left > REST or found <= score or (not headed and (chest < len(way) or not _topmost(parts, end))):
                    continue
                if _is_body(parts, end, legs, (one, other)):
                    best, score = _facing(parts, Body(way[:chest], way[chest:], legs, (one, other), UP)), found
    return best


def roles_in(parts: Parts, body: Body) -> Roles:
    """Which parts play which roles of `diorama.figures.names`; several share one along the trunk only."""
    roles: Roles = {"hips": body.trunk[:1], "spine": body.trunk[1:], "neck": body.head[:-1], "head": body.head[-1:]}
    for limbs, names, points in ((body.legs, LEG, LEG_POINTS), (body.arms, ARM, ARM_POINTS)):
        for side, limb in zip(SIDES, limbs, strict=True):
            for name, part in zip(_bones(parts, limb, limbs, names, points), limb.chain, strict=False):
                roles[f"{side}_{name}"] = (part,)
    for side, arm in zip(SIDES, body.arms, strict=True):
        pads = [part for part in parts.near[arm.chain[0]] if part in arm.others and _inwards(parts, body, arm, part)]
        if len(pads) == 1 and f"{side}_shoulder" not in roles:
            roles[f"{side}_shoulder"] = (pads[0],)
    return {role: found for role, found in roles.items() if found}


def _ways(parts: Parts) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Ways from a part that may be hips up to one that may be a head, and up to one that may bear arms and be both."""
    for hips in range(parts.count):
        if len(parts.near[hips]) < 3:
            continue
        for end in range(parts.count):
            if parts.high[end] > parts.floor + 0.6 * parts.height:
                way = parts.way(hips, end)
                if end != hips and parts.high[end] >= parts.high[list(way)].max():
                    yield way, True
                yield way, False


def _topmost(parts: Parts, part: int) -> bool:
    """Whether nothing rises much above a part: then it may hold the head."""
    return bool(parts.high[part] > parts.high.max() - 0.02 * parts.height)


def _stands(parts: Parts, legs: tuple[Limb, Limb]) -> bool:
    """Whether these are two legs of one body."""
    one, other = legs
    lengths = one.length / parts.height, other.length / parts.height
    down = [leg.start[1] - leg.low for leg in legs]
    straight = min(d / max(leg.length, 1e-9) for d, leg in zip(down, legs, strict=True))
    return bool(
        LEGS[0] < min(lengths)
        and max(lengths) < LEGS[1]
        and min(lengths) > ALIKE * max(lengths)
        and straight > 0.5
        and abs(one.start[1] - other.start[1]) < 0.1 * parts.height
    )


def _is_body(parts: Parts, end: int, legs: tuple[Limb, Limb], arms: tuple[Limb, Limb]) -> bool:
    """Whether trunk and limbs stand to each other as a person's do."""
    height = parts.height
    across, shoulders = legs[0].start - legs[1].start, arms[0].start - arms[1].start
    across, shoulders = across * (1 - UP), shoulders * (1 - UP)
    wide = float(np.linalg.norm(across)), float(np.linalg.norm(shoulders))
    if min(wide) < 0.02 * height or abs(float(across @ shoulders)) < 0.7 * wide[0] * wide[1]:
        return False
    hips, chest = (legs[0].start + legs[1].start) / 2, (arms[0].start + arms[1].start) / 2
    over = parts.points[end][parts.points[end][:, 1] > chest[1]]
    if not len(over):
        return False
    rise, head = chest - hips, _box_middle(over)
    lengths = arms[0].length / height, arms[1].length / height
    sides = [float((arm.start - hips) @ across) / (wide[0] * height) for arm in arms]
    return bool(
        ARMS[0] < min(lengths)
        and max(lengths) < ARMS[1]
        and min(lengths) > ALIKE * max(lengths)
        and min(sides) < -0.02
        and max(sides) > 0.02
        and min(arm.low for arm in arms) > parts.floor + HANGS * height
        and rise[1] > max(0.1 * height, UPRIGHT * float(np.linalg.norm(rise)))
        and (head - chest)[1] > 0.02 * height
        and (head - hips)[1] > UPRIGHT * float(np.linalg.norm(head - hips))
        and abs(float((head - chest) @ across)) < 0.08 * height * wide[0]
    )


def _facing(parts: Parts, body: Body) -> Body:
    """The body with its sides told: feet point forwards; where they tell nothing, it looks along +Z."""
    across = (body.legs[0].start - body.legs[1].start) * (1 - UP)
    across /= np.linalg.norm(across)
    forward = np.cross(across, UP)
    feet = sum(float(_foot(parts, leg) @ forward) for leg in body.legs) / 2
    said = float(np.clip(feet / 0.03, -1, 1)) + 0.4 * float(forward[2]) + 1e-6
    across, forward = (across, forward) if said > 0 else (-across, -forward)
    legs, arms = (
        pair if float((pair[0].start - pair[1].start) @ across) > 0 else pair[::-1] for pair in (body.legs, body.arms)
    )
    return replace(body, legs=legs, arms=arms, forward=forward)


def _foot(parts: Parts, leg: Limb) -> Place:
    """From the ankle to the middle of the sole, of the height."""
    points = np.concatenate([parts.points[part] for part in leg.parts])  # the lowest may be of none of the chain
    up = (points[:, 1] - leg.low) / max(float(leg.start[1] - leg.low), 1e-9)
    sole, ankle = points[up < 0.08], points[(up > 0.15) & (up < 0.3)]
    if not len(ankle):
        return np.zeros(3)
    return (_box_middle(sole) - _box_middle(ankle)) / parts.height


def _box_middle(points: Float64[np.ndarray, "n 3"]) -> Place:
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _bones(
    parts: Parts, limb: Limb, both: tuple[Limb, Limb], names: tuple[str, ...], points: Float64[np.ndarray, "n 2"]
) -> tuple[str, ...]:
    """The bones that the parts of a limb begin with, so that their lengths are most like a person's.

    Pieces between them hold several bones; an arm may begin at the shoulder or after it. Limbs of as many parts are
    looked at together.
    """
    alike = [one for one in both if len(one.chain) == len(limb.chain)]
    lengths = np.mean([one.lengths for one in alike], axis=0) / parts.height
    pieces = min(len(limb.chain), len(names))
    if len(limb.chain) > len(names):
        lengths = lengths[:pieces]
    best, least = names[:pieces], np.inf
    for first in (1, 0) if names is ARM else (0,):
        for cuts in combinations(range(first + 1, len(names)), pieces - 1):
            begin = (first, *cuts)
            ends = points[[*begin, len(names)]]
            ratio = np.log(np.maximum(lengths, 1e-6) / np.linalg.norm(np.diff(ends, axis=0), axis=1))
            cost = float(np.var(ratio) + 0.1 * np.mean(ratio) ** 2)
            if cost < least:
                best, least = tuple(names[i] for i in begin), cost
    return best


def _inwards(parts: Parts, body: Body, arm: Limb, part: int) -> bool:
    """Whether a part that hangs on an upper arm lies between it and the trunk."""
    left = np.cross(UP, body.forward) * (1 if arm is body.arms[0] else -1)
    return float((parts.centers[part] - parts.centers[arm.chain[0]]) @ left) < 0
