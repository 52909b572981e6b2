"""A rig before its weights: parts with names in a tree, which can still be changed by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.rigging.assemble import Rig, numbered, of_places, rigged
from diorama.rigging.skin import SOFTNESS
from diorama.rigging.surface import Surface
from diorama.rigging.tree import PartTree, part_tree


@dataclass(frozen=True, eq=False)
class Draft:
    """A mesh, its parts, and how they hang together.

    Attributes:
        mesh: in the pose that becomes the rest pose, metres.
        labels: part of each vertex, 0 to k - 1; every part has vertices.
        names: of the parts, unique.
        tree: of the parts, in the order of their numbers; joints in the axes of the mesh.

    Raises:
        UsageError: pieces that do not fit each other, a part without vertices, a name twice, parts in no tree.
    """

    mesh: Mesh
    labels: Int64[np.ndarray, " v"]
    names: tuple[str, ...]
    tree: PartTree

    def __post_init__(self) -> None:
        count = len(self.names)
        shapes = len(self.labels), len(self.tree.parents), len(self.tree.joints)
        if shapes != (len(self.mesh.vertices), count, count):
            given = (
                f"{shapes[0]} labels for {len(self.mesh.vertices)} vertices, a tree of {shapes[1]} for {count} parts"
            )
            raise UsageError(given, "Draft", "give one label a vertex, one name and joint a part")
        if len(set(self.names)) != count:
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise UsageError(f"two parts are called {twice!r}", "Draft", "rename one")
        if self.labels.min() < 0 or self.labels.max() >= count:
            raise UsageError(f"a label beyond the {count} parts", "Draft", "number parts from 0")
        empty = np.flatnonzero(np.bincount(self.labels, minlength=count) == 0)
        if len(empty):
            raise UsageError(f"part {self.names[empty[0]]!r} has no vertices", "Draft", "leave it out")
        if not np.isfinite(self.tree.joints).all():
            raise UsageError("a joint is not finite", "Draft")
        _check_tree(self.tree.parents)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def root(self) -> int:
        """The part that all others hang on."""
        return int(np.flatnonzero(self.tree.parents < 0)[0])

    @cached_property
    def surface(self) -> Surface:
        """The surface of the mesh."""
        return Surface.of(self.mesh.vertices, self.mesh.faces)

    @cached_property
    def places(self) -> Int64[np.ndarray, " n"]:
        """The part of each place of the surface."""
        return of_places(self.surface, self.labels, len(self))

    def changed(self, **changes: Any) -> "Draft":
        """This draft with other fields, as `dataclasses.replace` does it, of the same mesh."""
        draft = replace(self, **changes)
        return _on(draft, self.surface) if "surface" in self.__dict__ else draft

    def rig(self, softness: float | int = SOFTNESS) -> Rig:
        """The figure with its weights, as `rigged` makes it.

        Raises:
            UsageError: `softness` out of range.
        """
        return rigged(self.mesh, self.labels, names=self.names, tree=self.tree, softness=softness, surface=self.surface)


def draft_of(
    mesh: Mesh,
    labels: Int64[np.ndarray, " v"],
    *,
    names: Sequence[str] = (),
    root: int = -1,
    surface: Surface | None = None,
) -> Draft:
    """A first draft: the tree of those parts that touch most, as `rigged` finds it.

    Args:
        mesh: in the pose that becomes the rest pose, metres.
        labels: part of each vertex, from 0; numbers that no vertex has are left out and the others move up.
        names: of the parts, by number; ``part1``, ``part2``, ... by default.
        root: number of the part that all others hang on; the middle of the tree by default.
        surface: of the mesh, where it is made already; the draft keeps it.

    Raises:
        UsageError: labels that do not fit the mesh or the names, a root without surface, a name twice.
    """
    used, own = numbered(mesh, labels, names, root)
    surface = Surface.of(mesh.vertices, mesh.faces) if surface is None else surface
    chosen = int(np.searchsorted(used, root)) if root >= 0 else -1
    tree = part_tree(surface, of_places(surface, own, len(used)), len(used), root=chosen)
    return _on(Draft(mesh, own, tuple(names[n] if names else f"part{n + 1}" for n in used), tree), surface)


def _on(draft: Draft, surface: Surface) -> Draft:
    """A draft that need not make the surface of its mesh again, which takes long for a large one."""
    draft.__dict__["surface"] = surface
    return draft


def _check_tree(parents: Int32[np.ndarray, " k"]) -> None:
    """Raise unless there is one root, and every part hangs on it in the end."""
    roots = np.flatnonzero(parents < 0)
    if len(roots) != 1 or parents.max() >= len(parents):
        raise UsageError(f"{len(roots)} roots among {len(parents)} parts", "Draft", "hang all parts on one")
    above = np.where(parents < 0, roots[0], parents)
    for _ in range(len(parents).bit_length()):
        above = above[above]
    lost = np.flatnonzero(above != roots[0])
    if len(lost):
        raise UsageError(f"part {lost[0]} hangs on itself in the end", "Draft", "hang all parts on one root")
