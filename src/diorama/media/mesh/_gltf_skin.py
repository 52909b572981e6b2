"""Skins of a glTF document as figures: joints in rigid frames, and the surface as the file poses it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from diorama.core.figure import Figure, Skeleton
from diorama.errors import LimitError
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import Document, label
from diorama.media.mesh._gltf_nodes import Nodes
from diorama.media.mesh._gltf_surface import Surface, check_near

MOST_JOINTS = 4096
RIGID = 5e-3
"""How far axes of a joint may be from right angles."""
ADDED = -1
"""Stands for the node of a root that the file does not have."""


@dataclass(frozen=True, eq=False)
class Skin:
    """A figure, and the node of each of its joints (`ADDED` for a root that joins several trees)."""

    figure: Figure
    chain: tuple[int, ...]


def read_skin(
    document: Document, nodes: Nodes, rest: Float64[np.ndarray, "n 4 4"], number: int, surface: Surface
) -> Skin:
    """The figure of a skin.

    Raises:
        LimitError: more than `MOST_JOINTS`.
        ValueError: no joints, one twice, frames that no rotation and scale explain, or weights of other joints.
    """
    entry = document.item("skins", number)
    joints = list(entry["joints"])
    document.spend("joints", len(joints))
    if len(joints) > MOST_JOINTS:
        raise LimitError(f"a skin of {len(joints)} joints, the limit is {MOST_JOINTS}", document.path)
    for joint in joints:
        document.item("nodes", joint)
    if len(set(joints)) != len(joints) or not joints:
        raise ValueError(f"skins[{number}] has no joints, or one twice")
    if surface.joints is None or surface.weights is None:
        raise ValueError("a skinned mesh without joints and weights")
    if surface.joints.max() >= len(joints):
        raise ValueError(f"joint {surface.joints.max()} of {len(joints)}")
    skeleton, chain = _skeleton(document, nodes, rest, joints)
    place = {node: i for i, node in enumerate(chain)}
    slots = np.array([place[joint] for joint in joints], np.int32)
    bound = np.where(surface.weights > 0, slots[surface.joints], 0).astype(np.int32)
    mesh = surface.posed(rest[joints] @ _inverse_binds(document, entry, len(joints)))
    parts = skeleton.names
    return Skin(Figure(skeleton, mesh, bound, surface.weights, parts, np.arange(len(parts), dtype=np.int32)), chain)


def _inverse_binds(document: Document, entry: dict, count: int) -> Float64[np.ndarray, "j 4 4"]:
    if "inverseBindMatrices" not in entry:
        return np.tile(np.eye(4), (count, 1, 1))
    found = as_floats(document, entry["inverseBindMatrices"], (16,))
    if len(found) < count:
        raise ValueError(f"{len(found)} bind matrices for {count} joints")
    return found[:count].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)


def _skeleton(
    document: Document, nodes: Nodes, rest: Float64[np.ndarray, "n 4 4"], joints: list[int]
) -> tuple[Skeleton, tuple[int, ...]]:
    """Joints parents first, in the file's order where it allows that; several trees hang on a root at the origin."""
    nearest = nodes.above(set(joints))
    above = {joint: int(nearest[joint]) for joint in joints}
    chain = _parents_first(nodes, joints, above)
    frames = [_rigid(rest[node], node) for node in chain]
    names = [label(document, "nodes", node, "joint") for node in chain]
    if sum(parent < 0 for parent in above.values()) > 1:
        chain, frames, names = [ADDED, *chain], [np.eye(4), *frames], ["root", *names]
    place = {node: i for i, node in enumerate(chain)}  # without an added root, -1 is no joint's place
    parents = [-1 if node == ADDED else place.get(above[node], -1) for node in chain]
    check_near(np.stack(frames)[:, :3, 3])
    skeleton = Skeleton(_unique(names), np.array(parents, np.int32), np.stack(frames).astype(np.float32))
    return skeleton, tuple(chain)


def _parents_first(nodes: Nodes, joints: list[int], above: dict[int, int]) -> list[int]:
    seen: set[int] = set()
    for joint in joints:
        if above[joint] >= 0 and above[joint] not in seen:
            return [node for node in nodes.order if node in above]
        seen.add(joint)
    return joints


def _unique(names: list[str]) -> tuple[str, ...]:
    """Names of which none occurs twice; the later ones get a number."""
    taken = set(names)
    found: list[str] = []
    used: Counter[str] = Counter()
    for name in names:
        used[name] += 1
        other = name
        while used[name] > 1 and other in taken:
            other = f"{name}_{used[name]}"
            used[name] += other in taken
        taken.add(other)
        found.append(other)
    return tuple(found)


def _rigid(world: Float64[np.ndarray, "4 4"], node: int) -> Float64[np.ndarray, "4 4"]:
    """A frame without its scale.

    Raises:
        ValueError: sheared, mirrored or flat.
    """
    length = np.linalg.norm(world[:3, :3], axis=0)
    turn = world[:3, :3] / np.maximum(length, 1e-12)
    if not ((length > 1e-9).all() and np.abs(turn.T @ turn - np.eye(3)).max() <= RIGID and np.linalg.det(turn) > 0):
        raise ValueError(f"the frame of node {node} is sheared, mirrored or flat")
    u, _, v = np.linalg.svd(turn)
    frame = world.copy()
    frame[:3, :3] = u @ v
    return frame
