"""A mesh and the parts of its vertices -> a figure that can be posed; the mesh itself is kept as it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.rigging.skin import SOFTNESS, harmonic_weights, strongest
from diorama.rigging.surface import Surface
from diorama.rigging.tree import PartTree, part_tree


@dataclass(frozen=True, eq=False)
class Rig:
    """A figure made from labels, and how.

    Attributes:
        figure: joint by joint from the root outwards, a part and a joint of the same name each; rest frames are not
            turned against the model.
        labels: part of each vertex, in the order of the figure's parts.
        lost: the largest sum of weights that was left out, as no more than four joints move a vertex.
    """

    figure: Figure
    labels: Int64[np.ndarray, " v"]
    lost: float


def rigged(
    mesh: Mesh,
    labels: Int64[np.ndarray, " v"],
    *,
    names: Sequence[str] = (),
    root: int = -1,
    softness: float | int = SOFTNESS,
    tree: PartTree | None = None,
    surface: Surface | None = None,
) -> Rig:
    """Rig a mesh by its parts.

    Args:
        mesh: in the pose that becomes the rest pose, metres.
        labels: part of each vertex, from 0; numbers that no vertex has are left out.
        names: of the parts, by number; ``part1``, ``part2``, ... by default.
        root: number of the part that all others hang on; the middle of the tree by default.
        softness: of the joints, as `harmonic_weights` takes it.
        tree: of the parts that are used, in the order of their numbers, where it is known; found by default.
        surface: of the mesh, where it is made already.

    Raises:
        UsageError: labels that do not fit the mesh or the names, a root without surface, a tree of other parts.
    """
    used, own = numbered(mesh, labels, names, root)
    surface = Surface.of(mesh.vertices, mesh.faces) if surface is None else surface
    places = of_places(surface, own, len(used))
    chosen = int(np.searchsorted(used, root)) if root >= 0 else -1
    tree = part_tree(surface, places, len(used), root=chosen) if tree is None else tree
    if len(tree.parents) != len(used):
        raise UsageError(f"a tree of {len(tree.parents)} parts for {len(used)}", "rigged")
    order = tree.outwards
    place = np.argsort(order)
    called = tuple(names[used[part]] if names else f"part{used[part] + 1}" for part in order)
    parents = np.where(tree.parents < 0, -1, place[np.maximum(tree.parents, 0)])[order].astype(np.int32)
    rest = np.tile(np.eye(4, dtype=np.float32), (len(order), 1, 1))
    rest[:, :3, 3] = tree.joints[order]
    joints, kept, lost = strongest(harmonic_weights(surface, places, len(used), softness=softness)[:, order])
    numbers = np.arange(len(order), dtype=np.int32)
    at = surface.of_vertex
    figure = Figure(Skeleton(called, parents, rest), mesh, joints[at], kept[at], called, numbers)
    return Rig(figure, place[own].astype(np.int64), lost)


def numbered(
    mesh: Mesh, labels: Int64[np.ndarray, " v"], names: Sequence[str], root: int
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " v"]]:
    """The numbers that labels use, and the labels moved up to be 0 to k - 1.

    Raises:
        UsageError: labels that do not fit the mesh or the names, a root without surface.
    """
    if len(labels) != len(mesh.vertices) or labels.min(initial=0) < 0:
        raise UsageError(f"{len(labels)} labels for {len(mesh.vertices)} vertices", "labels", "give one each, from 0")
    used, own = np.unique(labels, return_inverse=True)
    if names and int(used[-1]) >= len(names):
        raise UsageError(f"no name for part {used[-1]}", "labels", "name all parts")
    if root >= 0 and root not in used:
        raise UsageError(f"part {root} has no surface", "labels", f"choose a root among {used.tolist()}")
    return used, own.reshape(-1).astype(np.int64)


def of_places(surface: Surface, labels: Int64[np.ndarray, " v"], count: int) -> Int64[np.ndarray, " n"]:
    """The label of each place: where vertices are joined, that of most of them; every part keeps a place."""
    said = np.zeros((len(surface.points), count))
    np.add.at(said, (surface.of_vertex, labels), 1)
    found = said.argmax(axis=1).astype(np.int64)
    for part in np.flatnonzero(np.bincount(found, minlength=count) == 0):
        found[said[:, part].argmax()] = part
    return found
