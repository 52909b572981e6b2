"""From bones to a figure: a skin that flows over all of them, or a solid for each."""

import numpy as np
from jaxtyping import Float32, Int32

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.theatre.menagerie.bones import Bone
from diorama.theatre.menagerie.coats import coat
from diorama.theatre.menagerie.solids import BLEND, blended_surface, distance, piece

CELLS = 60
"""Of the grid along a body's longest side."""
SHARPNESS = 4.0
"""Weights fall with this power of the distance from a bone."""
MOST = 4
"""Joints that move a vertex."""


def grown(rng: np.random.Generator, bones: tuple[Bone, ...], *, rigid: bool, blend: float = BLEND) -> Figure:
    """The figure of a creature, standing on y = 0, its longest side 1 metre.

    Args:
        rng: for the colours.
        bones: parents first.
        rigid: a solid for each bone instead of one skin.
        blend: how softly the skin flows, metres.
    """
    if rigid:
        vertices, faces, owners = _solids(bones)
        joints = np.zeros((len(vertices), MOST), np.int32)
        weights = np.zeros((len(vertices), MOST), np.float32)
        joints[:, 0], weights[:, 0] = owners, 1
    else:
        vertices, faces = blended_surface(bones, CELLS, blend)
        joints, weights = _skin(bones, vertices)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = 1 / float((high - low).max())
    origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    rest = np.tile(np.eye(4), (len(bones), 1, 1))
    rest[:, :3, 3] = (np.array([bone.head for bone in bones]) - origin) * scale
    parents = np.array([bone.parent for bone in bones], np.int32)
    skeleton = Skeleton(tuple(bone.name for bone in bones), parents, rest.astype(np.float32))
    placed = ((vertices - origin) * scale).astype(np.float32)
    mesh = Mesh(placed, faces, colors=coat(rng, placed))
    numbers = np.arange(len(bones), dtype=np.int32)
    return Figure(skeleton, mesh, joints, weights, skeleton.names, numbers)


def _solids(
    bones: tuple[Bone, ...],
) -> tuple[Float32[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"], Int32[np.ndarray, " v"]]:
    pieces, triangles, owners, count = [], [], [], 0
    for number, bone in enumerate(bones):
        vertices, faces = piece(bone)
        pieces.append(vertices)
        triangles.append(faces + count)
        owners.append(np.full(len(vertices), number, np.int32))
        count += len(vertices)
    return np.concatenate(pieces), np.concatenate(triangles).astype(np.int32), np.concatenate(owners)


def _skin(
    bones: tuple[Bone, ...], vertices: Float32[np.ndarray, "v 3"]
) -> tuple[Int32[np.ndarray, "v 4"], Float32[np.ndarray, "v 4"]]:
    """Each vertex follows its nearest bone and, where they are near too, that bone's parent and children."""
    gaps = np.stack([distance(bone, vertices.astype(np.float64)) for bone in bones], axis=1)
    gaps = np.maximum(gaps - gaps.min(axis=1, keepdims=True), 0) + 0.012
    nearest = gaps.argmin(axis=1)
    near = np.eye(len(bones), dtype=bool)
    for number, bone in enumerate(bones):
        if bone.parent >= 0:
            near[number, bone.parent] = near[bone.parent, number] = True
    raw = np.where(near[nearest], gaps**-SHARPNESS, 0)
    many = min(MOST, len(bones))
    order = np.argsort(-raw, axis=1, kind="stable")[:, :many]
    chosen = np.take_along_axis(raw, order, axis=1)
    chosen /= chosen.sum(axis=1, keepdims=True)
    joints, weights = np.zeros((len(vertices), MOST), np.int32), np.zeros((len(vertices), MOST), np.float32)
    joints[:, :many], weights[:, :many] = np.where(chosen > 0, order, 0), chosen
    return joints, weights
