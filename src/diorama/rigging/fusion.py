"""Depth maps of the views of a hull, fused into its field: hollows that no silhouette shows.

A truncated signed distance is averaged over views (Curless and Levoy 1996); before that, pixels on which views
contradict each other or the hull are put to a vote (the idea of Merrell et al. 2007).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.rigging._fusion_kernels import compare, integrate
from diorama.rigging.eyes import thinned

BAND = 3.0
"""Cells behind a surface up to which a depth map speaks of it."""
TOLERANCE = 2.0
"""Cells by which depths of one place may differ."""
JUMP = 4.0
"""Cells, or pixels, between neighbouring pixels from which on they show different surfaces."""
GRAZING, RIM = 0.2, 0.1
"""The least cosine that a pixel counts as, and the share that it counts for beside a jump."""
VOTERS = 5
"""Pixels a side of the windows that vote."""
BELIEVED = 0.5
"""Share of a view's pixels that must be believed for any of them to be."""
MOST_SIDE, MOST_PARTNERS = 512, 24
"""Pixels a side, and other views that a view is compared with; more tell nothing more."""

Field = Float64[np.ndarray, "a b c"]
Maps = Float32[np.ndarray, "v h w"]


def fused(field: Field, start: Float64[np.ndarray, "3"], step: float, depth: Maps, cameras: Cameras) -> Field:
    """The hull's field with what depth maps see as empty taken away.

    Args:
        field: metres outside the hull, negative inside.
        start, step: first point and spacing of its grid, metres.
        depth: metres along the axes of the cameras (z, not along rays), 0 or nan where it is not known.
        cameras: of the depth maps.

    Returns:
        The field, nowhere below what was given.

    Raises:
        UsageError: depth maps that do not fit the cameras, or that are negative or infinite.
    """
    depth, cameras = _checked(depth, cameras)
    into = np.einsum("vij,vjk->vik", cameras.Ks, cameras.viewmats[:, :3]).astype(np.float64)
    facing, even = _surfaces(depth, cameras, step)
    believed = _believed(field, start, step, depth, cameras, into)
    weight = np.where(believed, facing * np.where(even, 1.0, RIM), 0.0).astype(np.float32)
    seen = np.full(field.shape, -np.inf)
    jump = JUMP * max(step, _pixel(depth, cameras))
    integrate(field, start, step, depth, weight, facing, into, BAND * step, jump, seen)
    return np.maximum(field, seen)


def _checked(depth: Maps, cameras: Cameras) -> tuple[Float32[np.ndarray, "v h2 w2"], Cameras]:
    """Depth with 0 where it is not known, and no larger than what makes a difference."""
    if depth.shape != (len(cameras), cameras.height, cameras.width):
        given = f"depth maps {depth.shape}, {len(cameras)} cameras of {cameras.width}x{cameras.height}"
        raise UsageError(given, "fused", "give a map of the cameras' size for each")
    known = np.nan_to_num(depth, nan=0.0, posinf=-1.0, neginf=-1.0)
    if (known < 0).any():
        view = int(np.argwhere(known < 0)[0, 0])
        raise UsageError("depth that is negative or infinite", f"view {view}", "give 0 where nothing is known")
    return thinned(known, cameras, -(-max(depth.shape[1:]) // MOST_SIDE))


def _pixel(depth: Maps, cameras: Cameras) -> float:
    """Metres that a pixel is wide at the depth that is seen."""
    known = depth[depth > 0]
    return float(np.median(known) / cameras.Ks[0, 0, 0]) if len(known) else 0.0


def _surfaces(depth: Maps, cameras: Cameras, step: float) -> tuple[Maps, Bool[np.ndarray, "v h w"]]:
    """The cosine between each pixel's surface and the camera, and where no jump or unknown pixel is beside it."""
    jump = JUMP * max(step, _pixel(depth, cameras))
    facing, even = np.full(depth.shape, GRAZING, np.float32), np.zeros(depth.shape, bool)
    y, x = (axis + 0.5 for axis in np.mgrid[: depth.shape[1], : depth.shape[2]])
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    box = np.ones((3, 3), np.uint8)
    for view, picture in enumerate(depth):
        unknown = np.where(picture > 0, picture, 1e9).astype(np.float32)
        even[view] = (picture > 0) & (cv2.dilate(unknown, box) - cv2.erode(unknown, box) < jump)
        places = (rays @ np.linalg.inv(cameras.Ks[view]).T) * picture[..., None]
        across, down = np.gradient(places, axis=1), np.gradient(places, axis=0)
        normal = np.cross(across, down)
        length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(places, axis=-1)
        cosine = np.abs((normal * places).sum(axis=-1)) / np.maximum(length, 1e-20)
        facing[view] = np.where(even[view], np.clip(cosine, GRAZING, 1), GRAZING)
    return facing, even


def _believed(
    field: Field,
    start: Float64[np.ndarray, "3"],
    step: float,
    depth: Maps,
    cameras: Cameras,
    into: Float64[np.ndarray, "v 3 4"],
) -> Bool[np.ndarray, "v h w"]:
    """Pixels whose surface lies in the hull and which as many views confirm as deny; none of a view that lies often."""
    turns = cameras.viewmats[:, :3, :3].transpose(0, 2, 1)
    rays = np.ascontiguousarray(turns @ np.linalg.inv(cameras.Ks)).astype(np.float64)
    centers = np.ascontiguousarray(cameras.centers).astype(np.float64)
    within = _in_hull(field, start, step, depth, rays, centers)
    trusted = within.sum(axis=(1, 2)) >= BELIEVED * np.maximum((depth > 0).sum(axis=(1, 2)), 1)
    partners = np.unique(np.linspace(0, len(depth) - 1, min(len(depth), MOST_PARTNERS)).round().astype(np.int64))
    while True:
        support, against = (np.zeros(depth.shape, np.float32) for _ in range(2))
        asked = np.where(within, depth, 0).astype(np.float32)
        compare(asked, into, rays, centers, trusted, partners, TOLERANCE * step, support, against)
        votes = np.stack([cv2.boxFilter(picture, -1, (VOTERS, VOTERS)) for picture in support - against])
        found = (asked > 0) & (votes >= -1e-4)
        share = found.sum(axis=(1, 2)) / np.maximum((depth > 0).sum(axis=(1, 2)), 1)
        worst = int(np.where(trusted, share, np.inf).argmin())
        if not trusted[worst] or share[worst] >= BELIEVED:
            return found & trusted[:, None, None]
        trusted[worst] = False


def _in_hull(
    field: Field,
    start: Float64[np.ndarray, "3"],
    step: float,
    depth: Maps,
    rays: Float64[np.ndarray, "v 3 3"],
    centers: Float64[np.ndarray, "v 3"],
) -> Bool[np.ndarray, "v h w"]:
    """Whether what a pixel shows is not further outside the hull than depths may differ."""
    found = np.zeros(depth.shape, bool)
    for view, picture in enumerate(depth):
        y, x = np.nonzero(picture > 0)
        pixels = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], axis=1)
        places = centers[view] + picture[y, x, None] * (pixels @ rays[view].T)
        cells = np.rint((places - start) / step).astype(int)
        framed = ((cells >= 0) & (cells < field.shape)).all(axis=1)
        found[view, y[framed], x[framed]] = field[tuple(cells[framed].T)] < TOLERANCE * step
    return found
