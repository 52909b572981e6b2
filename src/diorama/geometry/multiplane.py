"""The published multi-plane projection: a point warp with a depth buffer, cleaned up plane by plane.

SVG (arXiv 2407.00367, section 3) and S2VG (arXiv 2508.08048) make their warped views this way; the result is
matched pixel for pixel against the frame matrix released with them (`tests/golden/test_svg_astronaut.py`).
"""

from typing import TypeVar, no_type_check

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8, UInt16
from numba import njit

from diorama.errors import UsageError

Pixels = TypeVar("Pixels", UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h w 3"])

MIN_SUPPORT = 5
"""A pixel stays when at least this many of its plane's pixels lie in its 3 x 3 window, itself included."""

MIN_COVER = 0.2
"""A pixel belongs to a plane when the blurred coverage of that plane exceeds this."""

_EPSILON = 1e-6


def multiplane_warp(
    image: Pixels,
    inverse_depth: Float[np.ndarray, "h w"],
    *,
    focal: float | int,
    baseline: float | int,
    num_planes: int = 4,
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """See `image` from a camera moved `baseline` to the right, as SVG's released code does.

    Cameras are parallel with the principal point at the image's centre. Pixels are projected and rounded to the
    nearest integer, the nearest surface wins; the warped picture is cut into planes of depth, isolated pixels are
    dropped and cracks closed inside each plane, and the planes are laid over each other far to near.

    Args:
        image: RGB, uint8 or uint16.
        inverse_depth: 1/m, larger is nearer, above 0 (SVG uses 0.1 to 1.1).
        focal: focal length in pixels.
        baseline: metres to the right of the image's camera; negative is to the left. At 0 the image comes back.
        num_planes: planes of depth, half of them nearer than the median depth.

    Returns:
        The warped image, 0 where unknown, and the mask of known pixels.

    Raises:
        UsageError: where `inverse_depth` is not finite and above 0, or a setting is out of range.
    """
    _check(inverse_depth, focal, baseline, num_planes)
    if baseline == 0:
        return image.copy(), np.ones(image.shape[:2], dtype=bool)
    z = 1.0 / (inverse_depth.astype(np.float64) + _EPSILON)
    # The published order of operations, in float64: another order moves pixels that fall on a rounding edge.
    centre = z.shape[1] / 2
    x = (np.arange(z.shape[1]) - centre) * z / focal
    target = np.rint((x - baseline) * focal / z + centre)
    warped, depth = np.zeros_like(image), np.zeros_like(z)
    _project(image, z, target, _rows(z), warped, depth)
    return _clean(warped, depth, num_planes)


def multiplane_shift(
    image: Pixels,
    disparity: Float32[np.ndarray, "h w"],
    depth: Float64[np.ndarray, "h w"],
    *,
    share: tuple[float | int, float | int],
    num_planes: int = 4,
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """`multiplane_warp` for parallax that is given in pixels, and for cameras that also move down.

    Args:
        image: RGB, uint8 or uint16.
        disparity: pixels by which the whole way moves each pixel to the left; any sign.
        depth: metres, above 0; what is nearer wins, and planes are cut by it.
        share: of the whole way that the camera goes, to the right and down.
        num_planes: as there; 0 leaves out the clean-up.

    Raises:
        UsageError: where disparity is not finite, or depth not finite and above 0, or fewer than 0 planes.
    """
    if not (np.isfinite(disparity).all() and np.isfinite(depth).all() and depth.min(initial=np.inf) > 0):
        raise UsageError("disparity and depth must be finite, depth above 0", "disparity", "mend or clamp the maps")
    if num_planes < 0:
        raise UsageError(f"num_planes is {num_planes}", "num_planes", "give at least 0")
    if share == (0, 0):
        return image.copy(), np.ones(image.shape[:2], dtype=bool)
    moved = disparity.astype(np.float64)
    target = np.rint(np.arange(depth.shape[1]) - share[0] * moved)
    rows = np.rint(_rows(depth) - share[1] * moved)
    warped, z = np.zeros_like(image), np.zeros_like(depth)
    _project(image, depth, target, rows, warped, z)
    return _clean(warped, z, num_planes) if num_planes else (warped, z > 0)


def _rows(like: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    return np.broadcast_to(np.arange(len(like), dtype=np.float64)[:, None], like.shape)


def plane_edges(depth: Float64[np.ndarray, "n"], num_planes: int) -> Float64[np.ndarray, "edges"]:
    """The far edge of each plane in metres: equal intervals on each side of the median of `depth`."""
    near = num_planes // 2
    low, middle, high = depth.min(), np.median(depth), depth.max()
    edges = [np.linspace(middle, high, num_planes - near + 1)[1:]]
    if near:
        edges.insert(0, np.linspace(low, middle, near + 1)[1:])
    return np.concatenate(edges)


def _check(inverse_depth: Float[np.ndarray, "h w"], focal: float | int, baseline: float | int, num_planes: int) -> None:
    if not (np.isfinite(inverse_depth).all() and inverse_depth.min(initial=np.inf) > 0):
        raise UsageError("inverse depth must be finite and above 0", "inverse_depth", "mend or clamp the map")
    if not (np.isfinite(focal) and focal > 0 and np.isfinite(baseline)):
        raise UsageError(f"focal {focal} px, baseline {baseline} m", "cameras", "give a focal length above 0")
    if num_planes < 1:
        raise UsageError(f"num_planes is {num_planes}", "num_planes", "give at least 1")


@njit(nogil=True, cache=True)
@no_type_check
def _project(image, z, column, row, warped, depth):
    """Write each pixel at its target; the nearest wins, and of equals the rightmost (a stable sort's order)."""
    height, width = z.shape
    for y in range(height):
        for x in range(width):
            if 0 <= column[y, x] < width and 0 <= row[y, x] < height:
                t, s = int(column[y, x]), int(row[y, x])
                if depth[s, t] == 0 or z[y, x] <= depth[s, t]:
                    depth[s, t] = z[y, x]
                    for c in range(3):
                        warped[s, t, c] = image[y, x, c]


def _clean(
    warped: Pixels, depth: Float64[np.ndarray, "h w"], num_planes: int
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """Drop isolated pixels, close cracks, and compose the planes far to near."""
    result, known = np.zeros_like(warped), np.zeros(depth.shape, dtype=bool)
    hit = depth > 0
    if not hit.any():
        return result, known
    far = plane_edges(depth[hit], num_planes)
    plane = np.searchsorted(far, depth)
    for index in reversed(range(num_planes)):
        colour, mask = _clean_plane(warped, hit & (plane == index))
        result[mask], known[mask] = colour[mask], True
    return result, known


def _clean_plane(warped: Pixels, member: Bool[np.ndarray, "h w"]) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """One plane without its isolated pixels and cracks: its colour, and the pixels it covers."""
    member8 = member.astype(np.uint8)
    support = cv2.boxFilter(member8, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REFLECT_101)
    kept = member & (support >= MIN_SUPPORT)
    blur = _blur()
    cover = cv2.filter2D(kept.astype(np.float64), -1, blur)
    mask = cover > MIN_COVER
    fresh = mask & ~kept
    colour = np.where(kept[..., None], warped, 0).astype(warped.dtype)
    blurred = cv2.filter2D(colour.astype(np.float64), -1, blur)[fresh]
    colour[fresh] = (blurred / (cover[fresh, None] + _EPSILON)).astype(warped.dtype)
    return colour, mask


def _blur() -> Float64[np.ndarray, "3 3"]:
    """A 3 x 3 Gaussian of standard deviation 1, cut off, not renormalised: it sums to about 0.78."""
    offset = np.arange(-1, 2)
    return np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / 2) / (2 * np.pi)
