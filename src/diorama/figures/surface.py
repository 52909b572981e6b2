"""Values over the surface of a body, from where they are known to where they are not."""

import numpy as np
from jaxtyping import Float32, Int32

from diorama.figures._texel_kernels import relax
from diorama.figures.garment import edges_of

PULL = 0.2
"""Between neighbouring vertices, against 1 for a value that is surely known."""
ROUNDS = 200


def spread_over(
    values: Float32[np.ndarray, "v c"], trust: Float32[np.ndarray, " v"], faces: Int32[np.ndarray, "f 3"]
) -> Float32[np.ndarray, "v c"]:
    """Smooth values for all vertices: near to those that are known, as flat as the surface allows elsewhere.

    Args:
        values: of the vertices; not looked at where `trust` is 0.
        trust: 0 where not known, 1 where surely known.
        faces: of the surface. Pieces without any known vertex take the mean of all.
    """
    told = np.where(trust[:, None] > 0, values, 0).astype(np.float64)
    mean = (told * trust[:, None]).sum(axis=0) / max(float(trust.sum()), 1e-9)
    edges = edges_of(faces)
    out = np.where(trust[:, None] > 0, told, mean)
    relax(out, told, trust.astype(np.float64), edges, np.full(len(edges), PULL), ROUNDS)
    return out.astype(np.float32)
