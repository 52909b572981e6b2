"""Texels on the faces of a mesh, without an atlas: a small triangular lattice on each face, finer on larger faces.

A face with s steps along its edges has (s + 1)(s + 2) / 2 texels, at corners and edges too, where neighbours repeat
them: what a texel holds depends only on its place, so that no seam shows. It is Ptex (Burley and Lacewell 2008) for
triangles, and serves bodies without texture coordinates (SMPL) as well as the cast.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

from diorama.core.mesh import Mesh
from diorama.errors import LimitError, UsageError
from diorama.figures._texel_kernels import nearest_alike, sort_into_cells

SPACING = 0.004
"""Metres between texels; a person of 500 pixels shows about 3.5 mm a pixel."""
MOST_STEPS = 64
MOST_TEXELS = 8_000_000


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels of a mesh.

    Attributes:
        starts: the number of the first texel of each face, and at the end how many there are.
        steps: along each face's edges, 1 or more.
        faces: the face of each texel.
        weights: its barycentrics, in the order of the face's corners.
    """

    starts: Int64[np.ndarray, " f1"]
    steps: Int32[np.ndarray, " f"]
    faces: Int32[np.ndarray, " n"]
    weights: Float32[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.faces)

    def areas(self, mesh: Mesh) -> Float32[np.ndarray, " n"]:
        """The share of the surface that each texel stands for, square metres: small faces have more texels for it."""
        a, b = mesh.vertices[mesh.faces[:, 1:]].transpose(1, 0, 2) - mesh.vertices[mesh.faces[:, 0]]
        area = np.linalg.norm(np.cross(a, b), axis=1) / 2 / np.diff(self.starts)
        return area[self.faces].astype(np.float32)


def texels_of(mesh: Mesh, spacing: float | int = SPACING) -> Texels:
    """Texels at most `spacing` metres apart along the longest edge of each face.

    Raises:
        UsageError: a spacing that is not above 0.
        LimitError: more than `MOST_TEXELS`.
    """
    if not (np.isfinite(spacing) and spacing > 0):
        raise UsageError(f"texels {spacing} metres apart", "spacing", "give metres above 0, 0.004 for instance")
    corners = mesh.vertices[mesh.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(axis=1)
    steps = np.clip(np.ceil(longest / spacing), 1, MOST_STEPS).astype(np.int32)
    counts = (steps.astype(np.int64) + 1) * (steps + 2) // 2
    if counts.sum() > MOST_TEXELS:
        raise LimitError(f"{counts.sum()} texels, at most {MOST_TEXELS}", "spacing", "set them further apart")
    starts = np.concatenate([[0], np.cumsum(counts)])
    faces = np.repeat(np.arange(len(steps), dtype=np.int32), counts)
    weights = np.empty((int(starts[-1]), 3), np.float32)
    for step in np.unique(steps):
        chosen = np.flatnonzero(steps == step)
        weights[starts[chosen][:, None] + np.arange(counts[chosen[0]])] = _lattice(int(step))
    return Texels(starts.astype(np.int64), steps, faces, weights)


def at_texels(
    texels: Texels, faces: Int32[np.ndarray, "f 3"], values: Float32[np.ndarray, "v c"]
) -> Float32[np.ndarray, "n c"]:
    """Vertex attributes at the texels of `faces`."""
    corners = faces[texels.faces]
    out = values[corners[:, 0]] * texels.weights[:, :1]
    for k in (1, 2):
        out += values[corners[:, k]] * texels.weights[:, k : k + 1]
    return out


def to_vertices(
    texels: Texels,
    faces: Int32[np.ndarray, "f 3"],
    values: Float32[np.ndarray, "n c"],
    weight: Float32[np.ndarray, " n"],
    *,
    count: int,
) -> tuple[Float32[np.ndarray, "v c"], Float32[np.ndarray, " v"]]:
    """What the texels around each of `count` vertices say of it: means, nearer texels more, and their mean weight."""
    corners = faces[texels.faces]
    share = texels.weights * weight[:, None]
    total, whole = np.zeros(count), np.zeros(count)
    sums = np.zeros((count, values.shape[1]))
    for k in range(3):
        total += np.bincount(corners[:, k], share[:, k], count)
        whole += np.bincount(corners[:, k], texels.weights[:, k], count)
        for c in range(values.shape[1]):
            sums[:, c] += np.bincount(corners[:, k], share[:, k] * values[:, c], count)
    means = sums / np.maximum(total, 1e-12)[:, None]
    return means.astype(np.float32), (total / np.maximum(whole, 1e-12)).astype(np.float32)


def nearest_texels(
    places: Float32[np.ndarray, "n 3"],
    normals: Float32[np.ndarray, "n 3"],
    asked: Float32[np.ndarray, "m 3"],
    facing: Float32[np.ndarray, "m 3"],
    *,
    reach: float = 0.01,
) -> Int64[np.ndarray, " m"]:
    """The nearest of some places to each place asked for, metres, among those that face about the same way.

    Returns:
        Its number; -1 where there is none within `reach` with a normal within 60 degrees.
    """
    if not len(places):
        return np.full(len(asked), -1, np.int64)
    low = places.min(axis=0)
    sides = np.maximum(((places.max(axis=0) - low) / reach).astype(np.int64) + 1, 1)
    first, order = sort_into_cells(places, low, np.float32(reach), sides)
    found = np.empty(len(asked), np.int64)
    nearest_alike(places, normals, asked, facing, (low, np.float32(reach), sides, first, order), found)
    return found


def _lattice(step: int) -> Float32[np.ndarray, "k 3"]:
    """Barycentrics of a face's texels, row by row along its second corner."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(step + 1), np.arange(step + 1), indexing="ij"))
    inside = i + j <= step
    i, j = i[inside], j[inside]
    return (np.stack([step - i - j, i, j], axis=1) / step).astype(np.float32)
