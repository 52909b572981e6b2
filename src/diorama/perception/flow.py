"""Dense optical flow between two reduced frames, and carrying maps along it."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Small = UInt8[np.ndarray, "sh sw 3"]
Flow = Float32[np.ndarray, "sh sw 2"]
Plane = Float32[np.ndarray, "sh sw"]

LEAST_SIDE = 16  # pixels: the flow pyramid needs this much


def dense_flow(here: Small, there: Small) -> Flow:
    """Where each pixel of `here` is in `there`, minus where it is in `here` (x, y; pixels).

    Dense inverse search (Kroeger et al., ECCV 2016) with its "fast" settings: 2-3 ms at 384 x 216. Pictures with a
    side below `LEAST_SIDE` have no measurable flow and get zero.
    """
    if min(here.shape[:2]) < LEAST_SIDE:
        return np.zeros((*here.shape[:2], 2), np.float32)
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(search.calc(grey(here), grey(there), None), np.float32)


def grey(image: Small) -> UInt8[np.ndarray, "sh sw"]:
    """Luma of an RGB picture."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def pull(values: np.ndarray, flow: Flow) -> np.ndarray:
    """Bring the values of `there` to the pixels of `here`, along ``flow = dense_flow(here, there)``.

    Bilinear; outside the picture the nearest border value counts. `values` is "sh sw" or "sh sw c", float32 or uint8.
    """
    x, y = places(flow)
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def places(flow: Flow) -> tuple[Plane, Plane]:
    """Column and row in `there` of each pixel of `here` (pixels)."""
    height, width = flow.shape[:2]
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    return flow[..., 0] + x, flow[..., 1] + y


def compose_planes(flow: Flow, *others: tuple[Plane, Plane]) -> list[tuple[Plane, Plane]]:
    """The motion along `flow` and then along each of `others`; those and the results as planes of x and of y.

    OpenCV pulls two planes in half the time that it needs for their two channels together.
    """
    x, y = places(flow)
    own = flow[..., 0], flow[..., 1]

    def then(plane: Plane, first: Plane) -> Plane:
        pulled = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(first + pulled)

    return [(then(other[0], own[0]), then(other[1], own[1])) for other in others]


def resize_flow(flow: Flow, height: int, width: int) -> Float32[np.ndarray, "h w 2"]:
    """The same motion on another pixel grid."""
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA), np.float32) * scale
