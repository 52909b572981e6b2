"""Both sides of an object as one camera has them: the surface it sees, and the one farthest behind each pixel."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int8, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.figures.part_colors import part_centers, part_colors
from diorama.figures.pose import animate
from diorama.geometry.orbit import around
from diorama.geometry.raster import Fragments, rasterize
from diorama.theatre.light import Light
from diorama.theatre.render import draw, lamp_of
from diorama.theatre.surface import Surface, put_together


@dataclass(frozen=True, eq=False)
class BothSides:
    """Pictures of an object from one direction.

    Attributes:
        image, image_back: of the near and of the far surface, on white.
        parts, parts_back: of the pixels, -1 beside the object.
        depth, depth_back: radii of the clip's ball behind its middle; 0 beside the object.
        palette: colours of the parts in the axes of this view.
    """

    image: UInt8[np.ndarray, "t h w 3"]
    image_back: UInt8[np.ndarray, "t h w 3"]
    parts: Int8[np.ndarray, "t h w"]
    parts_back: Int8[np.ndarray, "t h w"]
    depth: Float32[np.ndarray, "t h w"]
    depth_back: Float32[np.ndarray, "t h w"]
    palette: UInt8[np.ndarray, "k 3"]


def both_sides(figure: Figure, motion: Motion, *, azimuth: float, elevation: float, size: int) -> BothSides:
    """Draw a figure from one direction at every frame of a motion, framed as `turntable.film` does.

    Args:
        figure: with at most 127 parts.
        motion: of its skeleton.
        azimuth, elevation: of the camera, degrees.
        size: pixels a side.
    """
    places = animate(figure, motion)
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    places = ((places - (low + high) / 2) / max(float((high - low).max()), 1e-9)).astype(np.float32)
    radius = float(np.linalg.norm(places, axis=-1).max())
    surface = put_together([figure.mesh], [places], [figure.face_parts])
    camera = around(np.array([azimuth], np.float32), elevation, radius, size)
    shape = (len(motion), size, size)
    images = np.full((2, *shape, 3), 255, np.uint8)
    parts, depth = np.full((2, *shape), -1, np.int8), np.zeros((2, *shape), np.float32)
    for t in range(len(motion)):
        vertices, lamp = surface.at(t), lamp_of(Light((-0.4, 0.8, 0.6)), [surface], t)
        for side, shown in enumerate((vertices, _inside_out(vertices, camera))):
            found = rasterize(shown, surface.faces, camera)
            seen = found.face_ids >= 0
            images[side, t][seen] = draw(surface, vertices, found, lamp, camera)[seen]
            parts[side, t][seen] = surface.face_parts[found.face_ids[seen]]
            depth[side, t][seen] = _depths(surface, vertices, found, camera)[seen] / radius
    first = surface.at(0)
    centers = part_centers(first, surface.faces, surface.face_parts, len(figure.parts))
    palette = part_colors(centers, first.min(axis=0), first.max(axis=0), azimuth)
    return BothSides(images[0], images[1], parts[0], parts[1], depth[0], depth[1], palette)


def _local(vertices: Float32[np.ndarray, "v 3"], camera: Cameras) -> Float64[np.ndarray, "v 3"]:
    viewmat = camera.viewmats[0]
    return vertices.astype(np.float64) @ viewmat[:3, :3].T + viewmat[:3, 3]


def _inside_out(vertices: Float32[np.ndarray, "v 3"], camera: Cameras) -> Float32[np.ndarray, "v 3"]:
    """Vertices that fall on the same pixels, the farthest being the nearest: moved along their rays from z to 1 / z."""
    local, viewmat = _local(vertices, camera), camera.viewmats[0]
    away = float(np.linalg.norm(camera.centers[0]))
    moved = local * (away / local[:, 2:]) ** 2
    return ((moved - viewmat[:3, 3]) @ viewmat[:3, :3]).astype(np.float32)


def _depths(
    surface: Surface, vertices: Float32[np.ndarray, "v 3"], found: Fragments, camera: Cameras
) -> Float32[np.ndarray, "h w"]:
    """Metres behind the middle that a fragment lies."""
    z = _local(vertices, camera)[:, 2] - float(np.linalg.norm(camera.centers[0]))
    corners = surface.faces[np.maximum(found.face_ids, 0)]
    return (found.barycentrics * z[corners]).sum(axis=-1).astype(np.float32)
