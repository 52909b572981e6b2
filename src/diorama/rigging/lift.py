"""Parts of pictures onto a surface: every pixel votes for the surface that it shows (SP4D, our section 3.3)."""

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int32, Int64

from diorama.core.camera import Cameras
from diorama.core.extras import need
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.geometry.raster import rasterize
from diorama.rigging.surface import Surface

SURE = 4.0
"""Votes from which on a place is told by its own alone."""
SPREAD = 2e-4
"""How far votes are carried: the time of heat flow, in squared sides of the box."""
LEAST = 0.15
"""Share of the largest piece of a part below which another piece of it is another part's."""

Labels = Int64[np.ndarray, " n"]


def votes(
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    labels: Int16[np.ndarray, "v2 h w"],
    cameras: Cameras,
    count: int,
) -> Float64[np.ndarray, "v k"]:
    """What the pixels of some views say: for each vertex and part the sum of what they show of it.

    Args:
        vertices, faces: the surface as the views show it.
        labels: parts of the pixels, -1 for none.
        cameras: of the views.
        count: how many parts there are.

    Pixels count as far as the surface looks at the camera: those at a rim may show what is behind.

    Raises:
        UsageError: maps without their cameras, or a part beyond `count`.
    """
    if len(labels) != len(cameras) or labels.max(initial=-1) >= count:
        given = f"{len(labels)} part maps up to part {labels.max(initial=-1)}, {len(cameras)} cameras, {count} parts"
        raise UsageError(given, "votes", "give a camera for each map, and all parts")
    found = np.zeros((len(vertices), count))
    normals = vertex_normals(vertices, faces).astype(np.float64)
    for number, picture in enumerate(labels):
        camera = cameras[number : number + 1]
        seen = rasterize(vertices, faces, camera)
        shown = (seen.face_ids >= 0) & (picture >= 0)
        if not shown.any():
            continue
        corners, shares = faces[seen.face_ids[shown]], seen.barycentrics[shown].astype(np.float64)
        towards = camera.centers[0].astype(np.float64) - vertices
        facing = (normals * towards).sum(axis=1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
        weights = shares * np.clip(facing, 0.05, 1)[corners] ** 2
        flat = corners * count + picture[shown][:, None].astype(np.int64)
        found += np.bincount(flat.ravel(), weights.ravel(), found.size).reshape(found.shape)
    return found


def lifted(surface: Surface, given: Float64[np.ndarray, "v k"]) -> Labels:
    """The part of each place of a surface, where it is seen by its votes, elsewhere by those around it.

    Args:
        surface: of the mesh.
        given: votes of the mesh's vertices.

    Raises:
        UsageError: nobody voted.
    """
    sparse, linalg = need("scipy.sparse"), need("scipy.sparse.linalg")
    said = np.zeros((len(surface.points), given.shape[1]))
    np.add.at(said, surface.of_vertex, given)
    total = said.sum(axis=1)
    if not (total > 0).any():
        raise UsageError("no part is seen on the surface", "lifted", "check that cameras and part maps fit the mesh")
    stiffness, mass = surface.laplacian
    trust = np.minimum(total / SURE, 1.0)
    area = mass.diagonal()
    system = sparse.diags(area * (trust + 1e-6)) + SPREAD * surface.size**2 * stiffness
    wanted = (area * trust / np.maximum(total, 1e-12))[:, None] * said
    shares = linalg.splu(system.tocsc()).solve(wanted)
    return without_islands(surface, shares.argmax(axis=1).astype(np.int64))


def without_islands(surface: Surface, labels: Labels) -> Labels:
    """Small pieces of a part handed to the part that they border on most."""
    labels = labels.copy()
    for _ in range(3):
        pieces = surface.pieces(labels)
        areas = np.bincount(pieces, surface.areas)
        owner = np.zeros(len(areas), np.int64)
        owner[pieces] = labels
        largest = np.zeros(int(labels.max()) + 1)
        np.maximum.at(largest, owner, areas)
        small = areas < LEAST * largest[owner]
        if not small.any():
            break
        left, right = pieces[surface.edges].T
        border = left != right
        changed = False
        for piece in np.flatnonzero(small):
            ours = border & ((left == piece) | (right == piece))
            other = np.where(left[ours] == piece, right[ours], left[ours])
            if len(other):
                contact = np.bincount(owner[other], surface.lengths[ours])
                labels[pieces == piece] = int(contact.argmax())
                changed = True
        if not changed:
            break
    return labels
