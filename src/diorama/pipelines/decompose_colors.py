"""The colours of a person over its body, as most frames of a clip show them: what passes before it leaves no trace."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.figures.surface import spread_over
from diorama.geometry.raster import rasterize
from diorama.perception.peel import lab_of

SURE = 0.6
"""Of a soft mask, from which on a pixel may be the person's."""
BEHIND = 0.03
"""Metres by which a vertex may lie behind what its pixel shows."""
OFTEN = 4
"""Frames from which on a colour is fully trusted."""


@dataclass(frozen=True, eq=False)
class BodyView:
    """A frame with the body that lies in it, at reduced size.

    Attributes:
        image: the frame.
        soft: the person's mask, 0..1.
        vertices: of the posed body, metres in the camera's world.
        camera: one view of the picture's size.
    """

    image: UInt8[np.ndarray, "h w 3"]
    soft: Float32[np.ndarray, "h w"]
    vertices: Float32[np.ndarray, "v 3"]
    camera: Cameras


def surface_colors(views: Sequence[BodyView], faces: Int32[np.ndarray, "f 3"]) -> Float32[np.ndarray, "v 3"]:
    """CIE Lab of each vertex: the median over the frames that show it, and what is around it where none does.

    Args:
        views: frames spread over the clip; fifty are plenty. At least one.
        faces: of the body.
    """
    seen = np.stack([_seen(view, faces) for view in views])
    known = np.isfinite(seen[..., 0])
    often = known.sum(axis=0)
    median = np.zeros(seen.shape[1:], np.float32)
    median[often > 0] = np.nanmedian(seen[:, often > 0], axis=0)
    return spread_over(median, np.minimum(often / OFTEN, 1).astype(np.float32), faces)


def _seen(view: BodyView, faces: Int32[np.ndarray, "f 3"]) -> Float32[np.ndarray, "v 3"]:
    """Lab of the vertices that the frame shows, NaN for the others."""
    found = rasterize(view.vertices, faces, view.camera)
    (pixels,), (depth,) = view.camera.project(view.vertices.astype(np.float64))
    height, width = view.soft.shape
    good: Bool[np.ndarray, " v"] = (depth > 0) & np.isfinite(pixels).all(axis=1)
    good &= (pixels >= 0).all(axis=1) & (pixels < [width, height]).all(axis=1)
    column, row = np.where(good[:, None], pixels, 0).astype(np.int64).T
    good &= (depth < found.depth[row, column] + BEHIND) & (view.soft[row, column] > SURE)
    colors = np.full((len(depth), 3), np.nan, np.float32)
    colors[good] = lab_of(view.image)[row[good], column[good]]
    return colors
