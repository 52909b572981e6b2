"""The nodes of a glTF document: the tree, and where each is, at rest and over time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from diorama.core.rotations import to_matrix
from diorama.errors import LimitError
from diorama.media.mesh._gltf_file import Document

MOST_NODES = 65_536
PATHS = {"translation": 3, "rotation": 4, "scale": 3}
"""What of a node an animation may move, and how many numbers it is."""

Tracks = dict[tuple[int, str], Float64[np.ndarray, "_ _"]]
"""Values over time by node and path; rotations as (w, x, y, z)."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """The tree of nodes, parents before children in `order`; `shown` are those of the scene."""

    parents: Int32[np.ndarray, " n"]
    order: tuple[int, ...]
    shown: frozenset[int]
    translation: Float64[np.ndarray, "n 3"]
    rotation: Float64[np.ndarray, "n 4"]
    scale: Float64[np.ndarray, "n 3"]
    fixed: dict[int, Float64[np.ndarray, "4 4"]]

    def rest(self) -> Float64[np.ndarray, "n 4 4"]:
        """Where the nodes are as the file puts them: node to scene."""
        found = np.empty((len(self.parents), 4, 4))
        for node in self.order:
            local = self._local(node, {})[0]
            found[node] = local if self.parents[node] < 0 else found[self.parents[node]] @ local
        return found

    def moved(self, tracks: Tracks, among: Collection[int]) -> Mapping[int, Float64[np.ndarray, "_ 4 4"]]:
        """Where some nodes are over time; `among` holds the nodes above them too. One frame where nothing moves."""
        found: dict[int, Float64[np.ndarray, "_ 4 4"]] = {}
        for node in self.order:
            if node in among:
                parent, local = int(self.parents[node]), self._local(node, tracks)
                found[node] = local if parent < 0 else found[parent] @ local
        return found

    def above(self, known: Collection[int]) -> Int32[np.ndarray, " n"]:
        """The nearest of the `known` nodes above each node, -1 for none."""
        found = np.full(len(self.parents), -1, np.int32)
        for node in self.order:
            parent = self.parents[node]
            if parent >= 0:
                found[node] = parent if int(parent) in known else found[parent]
        return found

    def with_ancestors(self, chosen: Collection[int]) -> set[int]:
        """Nodes and all nodes above them."""
        found: set[int] = set()
        for node in chosen:
            while node >= 0 and node not in found:
                found.add(node)
                node = int(self.parents[node])
        return found

    def _local(self, node: int, tracks: Tracks) -> Float64[np.ndarray, "t 4 4"]:
        if node in self.fixed and not any((node, path) in tracks for path in PATHS):
            return self.fixed[node][None]
        place = tracks.get((node, "translation"), self.translation[node][None])
        turn = to_matrix(tracks.get((node, "rotation"), self.rotation[node][None]))
        scale = tracks.get((node, "scale"), self.scale[node][None])
        found = np.zeros((max(len(place), len(turn), len(scale)), 4, 4))
        found[:, :3, :3] = turn * scale[:, None]
        found[:, :3, 3], found[:, 3, 3] = place, 1
        return found


def read_nodes(document: Document) -> Nodes:
    """The tree of nodes.

    Raises:
        LimitError: too many of them.
        ValueError: a node with two parents, a cycle, or numbers that are not finite.
    """
    entries = document.json.get("nodes", [])
    if len(entries) > MOST_NODES:
        raise LimitError(f"{len(entries)} nodes, the limit is {MOST_NODES}", document.path)
    nodes = [document.item("nodes", number) for number in range(len(entries))]
    parents = np.full(len(nodes), -1, np.int32)
    for number, node in enumerate(nodes):
        for child in node.get("children", []):
            document.item("nodes", child)
            if parents[child] >= 0 or child == number:
                raise ValueError(f"node {child} has two parents")
            parents[child] = number
    order = [int(n) for n in np.flatnonzero(parents < 0)]
    for number in order:  # grows while it is read
        order += nodes[number].get("children", [])
    if len(order) != len(nodes):
        raise ValueError("nodes are their own ancestors")
    turns = _table(nodes, "rotation", (0.0, 0.0, 0.0, 1.0))
    length = np.linalg.norm(turns, axis=1, keepdims=True)
    if (length < 1e-6).any():
        raise ValueError("a rotation of no length")
    return Nodes(
        parents,
        tuple(order),
        _shown(document, nodes),
        _table(nodes, "translation", (0.0, 0.0, 0.0)),
        (turns / length)[:, [3, 0, 1, 2]],
        _table(nodes, "scale", (1.0, 1.0, 1.0)),
        {i: _matrix(node["matrix"]) for i, node in enumerate(nodes) if "matrix" in node},
    )


def _shown(document: Document, nodes: list[dict]) -> frozenset[int]:
    """The nodes of the scene to show; of a file without scenes, all."""
    if not document.json.get("scenes"):
        return frozenset(range(len(nodes)))
    found = list(document.item("scenes", document.json.get("scene", 0)).get("nodes", []))
    if len(set(found)) != len(found):
        raise ValueError("a scene has a node twice")
    for number in found:  # grows while it is read; the tree has no cycles
        found += document.item("nodes", number).get("children", [])
        if len(found) > 2 * len(nodes):
            raise ValueError("a scene lists nodes that are not its roots")
    return frozenset(found)


def _table(nodes: list[dict], key: str, default: tuple[float, ...]) -> Float64[np.ndarray, "n c"]:
    found = np.array([node.get(key, default) for node in nodes], np.float64)
    if nodes and found.shape != (len(nodes), len(default)):
        raise ValueError(f"a {key} of other than {len(default)} numbers")
    if not np.isfinite(found).all():
        raise ValueError(f"a {key} that is not finite")
    return found.reshape(len(nodes), len(default))


def _matrix(values: list[float | int]) -> Float64[np.ndarray, "4 4"]:
    found = np.array(values, np.float64).reshape(4, 4).T
    if not np.isfinite(found).all() or not np.allclose(found[3], [0, 0, 0, 1], atol=1e-6):
        raise ValueError("a node's matrix is not finite or not affine")
    return found
