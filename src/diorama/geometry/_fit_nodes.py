"""The nodes that Gaussians follow: points of the reference view spread over its motion, and where they are over time.

What is near each other at all times moves together (Huang et al. 2024, SC-GS, section 3.2, with distances over the
whole track rather than at rest: a hand before a wall does not follow the wall).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.rotations import from_matrix, steady
from diorama.geometry._fit_tracks import Reference, grid, tracks

LINKS = 4
_GRID = 4
"""Pixels between those that nodes are chosen from, and least distance of nodes."""
_LASTING = 3
"""Frames in which a node is seen, at least."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes in steady axes over time.

    Attributes:
        places: where they are at each time, metres.
        spacing: distance of neighbours, pixels.
    """

    places: Float[np.ndarray, "n t 3"]
    spacing: float


def find_nodes(ref: Reference, count: int) -> Nodes:
    """Nodes far apart from each other over the pixels of all times."""
    times, height, width = ref.depth.shape
    starts = sorted({0, times // 4, ref.middle, 3 * times // 4, times - 1})
    found = [tracks(ref, grid(height, width, _GRID), start) for start in starts]
    places, seen = np.concatenate([p for p, _ in found]), np.concatenate([s for _, s in found])
    lasting = seen.sum(axis=1) >= min(_LASTING, times)
    lasting |= not lasting.any()  # where nothing can be followed, nothing is
    places, seen = places[lasting], seen[lasting]
    marks = marks_of(ref, places)
    marks = marks.reshape(len(marks), -1) / np.sqrt(times)
    chosen, away = [int(np.argmin(np.abs(marks - np.median(marks, axis=0)).sum(axis=1)))], np.full(len(marks), np.inf)
    while True:
        away = np.minimum(away, np.linalg.norm(marks - marks[chosen[-1]], axis=1))
        if len(chosen) == count or away.max() <= _GRID:
            break
        chosen.append(int(away.argmax()))
    spacing = max(float(np.median(away)), float(_GRID))
    return Nodes(_filled(ref, places[chosen], seen[chosen], 2 * spacing), spacing)


def marks_of(ref: Reference, places: Float[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
    """Steady places in pixels of the middle camera, and as many for each relative change of depth."""
    viewmat, K = ref.cameras[ref.middle].viewmats[0], ref.cameras[ref.middle].Ks[0]
    local = places @ viewmat[:3, :3].T + viewmat[:3, 3]
    z = np.maximum(local[..., 2:], 1e-3)
    return (np.concatenate([local[..., :2] / z, np.log(z)], axis=-1) * K[0, 0]).astype(np.float32)


def node_units(ref: Reference, nodes: Nodes) -> Float32[np.ndarray, " n"]:
    """Metres that a pixel covers at each node at rest."""
    viewmat, K = ref.cameras[ref.middle].viewmats[0], ref.cameras[ref.middle].Ks[0]
    z = nodes.places[:, ref.middle] @ viewmat[2, :3] + viewmat[2, 3]
    return (np.maximum(z, 1e-2) / K[0, 0]).astype(np.float32)


def _filled(
    ref: Reference, places: Float[np.ndarray, "n t 3"], seen: Bool[np.ndarray, "n t"], reach: float
) -> Float[np.ndarray, "n t 3"]:
    """Before and after they are seen, nodes move as the seen ones around them do, or stand still."""
    out, count = places.copy(), places.shape[1]
    first, last = seen.argmax(axis=1), count - 1 - seen[:, ::-1].argmax(axis=1)
    for order, step in ((range(count - 1), 1), (range(count - 1, 0, -1), -1)):
        for time in order:
            lost = last <= time if step > 0 else first >= time
            known = seen[:, time] & seen[:, time + step]
            if not (lost.any() and known.any()):
                continue
            moves = out[known, time + step] - out[known, time]
            marks = torch.from_numpy(marks_of(ref, out[:, time]))
            share = torch.exp(-0.5 * (torch.cdist(marks[lost], marks[known]) / reach) ** 2).numpy()
            out[lost, time + step] = out[lost, time] + share @ moves / (share.sum(axis=1, keepdims=True) + 0.1)
    return out


Bonds = tuple[Int32[np.ndarray, "g k"], Float32[np.ndarray, "g k"]]
"""The nodes that Gaussians follow, and how much."""


def links_of(nodes: Nodes, ref: Reference, places: Float[np.ndarray, "g t 3"], seen: Bool[np.ndarray, "g t"]) -> Bonds:
    """The nodes that are nearest to tracks while these are seen (root mean square distance)."""
    marks, others = (torch.from_numpy(marks_of(ref, p)) for p in (places, nodes.places))
    share = torch.from_numpy(seen / seen.sum(axis=1, keepdims=True)).float()
    own = (share * (marks**2).sum(dim=-1)).sum(dim=1, keepdim=True)
    cross = (share[..., None] * marks).flatten(1) @ others.flatten(1).T
    square = own - 2 * cross + share @ (others**2).sum(dim=-1).T
    near, links = torch.topk(square, min(LINKS, len(others)), largest=False)
    weights = torch.exp(-(near - near[:, :1]) / (1.4 * nodes.spacing**2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return links.numpy().astype(np.int32), weights.numpy().astype(np.float32)


def to_moving(
    ref: Reference, nodes: Nodes, times: Float32[np.ndarray, " t"], keys: Int32[np.ndarray, " k"]
) -> MovingGaussians:
    """No Gaussians yet that follow the nodes; the shared motion turns them."""
    back = np.linalg.inv(ref.steady[keys])
    rest = nodes.places[:, ref.middle]
    moved = np.einsum("kij,nkj->kni", back[:, :3, :3], nodes.places[:, keys]) + back[:, None, :3, 3]
    quats = steady(from_matrix(back[:, :3, :3]))
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
