"""Motion maps: what a network is shown of a posed body, drawn from its visible surface.

MIMO (section 3.2) rasterises a learnable code per vertex, 6,890 of them for SMPL, to a feature image. Its release
draws fixed colours per vertex instead, and its ablation compares both with skeleton drawings (`skeleton2d`) and with
normal, depth and part maps. All of these are functions of the same `Fragments`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh, vertex_normals
from diorama.errors import UsageError
from diorama.geometry.raster import Fragments, interpolate

VertexTable = Float32[np.ndarray, "v c"]


class VertexCodes(torch.nn.Module):
    """A learnable code for each vertex of one topology (MIMO section 3.2).

    Attributes:
        codes: "v c", initialised from a normal distribution of deviation 0.02.
    """

    def __init__(self, num_vertices: int, channels: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        start = torch.randn(num_vertices, channels, generator=generator) * 0.02
        self.codes = torch.nn.Parameter(start)

    def forward(self, fragments: Fragments, faces: Int32[np.ndarray, "f 3"]) -> Float[torch.Tensor, "c h w"]:
        """The codes of the visible surface, 0 beside it; differentiable in the codes."""
        return feature_map(fragments, faces, self.codes)


def feature_map(
    fragments: Fragments, faces: Int32[np.ndarray, "f 3"], codes: Float[torch.Tensor, "v c"]
) -> Float[torch.Tensor, "c h w"]:
    """Vertex codes interpolated over the visible surface, 0 beside it; differentiable in `codes`."""
    return interpolate(fragments, faces, codes).permute(2, 0, 1)


def position_colors(mesh: Mesh) -> UInt8[np.ndarray, "v 3"]:
    """A colour for each vertex from its place in the rest pose, so that no two regions look alike.

    Each axis runs over the mesh's own box: left to right is red, feet to head green, back to front blue.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    share = (mesh.vertices - low) / np.maximum(high - low, 1e-6)
    return np.rint(share * 255).astype(np.uint8)


def mirrored_colors(mesh: Mesh, colors: UInt8[np.ndarray, "v 3"]) -> UInt8[np.ndarray, "v 3"]:
    """The colours for a picture flipped left to right: each vertex takes its mirror vertex's.

    The mirror vertex is the nearest one to the mirrored place in the rest pose; the plane is x = 0.
    """
    flipped = mesh.vertices * np.array([-1, 1, 1], np.float32)
    return colors[_nearest(flipped, mesh.vertices)]


def color_map(
    fragments: Fragments, faces: Int32[np.ndarray, "f 3"], colors: UInt8[np.ndarray, "v 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Vertex colours interpolated over the visible surface, black beside it (the MIMO release's motion map)."""
    if faces.max(initial=-1) >= len(colors):
        raise UsageError(f"{len(colors)} colours for faces up to vertex {faces.max()}", "colors", "give one a vertex")
    return np.rint(interpolate(fragments, faces, colors.astype(np.float32))).astype(np.uint8)


def normal_map(
    fragments: Fragments, vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"], camera: Cameras
) -> UInt8[np.ndarray, "h w 3"]:
    """Unit normals in camera axes (x right, y up, z to the viewer) as ``(n + 1) / 2``, black beside the surface."""
    turned = vertex_normals(vertices, faces) @ camera.viewmats[0, :3, :3].T.astype(np.float32)
    normals = interpolate(fragments, faces, np.ascontiguousarray(turned * np.array([1, -1, -1], np.float32)))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    unit = normals / np.maximum(length, 1e-6)
    return np.where(seen(fragments)[..., None], np.rint((unit + 1) * 127.5), 0).astype(np.uint8)


def depth_map(fragments: Fragments) -> UInt8[np.ndarray, "h w"]:
    """Inverse depth stretched over the surface: 255 nearest, 1 farthest, 0 beside it."""
    mask = seen(fragments)
    if not mask.any():
        return np.zeros(mask.shape, np.uint8)
    inverse = np.where(mask, 1 / np.where(mask, fragments.depth, 1), 0)
    near, far = inverse.max(), inverse[mask].min()
    share = (inverse - far) / max(near - far, 1e-9)
    return np.where(mask, np.rint(1 + 254 * share), 0).astype(np.uint8)


def part_map(fragments: Fragments, face_parts: Int32[np.ndarray, " f"]) -> Int32[np.ndarray, "h w"]:
    """The part of each pixel, -1 beside the surface."""
    return np.where(seen(fragments), face_parts[fragments.face_ids], -1).astype(np.int32)


def semantic_map(
    fragments: Fragments, face_parts: Int32[np.ndarray, " f"], palette: UInt8[np.ndarray, "k 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The part of each pixel as a colour of `palette`, black beside the surface."""
    parts = part_map(fragments, face_parts)
    return np.where(parts[..., None] >= 0, palette[parts], 0).astype(np.uint8)


def seen(fragments: Fragments) -> Bool[np.ndarray, "h w"]:
    """The pixels that show the surface."""
    return fragments.face_ids >= 0


def _nearest(points: Float32[np.ndarray, "n 3"], among: Float32[np.ndarray, "v 3"]) -> Int32[np.ndarray, " n"]:
    """The nearest vertex to each point, in blocks to bound the memory."""
    found = np.empty(len(points), np.int32)
    for start in range(0, len(points), 512):
        block = points[start : start + 512]
        found[start : start + 512] = ((block[:, None] - among[None]) ** 2).sum(-1).argmin(axis=1)
    return found
