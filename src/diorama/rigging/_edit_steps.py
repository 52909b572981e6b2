"""What each edit does to a draft."""

from collections.abc import Collection
from difflib import get_close_matches
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64

from diorama.core.extras import need
from diorama.errors import UsageError
from diorama.rigging._edits import Merge, Move, Point, Rename, Reparent, Reroot, Split
from diorama.rigging.draft import Draft
from diorama.rigging.surface import Surface
from diorama.rigging.tree import PartTree, contacts

FAR = 1.0
"""Diagonals of the mesh's box around it beyond which no position is meant."""
END = 0.4
"""Share of a part's length that the points of its far end may be apart."""

Place = Float64[np.ndarray, "3"]


def renamed(draft: Draft, edit: Rename) -> Draft:
    """The part called otherwise."""
    part = _part(draft, edit.name, "rename")
    names = list(draft.names)
    names[part] = _free(draft, edit.to, [part], "rename")
    return draft.changed(names=tuple(names))


def moved(draft: Draft, edit: Move) -> Draft:
    """Its joint elsewhere."""
    part, joints = _part(draft, edit.name, "move"), draft.tree.joints.copy()
    joints[part] = _near(draft, edit.to, "move")
    return draft.changed(tree=PartTree(draft.tree.parents, joints))


def reparented(draft: Draft, edit: Reparent) -> Draft:
    """The part, with all that hangs on it, hung on another."""
    part, under = _part(draft, edit.name, "reparent"), _part(draft, edit.under, "reparent")
    if part in _upwards(draft, under):
        said = "itself" if part == under else f"{edit.under!r}, which hangs on it"
        fix = "choose another parent" if draft.root != part else f'first make {edit.under!r} the root ("root")'
        raise UsageError(f"{edit.name!r} under {said}: a cycle", "reparent", fix)
    parents, joints = draft.tree.parents.copy(), draft.tree.joints.copy()
    if parents[part] != under:
        parents[part], joints[part] = under, _meeting(draft, part, under)
    return draft.changed(tree=PartTree(parents, joints))


def rerooted(draft: Draft, edit: Reroot) -> Draft:
    """The way from the old root to the new one turned around: a joint there belongs to the part on its other side."""
    way = _upwards(draft, _part(draft, edit.name, "root"))
    if len(way) == 1:
        return draft
    parents, joints = draft.tree.parents.copy(), draft.tree.joints.copy()
    for below, above in pairwise(way):
        parents[above], joints[above] = below, draft.tree.joints[below]
    parents[way[0]], joints[way[0]] = -1, _middle(draft, way[0])
    return draft.changed(tree=PartTree(parents, joints))


def merged(draft: Draft, edit: Merge) -> Draft:
    """Several parts as one, which hangs where the one nearest to the root did; what hung on any hangs on it.

    No cycle can come of it: none of them lies on the way from the one nearest to the root up to the root.
    """
    parts = [_part(draft, name, "merge") for name in edit.names]
    _free(draft, edit.into, parts, "merge")
    top = next(int(part) for part in draft.tree.outwards if part in parts)
    onto, gone = int(draft.tree.parents[top]), [part for part in parts if part != top]
    hung = [part for part in parts if draft.tree.parents[part] == onto]
    kept = np.setdiff1d(np.arange(len(draft)), gone)
    number = np.searchsorted(kept, np.arange(len(draft)))
    number[gone] = number[top]
    parents = np.where(draft.tree.parents < 0, -1, number[draft.tree.parents])[kept].astype(np.int32)
    names = [edit.into if part == top else draft.names[part] for part in kept]
    found = draft.changed(
        labels=number[draft.labels].astype(np.int64),
        names=tuple(names),
        tree=PartTree(parents, draft.tree.joints[kept]),
    )
    if onto >= 0 and len(hung) == 1:
        return found  # its joint is still where it touches what it hangs on
    one, joints = int(number[top]), found.tree.joints.copy()
    joints[one] = _middle(found, one) if onto < 0 else _meeting(found, one, int(number[onto]))
    return found.changed(tree=PartTree(parents, joints))


def split(draft: Draft, edit: Split) -> Draft:
    """A part in two: what hangs on it goes with the half on whose side its joint is."""
    part = _part(draft, edit.name, "split")
    for name in edit.names:
        _free(draft, name, [part], "split")
    at, own = _near(draft, edit.at, "split"), draft.labels == part
    joint = draft.tree.joints[part].astype(np.float64)
    normal = _axis(draft.mesh.vertices[own].astype(np.float64), joint) if edit.normal is None else _unit(edit.normal)
    home = float((joint - at) @ normal) > 0

    def beyond(points: np.ndarray) -> Bool[np.ndarray, " n"]:
        return ((points.astype(np.float64) - at) @ normal > 0) != home

    cut, new = own & beyond(draft.mesh.vertices), len(draft)
    if not cut.any() or (cut == own).all():
        raise UsageError(f"the cut leaves one half of {edit.name!r} without vertices", "split", "cut through the part")
    middle = _cut_middle(draft.surface, draft.places == part, (draft.surface.points - at) @ normal)
    parents = np.append(draft.tree.parents, np.int32(part)).astype(np.int32)
    parents[:-1][(draft.tree.parents == part) & beyond(draft.tree.joints)] = new
    joints = np.append(draft.tree.joints, [at if middle is None else middle], axis=0).astype(np.float32)
    names = list(draft.names)
    names[part] = edit.names[0]
    labels = np.where(cut, new, draft.labels)
    return draft.changed(labels=labels, names=(*names, edit.names[1]), tree=PartTree(parents, joints))


def _part(draft: Draft, name: str, where: str) -> int:
    """The number of a part."""
    if name in draft.names:
        return draft.names.index(name)
    near = get_close_matches(name, draft.names, 3, 0.4)
    known = ", ".join(draft.names[:12]) + (", ..." if len(draft) > 12 else "")
    raise UsageError(
        f"no part called {name[:100]!r}", where, f"near names: {', '.join(near)}" if near else f"it has {known}"
    )


def _free(draft: Draft, name: str, besides: Collection[int], where: str) -> str:
    """The name, which no part may have but those in `besides`."""
    if name in draft.names and draft.names.index(name) not in besides:
        raise UsageError(f"there is a part called {name!r} already", where, "choose another name")
    return name


def _near(draft: Draft, point: Point, where: str) -> Place:
    """The position, which may not be far from the mesh: then it is in another unit, or other axes."""
    place, vertices = np.array(point, np.float64), draft.mesh.vertices.astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    reach = FAR * np.linalg.norm(high - low)
    if not ((place >= low - reach) & (place <= high + reach)).all():
        box = f"{np.round(low, 3).tolist()} to {np.round(high, 3).tolist()}"
        raise UsageError(f"{list(point)} is far from the mesh", where, f"its box is {box}, metres")
    return place


def _upwards(draft: Draft, part: int) -> list[int]:
    """The part and those that it hangs on, up to the root."""
    way = [part]
    while draft.tree.parents[way[-1]] >= 0:
        way.append(int(draft.tree.parents[way[-1]]))
    return way


def _middle(draft: Draft, part: int) -> Place:
    """The middle of a part's surface, where the joint of a root is."""
    own = draft.places == part
    return np.average(draft.surface.points[own], axis=0, weights=np.maximum(draft.surface.areas[own], 1e-15))


def _meeting(draft: Draft, one: int, other: int) -> Place:
    """Where two parts touch; between their nearest places, if they do not."""
    surface, places = draft.surface, draft.places
    groups = np.select([places == one, places == other], [0, 1], 2).astype(np.int64)
    touch = contacts(surface, groups, int(groups.max()) + 1)
    if touch.length[0, 1] > 0:
        return touch.middle[0, 1]
    here, there = surface.points[groups == 0], surface.points[groups == 1]
    far, nearest = need("scipy.spatial").cKDTree(here).query(there)
    return (there[far.argmin()] + here[nearest[far.argmin()]]) / 2


def _cut_middle(surface: Surface, own: Bool[np.ndarray, " n"], off: Float64[np.ndarray, " n"]) -> Place | None:
    """The middle of where a plane cuts the edges of a part; None where the halves share no edge.

    Args:
        surface: of the mesh.
        own: places of the part.
        off: how far each place is from the plane, signed.
    """
    ends = surface.edges
    crossed = own[ends].all(axis=1) & ((off[ends[:, 0]] > 0) != (off[ends[:, 1]] > 0))
    if not crossed.any():
        return None
    one, other = ends[crossed].T
    share = (off[one] / (off[one] - off[other]))[:, None]
    return np.average(
        (1 - share) * surface.points[one] + share * surface.points[other], axis=0, weights=surface.lengths[crossed]
    )


def _unit(direction: Point) -> Place:
    scaled = np.array(direction, np.float64) / np.abs(direction).max()
    return scaled / np.linalg.norm(scaled)


def _axis(points: Float64[np.ndarray, "n 3"], joint: Place) -> Place:
    """From a joint to the far end of its part: the farthest point, and those about it that are nearly as far."""
    ways = points - joint
    far = np.linalg.norm(ways, axis=1)
    reach = float(far.max())
    if not reach > 0:
        raise UsageError("the part has no length", "split", "give a normal")
    about = np.linalg.norm(ways - ways[far.argmax()], axis=1) < END * reach
    end = ways[about & (far > (1 - END / 8) * reach)].mean(axis=0)
    return end / np.linalg.norm(end)
