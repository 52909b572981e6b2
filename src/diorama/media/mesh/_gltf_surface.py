"""The triangles of a glTF mesh, with colours and weights."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, UInt8

from diorama.core.mesh import Mesh
from diorama.media.mesh._gltf_arrays import as_floats, as_indices
from diorama.media.mesh._gltf_file import Document, Json
from diorama.media.mesh._gltf_material import read_albedo, to_srgb
from diorama.media.mesh._limits import FAR

_log = logging.getLogger(__name__)
GREY = 200
"""Where neither the file nor its textures give a colour, but another part of the same figure has one."""
TRIANGLES, STRIP, FAN = 4, 5, 6
OFF = 0.01
"""By how much weights may miss a sum of 1; more is an error, less is mended."""
STILL = 1e-5
"""A skin whose joints move the surface by less in the file's own pose leaves it as it is."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A primitive of a mesh, or several joined.

    Attributes:
        mesh: its triangles as stored.
        joints, weights: of its vertices, for a skin.
    """

    mesh: Mesh
    joints: Int32[np.ndarray, "v n"] | None = None
    weights: Float32[np.ndarray, "v n"] | None = None

    def posed(self, moves: Float64[np.ndarray, "j 4 4"]) -> Mesh:
        """The mesh after its joints moved it by the given matrices."""
        assert self.joints is not None
        assert self.weights is not None
        if np.abs(moves - np.eye(4)).max() < STILL:
            return self.mesh
        blended = np.zeros((len(self.weights), 3, 4))
        for k in range(self.weights.shape[1]):
            blended += self.weights[:, k, None, None] * moves[self.joints[:, k], :3]
        return replace(self.mesh, vertices=moved(self.mesh.vertices, blended))


def read_surfaces(document: Document, mesh: int) -> list[Surface]:
    """The primitives of a mesh that are triangles."""
    found = []
    for primitive in document.item("meshes", mesh)["primitives"]:
        document.spend("primitives", 1)
        if primitive.get("mode", TRIANGLES) not in (TRIANGLES, STRIP, FAN):
            _log.warning("%s: points or lines are left out", document.path)
        surface = _surface(document, primitive)
        if surface is not None:
            found.append(surface)
    return found


def joined(surfaces: list[Surface], world: Float64[np.ndarray, "4 4"]) -> Surface:
    """Surfaces as one, moved by a matrix; of several textures the colours at the vertices are kept."""
    sizes = [len(s.mesh.vertices) for s in surfaces]
    if np.abs(world - np.eye(4)).max() > 0:
        move = np.broadcast_to(world[:3], (1, 3, 4))
        flip = np.linalg.det(world[:3, :3]) < 0
        surfaces = [replace(s, mesh=_placed(s.mesh, move, flip=bool(flip))) for s in surfaces]
    if len(surfaces) == 1:
        return surfaces[0]
    starts = np.cumsum([0, *sizes[:-1]])
    faces = np.concatenate([s.mesh.faces + start for s, start in zip(surfaces, starts, strict=True)])
    vertices = np.concatenate([s.mesh.vertices for s in surfaces])
    mesh = _dressed(surfaces, vertices, faces.astype(np.int32))
    if any(s.joints is None or s.weights is None for s in surfaces):
        return Surface(mesh)
    wide = max(s.joints.shape[1] for s in surfaces if s.joints is not None)
    joints = np.concatenate([_widened(s.joints, wide) for s in surfaces if s.joints is not None])
    weights = np.concatenate([_widened(s.weights, wide) for s in surfaces if s.weights is not None])
    return Surface(mesh, joints, weights)


def _dressed(surfaces: list[Surface], vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"]) -> Mesh:
    """Joined triangles with the one texture that all have, or else with vertex colours."""
    first = surfaces[0].mesh.texture
    uvs = [s.mesh.uvs for s in surfaces if s.mesh.uvs is not None]
    if first is not None and len(uvs) == len(surfaces) and all(s.mesh.texture is first for s in surfaces):
        return Mesh(vertices, faces, np.concatenate(uvs), faces, texture=first)
    if all(s.mesh.colors is None and s.mesh.texture is None for s in surfaces):
        return Mesh(vertices, faces)
    return Mesh(vertices, faces, colors=np.concatenate([vertex_colors(s.mesh) for s in surfaces]))


def vertex_colors(mesh: Mesh) -> UInt8[np.ndarray, "v 3"]:
    """The colour at each vertex: of the texture, of the vertices, or light grey."""
    if mesh.texture is not None and mesh.uvs is not None:
        height, width = mesh.texture.shape[:2]
        x = np.floor(mesh.uvs[:, 0] % 1 * width).astype(int).clip(0, width - 1)
        y = np.floor(mesh.uvs[:, 1] % 1 * height).astype(int).clip(0, height - 1)
        return mesh.texture[y, x]
    return np.full((len(mesh.vertices), 3), GREY, np.uint8) if mesh.colors is None else mesh.colors


def read_triangles(
    document: Document, primitive: Json
) -> tuple[Float32[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"]] | None:
    """Positions, as stored and all of them, and triangles of a primitive; none where no triangle has three corners.

    What `read_surfaces` finds has just these vertices, in this order.
    """
    if primitive.get("mode", TRIANGLES) not in (TRIANGLES, STRIP, FAN):
        return None
    places = as_floats(document, primitive["attributes"]["POSITION"], (3,))
    document.spend("vertices", len(places))
    check_near(places)
    faces = _faces(document, primitive, len(places))
    return (places, faces) if len(faces) else None


def _surface(document: Document, primitive: Json) -> Surface | None:
    found = read_triangles(document, primitive)
    if found is None:
        return None
    attributes, (places, faces) = primitive["attributes"], found
    joints, weights = _binding(document, attributes, len(places))
    albedo = read_albedo(document, primitive)
    uvs = as_floats(document, attributes["TEXCOORD_0"], (2,)) if "TEXCOORD_0" in attributes else None
    if uvs is not None and len(uvs) != len(places):
        raise ValueError(f"{len(uvs)} texture coordinates for {len(places)} vertices")
    texture = None if uvs is None else albedo.texture
    colors = _colors(document, attributes, albedo.factor, len(places)) if texture is None else None
    mesh = Mesh(places, faces, uvs, None if uvs is None else faces, colors, texture)
    return Surface(mesh, joints, weights)


def _colors(
    document: Document, attributes: Json, factor: Float64[np.ndarray, "3"] | None, count: int
) -> UInt8[np.ndarray, "v 3"] | None:
    """Colours of the vertices times the material's; none where the file has neither."""
    if "COLOR_0" not in attributes and factor is None:
        return None
    light = np.ones((count, 3)) if factor is None else np.tile(factor, (count, 1))
    if "COLOR_0" in attributes:
        light = light * as_floats(document, attributes["COLOR_0"], (3, 4))[:, :3]
    return to_srgb(light)


def _faces(document: Document, primitive: Json, count: int) -> Int32[np.ndarray, "f 3"]:
    """Triangles, without those that use a vertex twice."""
    numbers = as_indices(document, primitive["indices"], 1)[:, 0] if "indices" in primitive else np.arange(count)
    if len(numbers) and numbers.max() >= count:
        raise ValueError(f"a face with vertex {numbers.max()} of {count}")
    mode = primitive.get("mode", TRIANGLES)
    if mode == TRIANGLES:
        faces = numbers[: len(numbers) // 3 * 3].reshape(-1, 3)
    elif mode == STRIP:
        faces = np.stack([numbers[:-2], numbers[1:-1], numbers[2:]], axis=1)
        faces[1::2] = faces[1::2, [1, 0, 2]]
    else:
        faces = np.stack([np.repeat(numbers[:1], max(len(numbers) - 2, 0)), numbers[1:-1], numbers[2:]], axis=1)
    solid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    if not solid.all():
        _log.info("%s: %d faces without area are left out", document.path, len(faces) - solid.sum())
    return faces[solid].astype(np.int32)


def _binding(
    document: Document, attributes: Json, count: int
) -> tuple[Int32[np.ndarray, "v n"] | None, Float32[np.ndarray, "v n"] | None]:
    """Joints and weights of all sets, most weighty first."""
    joints: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    while f"JOINTS_{len(joints)}" in attributes:
        number = len(joints)
        joints.append(as_indices(document, attributes[f"JOINTS_{number}"], 4))
        weights.append(as_floats(document, attributes[f"WEIGHTS_{number}"], (4,)))
        if len(joints[-1]) != count or len(weights[-1]) != count:
            raise ValueError(f"joints and weights of {len(joints[-1])} and {len(weights[-1])} for {count} vertices")
    if not joints:
        return None, None
    bound, shares = np.concatenate(joints, axis=1), np.concatenate(weights, axis=1)
    total = shares.sum(axis=1, dtype=np.float64)
    off = np.abs(total - 1)
    if not off.max() <= OFF:
        worst = int(off.argmax())
        raise ValueError(f"weights of vertex {worst} sum to {total[worst]:.4g}, expected 1")
    if shares.min() < 0:
        raise ValueError(f"a weight of {shares.min():.4g}")
    if bound.max() >= 1 << 16:
        raise ValueError(f"joint {bound.max()}")
    order = np.argsort(-shares, axis=1, kind="stable")
    shares = np.take_along_axis(shares / total[:, None], order, axis=1)
    bound = np.where(shares > 0, np.take_along_axis(bound, order, axis=1), 0)
    return bound.astype(np.int32), shares.astype(np.float32)


def check_near(places: Float[np.ndarray, "*n 3"]) -> None:
    """Raise `ValueError` for positions that are not finite, or farther than `FAR`."""
    if not (np.abs(places) < FAR).all():
        raise ValueError(f"a position that is not finite, or farther than {FAR:g} m")


def _placed(mesh: Mesh, move: Float64[np.ndarray, "1 3 4"], *, flip: bool) -> Mesh:
    faces = np.ascontiguousarray(mesh.faces[:, ::-1]) if flip else mesh.faces
    uv_faces = None if mesh.uvs is None else faces
    return replace(mesh, vertices=moved(mesh.vertices, move), faces=faces, uv_faces=uv_faces)


def moved(vertices: Float32[np.ndarray, "v 3"], moves: Float64[np.ndarray, "n 3 4"]) -> Float32[np.ndarray, "v 3"]:
    """Positions after a matrix each, or one for all; refused like those of `check_near`."""
    found = (moves[..., :3] @ vertices[:, :, None])[..., 0] + moves[..., 3]
    check_near(found)
    return found.astype(np.float32)


def _widened(array: np.ndarray, width: int) -> np.ndarray:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))
