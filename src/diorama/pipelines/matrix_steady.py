"""The paint of a matrix made steady along the background's motion, which every camera of a row sees for itself."""

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.geometry.warp import TEAR, Eye, eye_warp
from diorama.perception.extend import edge_fill
from diorama.perception.flow import resize_flow
from diorama.perception.steady import steady
from diorama.pipelines.matrix_views import Maps, Motions, Views

UNIT, ZERO = 64, 32768
"""Numbers ride along with a warp as 16-bit pictures: sixty-fourths of a pixel, from -512 to 512."""
Ways = Float32[np.ndarray, "t h w 2"]


def steadied(
    paint: UInt8[np.ndarray, "v t h w 3"], views: Views, motions: Motions, disparity: Maps, *, fixed: int = 0
) -> UInt8[np.ndarray, "v t h w 3"]:
    """The matrix with what no camera is shown averaged over time; views off the row of the clip stay as they are.

    Args:
        paint: a matrix without holes.
        views: what was painted.
        motions, disparity: of the clip, at that size.
        fixed: so many first frames are not changed.
    """
    out = paint.copy()
    for view, (x, y) in enumerate(views.shares.tolist()):
        if x == 0 or y != 0 or views.shown[view].all() or not motions.ahead:
            continue
        ways, behind = _seen_from(motions, disparity, x)
        out[view] = steady(paint[view], views.shown[view], ways, behind, fixed=fixed)
    return out


def _seen_from(motions: Motions, disparity: Maps, share: float) -> tuple[tuple[Ways, Ways], Maps]:
    """The background's motion back and ahead and its disparity, as a camera sees them; holes continued from beside."""
    count, height, width = disparity.shape
    ways, behind = (np.zeros((count, height, width, 2), np.float32) for _ in range(2)), np.empty_like(disparity)
    back, ahead = ways
    eye: Eye = "right" if share >= 0 else "left"
    for t in range(count):
        for way, step, flows in ((back, -1, motions.back), (ahead, 1, motions.ahead)):
            if not 0 <= t + step < count:
                continue
            flow = resize_flow(flows[min(t, t + step)], height, width)
            told = np.dstack([flow, disparity[t]])
            words = np.clip(np.rint(told * UNIT + ZERO), 0, np.iinfo(np.uint16).max).astype(np.uint16)
            warped, known = eye_warp(words, disparity[t], eye=eye, share=abs(share), tear=TEAR)
            filled = (edge_fill(warped, known, eye=eye).astype(np.float32) - ZERO) / UNIT
            way[t], behind[t] = filled[..., :2], filled[..., 2]
    return (back, ahead), behind
