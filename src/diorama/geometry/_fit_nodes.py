"""The nodes that Gaussians follow: points of the reference view spread over its motion, and where they are over time.

What is near each other at all times moves together (Huang et al. 2024, SC-GS, section 3.2, with distances over the
whole track rather than at rest: a hand before a wall does not follow the wall).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.rotations import from_matrix
from diorama.geometry._fit_tracks import Reference, grid, tracks

LINKS = 4
_NODE_GRID = 4


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes in steady axes over time.

    Attributes:
        places: where they are at each time, metres.
        marks: places at some times, in pixels of the middle camera and as many for each relative change of depth: what
            is near each other there moves together.
        spacing: distance of neighbours in `marks`.
    """

    places: Float[np.ndarray, "n t 3"]
    marks: Float32[np.ndarray, "n m"]
    spacing: float


def find_nodes(ref: Reference, count: int) -> Nodes:
    """Nodes far apart from each other over the pixels of all times."""
    times, height, width = ref.depth.shape
    starts = sorted({0, times // 4, ref.middle, 3 * times // 4, times - 1})
    found = [tracks(ref, grid(height, width, _NODE_GRID), start) for start in starts]
    places, seen = np.concatenate([p for p, _ in found]), np.concatenate([s for _, s in found])
    marks = marks_of(ref, places)
    first = int(np.argmin(np.abs(marks - np.median(marks, axis=0)).sum(axis=1)))
    chosen, away = [first], np.linalg.norm(marks - marks[first], axis=1)
    while len(chosen) < count and away.max() > _NODE_GRID:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(marks - marks[chosen[-1]], axis=1))
    spacing = float(max(away.max(), 1.0))
    return Nodes(_filled(places[chosen], seen[chosen], marks[chosen], spacing), marks[chosen], spacing)


def node_units(ref: Reference, nodes: Nodes) -> Float32[np.ndarray, " n"]:
    """Metres that a pixel covers at each node at rest."""
    viewmat, K = ref.cameras[ref.middle].viewmats[0], ref.cameras[ref.middle].Ks[0]
    z = nodes.places[:, ref.middle] @ viewmat[2, :3] + viewmat[2, 3]
    return (np.maximum(z, 1e-2) / K[0, 0]).astype(np.float32)


def marks_of(ref: Reference, places: Float[np.ndarray, "n t 3"]) -> Float32[np.ndarray, "n m"]:
    """Where tracks are at five times as the middle camera sees steady places; distances are means over the times."""
    when = np.unique(np.linspace(0, len(ref.depth) - 1, 5).round().astype(int))
    viewmat, K = ref.cameras[ref.middle].viewmats[0], ref.cameras[ref.middle].Ks[0]
    local = places[:, when] @ viewmat[:3, :3].T + viewmat[:3, 3]
    z = np.maximum(local[..., 2:], 1e-3)
    found = np.concatenate([local[..., :2] / z, np.log(z)], axis=-1) * K[0, 0] / np.sqrt(len(when))
    return found.reshape(len(places), -1).astype(np.float32)


def _filled(
    places: Float[np.ndarray, "n t 3"],
    seen: Bool[np.ndarray, "n t"],
    marks: Float32[np.ndarray, "n m"],
    spacing: float,
) -> Float[np.ndarray, "n t 3"]:
    """Unseen nodes move as the seen ones around them do since both were seen, or stand still."""
    away = torch.cdist(torch.from_numpy(marks), torch.from_numpy(marks)).numpy()
    near = np.exp(-0.5 * (away / (1.5 * spacing)) ** 2)
    np.fill_diagonal(near, 0)
    out = places.copy()
    count = places.shape[1]
    middle = seen.sum(axis=0).argmax()
    for order in (range(middle, count - 1), range(middle, 0, -1)):
        step = order.step
        for time in order:
            known = seen[:, time] & seen[:, time + step]
            moves = places[:, time + step] - places[:, time]
            share = near * known
            guess = share @ moves / (share.sum(axis=1, keepdims=True) + 0.1)
            lost = ~seen[:, time + step]
            out[lost, time + step] = out[lost, time] + guess[lost]
    return out


Bonds = tuple[Int32[np.ndarray, "g k"], Float32[np.ndarray, "g k"]]
"""The nodes that Gaussians follow, and how much."""


def links_of(nodes: Nodes, marks: Float32[np.ndarray, "g m"]) -> Bonds:
    """The nodes whose tracks are nearest."""
    return _nearest(marks, nodes.marks, nodes.spacing)


def links_at(nodes: Nodes, ref: Reference, places: Float[np.ndarray, "g 3"], time: int) -> Bonds:
    """The nodes that are nearest to steady places at one time."""
    count = len(ref.depth)
    here, there = (
        marks_of(ref, np.repeat(p[:, None], count, axis=1)) for p in (places, nodes.places[:, time])
    )
    return _nearest(here, there, nodes.spacing)


def _nearest(marks: Float32[np.ndarray, "g m"], others: Float32[np.ndarray, "n m"], spacing: float) -> Bonds:
    away, links = torch.topk(
        torch.cdist(torch.from_numpy(marks), torch.from_numpy(others)), min(LINKS, len(others)), largest=False
    )
    near = torch.exp(-(away**2 - away[:, :1] ** 2) / (1.4 * spacing**2))
    weights = (near / near.sum(dim=1, keepdim=True)).numpy()
    return links.numpy().astype(np.int32), weights.astype(np.float32)


def to_moving(ref: Reference, nodes: Nodes, times: Float32[np.ndarray, " t"], keys: Int32[np.ndarray, " k"]) -> MovingGaussians:
    """No Gaussians yet that follow the nodes; the shared motion turns them."""
    back = np.linalg.inv(ref.steady[keys])
    rest = nodes.places[:, ref.middle]
    moved = np.einsum("kij,nkj->kni", back[:, :3, :3], nodes.places[:, keys]) + back[:, None, :3, 3]
    quats = from_matrix(back[:, :3, :3])
    turns = np.repeat(quats[:, None], len(rest), axis=1)
    empty = Gaussians(*(np.zeros((0, *shape), np.float32) for shape in ((3,), (4,), (3,), (), (3,))))
    return MovingGaussians(
        empty,
        times[keys],
        rest.astype(np.float32),
        (moved - rest).astype(np.float32),
        turns.astype(np.float32),
        np.zeros((0, min(LINKS, len(rest))), np.int32),
        np.zeros((0, min(LINKS, len(rest))), np.float32),
        np.zeros((0, 2), np.float32),
    )
