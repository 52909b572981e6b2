"""From any rigged, animated figure to kinematic parts: what moves as one is one part (SP4D section 4.1, our rules).

The paper's own rules are not published. These, applied until nothing changes: a bone without surface of its own, one
that hardly turns against its parent, one with very little surface, or a twist bone within a limb joins its parent;
then parts too alike in colour, and the least different ones above a number, are merged. Figures that cannot serve
as examples are rejected with a reason.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int, Int32

from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures.part_colors import part_centers, part_colors
from diorama.figures.pose import animate

MOST_PARTS = 32
RIGID_DEGREES = 5.0
"""A bone that turns less than this against its parent over the whole clip moves with it."""
LEAST_AREA = 0.003
"""Of the surface; smaller parts join their parent."""
TWIST_LENGTH = 0.15
"""Of the limb; shorter collinear bones of a chain without branches join their parent."""
LEAST_COLOR = 12.0
"""Distance of the colours of two adjacent parts, of 255, below which a picture cannot tell them apart."""
LEAST_PARTS, LARGEST_PART = 3, 0.85
LEAST_MOTION, MOST_MOTION = 0.01, 0.6
"""Median path of the vertices over the clip, of the longest side of the rest box."""
REACH = 3.0
"""How far a vertex may get from the middle, in halves of the rest box's diagonal."""
FACES = (500, 300_000)


@dataclass(frozen=True, eq=False)
class KinematicRig:
    """A figure whose parts are kinematic, with what became of its bones.

    Attributes:
        figure: parts and joint_parts replaced; names are those of the joints that lead the parts.
        part_parents: the part that each hangs on, -1 for the root: the true part tree.
        merged: joint name to part name.
    """

    figure: Figure
    part_parents: Int32[np.ndarray, " k"]
    merged: dict[str, str]


def kinematic_parts(figure: Figure, motion: Motion, *, most: int = MOST_PARTS) -> KinematicRig:
    """Merge the bones of a figure into parts that move as one.

    Args:
        figure: with any parts.
        motion: of its own skeleton, long enough to show what moves.
        most: parts at most.

    Raises:
        UsageError: the motion is of another skeleton.
    """
    if len(motion.skeleton) != len(figure.skeleton):
        raise UsageError(f"a motion of {len(motion.skeleton)} joints for {len(figure.skeleton)}", "motion")
    lead = np.arange(len(figure.skeleton))
    areas, turns = _joint_areas(figure), _turns(motion)
    for joint in range(len(lead) - 1, 0, -1):  # children come last, so chains fold towards the root
        own = areas[lead == joint].sum()
        small = own < LEAST_AREA * areas.sum()
        if small or turns[joint] < RIGID_DEGREES or _twist(figure, joint):
            lead[lead == joint] = figure.skeleton.parents[joint]
    lead = _rootless(figure, lead, areas)
    lead = _merge_alike(figure, lead)
    lead = _merge_most(figure, motion, lead, areas, most)
    return _rig(figure, lead)


def reject_reason(rig: KinematicRig, motion: Motion) -> str | None:
    """Why a rig is no good example, or None."""
    figure, mesh = rig.figure, rig.figure.mesh
    if not FACES[0] <= len(mesh.faces) <= FACES[1]:
        return f"{len(mesh.faces)} faces, expected {FACES[0]} to {FACES[1]}"
    areas = np.bincount(figure.joint_parts, _joint_areas(figure), len(figure.parts))
    if len(figure.parts) < LEAST_PARTS:
        return f"{len(figure.parts)} parts, expected {LEAST_PARTS} or more"
    if areas.max() > LARGEST_PART * areas.sum():
        return f"one part covers {areas.max() / areas.sum():.0%} of the surface"
    step = max(1, len(motion) // 24)
    places = animate(figure, motion[::step])
    middle, size = mesh.vertices.mean(axis=0), np.ptp(mesh.vertices, axis=0)
    if not np.isfinite(places).all():
        return "the motion leads to numbers that are not finite"
    moved = places - motion.root[::step][:, None]
    if (np.linalg.norm(moved - middle, axis=-1) > REACH * np.linalg.norm(size) / 2).any():
        return "a vertex flies off"
    path = float(np.median(np.ptp(moved, axis=0).max(axis=-1))) / float(size.max())
    if not LEAST_MOTION < path < MOST_MOTION:
        return f"vertices move by {path:.1%} of the size, expected {LEAST_MOTION:.0%} to {MOST_MOTION:.0%}"
    return None


def fingerprint(figure: Figure) -> str:
    """A hash that copies of one object share: vertex and joint numbers, and moments of its box."""
    vertices = figure.mesh.vertices
    scaled = (vertices - vertices.mean(axis=0)) / max(float(np.ptp(vertices, axis=0).max()), 1e-9)
    moments = np.round(np.concatenate([scaled.std(axis=0), np.abs(scaled).mean(axis=0)]), 3)
    return hashlib.sha256(f"{len(vertices)} {len(figure.skeleton)} {moments.tolist()}".encode()).hexdigest()[:16]


def _joint_areas(figure: Figure) -> Float64[np.ndarray, " j"]:
    """Surface on which each joint has the most weight."""
    by_joint = replace(
        figure, parts=figure.skeleton.names, joint_parts=np.arange(len(figure.skeleton), dtype=np.int32)
    ).face_parts
    corners = figure.mesh.vertices[figure.mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.bincount(by_joint, area, len(figure.skeleton))


def _turns(motion: Motion) -> Float64[np.ndarray, " j"]:
    """By how many degrees each joint turns against its parent, between the two most different frames or nearly so."""
    rotations = motion.rotations.astype(np.float64)
    dots = np.abs((rotations * rotations[:1]).sum(axis=-1)).clip(0, 1)
    far = dots.argmin(axis=0)
    extreme = rotations[far, np.arange(len(far))]
    between = np.abs((rotations * extreme).sum(axis=-1)).clip(0, 1).min(axis=0)
    return 2 * np.degrees(np.arccos(np.minimum(dots.min(axis=0), between)))


def _twist(figure: Figure, joint: int) -> bool:
    """Whether a bone is a short straight piece of a chain without branches."""
    parents, places = figure.skeleton.parents, figure.skeleton.joints
    children, parent = np.flatnonzero(parents == joint), int(parents[joint])
    if len(children) != 1 or parent < 0 or (parents == parent).sum() != 1:
        return False
    above, below = places[joint] - places[parent], places[children[0]] - places[joint]
    lengths = float(np.linalg.norm(above)), float(np.linalg.norm(below))
    if min(lengths) < 1e-9:
        return True
    straight = float(above @ below) / (lengths[0] * lengths[1]) > 0.99
    return straight and lengths[1] < TWIST_LENGTH * sum(lengths)


def _rootless(figure: Figure, lead: Int[np.ndarray, " j"], areas: Float64[np.ndarray, " j"]) -> Int[np.ndarray, " j"]:
    """A root without surface gives its place to its largest child part, which then leads it."""
    if areas[lead == 0].sum() >= LEAST_AREA * areas.sum():
        return lead
    heads = [h for h in np.unique(lead) if h != 0 and lead[figure.skeleton.parents[h]] == 0]
    if heads:
        largest = max(heads, key=lambda h: areas[lead == h].sum())
        lead[lead == largest] = 0
    return lead


def _tree(figure: Figure, lead: Int[np.ndarray, " j"]) -> list[tuple[int, int]]:
    """Pairs of a part's leading joint and its parent part's."""
    return [(int(h), int(lead[figure.skeleton.parents[h]])) for h in np.unique(lead) if h != 0]


def _merge_alike(figure: Figure, lead: Int[np.ndarray, " j"]) -> Int[np.ndarray, " j"]:
    """Merge a part into its parent while their colours are too near."""
    mesh = figure.mesh
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    while True:
        rig = _rig(figure, lead)
        heads = np.unique(lead)
        centers = part_centers(mesh.vertices, mesh.faces, rig.figure.face_parts, len(heads))
        colors = dict(zip(heads.tolist(), part_colors(centers, low, high).astype(float), strict=True))
        gaps = [(float(np.linalg.norm(colors[h] - colors[p])), h, p) for h, p in _tree(figure, lead)]
        near = min(gaps, default=(np.inf, 0, 0))
        if near[0] >= LEAST_COLOR:
            return lead
        lead[lead == near[1]] = near[2]


def _merge_most(
    figure: Figure, motion: Motion, lead: Int[np.ndarray, " j"], areas: Float64[np.ndarray, " j"], most: int
) -> Int[np.ndarray, " j"]:
    """Merge the pairs whose merging would move the surface least, until there are at most `most` parts."""
    turns = np.radians(_turns(motion))
    while len(np.unique(lead)) > most:
        costs = [
            (float(areas[lead == head].sum() * turns[head] * _reach(figure, lead, head)), head, parent)
            for head, parent in _tree(figure, lead)
        ]
        _, head, parent = min(costs)
        lead[lead == head] = parent
    return lead


def _reach(figure: Figure, lead: Int[np.ndarray, " j"], head: int) -> float:
    """How far a part's joints reach from the one that leads it; at least a little."""
    places = figure.skeleton.joints
    return max(float(np.linalg.norm(places[lead == head] - places[head], axis=1).max()), 1e-3)


def _rig(figure: Figure, lead: Int[np.ndarray, " j"]) -> KinematicRig:
    heads = np.unique(lead)
    number = {int(h): i for i, h in enumerate(heads)}
    names = tuple(figure.skeleton.names[h] for h in heads)
    joint_parts = np.array([number[int(h)] for h in lead], np.int32)
    parents = np.array([-1 if h == 0 else joint_parts[figure.skeleton.parents[h]] for h in heads], np.int32)
    merged = {name: names[part] for name, part in zip(figure.skeleton.names, joint_parts, strict=True)}
    return KinematicRig(replace(figure, parts=names, joint_parts=joint_parts), parents, merged)
