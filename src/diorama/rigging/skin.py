"""Skin weights that are as smooth as they can be: harmonic between the cores of parts (SP4D section 3.3; ours 3.5).

The weight of a part is 1 in its core, 0 in the cores of others, and solves Laplace's equation in between. With the
weights of an intrinsic Delaunay triangulation such a solution stays within 0 and 1, and the weights of all parts sum
to 1 everywhere.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from diorama.core.extras import need
from diorama.errors import UsageError
from diorama.rigging.surface import Surface

SOFTNESS = 0.35
"""How far from its border a part's core begins, as a share of the part's own reach."""
MOST = 4
"""Joints that move a vertex, as engines expect."""


def harmonic_weights(
    surface: Surface, labels: Int64[np.ndarray, " n"], count: int, *, softness: float | int = SOFTNESS
) -> Float64[np.ndarray, "n k"]:
    """How much each part moves each place of a surface.

    Args:
        surface: of the mesh.
        labels: parts of its places.
        count: how many parts there are.
        softness: 0 (parts are rigid up to their borders) to 0.9 (they bend nearly everywhere).

    Returns:
        Weights in 0..1 that sum to 1.

    Raises:
        UsageError: `softness` out of range.
    """
    if not 0 <= softness <= 0.9:
        raise UsageError(f"softness {softness}", "softness", "give 0 (rigid) to 0.9")
    linalg = need("scipy.sparse.linalg")
    weights = np.zeros((len(labels), count))
    weights[np.arange(len(labels)), labels] = 1
    free = np.flatnonzero(~_cores(surface, labels, count, float(softness)))
    if not len(free):
        return weights
    stiffness = surface.laplacian[0].tocsr()
    held = np.setdiff1d(np.arange(len(labels)), free)
    system = stiffness[free][:, free].tocsc()
    solved = linalg.splu(system).solve(-(stiffness[free][:, held] @ weights[held]))
    weights[free] = np.clip(solved, 0, 1)  # beyond by rounding only
    return weights


def _cores(surface: Surface, labels: Int64[np.ndarray, " n"], count: int, softness: float) -> Bool[np.ndarray, " n"]:
    """Places that only their own part moves; each connected piece of a part has some, so that there is one solution."""
    left, right = surface.edges.T
    cross = labels[left] != labels[right]
    border = np.zeros(len(labels), bool)
    border[surface.edges[cross].ravel()] = True
    if softness == 0 or not border.any():
        return np.ones(len(labels), bool)
    far = np.full(len(labels), np.inf)
    far[border] = 0
    same = surface.graph(~cross)
    csgraph = need("scipy.sparse.csgraph")
    far = np.asarray(csgraph.dijkstra(same, directed=False, indices=np.flatnonzero(border), min_only=True))
    core = np.isinf(far)  # pieces without border: they move as one
    pieces = surface.pieces(labels)
    for part in range(count):
        own = (labels == part) & np.isfinite(far)
        if own.any():
            core |= own & (far > softness * np.percentile(far[own], 95))
    deepest = np.full(pieces.max() + 1, -1.0)
    np.maximum.at(deepest, pieces, np.where(np.isinf(far), 0, far))
    return core | ((far >= deepest[pieces]) & (deepest[pieces] >= 0))


def strongest(
    weights: Float64[np.ndarray, "n k"], *, most: int = MOST
) -> tuple[Int32[np.ndarray, "n m"], Float32[np.ndarray, "n m"], float]:
    """The joints that move each place most, their weights summing to 1, and the largest sum that was left out."""
    most = min(most, weights.shape[1])
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    kept = np.take_along_axis(weights, joints, axis=1)
    lost = float((1 - kept.sum(axis=1)).max())
    kept = (kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
    kept /= kept.sum(axis=1, keepdims=True)
    return np.where(kept > 0, joints, 0).astype(np.int32), kept, lost
