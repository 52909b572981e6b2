"""An articulated object from all around: views x frames on white, as SP4D is taught and judged (spec 4.1)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int8, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures.part_colors import part_centers
from diorama.figures.pose import animate
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.theatre.light import Light
from diorama.theatre.render import draw, lamp_of
from diorama.theatre.surface import put_together


@dataclass(frozen=True, eq=False)
class Turntable:
    """Pictures of an object in the unit cube, and the truth about them.

    Attributes:
        images: on white.
        alpha: where the object is.
        depth: along z, in sides of the clip's box; inf beside it.
        parts: the part of each pixel, -1 beside it.
        cameras: of the views; they stand still.
        azimuths: of the views, degrees; 0 looks at the object from +Z, 90 from +X.
        elevation: of all views, degrees.
        centers: of the parts in the first frame, in sides of the clip's box about its middle.
        low, high: the object's box in the first frame, in the same unit.
    """

    images: UInt8[np.ndarray, "v t h w 3"]
    alpha: Bool[np.ndarray, "v t h w"]
    depth: Float32[np.ndarray, "v t h w"]
    parts: Int8[np.ndarray, "v t h w"]
    cameras: Cameras
    azimuths: Float32[np.ndarray, " v"]
    elevation: float
    centers: Float32[np.ndarray, "k 3"]
    low: Float32[np.ndarray, "3"]
    high: Float32[np.ndarray, "3"]


def film(
    figure: Figure,
    motion: Motion,
    *,
    views: int = 24,
    size: int = 256,
    elevation: float | int = 10.0,
    start: float | int = 0.0,
    light: Light | None = None,
) -> Turntable:
    """Draw a figure from evenly spaced azimuths at every frame of a motion.

    Args:
        figure: with at most 127 parts.
        motion: of its skeleton.
        views: azimuths, evenly around.
        size: pixels a side.
        elevation: of the cameras above the middle, degrees.
        start: azimuth of the first view, degrees.
        light: fixed to the object; from the upper left of azimuth 0 by default.

    Raises:
        UsageError: no view, too many parts, a tiny picture, or a motion that leads to numbers that are not finite.
    """
    if views < 1 or size < 8 or len(figure.parts) > 127 or not -89 <= elevation <= 89:
        given = f"{views} views of {size} pixels, elevation {elevation}, {len(figure.parts)} parts"
        raise UsageError(given, "film", "give 1 view or more, 8 pixels or more, within 89 degrees, 127 parts at most")
    places = animate(figure, motion)
    if not np.isfinite(places).all():
        raise UsageError("the motion leads to numbers that are not finite", "film")
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    scale = max(float((high - low).max()), 1e-9)
    places = (places - (low + high) / 2) / scale
    azimuths = (float(start) + np.arange(views) * 360 / views).astype(np.float32)
    radius = float(np.linalg.norm(places, axis=-1).max())
    cameras = around(azimuths, float(elevation), radius, size)
    surface = put_together([figure.mesh], [places.astype(np.float32)], [figure.face_parts])
    lamp_light = light or Light((-0.4, 0.8, 0.6))
    shape = (views, len(motion), size, size)
    images, alpha = np.full((*shape, 3), 255, np.uint8), np.zeros(shape, bool)
    depth, parts = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int8)
    for t in range(len(motion)):
        vertices, lamp = surface.at(t), lamp_of(lamp_light, [surface], t)
        for v in range(views):
            found = rasterize(vertices, surface.faces, cameras[v : v + 1])
            seen = found.face_ids >= 0
            images[v, t][seen] = draw(surface, vertices, found, lamp, cameras[v : v + 1])[seen]
            alpha[v, t], depth[v, t] = seen, found.depth
            parts[v, t][seen] = surface.face_parts[found.face_ids[seen]]
    first = surface.at(0)
    centers = part_centers(first, surface.faces, surface.face_parts, len(figure.parts))
    return Turntable(
        *(images, alpha, depth, parts, cameras, azimuths, float(elevation), centers),
        first.min(axis=0),
        first.max(axis=0),
    )
