"""Which part hangs on which, and where it turns (SP4D, our section 3.4)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from diorama.core.extras import need
from diorama.errors import UsageError
from diorama.rigging.surface import Surface

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEAR = 0.01
"""Sides of the box within which parts that share no edge still touch."""
STRAY = 10.0
"""Times its places' median distance from their middle that a box is large at most: a piece far away is no measure."""
MEETS = 0.1
"""Share of the contact of two parts from which on a third one is touched, too."""
ASIDE = 0.5
"""Cosine of the angle at a part's middle above which two of its joints are at the same end of it: within 60 degrees."""
ACROSS = 0.08
"""Sides of the box beyond the smallest gap within which parts are near each other."""
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class PartTree:
    """Parts in a tree, and their joints.

    Attributes:
        parents: the part that each hangs on, -1 for the one root.
        joints: where each turns against its parent, in the axes of the mesh; of the root its middle.
    """

    parents: Int32[np.ndarray, " k"]
    joints: Float32[np.ndarray, "k 3"]

    @property
    def outwards(self) -> Int64[np.ndarray, " k"]:
        """Parts with parents before children."""
        depth = np.zeros(len(self.parents), np.int64)
        for part, parent in enumerate(self.parents):
            while parent >= 0:
                depth[part], parent = depth[part] + 1, self.parents[parent]
        return np.argsort(depth, kind="stable")


@dataclass(frozen=True, eq=False)
class Contacts:
    """Where parts touch.

    Attributes:
        length: how much, for each two parts; 0 where they do not touch.
        middle: where, "k k 3".
    """

    length: Float64[np.ndarray, "k k"]
    middle: Float64[np.ndarray, "k k 3"]


def part_tree(surface: Surface, labels: Labels, count: int, *, root: int = -1) -> PartTree:
    """The tree of those parts that touch most ("maximum spanning tree"), and a joint in the middle of each contact.

    Args:
        surface: of the mesh.
        labels: parts of its places; each has some.
        count: how many parts there are.
        root: the part that all others hang on; the middle of the tree by default.

    Raises:
        UsageError: a part without places.
    """
    lacking = np.flatnonzero(np.bincount(labels, minlength=count) == 0)
    if len(lacking):
        raise UsageError(f"part {lacking[0]} has no surface", "part_tree", "leave it out")
    touch = contacts(surface, labels, count)
    csgraph = need("scipy.sparse.csgraph")
    # sparse before it is a graph: of a dense matrix, scipy takes the shortest contacts for none
    tree = csgraph.minimum_spanning_tree(need("scipy.sparse").csr_matrix(-touch.length))
    middles = surface.means(labels, count)
    chosen = root if root >= 0 else _middle(tree, _bulk(surface, labels, middles))
    above = csgraph.breadth_first_order(tree, chosen, directed=False)[1]
    parents = _at_forks(np.maximum(above, -1).astype(np.int32), touch, middles)  # scipy says -9999 of the root
    joints = np.empty((count, 3))
    for part, parent in enumerate(parents):
        joints[part] = touch.middle[part, parent] if parent >= 0 else middles[part]
    return PartTree(parents, joints.astype(np.float32))


def _at_forks(
    parents: Int32[np.ndarray, " k"], touch: Contacts, middles: Float64[np.ndarray, "k 3"]
) -> Int32[np.ndarray, " k"]:
    """Where three parts meet, the one nearest the root bears the two others, whichever of them touch more.

    A part that hangs on `b` at the end at which `b` itself hangs on `a`, and touches `a`, hangs on `a`: a branch at a
    fork. What hangs on the other end of `b`, or on its flank, is a link of a chain, however short `b` is.
    """
    parents = parents.copy()
    changed = True
    while changed:
        changed = False
        for part, b in enumerate(parents):
            a = parents[b] if b >= 0 else -1
            if a < 0 or not touch.length[part, a] > MEETS * touch.length[part, b]:
                continue
            of_b = touch.middle[b, part], touch.middle[b, a], middles[b]
            of_part = touch.middle[part, b], touch.middle[part, a], middles[part]
            if _same_end(*of_b) and _same_end(*of_part):
                parents[part], changed = a, True
    return parents


def _same_end(one: Float64[np.ndarray, "3"], other: Float64[np.ndarray, "3"], middle: Float64[np.ndarray, "3"]) -> bool:
    """Whether two places of a part lie in one direction from its middle."""
    u, v = one - middle, other - middle
    return bool(u @ v > ASIDE * np.linalg.norm(u) * np.linalg.norm(v))


def _bulk(surface: Surface, labels: Labels, middles: Float64[np.ndarray, "k 3"]) -> Float64[np.ndarray, " k"]:
    """What the parts enclose, as seen from their middles; in proportion to their areas where that is nothing.

    A pot outweighs the leaves above it, whose surface is larger. Holes, where other parts go on, count as cones.
    """
    corners, parts = surface.points[surface.faces], labels[surface.faces]
    found = np.zeros(len(middles))
    for i in range(3):  # a third of each face to the part of each of its corners
        a, b, c = np.moveaxis(corners - middles[parts[:, i]][:, None], 1, 0)
        found += np.bincount(parts[:, i], (a * np.cross(b, c)).sum(axis=1) / 18, len(middles))
    flat = 1e-9 * surface.size * np.bincount(labels, surface.areas, len(middles))
    return np.abs(found) + flat


def contacts(surface: Surface, labels: Labels, count: int) -> Contacts:
    """Where parts touch: along edges that cross from one to the other; else where their surfaces come near.

    Parts that reach no other one are joined at the shortest way.
    """
    length, moment = np.zeros((count, count)), np.zeros((count, count, 3))
    left, right = labels[surface.edges].T
    cross = left != right
    ends = surface.points[surface.edges[cross]]
    for a, b in ((left, right), (right, left)):
        np.add.at(length, (a[cross], b[cross]), surface.lengths[cross])
        np.add.at(moment, (a[cross], b[cross]), surface.lengths[cross][:, None] * ends.mean(axis=1))
    _add_near(surface, labels, length, moment)
    while True:
        group = _groups(length)
        if group.max() == 0:
            break
        _bridge(surface, labels, group, length, moment)
    return Contacts(length, moment / np.where(length > 0, length, 1)[..., None])


def _add_near(
    surface: Surface, labels: Labels, length: Float64[np.ndarray, "k k"], moment: Float64[np.ndarray, "k k 3"]
) -> None:
    """Solids that are put together share no edges: places of one within reach of another count as their spacing."""
    shells = surface.pieces(np.zeros_like(labels))
    if shells.max() == 0:
        return
    spacing, points = float(np.median(surface.lengths)), surface.points
    spread = float(np.median(np.linalg.norm(points - np.median(points, axis=0), axis=1)))
    reach = NEAR * min(surface.size, STRAY * spread)
    for label in np.unique(labels):
        places, met = _met(points, shells, labels == label, reach)
        near = (points[places] + points[met]) / 2
        own = np.full(len(places), label)
        for ends in ((labels[places], own), (own, labels[places])):
            np.add.at(length, ends, spacing / 2)
            np.add.at(moment, ends, spacing / 2 * near)


def _met(
    points: Float64[np.ndarray, "n 3"], shells: Labels, among: Bool[np.ndarray, " n"], reach: float
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """All other places that have some of these `among` another shell within reach, and the nearest one of each.

    Numbers of two shells differ in a bit, so that each is asked for in the trees of those whose bit is another.
    """
    spatial = need("scipy.spatial")
    limit = float(np.nextafter(reach, np.inf))  # those at its end are within, too
    found, best = np.full(len(points), -1), np.full(len(points), limit)
    low, high = points[among].min(axis=0) - reach, points[among].max(axis=0) + reach
    asking = ~among & ((points >= low) & (points <= high)).all(axis=1)
    for bit in range(int(shells.max()).bit_length()):
        side = (shells >> bit & 1).astype(bool)
        for there, here in ((side, ~side), (~side, side)):
            own, others = np.flatnonzero(among & there), np.flatnonzero(asking & here)
            if len(own) and len(others):
                far, nearest = spatial.cKDTree(points[own]).query(points[others], distance_upper_bound=limit)
                nearer = far < best[others]
                best[others[nearer]], found[others[nearer]] = far[nearer], own[nearest[nearer]]
    places = np.flatnonzero(found >= 0)
    return places, found[places]


def _bridge(
    surface: Surface,
    labels: Labels,
    group: Int64[np.ndarray, " k"],
    length: Float64[np.ndarray, "k k"],
    moment: Float64[np.ndarray, "k k 3"],
) -> None:
    """Join the first group of parts to another: the two parts that come near each other over the largest area."""
    spatial = need("scipy.spatial")
    ours = group[labels] == 0
    here, there = np.flatnonzero(ours), np.flatnonzero(~ours)
    far, nearest = spatial.cKDTree(surface.points[here]).query(surface.points[there])
    close = far <= far.min() + ACROSS * surface.size
    one, other = here[nearest[close]], there[close]
    areas = np.zeros_like(length)
    least = 1e-12 * surface.size**2  # places that no face holds have none, and must be joined, too
    np.add.at(areas, (labels[one], labels[other]), np.maximum(surface.areas[other], least))
    a, b = np.unravel_index(areas.argmax(), areas.shape)
    both = (labels[one] == a) & (labels[other] == b)
    middle = (surface.points[one[both]] + surface.points[other[both]]).mean(axis=0) / 2
    small = 1e-9 * surface.size
    for x, y in ((a, b), (b, a)):
        length[x, y], moment[x, y] = small, small * middle


def _groups(length: Float64[np.ndarray, "k k"]) -> Int64[np.ndarray, " k"]:
    return need("scipy.sparse.csgraph").connected_components(length > 0, directed=False)[1].astype(np.int64)


def _middle(tree: "csr_matrix", bulk: Float64[np.ndarray, " k"]) -> int:
    """The part from which the bulk of all is the fewest steps away."""
    steps = need("scipy.sparse.csgraph").shortest_path(abs(tree), directed=False, unweighted=True)
    return int((steps * bulk[None]).sum(axis=1).argmin())
