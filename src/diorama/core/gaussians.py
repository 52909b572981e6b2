"""Gaussians as values: a scene as many soft ellipsoids, still or moving over time.

Axes are those of `Cameras` (x right, y down, z forward, metres), so a scene fitted to the views of a clip stands before
the camera that took it. What moves is told by few nodes: each Gaussian follows the nodes near it (Huang et al. 2024,
SC-GS, section 3.2, over the canonical Gaussians of Yang et al. 2024, Deformable 3D Gaussians).
"""

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from diorama.core.rotations import multiply, to_matrix
from diorama.errors import UsageError

_UNIT = 1e-3


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Soft ellipsoids.

    Attributes:
        means: centres, metres.
        quats: rotation from the axes of an ellipsoid to the world (w, x, y, z), of unit length.
        scales: standard deviations along its axes, metres, above 0.
        opacities: at the centre, 0 to 1.
        colors: RGB as in pictures, 0 to 1, the same from all sides.

    Raises:
        UsageError: arrays of several lengths, what is not finite, or values out of range.
    """

    means: Float32[np.ndarray, "g 3"]
    quats: Float32[np.ndarray, "g 4"]
    scales: Float32[np.ndarray, "g 3"]
    opacities: Float32[np.ndarray, " g"]
    colors: Float32[np.ndarray, "g 3"]

    def __post_init__(self) -> None:
        names = ("means", "quats", "scales", "opacities", "colors")
        lengths = {name: len(getattr(self, name)) for name in names}
        if len(set(lengths.values())) != 1:
            raise UsageError(f"lengths {lengths}", "Gaussians", "give one value for each")
        for name in names:
            if not np.isfinite(getattr(self, name)).all():
                raise UsageError("not finite", f"Gaussians.{name}", "mend or drop the entries")
        if (self.scales <= 0).any():
            raise UsageError(f"a scale of {self.scales.min():g}", "Gaussians.scales", "give metres above 0")
        for name in ("opacities", "colors"):
            _check_unit(getattr(self, name), f"Gaussians.{name}")
        if (np.abs(np.linalg.norm(self.quats, axis=1) - 1) > _UNIT).any():
            raise UsageError("a quaternion that is not of unit length", "Gaussians.quats", "normalise it")

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, which: Shaped[np.ndarray, " n"] | slice) -> "Gaussians":
        return Gaussians(
            self.means[which], self.quats[which], self.scales[which], self.opacities[which], self.colors[which]
        )


@dataclass(frozen=True, eq=False)
class MovingGaussians:
    """Gaussians that follow nodes over time.

    Attributes:
        rest: the canonical Gaussians.
        times: of the keys, seconds, rising.
        nodes: where the nodes rest, metres.
        shifts: from there to where they are at each key, metres.
        turns: how what is around a node is turned about it (w, x, y, z), unit length, neighbouring keys on one side.
        links: the nodes that each Gaussian follows.
        weights: how much, 0 to 1; each row sums to 1.
        presence: the time (seconds) at which each Gaussian is there most, and the standard deviation of its presence in
            seconds, possibly infinite; None: all of them always are.

    Raises:
        UsageError: shapes that do not fit, what is not finite, times that do not rise, links beyond the nodes, turns
            that are not of unit length or change sides, weights below 0 or that do not sum to 1.
    """

    rest: Gaussians
    times: Float32[np.ndarray, " t"]
    nodes: Float32[np.ndarray, "n 3"]
    shifts: Float32[np.ndarray, "t n 3"]
    turns: Float32[np.ndarray, "t n 4"]
    links: Int32[np.ndarray, "g k"]
    weights: Float32[np.ndarray, "g k"]
    presence: Float32[np.ndarray, "g 2"] | None = None

    def __post_init__(self) -> None:
        keys, nodes, count = len(self.times), len(self.nodes), len(self.rest)
        wanted = {"shifts": (keys, nodes), "turns": (keys, nodes), "links": (count,), "weights": self.links.shape}
        for name, shape in wanted.items():
            given = getattr(self, name).shape
            if given[: len(shape)] != shape:
                raise UsageError(f"{name} {given}, expected {shape} first", "MovingGaussians")
        for name in ("times", "nodes", "shifts", "turns", "weights"):
            if not np.isfinite(getattr(self, name)).all():
                raise UsageError("not finite", f"MovingGaussians.{name}", "mend the file")
        if not keys or not nodes or (np.diff(self.times) <= 0).any():
            raise UsageError(f"{keys} key times, {nodes} nodes", "MovingGaussians", "give rising times and a node")
        if not self.links.shape[1]:
            raise UsageError("links to 0 nodes each", "MovingGaussians.links", "give at least one")
        if self.links.size and not 0 <= self.links.min() <= self.links.max() < nodes:
            raise UsageError(f"links up to {self.links.max()} of {nodes} nodes", "MovingGaussians.links")
        if (self.weights < 0).any() or (np.abs(self.weights.sum(axis=1) - 1) > _UNIT).any():
            raise UsageError("weights below 0, or that do not sum to 1", "MovingGaussians.weights", "normalise them")
        self._check_turns()
        if self.presence is not None:
            there = self.presence
            if there.shape != (count, 2) or not (np.isfinite(there[:, 0]).all() and (there[:, 1] > 0).all()):
                what = "presence needs a finite time and a width above 0 for each"
                raise UsageError(what, "MovingGaussians.presence", "mend it")

    def _check_turns(self) -> None:
        if (np.abs(np.linalg.norm(self.turns, axis=-1) - 1) > _UNIT).any():
            raise UsageError("a turn that is not of unit length", "MovingGaussians.turns", "normalise it")
        if ((self.turns[1:] * self.turns[:-1]).sum(axis=-1) < -_UNIT).any():
            what = "turns of neighbouring keys on opposite sides"
            raise UsageError(what, "MovingGaussians.turns", "use diorama.core.rotations.steady")

    def __len__(self) -> int:
        return len(self.rest)

    @property
    def seconds(self) -> float:
        """From the first key to the last."""
        return float(self.times[-1] - self.times[0])

    def at(self, time: float | int) -> Gaussians:
        """The Gaussians at a time in seconds; before the first key and after the last they stand still.

        Raises:
            UsageError: a time that is not finite.
        """
        shifts, turns = self.nodes_at(time)
        rest = self.rest
        away = rest.means[:, None] - self.nodes[self.links]
        led = np.einsum("gkij,gkj->gki", to_matrix(turns)[self.links], away) + (self.nodes + shifts)[self.links]
        means = np.einsum("gk,gkc->gc", self.weights, led)
        turn = np.einsum("gk,gkc->gc", self.weights, self._on_one_side(turns[self.links]))
        quats = multiply(turn / np.linalg.norm(turn, axis=1, keepdims=True), rest.quats)
        return replace(
            rest,
            means=means.astype(np.float32),
            quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
            opacities=(rest.opacities * self._there(time)).astype(np.float32),
        )

    def nodes_at(self, time: float | int) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n 4"]]:
        """Shifts (metres) and turns (unit length) of the nodes at a time in seconds.

        Raises:
            UsageError: a time that is not finite.
        """
        if not isfinite(time):
            raise UsageError(f"a time of {time} seconds", "MovingGaussians", "give a finite one")
        keys, shares = cubic(self.times, time)
        shifts = np.einsum("k,knc->nc", shares, self.shifts[keys])
        turns = np.einsum("k,knc->nc", shares, self.turns[keys])
        return shifts, turns / np.linalg.norm(turns, axis=1, keepdims=True)

    def _on_one_side(self, turns: Float32[np.ndarray, "g k 4"]) -> Float32[np.ndarray, "g k 4"]:
        """Turns of linked nodes, signed as the strongest link's: q and -q turn alike but sum to nothing."""
        most = np.take_along_axis(turns, self.weights.argmax(axis=1)[:, None, None], axis=1)
        return np.where((turns * most).sum(axis=-1, keepdims=True) < 0, -turns, turns)

    def _there(self, time: float | int) -> Float32[np.ndarray, "*g"]:
        if self.presence is None:
            return np.ones(1, np.float32)
        return np.exp(-0.5 * ((time - self.presence[:, 0]) / self.presence[:, 1]) ** 2)


def cubic(
    times: Float32[np.ndarray, " t"], time: float | int
) -> tuple[Int32[np.ndarray, " k"], Float32[np.ndarray, " k"]]:
    """Keys around a time and their shares (Catmull and Rom 1974, keys taken as evenly spaced); they sum to 1.

    At a key its share alone is 1; beyond the ends the end key's. Next to the ends the curve goes on straight.
    """
    last = len(times) - 1
    if last == 0 or time <= times[0] or time >= times[-1]:
        end = 0 if last == 0 or time <= times[0] else last
        return np.array([end], np.int32), np.ones(1, np.float32)
    left = int(np.searchsorted(times, time, side="right")) - 1
    u = (time - float(times[left])) / float(times[left + 1] - times[left])
    shares = np.zeros(last + 3)  # one key beyond each end
    shares[left : left + 4] = (
        ((-u + 2) * u - 1) * u / 2,
        ((3 * u - 5) * u * u + 2) / 2,
        ((-3 * u + 4) * u + 1) * u / 2,
        (u - 1) * u * u / 2,
    )
    for beyond, end, inner in ((0, 1, 2), (-1, -2, -3)):  # continued straight: 2 * end - inner
        shares[end] += 2 * shares[beyond]
        shares[inner] -= shares[beyond]
    inside = shares[1:-1]
    keys = np.flatnonzero(inside)
    return keys.astype(np.int32), inside[keys].astype(np.float32)


def _check_unit(values: Shaped[np.ndarray, "*n"], where: str) -> None:
    if values.size and not 0 <= values.min() <= values.max() <= 1:
        raise UsageError(f"values from {values.min():g} to {values.max():g}", where, "give 0 to 1")
