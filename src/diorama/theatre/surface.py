"""What the theatre draws: meshes put together into one surface with many textures, moving or still."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from diorama.core.mesh import Mesh
from diorama.errors import UsageError

Role = Literal["scene", "actor", "occluder", "object"]

MIPMAPS = 6
"""Levels of a texture, each of half the size of the one before (Williams 1983), where it is large enough."""
PLAIN = -1
"""In place of a texture: vertex colours."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with textures, ready for the renderer.

    Attributes:
        positions: of one frame for what stands still, or of every frame; metres in the world.
        faces: indices of positions.
        uvs, uv_faces: texture coordinates (repeated beyond [0, 1]) and their indices.
        face_textures: the row of `sizes` of each face's texture, or `PLAIN`.
        sizes: of each level of each texture the index of its first texel, its height and width, and the levels left.
        texels: the texels of all textures.
        densities: texels a metre of each face.
        colors: RGB per vertex.
        face_parts: the part of each face.
    """

    positions: Float32[np.ndarray, "t v 3"]
    faces: Int32[np.ndarray, "f 3"]
    uvs: Float32[np.ndarray, "u 2"]
    uv_faces: Int32[np.ndarray, "f 3"]
    face_textures: Int32[np.ndarray, " f"]
    sizes: Int32[np.ndarray, "k 4"]
    texels: UInt8[np.ndarray, "n 3"]
    densities: Float32[np.ndarray, " f"]
    colors: UInt8[np.ndarray, "v 3"]
    face_parts: Int32[np.ndarray, " f"]

    def at(self, frame: int) -> Float32[np.ndarray, "v 3"]:
        """Its positions in one frame."""
        return self.positions[frame if len(self.positions) > 1 else 0]

    @property
    def skin(self) -> tuple[np.ndarray, ...]:
        """What the shading kernel needs to know of the albedo."""
        return (
            *(self.faces, self.uvs, self.uv_faces, self.face_textures),
            *(self.sizes, self.texels, self.colors, self.densities),
        )

    @property
    def still(self) -> bool:
        """Whether it never moves."""
        return len(self.positions) == 1


def put_together(
    meshes: Sequence[Mesh],
    positions: Sequence[Float32[np.ndarray, "_ _ 3"]] | None = None,
    face_parts: Sequence[Int32[np.ndarray, " _"]] | None = None,
) -> Surface:
    """Several meshes as one surface.

    Args:
        meshes: at least one, with texture, colours, or neither (light grey).
        positions: of each mesh over time; where they differ in length the still ones are repeated. The meshes' own
            vertices by default.
        face_parts: of each mesh; the mesh's number by default.

    Raises:
        UsageError: no mesh, or moving ones of different lengths.
    """
    if not meshes:
        raise UsageError("nothing to put together", "put_together", "give at least one mesh")
    moving = [mesh.vertices[None] for mesh in meshes] if positions is None else list(positions)
    frames = max(map(len, moving))
    if any(len(places) not in (1, frames) for places in moving):
        raise UsageError(f"positions of {sorted(set(map(len, moving)))} frames", "put_together", "give one clip")
    whole = [np.broadcast_to(places, (frames, *places.shape[1:])) for places in moving]
    vertices, corners = _offsets(len(m.vertices) for m in meshes), _offsets(_uv_count(m) for m in meshes)
    levels = [_mipmaps(mesh.texture) for mesh in meshes if mesh.texture is not None]
    parts = face_parts or [np.full(len(mesh.faces), i, np.int32) for i, mesh in enumerate(meshes)]
    return Surface(
        np.ascontiguousarray(np.concatenate(whole, axis=1)),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, vertices, strict=True)]).astype(np.int32),
        np.concatenate([_uvs(mesh) for mesh in meshes]),
        np.concatenate([_uv_faces(mesh) + start for mesh, start in zip(meshes, corners, strict=True)]).astype(np.int32),
        _numbered(meshes, [len(level) for level in levels]),
        _sizes(levels),
        np.concatenate([t.reshape(-1, 3) for level in levels for t in level] or [np.zeros((1, 3), np.uint8)]),
        np.concatenate([_densities(mesh) for mesh in meshes]),
        np.concatenate([_colors(mesh) for mesh in meshes]),
        np.concatenate(list(parts)).astype(np.int32),
    )


def _offsets(counts: Iterable[int]) -> list[int]:
    ends = np.cumsum([0, *counts])
    return ends[:-1].tolist()


def _uv_count(mesh: Mesh) -> int:
    return 1 if mesh.uvs is None else len(mesh.uvs)


def _uvs(mesh: Mesh) -> Float32[np.ndarray, "u 2"]:
    return np.zeros((1, 2), np.float32) if mesh.uvs is None else mesh.uvs


def _uv_faces(mesh: Mesh) -> Int32[np.ndarray, "f 3"]:
    return np.zeros_like(mesh.faces) if mesh.uv_faces is None else mesh.uv_faces


def _colors(mesh: Mesh) -> UInt8[np.ndarray, "v 3"]:
    return np.full((len(mesh.vertices), 3), 200, np.uint8) if mesh.colors is None else mesh.colors


def _numbered(meshes: Sequence[Mesh], levels: Sequence[int]) -> Int32[np.ndarray, " f"]:
    """The first level of each face's texture."""
    starts, found = iter(_offsets(levels)), []
    for mesh in meshes:
        first = PLAIN if mesh.texture is None else next(starts)
        found.append(np.full(len(mesh.faces), PLAIN if mesh.uvs is None else first, np.int32))
    return np.concatenate(found)


def _sizes(textures: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]]) -> Int32[np.ndarray, "k 4"]:
    flat = [(level, len(levels) - 1 - i) for levels in textures for i, level in enumerate(levels)]
    starts = _offsets(level.shape[0] * level.shape[1] for level, _ in flat)
    rows = [(start, *level.shape[:2], left) for start, (level, left) in zip(starts, flat, strict=True)]
    return np.array(rows or [(0, 1, 1, 0)], np.int32)


def _mipmaps(texture: UInt8[np.ndarray, "h w 3"]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The texture and its halves, while both sides are even and not tiny."""
    levels = [texture]
    while len(levels) < MIPMAPS and min(levels[-1].shape[:2]) >= 8 and not any(n % 2 for n in levels[-1].shape[:2]):
        last = levels[-1].astype(np.uint16)
        total = last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]
        levels.append(((total + 2) // 4).astype(np.uint8))
    return levels


def _densities(mesh: Mesh) -> Float32[np.ndarray, " f"]:
    """Texels a metre: the root of how many texels a face has for its area."""
    if mesh.texture is None or mesh.uvs is None or mesh.uv_faces is None:
        return np.zeros(len(mesh.faces), np.float32)
    a, b = mesh.vertices[mesh.faces[:, 1:]].transpose(1, 0, 2) - mesh.vertices[mesh.faces[:, 0]]
    u, v = mesh.uvs[mesh.uv_faces[:, 1:]].transpose(1, 0, 2) - mesh.uvs[mesh.uv_faces[:, 0]]
    texels = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * (mesh.texture.shape[0] * mesh.texture.shape[1])
    area = np.linalg.norm(np.cross(a, b), axis=1)
    return np.sqrt(texels / np.maximum(area, 1e-12)).astype(np.float32)
