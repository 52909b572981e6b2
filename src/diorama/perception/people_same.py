"""Whether two answers of the landmark network mean one person: regions that overlap often show it the same body."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from diorama.perception.people_pose import SEEN, Pose
from diorama.perception.people_track import pose_overlap

SAME_POSE, SAME_MASK = 0.55, 0.7  # likeness, and share of the smaller: from there on two answers mean one person
SAME_NOSE = (0.08, 0.2)  # of a side: noses nearer than this are one person's, farther ones of people followed are two's
GRID = 64  # pixels: longer side of the grid on which masks are compared

KNOWN, FORESEEN, PROPOSED = 0, 1, 2

Mask = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Find:
    """An answer of the landmark network, and whether its place was `KNOWN`, `FORESEEN` or `PROPOSED`."""

    pose: Pose
    origin: int


def distinct_finds(finds: list[Find], shape: tuple[int, ...]) -> list[Find]:
    """One answer for each person: of several that mean the same, the surest at a known place."""
    if len(finds) < 2:
        return finds
    scale = GRID / max(shape)
    size = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
    kept: list[tuple[Find, Mask]] = []
    for find in sorted(finds, key=lambda f: (f.origin, -f.pose.person.score)):
        mask = find.pose.mask.whole(*size, scale=scale)
        if not any(_same(find, mask, other, others) for other, others in kept):
            kept.append((find, mask))
    return [find for find, _ in kept]


def _same(one: Find, mask: Mask, other: Find, others: Mask) -> bool:
    mine, theirs = one.pose.person, other.pose.person
    area = float(np.prod(theirs.box[2:] - theirs.box[:2]))
    if pose_overlap(mine.landmarks, theirs.landmarks, area) > SAME_POSE:
        return True
    if min(mine.landmarks[0, 2], theirs.landmarks[0, 2]) > SEEN:
        apart = float(np.hypot(*(mine.landmarks[0, :2] - theirs.landmarks[0, :2])))
        nearer, farther = SAME_NOSE
        side = min(one.pose.region.side, other.pose.region.side)
        if apart <= nearer * side:
            return True
        if apart > farther * side and one.origin < PROPOSED:
            return False
    first, second = mask > 0.5, others > 0.5
    return int((first & second).sum()) > SAME_MASK * max(1, min(int(first.sum()), int(second.sum())))
