"""Cameras for pictures of fewer pixels, and for worlds of any size."""

import numpy as np
from jaxtyping import Float32, Shaped

from diorama.core.camera import Cameras

NEAR = 1e-3
"""Share of the way from a camera to what it shows, before which nothing is drawn."""


def thinned(
    maps: Shaped[np.ndarray, "v h w"], cameras: Cameras, every: int
) -> tuple[Shaped[np.ndarray, "v h2 w2"], Cameras]:
    """Every so many pixels of each row and column, and cameras that see them at their centres still.

    Args:
        maps: of each view, of the cameras' size.
        cameras: of the views.
        every: 1 keeps all pixels.
    """
    if every == 1:
        return np.ascontiguousarray(maps), cameras
    small = np.ascontiguousarray(maps[:, ::every, ::every])
    Ks = cameras.Ks.copy()
    Ks[:, :2] /= every
    Ks[:, :2, 2] += 0.5 - 0.5 / every  # what is kept of a block is its first pixel, not its middle
    return small, Cameras(cameras.viewmats, Ks, *small.shape[1:])


def near_of(vertices: Float32[np.ndarray, "v 3"], camera: Cameras) -> float:
    """Metres before a camera where drawing some vertices begins: the same share of the way in a world of any size.

    Args:
        vertices: in the world, metres; a few that stray far do not matter.
        camera: one view.
    """
    away = np.linalg.norm(camera.centers[0] - vertices.mean(axis=0, dtype=np.float64))
    return max(NEAR * float(away), 1e-12)
