"""Parts as a graph with sizes: what a search for a body in them asks for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from diorama.rigging.draft import Draft

UP = np.array([0.0, 1.0, 0.0])
Place = Float64[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class Limb:
    """What hangs on a part, seen from there.

    Attributes:
        chain: its parts from the inside out, along the longest way; ends where three or more others begin (a hand).
        others: its parts besides.
        start: the joint that it hangs by.
        lengths: of the parts of the chain, from joint to joint, the last to its farthest point; metres.
        tip: the farthest point of the last part of the chain.
        low: height of its lowest point.
    """

    chain: tuple[int, ...]
    others: tuple[int, ...]
    start: Place
    lengths: tuple[float, ...]
    tip: Place
    low: float

    @property
    def parts(self) -> tuple[int, ...]:
        """All of them."""
        return self.chain + self.others

    @property
    def length(self) -> float:
        """Along the chain, metres."""
        return sum(self.lengths)


class Parts:
    """The parts of a draft: neighbours, sizes and places."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.count = len(draft)
        self.near: list[list[int]] = [[] for _ in range(self.count)]
        for part, parent in enumerate(draft.tree.parents.tolist()):
            if parent >= 0:
                self.near[part].append(parent)
                self.near[parent].append(part)
        order = np.argsort(draft.places, kind="stable")
        bounds = np.searchsorted(draft.places[order], np.arange(1, self.count))
        self.points = np.split(draft.surface.points[order], bounds)
        areas = np.bincount(draft.places, draft.surface.areas, self.count)
        self.areas = areas / max(float(areas.sum()), 1e-12)
        self.centers = np.stack([(points.min(axis=0) + points.max(axis=0)) / 2 for points in self.points])
        self.low = np.array([points[:, 1].min() for points in self.points])
        self.high = np.array([points[:, 1].max() for points in self.points])

    @cached_property
    def height(self) -> float:
        """Of the whole, metres; at least a little."""
        return max(float(self.high.max() - self.low.min()), 1e-9)

    @property
    def floor(self) -> float:
        """Height of the lowest point."""
        return float(self.low.min())

    def joint(self, one: int, other: int) -> Place:
        """Between two neighbours."""
        tree = self.draft.tree
        return tree.joints[one if tree.parents[one] == other else other].astype(np.float64)

    def way(self, start: int, end: int) -> tuple[int, ...]:
        """Parts from one to another."""
        before = {start: -1}
        queue = [start]
        for part in queue:
            for other in self.near[part]:
                if other not in before:
                    before[other] = part
                    queue.append(other)
        found = [end]
        while found[-1] != start:
            found.append(before[found[-1]])
        return tuple(reversed(found))

    def limb(self, part: int, onto: int) -> Limb:
        """What hangs on part `onto` by its neighbour `part`."""
        chain, lengths, tip = self._longest(part, onto)
        every = self._beyond(part, onto)
        others = tuple(one for one in every if one not in chain)
        low = min(float(self.low[one]) for one in every)
        return Limb(chain, others, self.joint(part, onto), lengths, tip, low)

    def _beyond(self, part: int, onto: int) -> list[int]:
        found, above = [part], {part: onto}
        for one in found:
            for other in self.near[one]:
                if other != above[one]:
                    above[other] = one
                    found.append(other)
        return found

    def _longest(self, part: int, onto: int) -> tuple[tuple[int, ...], tuple[float, ...], Place]:
        joint = self.joint(part, onto)
        far = np.linalg.norm(self.points[part] - joint, axis=1)
        best: tuple[tuple[int, ...], tuple[float, ...], Place]
        best = ((part,), (float(far.max()),), self.points[part][far.argmax()])
        further = [other for other in self.near[part] if other != onto]
        if len(further) >= 3:
            return best
        for other in further:
            chain, lengths, tip = self._longest(other, part)
            step = float(np.linalg.norm(self.joint(other, part) - joint))
            if step + sum(lengths) > sum(best[1]):
                best = ((part, *chain), (step, *lengths), tip)
        return best
