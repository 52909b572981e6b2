"""Parts of pictures onto a surface: every pixel votes for the surface that it shows (SP4D, our section 3.3)."""

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int32, Int64

from diorama.core.camera import Cameras
from diorama.core.extras import need
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.geometry.raster import rasterize
from diorama.rigging.eyes import near_of
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
    for number, picture in enumerate(labels):
        pixels, corners, weights = sightings(vertices, faces, cameras[number : number + 1])
        said = picture[pixels].astype(np.int64)
        flat = (corners * count + said[:, None])[said >= 0]
        found += np.bincount(flat.ravel(), weights[said >= 0].ravel(), found.size).reshape(found.shape)
    return found


def sightings(
    vertices: Float32[np.ndarray, "v 3"], faces: Int32[np.ndarray, "f 3"], camera: Cameras
) -> tuple[
    tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]], Int64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]
]:
    """What one camera sees of a surface: the pixels (rows, columns), the corners of the face that each shows, and what
    it counts for them, which is little where the surface turns away.
    """
    towards = camera.centers[0].astype(np.float64) - vertices
    normals = vertex_normals(vertices, faces).astype(np.float64)
    facing = (normals * towards).sum(axis=1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
    seen = rasterize(vertices, faces, camera, near=near_of(vertices, camera))
    rows, columns = np.nonzero(seen.face_ids >= 0)
    pixels = rows.astype(np.int64), columns.astype(np.int64)
    corners = faces[seen.face_ids[pixels]].astype(np.int64)
    return pixels, corners, seen.barycentrics[pixels].astype(np.float64) * np.clip(facing, 0.05, 1)[corners] ** 2


def lifted(surface: Surface, given: Float64[np.ndarray, "v k"]) -> Labels:
    """The part of each place of a surface, where it is seen by its votes, elsewhere by those around it.

    Args:
        surface: of the mesh.
        given: votes of the mesh's vertices.

    Raises:
        UsageError: nobody voted.
    """
    said = np.zeros((len(surface.points), given.shape[1]))
    np.add.at(said, surface.of_vertex, given)
    total = said.sum(axis=1)
    if not (total > 0).any():
        raise UsageError("no part is seen on the surface", "lifted", "check that cameras and part maps fit the mesh")
    return without_islands(surface, spread(surface, said, total).argmax(axis=1).astype(np.int64))


def spread(
    surface: Surface, said: Float64[np.ndarray, "n k"], total: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "n k"]:
    """Means that were said of places (sums, and what they count), carried on to places of which little was said."""
    sparse, linalg = need("scipy.sparse"), need("scipy.sparse.linalg")
    stiffness, mass = surface.laplacian
    trust = np.minimum(total / SURE, 1.0)
    area = mass.diagonal()
    system = sparse.diags(area * (trust + 1e-6)) + SPREAD * surface.size**2 * stiffness
    means = np.concatenate([said / np.maximum(total, 1e-12)[:, None], np.ones((len(said), 1))], axis=1)
    carried = np.asarray(linalg.splu(system.tocsc()).solve((area * trust)[:, None] * means))
    return carried[:, :-1] / np.maximum(carried[:, -1:], 1e-9)


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
