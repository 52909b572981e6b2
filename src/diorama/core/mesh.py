"""Triangle meshes as values: vertices, faces, texture coordinates, colours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from diorama.core._normals import unit_normals
from diorama.errors import UsageError


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in metres; right-handed, Y up, a figure looks along +Z; faces counter-clockwise from outside.

    Attributes:
        vertices: positions, metres.
        faces: indices of vertices.
        uvs: texture coordinates in [0, 1], v downwards as in glTF; none for an untextured mesh.
        uv_faces: indices of `uvs` per face corner, as seams give a vertex several of them.
        colors: RGB per vertex, for meshes without a texture.
        texture: albedo picture, sRGB.

    Raises:
        UsageError: empty, not finite, an index out of range, or uvs without their faces.
    """

    vertices: Float32[np.ndarray, "v 3"]
    faces: Int32[np.ndarray, "f 3"]
    uvs: Float32[np.ndarray, "u 2"] | None = None
    uv_faces: Int32[np.ndarray, "f 3"] | None = None
    colors: UInt8[np.ndarray, "v 3"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None

    def __post_init__(self) -> None:
        if not len(self.vertices) or not len(self.faces):
            raise UsageError(f"a mesh of {len(self.vertices)} vertices and {len(self.faces)} faces", "Mesh")
        if not np.isfinite(self.vertices).all():
            bad = int(np.flatnonzero(~np.isfinite(self.vertices).all(axis=1))[0])
            raise UsageError("a position is not finite", f"vertices[{bad}]", "mend or drop the vertex")
        _check_indices(self.faces, len(self.vertices), "faces")
        if (self.uvs is None) != (self.uv_faces is None):
            raise UsageError("uvs and uv_faces come together", "Mesh")
        if self.uvs is not None and self.uv_faces is not None:
            if len(self.uv_faces) != len(self.faces):
                raise UsageError(f"{len(self.uv_faces)} uv_faces for {len(self.faces)} faces", "Mesh")
            _check_indices(self.uv_faces, len(self.uvs), "uv_faces")
        if self.colors is not None and len(self.colors) != len(self.vertices):
            raise UsageError(f"{len(self.colors)} colors for {len(self.vertices)} vertices", "Mesh")


def _check_indices(faces: Int32[np.ndarray, "f 3"], count: int, where: str) -> None:
    outside = (faces < 0) | (faces >= count)
    if outside.any():
        face = int(np.flatnonzero(outside.any(axis=1))[0])
        raise UsageError(f"index {faces[face].tolist()} beyond {count} vertices", f"{where}[{face}]")


def vertex_normals(vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"]) -> Float32[np.ndarray, "v 3"]:
    """Unit normals, the mean of the faces around each vertex weighted by area; +Y where a vertex has no area."""
    normals = np.empty_like(vertices)
    unit_normals(vertices, faces, normals)
    return normals
