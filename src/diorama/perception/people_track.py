"""Who is who from frame to frame: people are told apart by place, pose and colours, through crossings and absences.

Every frame's people are assigned to those known at the least total cost. One who is not seen stays known for the rest
of the shot, and is recognised by colours when it comes back; nothing is carried across a cut.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64

from diorama.core.person import Box, PersonFrame, Points
from diorama.errors import UsageError

FORBIDDEN = 1e6
UNKNOWN = 0.4
OKS_WIDTH = 0.1  # of the root of the box area: where two landmarks count as half the same; COCO's are 0.05..0.2
COLORS_WEIGH = 0.7  # of a cost whose other part is place and pose, 0..1
ALIKE = 0.5  # Hellinger distance of colours: one person's from frame to frame is 0.1..0.45, two people's 0.35..0.9
JUMP = 0.4  # overlap of boxes below which colours must be alike even from one frame to the next
NEAR, SPREAD = 0.6, 0.08  # box heights that somebody may be from the place foreseen; and more for each frame away
WILD = 8.0  # box heights, at most
MEMORY = 0.9  # of the known colours when new ones are seen
SMOOTH = 0.5  # of the old velocity
LASTS = 4.0  # frames over which the velocity of somebody unseen dies out
TOUCH = 0.3  # overlap of boxes from which on colours are not learned: they may be the other's


@dataclass(frozen=True, eq=False)
class Seen:
    """Somebody in the frame at hand, not yet named.

    Attributes:
        person: box and landmarks.
        look: colours, histograms that sum to 1; None where they are not known.
        may_start: whether this may be somebody new; else it counts only when it is somebody known.
    """

    person: PersonFrame
    look: Float32[np.ndarray, "n"] | None = None
    may_start: bool = True


@dataclass(frozen=True, eq=False)
class Known:
    """Somebody seen before in this shot.

    Attributes:
        number: names this person.
        person: as last seen.
        look: colours, averaged over time.
        velocity: of the middle of the box, pixels (x, y) a frame.
        away: frames since it was seen; 0: in the frame before.
    """

    number: int
    person: PersonFrame
    look: Float32[np.ndarray, "n"] | None
    velocity: Float64[np.ndarray, "2"]
    away: int = 0

    @property
    def shift(self) -> Float64[np.ndarray, "2"]:
        """From where it was last seen to where it should be in the next frame, pixels (x, y)."""
        frames = (1 - np.exp(-(self.away + 1) / LASTS)) / (1 - np.exp(-1 / LASTS))
        return self.velocity * frames

    @property
    def foreseen(self) -> Box:
        """The box expected in the next frame."""
        return (self.person.box + np.tile(self.shift, 2)).astype(np.float32)


def assign(costs: Float64[np.ndarray, "n m"]) -> Int64[np.ndarray, "n"]:
    """For each row a column of its own, at the least total cost; -1 for rows without any allowed column.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), exact, in n * n * m steps. Costs of `FORBIDDEN` and
    above are never taken; as many rows as possible get a column.
    """
    if costs.size == 0:
        return np.full(len(costs), -1, np.int64)
    rows, columns = costs.shape
    if rows > columns:
        taken = np.full(rows, -1, np.int64)
        for column, row in enumerate(assign(costs.T)):
            if row >= 0:
                taken[row] = column
        return taken
    return _assign_wide(np.minimum(costs, FORBIDDEN))


def _assign_wide(costs: Float64[np.ndarray, "n m"]) -> Int64[np.ndarray, "n"]:
    """`assign` for at least as many columns as rows; column 0 and row 0 stand for none."""
    rows, columns = costs.shape
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner, way = np.zeros(columns + 1, np.int64), np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        least, done = np.full(columns + 1, np.inf), np.zeros(columns + 1, bool)
        while owner[column] != 0:
            done[column] = True
            slack = costs[owner[column] - 1] - u[owner[column]] - v[1:]
            better = ~done[1:] & (slack < least[1:])
            least[1:][better], way[1:][better] = slack[better], column
            following = int(np.argmin(np.where(done, np.inf, least)))
            delta = least[following]
            u[owner[done]] += delta
            v[done] -= delta
            least[~done] -= delta
            column = following
        while column != 0:
            owner[column], column = owner[way[column]], int(way[column])
    taken = np.full(rows, -1, np.int64)
    for column in range(1, columns + 1):
        if owner[column] and costs[owner[column] - 1, column - 1] < FORBIDDEN:
            taken[owner[column] - 1] = column - 1
    return taken


def box_overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0), dtype=np.float64))
    return shared / (_area(one) + _area(other) - shared)


def pose_overlap(one: Points, other: Points, area: float) -> float:
    """Likeness of two poses, 0..1: COCO's object keypoint similarity with one width for all points.

    Points that one of the two does not see (visibility up to 0.3) are left out; 0 where fewer than four remain.
    """
    both = (one[:, 2] > 0.3) & (other[:, 2] > 0.3)
    if both.sum() < 4:
        return 0.0
    squares = ((one[both, :2] - other[both, :2]).astype(np.float64) ** 2).sum(axis=1)
    return float(np.exp(-squares / (2 * max(area, 1.0) * OKS_WIDTH**2)).mean())


def unlikeness(one: Float32[np.ndarray, "n"] | None, other: Float32[np.ndarray, "n"] | None) -> float:
    """Hellinger distance of two histograms, 0 for equal and 1 for disjoint ones; `UNKNOWN` where one is missing."""
    if one is None or other is None:
        return UNKNOWN
    return float(np.sqrt(max(0.0, 1 - np.sqrt(one.astype(np.float64) * other).sum())))


def cost(known: Known, seen: Seen) -> float:
    """What it costs to say that `seen` is `known`; `FORBIDDEN` where it cannot be."""
    box = known.foreseen
    apart = float(np.hypot(*(_center(box) - _center(seen.person.box)))) / _size(box, seen.person.box)
    differ = unlikeness(known.look, seen.look)
    overlap = box_overlap(box, seen.person.box)
    if apart > min(NEAR + SPREAD * known.away, WILD) or (differ > ALIKE and (known.away > 1 or overlap < JUMP)):
        return FORBIDDEN
    moved = known.person.landmarks.copy()
    moved[:, :2] += known.shift.astype(np.float32)
    pose = pose_overlap(moved, seen.person.landmarks, _area(box))
    place = max(overlap, (overlap + pose) / 2)
    # Of somebody long away the place says little.
    trust = 1 / (1 + known.away / 10)
    return trust * (1 - place) + (1 - trust) * 0.5 + COLORS_WEIGH * differ


class Tracker:
    """Names the people of consecutive frames; numbers rise from `first` and are never given twice.

    `step` once a frame, `cut` where a new shot begins.
    """

    def __init__(self, first: int = 1) -> None:
        if first < 1:
            raise UsageError(f"number {first}, expected 1 or more", "Tracker")
        self.next = first
        self.known: tuple[Known, ...] = ()

    def cut(self) -> None:
        """Forget everybody."""
        self.known = ()

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget who was nobody after all."""
        gone = set(numbers)
        self.known = tuple(known for known in self.known if known.number not in gone)

    def step(self, seen: list[Seen]) -> list[int | None]:
        """The number of each of `seen`; None for who is nobody known and may not be new."""
        costs = np.array([[cost(known, one) for one in seen] for known in self.known], np.float64)
        taken = assign(costs.reshape(len(self.known), len(seen)))
        numbers: list[int | None] = [None] * len(seen)
        after = []
        for known, place in zip(self.known, taken, strict=True):
            if place < 0:
                after.append(replace(known, away=known.away + 1))
                continue
            numbers[place] = known.number
            after.append(_again(known, seen[place], alone=not _touched(int(place), seen)))
        for place, one in enumerate(seen):
            if numbers[place] is None and one.may_start:
                numbers[place] = self.next
                after.append(Known(self.next, one.person, one.look, np.zeros(2)))
                self.next += 1
        self.known = tuple(after)
        return numbers


def _again(known: Known, seen: Seen, *, alone: bool) -> Known:
    """`known` after it was seen; it learns colours only where nobody else is near."""
    moved = (_center(seen.person.box) - _center(known.person.box)) / (known.away + 1)
    velocity = moved if known.away else SMOOTH * known.velocity + (1 - SMOOTH) * moved
    look = known.look if known.look is not None else seen.look
    if alone and known.look is not None and seen.look is not None:
        look = (MEMORY * known.look + (1 - MEMORY) * seen.look).astype(np.float32)
    return Known(known.number, seen.person, look, velocity)


def _touched(place: int, seen: list[Seen]) -> bool:
    box = seen[place].person.box
    return any(box_overlap(box, one.person.box) > TOUCH for k, one in enumerate(seen) if k != place)


def _center(box: Box) -> Float64[np.ndarray, "2"]:
    return (box[:2].astype(np.float64) + box[2:]) / 2


def _area(box: Box) -> float:
    return float(np.prod(box[2:] - box[:2], dtype=np.float64))


def _size(one: Box, other: Box) -> float:
    """The larger of the two longer sides."""
    return float(max((one[2:] - one[:2]).max(), (other[2:] - other[:2]).max()))
