"""A surface as a graph: sparse Laplacians, pieces, areas and distances along it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from diorama.core.extras import need
from diorama.errors import UsageError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LEAST = 1e-9
"""Squared sides of the box that a surface has at least, all its faces together."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with vertices at one place joined, so that seams of textures are none of the surface.

    Attributes:
        points: the places, "n 3".
        faces: indices of them; faces without three different corners are left out.
        of_vertex: the place of each vertex of the mesh.
    """

    points: Float64[np.ndarray, "n 3"]
    faces: Int64[np.ndarray, "f 3"]
    of_vertex: Int64[np.ndarray, " v"]

    @staticmethod
    def of(vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"]) -> "Surface":
        """The surface of a mesh; vertices within a millionth of its box are one.

        Raises:
            UsageError: all faces together have no area.
        """
        size = max(float(np.ptp(vertices, axis=0).max()), 1e-12)
        grid = np.rint(vertices.astype(np.float64) / (size * 1e-6)).astype(np.int64)
        _, first, place = np.unique(grid, axis=0, return_index=True, return_inverse=True)
        place = place.reshape(-1).astype(np.int64)
        joined = place[faces]
        a, b, c = joined.T
        whole = (a != b) & (b != c) & (c != a)
        surface = Surface(vertices[first].astype(np.float64), joined[whole], place)
        if not surface.areas.sum() > LEAST * size**2:
            raise UsageError(
                f"none of {len(faces)} faces has an area", "the mesh", "give a surface, not points or lines"
            )
        return surface

    @property
    def size(self) -> float:
        """The longest side of the box."""
        return float(np.ptp(self.points, axis=0).max())

    @cached_property
    def edges(self) -> Int64[np.ndarray, "e 2"]:
        """Each edge once, the lower place first."""
        pairs = np.sort(np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]), axis=1)
        return np.unique(pairs, axis=0)

    @cached_property
    def lengths(self) -> Float64[np.ndarray, " e"]:
        """Of the edges."""
        return np.linalg.norm(self.points[self.edges[:, 0]] - self.points[self.edges[:, 1]], axis=1)

    @cached_property
    def areas(self) -> Float64[np.ndarray, " n"]:
        """A third of the faces around each place."""
        a, b, c = (self.points[self.faces[:, i]] for i in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        return np.bincount(self.faces.ravel(), np.repeat(area, 3), len(self.points)).astype(np.float64)

    @cached_property
    def laplacian(self) -> "tuple[csr_matrix, csr_matrix]":
        """Stiffness (symmetric, off-diagonal at most 0) and lumped mass, of the intrinsic Delaunay triangulation.

        Such weights keep harmonic functions within their bounds on any triangles (Sharp and Crane, SGP 2020).
        """
        robust = need("robust_laplacian")
        return robust.mesh_laplacian(self.points, self.faces)

    def graph(self, kept: "np.ndarray | None" = None) -> "csr_matrix":
        """Lengths of the edges as a symmetric sparse matrix; of `kept` edges only, where given."""
        sparse = need("scipy.sparse")
        edges, lengths = (self.edges, self.lengths) if kept is None else (self.edges[kept], self.lengths[kept])
        count, both = len(self.points), np.concatenate([edges, edges[:, ::-1]])
        lengths = np.maximum(np.concatenate([lengths, lengths]), 1e-12)
        return sparse.csr_matrix((lengths, (both[:, 0], both[:, 1])), shape=(count, count))

    def means(self, labels: Int64[np.ndarray, " n"], count: int) -> Float64[np.ndarray, "k 3"]:
        """Where the surface of each of `count` labels lies in the mean; each has places."""
        weight = np.maximum(self.areas, 1e-15)
        total = np.bincount(labels, weight, count)
        sums = [np.bincount(labels, weight * self.points[:, axis], count) for axis in range(3)]
        return np.asarray(np.stack(sums, axis=1) / total[:, None], np.float64)

    def pieces(self, labels: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Numbers of connected places of the same label."""
        csgraph = need("scipy.sparse.csgraph")
        same = labels[self.edges[:, 0]] == labels[self.edges[:, 1]]
        return csgraph.connected_components(self.graph(same), directed=False)[1].astype(np.int64)
