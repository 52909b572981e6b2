"""A mesh bound to a skeleton that is given, joint by joint (users' own skeletons; sp4d.md 3.5)."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64, Int64

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.rigging.assemble import Rig
from diorama.rigging.lift import without_islands
from diorama.rigging.skin import SOFTNESS, harmonic_weights, strongest
from diorama.rigging.surface import Surface

WITHIN = 0.3
"""How far beyond a mesh's box a skeleton may reach, in its longest side."""
LOW = 0.3
"""Share of its longest span below which a skeleton's height says nothing of its size: snakes, or a row of joints."""


def bound(mesh: Mesh, skeleton: Skeleton, *, softness: float | int = SOFTNESS) -> Rig:
    """Each place belongs to the bone that is nearest; weights are harmonic between them. Joints stay as they are.

    Args:
        mesh: in the pose of the skeleton's rest, metres.
        skeleton: within the mesh; `laid_in` brings others there.
        softness: as `harmonic_weights`.

    Raises:
        UsageError: a skeleton of one joint, or one that lies beside the mesh or reaches far out of it.
    """
    if len(skeleton) < 2:
        raise UsageError("a skeleton of one joint", "--skeleton", "give one with bones")
    surface = Surface.of(mesh.vertices, mesh.faces)
    if not _within(skeleton.joints, *_box(mesh)):
        fix = "move one of them to the other, or give both in one pose"
        raise UsageError("the skeleton lies or reaches beside the mesh", "--skeleton", fix)
    labels = without_islands(surface, _nearest(surface.points, skeleton))
    used, own = np.unique(labels, return_inverse=True)
    weights = np.zeros((len(labels), len(skeleton)))
    weights[:, used] = harmonic_weights(surface, own.reshape(-1).astype(np.int64), len(used), softness=softness)
    joints, kept, lost = strongest(weights)
    at = surface.of_vertex
    numbers = np.arange(len(skeleton), dtype=np.int32)
    figure = Figure(skeleton, mesh, joints[at], kept[at], skeleton.names, numbers)
    return Rig(figure, labels[at], lost)


def laid_in(skeleton: Skeleton, mesh: Mesh) -> Skeleton:
    """A skeleton as it stands where it lies within the mesh's box; else scaled to its height and put on its feet.

    One that lies flat is scaled to the mesh's longest side instead.
    """
    low, high = _box(mesh)
    size, joints = high - low, skeleton.joints.astype(np.float64)
    spans = np.ptp(joints, axis=0)
    if _within(joints, low, high) and spans.max() > 0.4 * size.max():
        return skeleton
    whole, own = (size[1], spans[1]) if spans[1] > LOW * spans.max() else (size.max(), spans.max())
    scale = 0.94 * whole / max(float(own), 1e-12)  # joints end below the crown and above the soles
    moved = scale * (joints - (joints.min(axis=0) + joints.max(axis=0)) / 2) + (low + high) / 2
    rest = skeleton.rest.copy()
    rest[:, :3, 3] = moved
    return replace(skeleton, rest=rest)


def _box(mesh: Mesh) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """The lowest and the highest corner."""
    return mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)


def _within(joints: Float[np.ndarray, "j 3"], low: Float64[np.ndarray, "3"], high: Float64[np.ndarray, "3"]) -> bool:
    """Whether joints reach no farther out of a box than `WITHIN`."""
    slack = WITHIN * float((high - low).max())
    return bool((joints >= low - slack).all() and (joints <= high + slack).all())


def _nearest(points: Float64[np.ndarray, "n 3"], skeleton: Skeleton) -> Int64[np.ndarray, " n"]:
    """The joint whose bones (to its children; an end joint's own place) are nearest to each point."""
    joints = skeleton.joints.astype(np.float64)
    best, found = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    segments = [(int(p), j) for j, p in enumerate(skeleton.parents) if p >= 0]
    inner = {p for p, _ in segments}
    for owner, end in [*segments, *((j, j) for j in range(len(joints)) if j not in inner)]:
        start, along = joints[owner], joints[end] - joints[owner]
        share = np.clip((points - start) @ along / max(float(along @ along), 1e-12), 0, 1)
        far = np.linalg.norm(points - start - share[:, None] * along, axis=1)
        closer = far < best
        best[closer], found[closer] = far[closer], owner
    return found
