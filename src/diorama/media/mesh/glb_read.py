"""GLB and glTF files as figures, meshes and motions.

The pose in which the file puts its nodes becomes the rest pose; sizes are those of the scene, in metres. A figure has
one texture or vertex colours: where several materials meet, their colours are taken at the vertices.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.rotations import from_matrix
from diorama.errors import DamagedMediaError, DioramaError
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import BROKEN, Document
from diorama.media.mesh._gltf_nodes import Nodes, read_animation, read_nodes
from diorama.media.mesh._gltf_surface import Surface, joined, read_surfaces
from diorama.media.mesh.asset import Asset

RIGID = 1e-3
"""How far axes of a joint may be from right angles."""
SAME_POSE = 1e-5


def read_glb(path: Path) -> Asset:
    """Everything of a .glb or .gltf file that Diorama has values for.

    Raises:
        MediaError: no such file, no glTF 2.0, an extension that is not supported, or a part outside its folder.
        DamagedMediaError: a file that breaks the rules of glTF; says how.
        LimitError: too large.
    """
    try:
        return _asset(Document(path))
    except DioramaError as error:
        if str(path.parent) in error.where:
            raise
        raise type(error)(error.what, path, error.fix) from error
    except BROKEN as error:
        detail = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedMediaError(f"breaks the rules of glTF: {detail}", path, "export or download it again") from error


def _asset(document: Document) -> Asset:
    nodes = read_nodes(document)
    worlds = nodes.worlds()[:, 0]
    skinned: dict[int, list[Surface]] = {}
    meshes: list[Mesh] = []
    for number in range(len(worlds)):
        node = document.item("nodes", number)
        if "mesh" not in node:
            continue
        surfaces = read_surfaces(document, node["mesh"])
        if "skin" in node:
            skinned.setdefault(node["skin"], []).extend(surface for surface in surfaces)
        elif surfaces:
            meshes.append(joined(surfaces, worlds[number]).mesh)
    figures, chains = [], []
    for skin, surfaces in sorted(skinned.items()):
        if surfaces:
            figure, chain = _figure(document, nodes, worlds, skin, joined(surfaces, np.eye(4)))
            figures.append(figure)
            chains.append(chain)
    motions = _motions(document, nodes, figures[0].skeleton, chains[0]) if figures else {}
    return Asset(document.path.name, tuple(figures), tuple(meshes), motions)


def _figure(
    document: Document, nodes: Nodes, worlds: Float64[np.ndarray, "n 4 4"], skin: int, surface: Surface
) -> tuple[Figure, list[int]]:
    """The figure of a skin, and the node of each of its joints (-1 for a root that was added)."""
    entry = document.item("skins", skin)
    joints = [int(joint) for joint in entry["joints"]]
    for joint in joints:
        document.item("nodes", joint)
    if len(set(joints)) != len(joints) or not joints:
        raise ValueError(f"skins[{skin}] has no joints, or one twice")
    chain = joints if _parents_first(nodes, joints) else [node for node in nodes.order if node in set(joints)]
    skeleton, chain = _skeleton(document, nodes, worlds, chain)
    place = {node: i for i, node in enumerate(chain)}
    if surface.joints is None or surface.weights is None:
        raise ValueError("a skinned mesh without joints and weights")
    if surface.joints.max() >= len(joints):
        raise ValueError(f"joint {surface.joints.max()} of {len(joints)}")
    order = np.array([place[joint] for joint in joints], np.int32)
    bound = np.where(surface.weights > 0, order[surface.joints], 0).astype(np.int32)
    inverse = np.tile(np.eye(4), (len(joints), 1, 1))
    if "inverseBindMatrices" in entry:
        inverse = as_floats(document, entry["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)[: len(joints)]
        if len(inverse) != len(joints):
            raise ValueError(f"{len(inverse)} bind matrices for {len(joints)} joints")
    moves = worlds[joints] @ inverse.astype(np.float64)
    mesh = surface.posed(moves)
    parts = tuple(skeleton.names)
    figure = Figure(skeleton, mesh, bound, surface.weights, parts, np.arange(len(parts), dtype=np.int32))
    return figure, chain


def _skeleton(
    document: Document, nodes: Nodes, worlds: Float64[np.ndarray, "n 4 4"], chain: list[int]
) -> tuple[Skeleton, list[int]]:
    known = set(chain)
    above = [_ancestor(nodes, node, known) for node in chain]
    frames = np.stack([_rigid(worlds[node], node) for node in chain])
    names = [str(document.item("nodes", node).get("name", f"joint{node}")) for node in chain]
    if above.count(-1) > 1:
        chain, above, names = [-1, *chain], [-2, *above], ["root", *names]
        frames = np.concatenate([np.eye(4)[None], frames])
    place = {node: i for i, node in enumerate(chain)} | {-2: -1}
    if chain[0] != -1:
        place[-1] = -1
    unique = [name if names.count(name) == 1 else f"{name}_{i}" for i, name in enumerate(names)]
    parents = np.array([place[node] for node in above], np.int32)
    return Skeleton(tuple(unique), parents, frames.astype(np.float32)), chain


def _parents_first(nodes: Nodes, joints: list[int]) -> bool:
    seen: set[int] = set()
    for joint in joints:
        above = _ancestor(nodes, joint, set(joints))
        if above >= 0 and above not in seen:
            return False
        seen.add(joint)
    return _ancestor(nodes, joints[0], set(joints)) < 0


def _ancestor(nodes: Nodes, node: int, known: set[int]) -> int:
    """The nearest joint above, or -1."""
    parent = int(nodes.parents[node])
    while parent >= 0 and parent not in known:
        parent = int(nodes.parents[parent])
    return parent


def _rigid(world: Float64[np.ndarray, "4 4"], node: int) -> Float64[np.ndarray, "4 4"]:
    """A frame without its scale.

    Raises:
        ValueError: sheared, mirrored or flat.
    """
    length = np.linalg.norm(world[:3, :3], axis=0)
    turn = world[:3, :3] / np.maximum(length, 1e-12)
    if (length < 1e-9).any() or np.abs(turn.T @ turn - np.eye(3)).max() > 5 * RIGID or np.linalg.det(turn) < 0:
        raise ValueError(f"the frame of node {node} is sheared, mirrored or flat")
    u, _, v = np.linalg.svd(turn)
    frame = world.copy()
    frame[:3, :3] = u @ v
    return frame


def _motions(document: Document, nodes: Nodes, skeleton: Skeleton, chain: list[int]) -> dict[str, Motion]:
    found: dict[str, Motion] = {}
    for number in range(len(document.json.get("animations", []))):
        moving, fps = read_animation(document, number)
        moving = {key: values for key, values in moving.items() if _moves_a_joint(nodes, key[0], chain)}
        if moving:
            title = str(document.item("animations", number).get("name", f"animation{number}"))
            found[title if title not in found else f"{title}_{number}"] = _motion(nodes, skeleton, chain, moving, fps)
    return found


def _moves_a_joint(nodes: Nodes, node: int, chain: list[int]) -> bool:
    above = {node}
    for joint in chain:
        while joint >= 0:
            if joint in above:
                return True
            joint = int(nodes.parents[joint])
    return False


def _motion(
    nodes: Nodes, skeleton: Skeleton, chain: list[int], moving: dict[tuple[int, str], np.ndarray], fps: float
) -> Motion:
    """The turns of joints against their parents, measured from the rest pose; of shifts only the root's."""
    worlds = nodes.worlds(moving)
    frames = worlds.shape[1]
    turns = np.empty((len(chain), frames, 3, 3))
    for i, node in enumerate(chain):
        world = np.tile(np.eye(4), (frames, 1, 1)) if node < 0 else worlds[node]
        length = np.linalg.norm(world[:, :3, :3], axis=1, keepdims=True)
        if (length < 1e-9).any():
            raise ValueError(f"node {node} shrinks to nothing")
        turns[i] = world[:, :3, :3] / length
    local = skeleton.local[:, :3, :3].astype(np.float64)
    against = turns.copy()
    for i, parent in enumerate(skeleton.parents):
        if parent >= 0:
            against[i] = turns[parent].transpose(0, 2, 1) @ turns[i]
    quats = from_matrix(local.transpose(0, 2, 1)[:, None] @ against).transpose(1, 0, 2)
    root = np.zeros((frames, 3)) if chain[0] < 0 else worlds[chain[0]][:, :3, 3] - skeleton.rest[0, :3, 3]
    return Motion(skeleton, quats.astype(np.float32), root.astype(np.float32), fps)
