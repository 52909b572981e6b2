"""Outlines of a person: how far a pixel is from the one in the picture, and which vertices make that of a body.

Distances are exact, by lower envelopes of parabolas (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled
Functions", 2012): distances along columns, then a pass along rows, each in linear time.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numba import njit

from diorama.core.camera import Cameras
from diorama.geometry.raster import rasterize

_FAR = 1e12
"""Squared pixels that stand for "no pixel in this row or column"."""


def distances(masks: Bool[np.ndarray, "t h w"]) -> Float32[np.ndarray, "t h w"]:
    """How far each pixel's centre is from the nearest pixel of its mask, pixels; 0 inside, inf for an empty mask."""
    found = np.empty(masks.shape, np.float32)
    for mask, out in zip(masks, found, strict=True):
        _transform(mask, out)
    return found


def signed_distances(masks: Bool[np.ndarray, "t h w"]) -> Float32[np.ndarray, "t h w"]:
    """How far each pixel's centre is outside its mask's edge, pixels; below 0 inside.

    The edge runs between pixels. A mask that is empty or fills the picture has none: NaN.
    """
    outside, inside = distances(masks), distances(~masks)
    found = np.where(masks, 0.5 - inside, outside - 0.5).astype(np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))


def contour_vertices(
    vertices: Float32[np.ndarray, "v 3"],
    faces: np.ndarray,
    camera: Cameras,
    count: int,
) -> Int64[np.ndarray, " n"]:
    """Vertices on the outline of a posed body as a camera sees it, at most `count`, spread evenly around it.

    Args:
        vertices: in the world, metres.
        faces: triangles, "f 3".
        camera: one view; small pictures do.
        count: 1 or more.

    Pixels at the border of the picture are no outline: the body may go on outside.
    """
    seen = rasterize(vertices, faces, camera)
    edge = _edge(seen.face_ids >= 0)
    if not edge.any():
        return np.zeros(0, np.int64)
    corner = seen.barycentrics[edge].argmax(axis=1)
    y, x = np.nonzero(edge)
    around = np.argsort(np.arctan2(y - y.mean(), x - x.mean()), kind="stable")
    chosen = faces[seen.face_ids[edge], corner][around]
    _, first = np.unique(chosen, return_index=True)
    ring = chosen[np.sort(first)].astype(np.int64)
    return ring[np.linspace(0, len(ring) - 1, min(count, len(ring))).astype(int)]


def _edge(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels inside, with a neighbour outside, off the border."""
    whole = np.zeros_like(mask)
    inner = mask[1:-1, 1:-1]
    near = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    whole[1:-1, 1:-1] = inner & ~near
    return whole


def _transform(mask: Bool[np.ndarray, "h w"], out: Float32[np.ndarray, "h w"]) -> None:
    longest = max(mask.shape)
    scratch = np.empty(longest), np.empty(longest), np.empty(longest, np.int64), np.empty(longest + 1)
    _sweep(np.ascontiguousarray(mask), out, *scratch)


@njit(nogil=True, cache=True)
@no_type_check
def _sweep(mask, out, line, found, hull, starts):
    """Distances along columns, then the least of their squares plus squared distance along rows."""
    height, width = mask.shape
    squares = np.empty((height, width))
    for x in range(width):
        squares[0, x] = 0.0 if mask[0, x] else np.inf
    for y in range(1, height):
        for x in range(width):
            squares[y, x] = 0.0 if mask[y, x] else squares[y - 1, x] + 1.0
    for y in range(height - 2, -1, -1):
        for x in range(width):
            squares[y, x] = min(squares[y, x], squares[y + 1, x] + 1.0)
    for y in range(height):
        for x in range(width):
            line[x] = min(squares[y, x] * squares[y, x], _FAR)
        _envelope(line, width, found, hull, starts)
        for x in range(width):
            out[y, x] = np.sqrt(found[x]) if found[x] < _FAR / 2 else np.inf


@njit(nogil=True, cache=True)
@no_type_check
def _envelope(line, count, found, hull, starts):
    """The lower envelope of the parabolas ``line[q] + (p - q)^2`` at all p."""
    top = 0
    hull[0] = 0
    starts[0] = -np.inf
    starts[1] = np.inf
    for q in range(1, count):
        meet = ((line[q] + q * q) - (line[hull[top]] + hull[top] * hull[top])) / (2.0 * (q - hull[top]))
        while meet <= starts[top]:
            top -= 1
            meet = ((line[q] + q * q) - (line[hull[top]] + hull[top] * hull[top])) / (2.0 * (q - hull[top]))
        top += 1
        hull[top] = q
        starts[top] = meet
        starts[top + 1] = np.inf
    top = 0
    for p in range(count):
        while starts[top + 1] < p:
            top += 1
        found[p] = (p - hull[top]) * (p - hull[top]) + line[hull[top]]
