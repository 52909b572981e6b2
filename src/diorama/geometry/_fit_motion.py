"""How nodes move, learned: from where tracks put them, corrections of each and of all together at every key.

The motion of all together is what a camera that moved leaves in a scene told before cameras that stand. Corrections
are held smooth in time and among neighbours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from diorama.core.gaussians import MovingGaussians, cubic
from diorama.core.rotations import steady
from diorama.geometry._fit_model import Still
from diorama.geometry._fit_ops import Follow

_NEIGHBOURS = 4
_SOFT = 0.1
"""Pixels below which differences count by their square."""

Tensor = torch.Tensor
RATES = {"moves": 0.08, "spins": 0.003, "all_moves": 0.03, "all_spins": 0.0002}
"""Steps of Adam: pixels, radians, pixels, radians."""


@dataclass(eq=False)
class NodeMotion:
    """Nodes over time.

    Attributes:
        start: whose nodes, keys and motion fitting begins with.
        units: metres that a pixel covers at each node.
        pairs: nodes that are neighbours.
        rates: steps of Adam.
        free: what is learned: moves "t n 3" (pixels) and spins "t n 3" (radians) of each node, and all_moves and
            all_spins "t 3" of all about their middle.
    """

    start: MovingGaussians
    units: Float[Tensor, "n 1"]
    pairs: Int64[Tensor, "p 2"]
    free: dict[str, Tensor]
    rates: dict[str, float]

    @classmethod
    def of(
        cls, start: MovingGaussians, units: Float32[np.ndarray, " n"], marks: Float32[np.ndarray, "n m"]
    ) -> "NodeMotion":
        """Without corrections."""
        keys, count = start.shifts.shape[:2]
        shapes = {"moves": (keys, count, 3), "spins": (keys, count, 3), "all_moves": (keys, 3), "all_spins": (keys, 3)}
        free = {name: torch.zeros(shape, requires_grad=True) for name, shape in shapes.items()}
        many = min(_NEIGHBOURS + 1, count)
        at = torch.from_numpy(marks)
        near = torch.topk(torch.cdist(at, at), many, largest=False).indices
        pairs = torch.stack([near[:, :1].expand(-1, many - 1), near[:, 1:]], dim=-1).reshape(-1, 2)
        return cls(start, torch.from_numpy(units)[:, None], pairs, free, RATES)

    def at_keys(self, keys: Int64[Tensor, " k"]) -> tuple[Float[Tensor, "k n 3"], Float[Tensor, "k n 4"]]:
        """Shifts and turns at keys."""
        shifts, turns = torch.from_numpy(self.start.shifts)[keys], torch.from_numpy(self.start.turns)[keys]
        nodes = torch.from_numpy(self.start.nodes)
        moved = nodes + shifts + self.units * self.free["moves"][keys]
        middle, unit = moved.detach().mean(dim=1, keepdim=True), self.units.median()
        all_turn = _turn(self.free["all_spins"][keys])[:, None]
        moved = middle + rotated(all_turn, moved - middle) + unit * self.free["all_moves"][keys][:, None]
        turns = product(all_turn, product(_turn(self.free["spins"][keys]), turns))
        return moved - nodes, torch.nn.functional.normalize(turns, dim=-1)

    def at(self, time: float) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
        """Shifts and turns at a time in seconds; `MovingGaussians.nodes_at` of what is learned, differentiable."""
        keys, shares = cubic(self.start.times, time)
        shifts, turns = self.at_keys(torch.from_numpy(keys.astype(np.int64)))
        if len(keys) == 1:
            return shifts[0], turns[0]
        share = torch.from_numpy(shares)[:, None, None]
        return (share * shifts).sum(dim=0), torch.nn.functional.normalize((share * turns).sum(dim=0), dim=-1)

    def lead(self, still: Still, time: float) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        """Centres and rotations of Gaussians at a time in seconds."""
        shifts, turns = self.at(time)
        nodes = torch.from_numpy(self.start.nodes)
        return Follow.apply(still.means, still.free["quats"], shifts, turns, nodes, (still.links, still.weights))

    def roughness(self) -> tuple[Tensor, Tensor]:
        """Of the motion in time (second differences at the nodes) and of corrections among neighbours; pixels."""
        moves = self.free["moves"]
        total = torch.from_numpy(self.start.shifts) / self.units + moves
        bend = total[2:] - 2 * total[1:-1] + total[:-2] if len(total) > 2 else total[:0]
        apart = moves[:, self.pairs[:, 0]] - moves[:, self.pairs[:, 1]]
        return _mean(bend), _mean(apart)

    @torch.no_grad()
    def told(self, still: Still) -> MovingGaussians:
        """Gaussians with the learned motion."""
        shifts, turns = self.at_keys(torch.arange(len(self.start.times)))
        return MovingGaussians(
            still.rest(),
            self.start.times,
            self.start.nodes,
            shifts.numpy(),
            steady(turns.numpy()),
            still.links,
            still.weights,
            still.presence(),
        )


def _mean(values: Float[Tensor, "*n"]) -> Tensor:
    """Of lengths, soft at 0."""
    return torch.sqrt(values * values + _SOFT**2).mean() - _SOFT if values.numel() else values.sum()


def _turn(spins: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 4"]:
    """Quaternions of small rotation vectors, of length about 1."""
    return torch.cat([torch.ones_like(spins[..., :1]), 0.5 * spins], dim=-1)


def product(a: Float[Tensor, "*#n 4"], b: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n 4"]:
    """The rotation that does `b` first."""
    w, v, s, u = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    real = w * s - (v * u).sum(dim=-1, keepdim=True)
    v, u = torch.broadcast_tensors(v, u)
    return torch.cat([real, w * u + s * v + torch.linalg.cross(v, u)], dim=-1)


def rotated(turn: Float[Tensor, "*#n 4"], points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Points turned by quaternions."""
    turn = torch.nn.functional.normalize(turn, dim=-1)
    w, v = turn[..., :1], turn[..., 1:].expand(points.shape)
    across = 2 * torch.linalg.cross(v, points)
    return points + w * across + torch.linalg.cross(v, across)
