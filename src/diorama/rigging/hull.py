"""The visual hull: the largest solid that looks as an object does in all its silhouettes (Laurentini 1994)."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from diorama.core.camera import Cameras
from diorama.core.extras import need
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.geometry.nets import filled, surface_nets
from diorama.rigging.eyes import NEAR
from diorama.rigging.fusion import fused

CELLS = 128
"""Of the grid, along the longest side of what is seen."""
COARSE = 24
"""Cells a side of the first, coarse look for the box."""

Field = Float64[np.ndarray, "a b c"]


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Where an object is, in pictures from around.

    Attributes:
        inside: of each view.
        cameras: of the views.

    Raises:
        UsageError: no view, views without their camera, or a view that shows nothing.
    """

    inside: Bool[np.ndarray, "v h w"]
    cameras: Cameras

    def __post_init__(self) -> None:
        if not len(self.inside) or len(self.inside) != len(self.cameras):
            raise UsageError(f"{len(self.inside)} silhouettes, {len(self.cameras)} cameras", "Silhouettes")
        empty = np.flatnonzero(~self.inside.any(axis=(1, 2)))
        if len(empty):
            raise UsageError("nothing is seen", f"view {empty[0]}", "leave it out")


def visual_hull(
    silhouettes: Silhouettes,
    low: Float32[np.ndarray, "3"],
    high: Float32[np.ndarray, "3"],
    *,
    cells: int = CELLS,
    smooth: float | int = 0.5,
    depth: Float32[np.ndarray, "v h w"] | None = None,
) -> Mesh:
    """The surface of what all silhouettes allow, less what depth maps of them see as empty.

    Args:
        silhouettes: of the object; what lies beside a picture is forbidden where the picture shows all of the object.
        low, high: corners of a box that surely holds the object, metres.
        cells: of the grid along the longest side of the object.
        smooth: cells over which the solid is smoothed; edges where two silhouettes meet are none of the object's.
        depth: of each view, metres along its camera's axis, 0 or nan where it is not known.

    Raises:
        UsageError: the silhouettes have nothing in common within the box, it is none, or depth that does not fit.
    """
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()) or cells < 1:
        raise UsageError(f"a box from {low} to {high} in {cells} cells", "visual_hull", "give corners that span a box")
    far = [_distances(inside) for inside in silhouettes.inside]
    seen = _within(silhouettes, far, low.astype(np.float64), high.astype(np.float64), COARSE)
    field, start, step = _within(silhouettes, far, *_box(seen), cells)
    if depth is not None:
        field = fused(field, start, step, depth, silhouettes.cameras)
    if smooth > 0:
        field = need("scipy.ndimage").gaussian_filter(field, float(smooth), mode="nearest", truncate=3)
    if not (field < 0).any():
        raise UsageError("the silhouettes have nothing in common", "visual_hull", "check that the cameras fit them")
    field = np.pad(field, 1, constant_values=step)
    vertices, faces = surface_nets(filled(field / (cells * step)))  # by sides, as what is filled has a fixed depth
    return Mesh((start + step * (vertices - 1)).astype(np.float32), faces)


_Grid = tuple[Field, Float64[np.ndarray, "3"], float]


def _within(
    silhouettes: Silhouettes,
    far: list[Float32[np.ndarray, "h w"]],
    low: Float64[np.ndarray, "3"],
    high: Float64[np.ndarray, "3"],
    cells: int,
) -> _Grid:
    """How far points of a grid are outside what the silhouettes allow, metres, negative inside; its origin and step."""
    step = float((high - low).max()) / cells
    counts = np.ceil((high - low) / step).astype(int) + 1
    axes = [low[i] + step * np.arange(counts[i]) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    worst = np.full(len(points), -np.inf)
    near = NEAR * np.linalg.norm(silhouettes.cameras.centers - (low + high) / 2, axis=1)
    for view, outside in enumerate(far):
        camera = silhouettes.cameras[view : view + 1]
        (pixels,), (depth,) = camera.project(points)
        before = depth > near[view]
        x, y = np.where(before[:, None], pixels, -1e4).astype(np.float32).T
        inverse = depth / (0.5 * float(camera.Ks[0, 0, 0] + camera.Ks[0, 1, 1]))  # metres a pixel
        found = _sampled(outside, x - 0.5, y - 0.5) * inverse
        framed = before & (x > 0) & (y > 0) & (x < outside.shape[1]) & (y < outside.shape[0])
        beyond = np.where(before & _whole(silhouettes.inside[view]), np.maximum(found, 0), -np.inf)
        worst = np.maximum(worst, np.where(framed, found, beyond))
    worst = np.where(np.isfinite(worst), worst, step)  # no view shows it: empty
    return worst.reshape(tuple(counts)), low, step


def _sampled(
    values: Float32[np.ndarray, "h w"], x: Float32[np.ndarray, " n"], y: Float32[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Bilinear, in pieces that OpenCV takes."""
    piece, found = 1 << 14, np.empty(len(x))
    for first in range(0, len(x), piece):
        part = slice(first, first + piece)
        places = x[part][None], y[part][None]
        found[part] = cv2.remap(values, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    return found


def _whole(inside: Bool[np.ndarray, "h w"]) -> bool:
    """Whether a view shows all of the object: its silhouette does not reach the picture's edge."""
    return not (inside[[0, -1]].any() or inside[:, [0, -1]].any())


def _distances(inside: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Pixels to the outline, negative inside; the picture's edge is none."""
    grey = inside.view(np.uint8)
    outside = cv2.distanceTransform(1 - grey, cv2.DIST_L2, 5) - 0.5
    inner = cv2.distanceTransform(grey, cv2.DIST_L2, 5) - 0.5
    return np.where(inside, -inner, outside).astype(np.float32)


def _box(grid: _Grid) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """What is not outside, with a coarse cell around."""
    field, low, step = grid
    kept = np.argwhere(field < step)
    if not len(kept):
        raise UsageError("the silhouettes have nothing in common", "visual_hull", "check that the cameras fit them")
    return low + step * (kept.min(axis=0) - 1), low + step * (kept.max(axis=0) + 1)
