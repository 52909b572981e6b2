"""Figures, meshes and motions to glTF 2.0 binary files (GLB); the same bytes for the same values."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh, vertex_normals
from diorama.core.rotations import from_matrix, multiply, steady
from diorama.errors import UsageError
from diorama.media.anaglyph import linear_from_srgb
from diorama.media.atomic import atomic_path
from diorama.media.mesh._glb_bytes import INDICES, VERTICES, Buffer, Json, added
from diorama.media.mesh._limits import FAR

JOINTS = 4
"""Joints that move a vertex in the file; those of least weight are left out."""
ROWS = 16384
"""Vertices whose joints are sorted at a time."""
STILL = 1e-6
"""A joint whose quaternions differ by less over a motion gets no channel."""


def write_glb(
    path: Path,
    model: Figure | Mesh | Sequence[Figure],
    motions: Mapping[str, Motion] | None = None,
    *,
    name: str = "figure",
) -> None:
    """Write a GLB file that the Khronos validator has nothing to say against.

    Args:
        path: to write; appears when it is complete.
        model: a mesh, a figure, or several figures on one skeleton (a body and its clothes).
        motions: of that skeleton, by name.
        name: of the model.

    Raises:
        UsageError: no figure, figures or motions of different skeletons, motions of a mesh or too long for its clock,
            no face with three corners, positions too far off, or texture coordinates that are not finite.
    """
    document: Json = {"asset": {"version": "2.0", "generator": "diorama"}, "scene": 0}
    buffer, roots = Buffer(document), []
    if isinstance(model, Mesh):
        if motions:
            raise UsageError("a motion, but no skeleton", "motions", "give a figure")
        roots.append(added(document, "nodes", {"name": name, "mesh": _mesh(document, buffer, model, name, None)}))
    else:
        figures = [model] if isinstance(model, Figure) else list(model)
        skeleton = _common(figures, motions or {})
        skin = _skin(document, buffer, skeleton)
        roots.append(0)
        for number, figure in enumerate(figures):
            label = name if number == 0 else f"{name}_{number}"
            mesh = _mesh(document, buffer, figure.mesh, label, figure)
            roots.append(added(document, "nodes", {"name": label, "mesh": mesh, "skin": skin}))
        for title, motion in (motions or {}).items():
            _animation(document, buffer, motion, title)
    document["scenes"] = [{"name": name, "nodes": roots}]
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.file())


def _common(figures: Sequence[Figure], motions: Mapping[str, Motion]) -> Skeleton:
    if not figures:
        raise UsageError("no figure", "write_glb", "give at least one")
    skeleton = figures[0].skeleton
    others = [figure.skeleton for figure in figures[1:]] + [motion.skeleton for motion in motions.values()]
    for other in others:
        same = other.names == skeleton.names and np.array_equal(other.parents, skeleton.parents)
        if not (same and np.array_equal(other.rest, skeleton.rest)):
            raise UsageError("figures and motions of different skeletons", "write_glb", "retarget the motion first")
    return skeleton


def _skin(document: Json, buffer: Buffer, skeleton: Skeleton) -> int:
    """The joints as nodes 0, 1, ... and the skin."""
    local = skeleton.local
    turns = _xyzw(from_matrix(local[:, :3, :3].astype(np.float64)))
    for joint, joint_name in enumerate(skeleton.names):
        node: Json = {"name": joint_name, "translation": local[joint, :3, 3].tolist()}
        if abs(turns[joint, 3]) < 1:
            node["rotation"] = turns[joint].tolist()
        children = np.flatnonzero(skeleton.parents == joint).tolist()
        if children:
            node["children"] = children
        added(document, "nodes", node)
    inverse = np.linalg.inv(skeleton.rest.astype(np.float64)).astype(np.float32)
    inverse[:, 3] = 0, 0, 0, 1
    joints = list(range(len(skeleton)))
    entry: Json = {"joints": joints, "skeleton": 0, "inverseBindMatrices": buffer.accessor(inverse)}
    return added(document, "skins", entry)


def _mesh(document: Json, buffer: Buffer, mesh: Mesh, name: str, figure: Figure | None) -> int:
    if not (np.abs(mesh.vertices) < FAR).all():
        raise UsageError(f"a position farther than {FAR:g} m from the origin", "write_glb", "mend it")
    corners, faces, uvs = _corners(mesh)
    vertices, normals = mesh.vertices[corners], vertex_normals(mesh.vertices, mesh.faces)[corners]
    attributes: Json = {
        "POSITION": buffer.accessor(vertices, VERTICES, bounds=True),
        "NORMAL": buffer.accessor(normals, VERTICES),
    }
    if uvs is not None:
        attributes["TEXCOORD_0"] = buffer.accessor(uvs, VERTICES)
    if mesh.colors is not None and mesh.texture is None:
        opaque = np.full((len(corners), 4), 65535, np.uint16)  # 8 bits of linear light would lose the dark colours
        opaque[:, :3] = np.rint(65535 * linear_from_srgb(np.arange(256) / 255))[mesh.colors[corners]]
        attributes["COLOR_0"] = buffer.accessor(opaque, VERTICES, normalized=True)
    if figure is not None:
        joints, weights = _weights(figure)
        small = np.uint8 if len(figure.skeleton) <= 256 else np.uint16
        attributes["JOINTS_0"] = buffer.accessor(joints[corners].astype(small), VERTICES)
        attributes["WEIGHTS_0"] = buffer.accessor(weights[corners], VERTICES)
    kind = np.uint16 if len(corners) < 65535 else np.uint32
    primitive: Json = {
        "attributes": attributes,
        "indices": buffer.accessor(faces.reshape(-1).astype(kind), INDICES),
        "material": _material(document, buffer, mesh, name),
    }
    return added(document, "meshes", {"name": name, "primitives": [primitive]})


def _corners(
    mesh: Mesh,
) -> tuple[Int32[np.ndarray, " c"], Int32[np.ndarray, "f 3"], Float32[np.ndarray, "c 2"] | None]:
    """Vertices split where they have several texture coordinates: their numbers, the faces, the coordinates."""
    solid = (mesh.faces[:, 0] != mesh.faces[:, 1]) & (mesh.faces[:, 1] != mesh.faces[:, 2])
    solid &= mesh.faces[:, 2] != mesh.faces[:, 0]
    if not solid.any():
        raise UsageError("no face with three corners", "write_glb", "drop the mesh")
    if mesh.uvs is not None and not np.isfinite(mesh.uvs).all():
        raise UsageError("texture coordinates that are not finite", "write_glb", "mend them")
    if mesh.uvs is None or mesh.uv_faces is None:
        kept, faces = np.unique(mesh.faces[solid], return_inverse=True)
        return kept.astype(np.int32), faces.reshape(-1, 3).astype(np.int32), None
    pairs = mesh.faces[solid].astype(np.int64) * len(mesh.uvs) + mesh.uv_faces[solid]
    kept, faces = np.unique(pairs, return_inverse=True)
    corners, coordinates = np.divmod(kept, len(mesh.uvs))
    return corners.astype(np.int32), faces.reshape(-1, 3).astype(np.int32), mesh.uvs[coordinates]


def _weights(figure: Figure) -> tuple[Int32[np.ndarray, "v 4"], Float32[np.ndarray, "v 4"]]:
    """The four joints of most weight at each vertex; weights sum to 1 exactly, joints without weight are 0."""
    count, many = len(figure.mesh.vertices), min(JOINTS, len(figure.skeleton))
    joints, weights = np.zeros((count, JOINTS), np.int32), np.zeros((count, JOINTS), np.float32)
    for start in range(0, count, ROWS):
        rows = slice(start, start + ROWS)
        bound, shares = figure.skin_joints[rows], figure.skin_weights[rows]
        dense = np.zeros((len(bound), len(figure.skeleton)), np.float32)
        np.add.at(dense, (np.arange(len(bound))[:, None], bound), shares)
        order = np.argsort(-dense, axis=1, kind="stable")[:, :many].astype(np.int32)
        chosen = np.take_along_axis(dense, order, axis=1)
        chosen[chosen < 1e-6] = 0
        chosen /= chosen.sum(axis=1, keepdims=True)
        chosen[:, 0] = 1 - chosen[:, 1:].sum(axis=1)
        joints[rows, :many], weights[rows, :many] = np.where(chosen > 0, order, 0), chosen
    return joints, weights


def _material(document: Json, buffer: Buffer, mesh: Mesh, name: str) -> int:
    rough: Json = {"metallicFactor": 0, "roughnessFactor": 0.9}
    if mesh.texture is None or mesh.uvs is None:
        return added(document, "materials", {"name": name, "pbrMetallicRoughness": rough, "doubleSided": True})
    data = _png(mesh.texture)
    if data not in buffer.materials:  # clothes share the texture of the body
        image = added(document, "images", {"bufferView": buffer.view(data), "mimeType": "image/png", "name": name})
        if "samplers" not in document:
            added(document, "samplers", {"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497})
        rough["baseColorTexture"] = {"index": added(document, "textures", {"source": image, "sampler": 0})}
        entry: Json = {"name": name, "pbrMetallicRoughness": rough, "doubleSided": True}
        buffer.materials[data] = added(document, "materials", entry)
    return buffer.materials[data]


def _png(texture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(texture).save(data, "PNG", optimize=False, compress_level=6)
    return data.getvalue()


def _animation(document: Json, buffer: Buffer, motion: Motion, name: str) -> None:
    skeleton = motion.skeleton
    times = (np.arange(len(motion)) / motion.fps).astype(np.float32)
    if not (np.diff(times) > 0).all():
        raise UsageError(f"{len(motion)} frames at {motion.fps} a second", "write_glb", "glTF's clock is too coarse")
    clock = buffer.accessor(times, bounds=True)
    samplers: list[Json] = []
    channels: list[Json] = []

    def channel(joint: int, path: str, values: Float32[np.ndarray, "t c"]) -> None:
        samplers.append({"input": clock, "output": buffer.accessor(values), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": joint, "path": path}})

    rest = from_matrix(skeleton.local[:, :3, :3].astype(np.float64))
    for joint in range(len(skeleton)):
        turned = motion.rotations[:, joint].astype(np.float64)
        if np.abs(turned - [1, 0, 0, 0]).max() > STILL:
            channel(joint, "rotation", _xyzw(steady(multiply(rest[joint][None], turned))))
    channel(0, "translation", skeleton.local[0, :3, 3] + motion.root)
    added(document, "animations", {"name": name, "samplers": samplers, "channels": channels})


def _xyzw(quats: np.ndarray) -> Float32[np.ndarray, "n 4"]:
    """In glTF's order, of unit length in single precision."""
    ordered = quats[..., [1, 2, 3, 0]]
    return (ordered / np.linalg.norm(ordered, axis=-1, keepdims=True)).astype(np.float32)
