"""A skeleton for a GLB or glTF file that has none; everything else of the file is kept as it is.

Materials, textures, texture coordinates, tangents, morph targets, extras and all bytes of the buffers stay; joints,
skins, weights and animations are added. Viewers do not let nodes move what hangs on a skin (glTF 2.0, section 3.7.3.3),
so meshes come to the root of the scene, and what their nodes did is in the bind matrices.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int32

from diorama.core.extras import need
from diorama.core.figure import Figure, Motion, Skeleton
from diorama.errors import UsageError
from diorama.media.atomic import write_bytes
from diorama.media.mesh._glb_bytes import INDICES, VERTICES, Json, added
from diorama.media.mesh._gltf_nodes import Nodes, read_nodes
from diorama.media.mesh._gltf_rig import (
    add_animation,
    add_joints,
    common_skeleton,
    free_name,
    joint_frames,
    joint_numbers,
    strongest_joints,
)
from diorama.media.mesh._graft_nodes import lift, show
from diorama.media.mesh._graft_source import Grown, Source
from diorama.media.mesh._graft_surface import Piece, Placed, read_placed
from diorama.media.mesh.glb_read import rules_kept
from diorama.media.safe import local_path

NEAR = 1e-4
"""How far, in sizes of the box, a figure's vertices may be from those of the file."""


def graft_glb(
    source: Path,
    path: Path,
    model: Figure | Sequence[Figure],
    motions: Mapping[str, Motion] | None = None,
    *,
    name: str = "figure",
) -> None:
    """Write a copy of a GLB or glTF file, bound to a skeleton.

    The figures' vertices are those of `read_glb(source).meshes`, one after another: of every node of the scene that
    has triangles, in the order of the nodes' numbers, all positions of each of its primitives, except of those
    without a triangle of three corners. Points, lines and such primitives follow the nearest vertex.

    Normals under a node that stretches unevenly are right in viewers that move them by the inverse transpose.

    Args:
        source: the file; pictures and buffers beside it are taken in.
        path: to write, always GLB; appears when it is complete.
        model: figures on one skeleton; their meshes tell the vertices, the surface itself is the file's.
        motions: of that skeleton, by name; a name that the file has already gets a number.
        name: of the skin.

    Raises:
        UsageError: the file has weights already, other vertices than the figures, or no triangles; figures or motions
            of different skeletons, or a motion too long for glTF's clock.
        MediaError: as `read_glb`, and for extensions that weights cannot be added beside (compression, instances).
        DamagedMediaError, LimitError: as `read_glb`.
        ModelError: a file with points or lines, and no scipy.
    """
    source, motions = local_path(source), motions or {}
    figures = [model] if isinstance(model, Figure) else list(model)
    skeleton = common_skeleton(figures, motions, "graft_glb")
    with rules_kept(source):
        document = Source(source)
        nodes = read_nodes(document)
        placed = read_placed(document, nodes)
        bindings = _bindings(placed, figures, source)
        buffer = Grown(document)
        joints = _bind(document, nodes, buffer, placed, bindings, skeleton, name)
        for title, motion in motions.items():
            add_animation(document.json, buffer, motion, free_name(document.json, "animations", title), joints)
        data = buffer.file()
    write_bytes(path, data)


Binding = tuple[Int32[np.ndarray, "_ 4"], Float32[np.ndarray, "_ 4"]]
"""Joints and weights of the vertices of a primitive."""


def _bindings(placed: Sequence[Placed], figures: Sequence[Figure], source: Path) -> list[list[Binding]]:
    """Joints and weights of every primitive of every mesh."""
    vertices = _checked(placed, figures, source)
    count = len(figures[0].skeleton)
    rows = [strongest_joints(figure.skin_joints, figure.skin_weights, count) for figure in figures]
    joints, weights = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    nearest = _nearest([piece.vertices for mesh in placed for piece in mesh.pieces if piece.faces is None], vertices)
    found: list[list[Binding]] = []
    start = 0
    for mesh in placed:
        found.append([])
        for piece in mesh.pieces:
            chosen = next(nearest) if piece.faces is None else np.arange(start, start + len(piece.vertices))
            start += 0 if piece.faces is None else len(piece.vertices)
            found[-1].append((joints[chosen], weights[chosen]))
    return found


def _nearest(loose: Sequence[np.ndarray], vertices: Float32[np.ndarray, "v 3"]) -> Iterator[np.ndarray]:
    """The vertex nearest to each point of each of the sets of points."""
    if not loose:
        return iter(())
    found = need("scipy.spatial").cKDTree(vertices).query(np.concatenate(loose))[1]
    return iter(np.split(found, np.cumsum([len(points) for points in loose])[:-1]))


def _checked(placed: Sequence[Placed], figures: Sequence[Figure], source: Path) -> Float32[np.ndarray, "v 3"]:
    """The vertices that `read_glb` gives, if the figures have them too."""
    pieces = [piece.vertices for mesh in placed for piece in mesh.pieces if piece.faces is not None]
    if not pieces:
        raise UsageError("no triangles to bind", source, "give a model with a surface")
    vertices, given = np.concatenate(pieces), np.concatenate([figure.mesh.vertices for figure in figures])
    fix = "bind the meshes of read_glb, in their order and place"
    if len(given) != len(vertices):
        raise UsageError(f"{len(given)} vertices in the figures, {len(vertices)} in the file", source, fix)
    off = np.abs(given.astype(np.float64) - vertices).max(axis=1)
    if off.max() > NEAR * float(np.ptp(vertices, axis=0).max()):
        raise UsageError(f"vertex {int(off.argmax())} of the figures is {off.max():.3g} from the file's", source, fix)
    return vertices


def _bind(
    document: Source,
    nodes: Nodes,
    buffer: Grown,
    placed: Sequence[Placed],
    bindings: Sequence[Sequence[Binding]],
    skeleton: Skeleton,
    name: str,
) -> list[int]:
    """Add joints, skins and weights; the nodes of the joints."""
    joints, frames = add_joints(document.json, skeleton), joint_frames(skeleton)
    show(document, nodes, [mesh.node for mesh in placed], joints[0], name)
    lift(document, nodes, {mesh.node for mesh in placed})
    uses = Counter(document.item("nodes", i).get("mesh") for i in range(len(document.json["nodes"])))
    uses.subtract(mesh.mesh for mesh in placed)
    plain = {mesh.mesh: document.item("meshes", mesh.mesh) for mesh in placed}
    last: tuple[bytes, int] | None = None
    for mesh, bound in zip(placed, bindings, strict=True):
        node = document.item("nodes", mesh.node)
        entry = _bound_mesh(plain[mesh.mesh], mesh, bound, buffer, len(joints))
        if uses[mesh.mesh] == 0:  # nobody else needs it without weights
            document.json["meshes"][mesh.mesh], uses[mesh.mesh] = entry, 1
        else:
            node["mesh"] = added(document.json, "meshes", entry)
        binds = _inverse_binds(frames, mesh.world)
        if last is None or last[0] != binds.tobytes():
            document.spend("joints", len(joints))
            skin: Json = {"name": name, "joints": joints, "skeleton": joints[0]}
            skin["inverseBindMatrices"] = buffer.shared(binds)
            last = binds.tobytes(), added(document.json, "skins", skin)
        node["skin"] = last[1]
    return joints


def _bound_mesh(mesh: Json, placed: Placed, bound: Sequence[Binding], buffer: Grown, count: int) -> Json:
    """A copy of a mesh with joints and weights; with other indices where its node mirrored it."""
    primitives = []
    for primitive, piece, (joints, weights) in zip(mesh["primitives"], placed.pieces, bound, strict=True):
        attributes = primitive["attributes"] | {
            "JOINTS_0": buffer.shared(joint_numbers(joints, count), VERTICES),
            "WEIGHTS_0": buffer.shared(weights, VERTICES),
        }
        primitives.append(primitive | {"attributes": attributes} | _turned(piece, placed.world, buffer))
    return mesh | {"primitives": primitives}


def _turned(piece: Piece, world: Float64[np.ndarray, "4 4"], buffer: Grown) -> Json:
    """What makes up for a mirrored node: viewers turn its faces around, but not those of a skin."""
    if piece.faces is None or np.linalg.det(world[:3, :3]) >= 0:
        return {}
    kind = np.uint16 if len(piece.vertices) < 65535 else np.uint32
    return {"indices": buffer.shared(piece.faces[:, ::-1].reshape(-1).astype(kind), INDICES), "mode": 4}


def _inverse_binds(
    frames: Float64[np.ndarray, "j 4 4"], world: Float64[np.ndarray, "4 4"]
) -> Float32[np.ndarray, "j 4 4"]:
    found = (np.linalg.inv(frames) @ world).astype(np.float32)
    found[:, 3] = 0, 0, 0, 1
    if not np.isfinite(found).all():
        raise ValueError("a node's transform is too large")
    return found
