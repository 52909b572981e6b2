"""From where a page's scene is seen at first: a camera that frames it, where the screen stands, how far it sways."""

import numpy as np
from jaxtyping import Float

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians

PARALLAX = 0.025
"""Between near and far in stereo at first, as a share of the picture's width."""
SIZE = 960
"""Pixels of the longer side of a picture that no camera told."""
SLOPE = 0.4
"""Half of that side over the distance: 44 degrees, about what the cameras of scenes see."""
BEYOND = 0.01
"""Share of all opacity that may be beyond each edge of what is framed: strays there are in most scenes."""
MARGIN = 1.15
_ENOUGH = 200_000
"""Gaussians that are looked at, evenly of all."""
_WIDE = 2.0
"""Standard deviations to which a Gaussian is seen."""
_LEAST = 1 / 3
"""Shorter over longer side of the picture."""
_BASES = (0.002, 0.1)
_SPAN = 1e-3
_BESIDE = 0.05
"""How far sideways the view sways where no other views are known, as a share of the distance."""


def framing(gaussians: Gaussians) -> Cameras:
    """A camera that looks along z and whose picture the Gaussians fill, but for a margin and strays.

    It stands where four planes meet, each of which leaves `BEYOND` of the opacity outside; so what was fitted to
    pictures of one camera is seen from about there. The picture is as wide and high as what is seen: whatever the shape
    of a window, all of it is in view and fills one of the window's sides.

    Args:
        gaussians: at least one.
    """
    gaussians = gaussians[:: 1 + len(gaussians) // _ENOUGH]
    means, reach = gaussians.means.astype(np.float64), _WIDE * gaussians.scales.max(axis=1).astype(np.float64)
    weights = gaussians.opacities.astype(np.float64)
    weights = weights if weights.any() else np.ones_like(weights)
    x, y, z = means.T
    ends = [
        (_quantile(a - reach + SLOPE * z, weights, BEYOND), _quantile(a + reach - SLOPE * z, weights, 1 - BEYOND))
        for a in (x, y)
    ]
    place = np.array([(low + high) / 2 for low, high in ends])
    back = min((low - high) / (2 * SLOPE) for low, high in ends)
    away = np.maximum(z - back, _SPAN * max(float(np.ptp(z)), _SPAN))
    slopes = np.array(
        [
            (_quantile((a - p - reach) / away, weights, BEYOND), _quantile((a - p + reach) / away, weights, 1 - BEYOND))
            for a, p in zip((x, y), place, strict=True)
        ]
    )
    spans = slopes[:, 1] - slopes[:, 0]
    focal = SIZE / (MARGIN * float(spans.max()))
    width, height = (round(SIZE * max(float(share), _LEAST)) for share in spans / spans.max())
    cx, cy = np.array([width, height]) / 2 - focal * slopes.mean(axis=1)  # what is seen stands in the middle
    viewmat = np.eye(4)
    viewmat[:3, 3] = -place[0], -place[1], -back
    return Cameras(viewmat[None], np.array([[[focal, 0, cx], [0, focal, cy], [0, 0, 1]]]), height, width)


def screen(gaussians: Gaussians, view: Cameras) -> tuple[float, float]:
    """Where the screen is to be (metres), and a baseline (share of that) by which near and far are `PARALLAX` apart.

    Both by what stands in the middle of the picture; the depth is the mean of the inverse ones, as the eyes measure.
    """
    pixels, depths = view.project(gaussians.means.astype(np.float64))
    away: Float[np.ndarray, "g 2"] = np.abs(pixels[0] / [view.width, view.height] - 0.5)
    before = (depths[0] > 0) & (gaussians.opacities > 0.1)
    central = before & (np.nan_to_num(away, nan=9).max(axis=1) < 0.35)
    for chosen in (central, before, depths[0] > 0):
        if chosen.any():
            near = 1 / depths[0][chosen]
            depth = float(1 / near.mean())
            least, most = np.quantile(near, [0.02, 0.98]) * depth * float(view.Ks[0, 0, 0]) / view.width
            return depth, float(np.clip(PARALLAX / max(most - least, _SPAN), *_BASES))
    return 1.0, PARALLAX


def sway_of(cameras: Cameras | None, depth: float) -> tuple[float, float, float, float]:
    """Least and most of x, then of y (metres), between which a scene is to be seen; `depth` is that of the screen."""
    x = y = (0.0, 0.0)
    if cameras is not None:
        local = (cameras.centers - cameras.centers[0]) @ cameras.viewmats[0, :3, :3].T
        x, y = ((float(local[:, axis].min()), float(local[:, axis].max())) for axis in (0, 1))
    if x[1] - x[0] < _SPAN * depth:
        x = (-_BESIDE * depth, _BESIDE * depth)
    if y[1] - y[0] < _SPAN * depth:
        y = (0.1 * x[0], 0.1 * x[1]) if x[0] < 0 < x[1] else (-0.05 * (x[1] - x[0]), 0.05 * (x[1] - x[0]))
    return (*x, *y)


def _quantile(values: Float[np.ndarray, " g"], weights: Float[np.ndarray, " g"], share: float) -> float:
    """The value below which a share of all weight lies."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[min(int(np.searchsorted(sums, share * sums[-1])), len(values) - 1)]])
