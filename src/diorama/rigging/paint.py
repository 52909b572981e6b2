"""Colours of pictures onto a surface, by how well each picture shows a place."""

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.rigging.lift import sightings, spread
from diorama.rigging.surface import Surface


def painted(
    surface: Surface,
    vertices: Float32[np.ndarray, "v 3"],
    faces: Int32[np.ndarray, "f 3"],
    images: UInt8[np.ndarray, "v2 h w 3"],
    cameras: Cameras,
) -> UInt8[np.ndarray, "v 3"]:
    """The colour of each vertex; what no picture shows takes those around it.

    Args:
        surface: of the mesh.
        vertices, faces: of the mesh, as the pictures show it.
        images: on white.
        cameras: of the pictures.

    Raises:
        UsageError: pictures without their cameras, or that show nothing of the surface.
    """
    if len(images) != len(cameras):
        raise UsageError(f"{len(images)} pictures, {len(cameras)} cameras", "painted", "give one for each")
    sums, total = np.zeros((len(vertices), 3)), np.zeros(len(vertices))
    for number, picture in enumerate(images):
        pixels, corners, weights = sightings(vertices, faces, cameras[number : number + 1])
        colors = picture[pixels].astype(np.float64)
        far = _unlike_white(colors)
        total += np.bincount(corners.ravel(), (weights * far[:, None]).ravel(), len(vertices))
        for channel in range(3):
            shares = weights * (far * colors[:, channel])[:, None]
            sums[:, channel] += np.bincount(corners.ravel(), shares.ravel(), len(vertices))
    if not (total > 0).any():
        raise UsageError("nothing of the surface is seen", "painted", "check that cameras and pictures fit the mesh")
    said, votes = np.zeros((len(surface.points), 3)), np.zeros(len(surface.points))
    np.add.at(said, surface.of_vertex, sums)
    np.add.at(votes, surface.of_vertex, total)
    return np.rint(spread(surface, said, votes)[surface.of_vertex]).clip(0, 255).astype(np.uint8)


def _unlike_white(colors: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, " n"]:
    """Pixels at a rim are mixed with the white beside it."""
    return np.clip((255 - colors.min(axis=1)) / 32, 0.02, 1)
