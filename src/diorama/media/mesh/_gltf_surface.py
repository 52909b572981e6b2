"""The triangles of a glTF mesh, with colours and weights."""

import io
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8
from PIL import Image

from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, LimitError
from diorama.media.mesh._gltf_arrays import as_floats, read_accessor
from diorama.media.mesh._gltf_file import Document, Json

MOST_VERTICES = 5_000_000
MOST_TEXELS = 64_000_000
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
        return replace(self.mesh, vertices=_moved(self.mesh.vertices, blended))


def read_surfaces(document: Document, mesh: int) -> list[Surface]:
    """The primitives of a mesh that are triangles."""
    found = []
    for primitive in document.item("meshes", mesh)["primitives"]:
        if primitive.get("mode", TRIANGLES) in (TRIANGLES, STRIP, FAN):
            surface = _surface(document, primitive)
            if surface is not None:
                found.append(surface)
    return found


def joined(surfaces: list[Surface], world: Float64[np.ndarray, "4 4"]) -> Surface:
    """Surfaces as one, moved by a matrix; of several textures the colours at the vertices are kept."""
    sizes = [len(s.mesh.vertices) for s in surfaces]
    if sum(sizes) > MOST_VERTICES:
        raise LimitError(f"{sum(sizes)} vertices, the limit is {MOST_VERTICES}")
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
    return Mesh(vertices, faces, colors=np.concatenate([vertex_colors(s.mesh) for s in surfaces]))


def vertex_colors(mesh: Mesh) -> UInt8[np.ndarray, "v 3"]:
    """The colour at each vertex: of the texture, of the vertices, or light grey."""
    if mesh.texture is not None and mesh.uvs is not None:
        height, width = mesh.texture.shape[:2]
        x = np.floor(mesh.uvs[:, 0] % 1 * width).astype(int).clip(0, width - 1)
        y = np.floor(mesh.uvs[:, 1] % 1 * height).astype(int).clip(0, height - 1)
        return mesh.texture[y, x]
    return np.full((len(mesh.vertices), 3), 200, np.uint8) if mesh.colors is None else mesh.colors


def _surface(document: Document, primitive: Json) -> Surface | None:
    attributes = primitive["attributes"]
    places = as_floats(document, attributes["POSITION"])
    if places.shape[1] != 3 or len(places) > MOST_VERTICES:
        raise LimitError(f"{len(places)} vertices, the limit is {MOST_VERTICES}", document.path)
    faces = _faces(document, primitive, len(places))
    if not len(faces):
        return None
    uvs = as_floats(document, attributes["TEXCOORD_0"]) if "TEXCOORD_0" in attributes else None
    texture, factor = _material(document, primitive)
    if uvs is None or len(uvs) != len(places):
        uvs, texture = None, None
    colors = None
    if texture is None:
        tint = as_floats(document, attributes["COLOR_0"])[:, :3] if "COLOR_0" in attributes else np.ones((1, 3))
        shown = np.broadcast_to(tint * factor, (len(places), 3))
        colors = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    mesh = Mesh(places, faces, uvs, None if uvs is None else faces, colors, texture)
    joints, weights = _binding(document, attributes, len(places))
    return Surface(mesh, joints, weights)


def _faces(document: Document, primitive: Json, count: int) -> Int32[np.ndarray, "f 3"]:
    """Triangles, without those that use a vertex twice."""
    numbers = read_accessor(document, primitive["indices"])[:, 0] if "indices" in primitive else np.arange(count)
    numbers = numbers.astype(np.int64)
    if len(numbers) and numbers.max() >= count:
        raise ValueError(f"a face with vertex {numbers.max()} of {count}")
    mode = primitive.get("mode", TRIANGLES)
    if mode == TRIANGLES:
        faces = numbers[: len(numbers) // 3 * 3].reshape(-1, 3)
    elif mode == STRIP:
        faces = np.stack([numbers[:-2], numbers[1:-1], numbers[2:]], axis=1)
        faces[1::2] = faces[1::2, [1, 0, 2]]
    else:
        faces = np.stack([np.full(max(len(numbers) - 2, 0), numbers[0]), numbers[1:-1], numbers[2:]], axis=1)
    solid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return faces[solid].astype(np.int32)


def _binding(
    document: Document, attributes: Json, count: int
) -> tuple[Int32[np.ndarray, "v n"] | None, Float32[np.ndarray, "v n"] | None]:
    """Joints and weights of all sets."""
    joints: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    while f"JOINTS_{len(joints)}" in attributes:
        number = len(joints)
        joints.append(read_accessor(document, attributes[f"JOINTS_{number}"]).astype(np.int32))
        weights.append(as_floats(document, attributes[f"WEIGHTS_{number}"]))
        if joints[-1].shape != (count, 4) or weights[-1].shape != (count, 4):
            raise ValueError(f"joints and weights of {joints[-1].shape} and {weights[-1].shape} for {count} vertices")
    if not joints:
        return None, None
    bound, shares = np.concatenate(joints, axis=1), np.concatenate(weights, axis=1)
    total = shares.sum(axis=1, keepdims=True)
    off = np.abs(total - 1)
    if off.max() > OFF or shares.min() < 0:
        worst = int(off.argmax())
        raise ValueError(f"weights of vertex {worst} sum to {float(total[worst, 0]):.4g}, expected 1")
    return bound, (shares / total).astype(np.float32)


def _material(
    document: Document, primitive: Json
) -> tuple[UInt8[np.ndarray, "h w 3"] | None, Float64[np.ndarray, "3"]]:
    """The albedo texture times its factor, and the factor alone, both as sRGB shares; each is decoded once."""
    if "material" not in primitive:
        return None, np.ones(3)
    number = primitive["material"]
    if number not in document.textures:
        document.textures[number] = _albedo(document, document.item("materials", number))
    return document.textures[number]


def _albedo(document: Document, material: Json) -> tuple[UInt8[np.ndarray, "h w 3"] | None, Float64[np.ndarray, "3"]]:
    rough = material.get("pbrMetallicRoughness", {})
    factor = np.array(rough.get("baseColorFactor", (1, 1, 1, 1)), np.float64)[:3].clip(0, 1)
    if "baseColorTexture" not in rough or rough["baseColorTexture"].get("texCoord", 0) != 0:
        return None, factor ** (1 / 2.2)
    texture = document.item("textures", rough["baseColorTexture"]["index"])
    if "source" not in texture:
        return None, factor ** (1 / 2.2)
    picture = _decoded(document.image(texture["source"]), document)
    return np.rint(picture * factor ** (1 / 2.2)).astype(np.uint8), factor ** (1 / 2.2)


def _decoded(data: bytes, document: Document) -> UInt8[np.ndarray, "h w 3"]:
    """A PNG or JPEG picture; its size is read before its pixels."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_TEXELS:
                raise LimitError(f"a texture of {image.width}x{image.height} texels", document.path)
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedMediaError(f"a texture cannot be read: {error}", document.path) from error


def _placed(mesh: Mesh, move: Float64[np.ndarray, "1 3 4"], *, flip: bool) -> Mesh:
    faces = np.ascontiguousarray(mesh.faces[:, ::-1]) if flip else mesh.faces
    uv_faces = None if mesh.uvs is None else faces
    return replace(mesh, vertices=_moved(mesh.vertices, move), faces=faces, uv_faces=uv_faces)


def _moved(vertices: Float32[np.ndarray, "v 3"], moves: Float64[np.ndarray, "n 3 4"]) -> Float32[np.ndarray, "v 3"]:
    return ((moves[..., :3] @ vertices[:, :, None])[..., 0] + moves[..., 3]).astype(np.float32)


def _widened(array: np.ndarray, width: int) -> np.ndarray:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))
