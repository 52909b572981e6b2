"""How creatures are described: bones with thickness, and hinges with limits and a place in the rhythm."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Number = float | int
Point = tuple[Number, Number, Number]
Shape = Literal["capsule", "ellipsoid", "box"]
SIDES = (("left", 1.0), ("right", -1.0))
"""With the sign of x."""
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Hinge:
    """A way in which a bone turns at its head.

    Attributes:
        axis: of the model, unit length.
        low, high: limits, degrees; 0, the rest pose, lies within.
        phase: where in the period it is, periods.
        harmonic: turns a period; 0 for one that is only held in poses.
    """

    axis: Point
    low: Number
    high: Number
    phase: Number = 0.0
    harmonic: int = 1


@dataclass(frozen=True)
class Bone:
    """A rigid piece of a creature.

    Attributes:
        name: unique in a creature.
        parent: its number, -1 for the root; parents come first.
        head, tail: its ends, metres; it turns about its head.
        size: radii at head and tail of a capsule; half axes across (x and z of its own) of the other shapes.
        shape: a capsule from head to tail, or an ellipsoid or a box around them.
        hinges: innermost last.
        across: the direction of the first half axis, roughly; the bone's own x.
    """

    name: str
    parent: int
    head: Point
    tail: Point
    size: tuple[Number, Number]
    shape: Shape = "capsule"
    hinges: tuple[Hinge, ...] = ()
    across: Point = X


class Plan:
    """Collects bones while a family puts a creature together."""

    def __init__(self) -> None:
        self.bones: list[Bone] = []

    def add(
        self,
        name: str,
        parent: str,
        head: Point,
        tail: Point,
        size: tuple[Number, Number],
        *hinges: Hinge,
        shape: Shape = "capsule",
        across: Point = X,
    ) -> str:
        """Add a bone below the one called `parent` ("" for the root); its name."""
        names = [bone.name for bone in self.bones]
        number = names.index(parent) if parent else -1
        self.bones.append(Bone(name, number, head, tail, size, shape, hinges, across))
        return name


def along(start: Point, by: Point) -> Point:
    """A point moved by a vector."""
    return start[0] + by[0], start[1] + by[1], start[2] + by[2]


def vary(rng: np.random.Generator, value: float, by: float = 0.25) -> float:
    """A number up to `by` of itself larger or smaller."""
    return float(value * rng.uniform(1 - by, 1 + by))
