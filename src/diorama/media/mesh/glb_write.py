"""Figures, meshes and motions to glTF 2.0 binary files (GLB); the same bytes for the same values."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh, vertex_normals
from diorama.errors import UsageError
from diorama.media.anaglyph import linear_from_srgb
from diorama.media.atomic import atomic_path
from diorama.media.mesh._glb_bytes import INDICES, VERTICES, Buffer, Json, added
from diorama.media.mesh._gltf_rig import add_animation, add_joints, common_skeleton, joint_numbers, strongest_joints
from diorama.media.mesh._limits import FAR

LINEAR, MIPMAPS, REPEAT = 9729, 9987, 10497
"""How viewers read textures, in the numbers of glTF."""


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
        skeleton = common_skeleton(figures, motions or {}, "write_glb")
        skin = _skin(document, buffer, skeleton)
        roots.append(0)
        for number, figure in enumerate(figures):
            label = name if number == 0 else f"{name}_{number}"
            mesh = _mesh(document, buffer, figure.mesh, label, figure)
            roots.append(added(document, "nodes", {"name": label, "mesh": mesh, "skin": skin}))
        for title, motion in (motions or {}).items():
            add_animation(document, buffer, motion, title, range(len(skeleton)))
    document["scenes"] = [{"name": name, "nodes": roots}]
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.file())


def _skin(document: Json, buffer: Buffer, skeleton: Skeleton) -> int:
    """The joints as nodes 0, 1, ... and the skin."""
    inverse = np.linalg.inv(skeleton.rest.astype(np.float64)).astype(np.float32)
    inverse[:, 3] = 0, 0, 0, 1
    joints = add_joints(document, skeleton)
    entry: Json = {"joints": joints, "skeleton": joints[0], "inverseBindMatrices": buffer.accessor(inverse)}
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
        count = len(figure.skeleton)
        joints, weights = strongest_joints(figure.skin_joints, figure.skin_weights, count)
        attributes["JOINTS_0"] = buffer.accessor(joint_numbers(joints[corners], count), VERTICES)
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


def _material(document: Json, buffer: Buffer, mesh: Mesh, name: str) -> int:
    rough: Json = {"metallicFactor": 0, "roughnessFactor": 0.9}
    if mesh.texture is None or mesh.uvs is None:
        return added(document, "materials", {"name": name, "pbrMetallicRoughness": rough, "doubleSided": True})
    data = _png(mesh.texture)
    if data not in buffer.materials:  # clothes share the texture of the body
        image = added(document, "images", {"bufferView": buffer.view(data), "mimeType": "image/png", "name": name})
        # where each face has a place of its own (`figures.atlas`), smaller copies of the picture would mix neighbours
        smaller = LINEAR if len(mesh.uvs) == 3 * len(mesh.faces) else MIPMAPS
        entry: Json = {"magFilter": LINEAR, "minFilter": smaller, "wrapS": REPEAT, "wrapT": REPEAT}
        samplers: list[Json] = document.setdefault("samplers", [])
        if entry not in samplers:
            samplers.append(entry)
        texture = added(document, "textures", {"source": image, "sampler": samplers.index(entry)})
        rough["baseColorTexture"] = {"index": texture}
        material: Json = {"name": name, "pbrMetallicRoughness": rough, "doubleSided": True}
        buffer.materials[data] = added(document, "materials", material)
    return buffer.materials[data]


def _png(texture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(texture).save(data, "PNG", optimize=False, compress_level=6)
    return data.getvalue()
