"""A mesh bound to a skeleton that is given, joint by joint (users' own skeletons; sp4d.md 3.5)."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.rigging.assemble import Rig
from diorama.rigging.lift import without_islands
from diorama.rigging.skin import SOFTNESS, harmonic_weights, strongest
from diorama.rigging.surface import Surface

WITHIN = 0.3
"""How far beyond a mesh's box a skeleton may reach, in its longest side."""
MOST_FACES = 300_000
"""Of a surface that joints are looked for in."""
BESIDE = 0.05
"""How far from a surface a joint is outside, in the mesh's longest side."""
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


def outside(skeleton: Skeleton, mesh: Mesh) -> float:
    """The share of the joints that are well outside the surface: hinges lie on it, or close beside it.

    Around these it does not close (winding number, arXiv 1401.2188), and it is farther than `BESIDE`. 0 for a surface
    of more than `MOST_FACES` faces, where looking would take long.
    """
    if len(mesh.faces) > MOST_FACES:
        return 0.0
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    near = BESIDE * float(np.ptp(mesh.vertices, axis=0).max())
    points = np.concatenate([corners.mean(axis=1), mesh.vertices])

    def out(joint: Float32[np.ndarray, "3"]) -> bool:
        far = np.linalg.norm(points - joint, axis=1).min() > near
        return bool(far) and abs(_winding(corners - joint)) < 0.5

    return float(np.mean([out(joint) for joint in skeleton.joints]))


def _winding(corners: Float64[np.ndarray, "f 3 3"]) -> float:
    """How often faces close around the origin (van Oosterom and Strackee 1983)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    la, lb, lc = (np.linalg.norm(each, axis=1) for each in (a, b, c))
    volume = np.einsum("fi,fi->f", a, np.cross(b, c))
    under = la * lb * lc
    for one, other, length in ((a, b, lc), (b, c, la), (c, a, lb)):
        under += np.einsum("fi,fi->f", one, other) * length
    return float(np.arctan2(volume, under).sum() / (2 * np.pi))


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
