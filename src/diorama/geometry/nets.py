"""Surfaces of solids that are given as fields on a grid, negative inside: naive surface nets (Gibson 1998)."""

import numpy as np
from jaxtyping import Bool, Float64, Int32

CORNERS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
"""Of a cell; opposite ones are first and last, second and last but one, ..."""


def filled(field: Float64[np.ndarray, "a b c"]) -> Float64[np.ndarray, "a b c"]:
    """The field with a few more points inside, so that no cell is crossed twice and the surface stays a manifold.

    Where inside and outside points of a square lie on its two diagonals, or two opposite corners of a cell differ
    from the other six, the outside ones are filled; until there is none left.
    """
    field = field.copy()
    while True:
        inside = field < 0
        fill = np.zeros_like(inside)
        for axis in range(3):
            _fill_diagonals(np.moveaxis(inside, axis, 0), np.moveaxis(fill, axis, 0))
        if not fill.any():
            _fill_corners(inside, fill)
        if not fill.any():
            return field
        field[fill & ~inside] = -1e-3


def _fill_diagonals(inside: Bool[np.ndarray, "a b c"], fill: Bool[np.ndarray, "a b c"]) -> None:
    a, b, c, d = inside[:, :-1, :-1], inside[:, :-1, 1:], inside[:, 1:, :-1], inside[:, 1:, 1:]
    bad = (a == d) & (b == c) & (a != b)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            fill[:, rows, columns] |= bad


def _fill_corners(inside: Bool[np.ndarray, "a b c"], fill: Bool[np.ndarray, "a b c"]) -> None:
    size = tuple(n - 1 for n in inside.shape)
    corners = [tuple(slice(b, b + n) for b, n in zip(c, size, strict=True)) for c in CORNERS]
    count = np.sum([inside[at] for at in corners], axis=0)
    bad = np.zeros(size, bool)
    for k in range(4):
        p, q = inside[corners[k]], inside[corners[7 - k]]
        bad |= (p & q & (count == 2)) | (~p & ~q & (count == 6))
    for at in corners:
        fill[at] |= bad


def surface_nets(field: Float64[np.ndarray, "a b c"]) -> tuple[Float64[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"]]:
    """The surface where a field crosses 0, in cells; a vertex in each cell that it crosses, faces seen from outside.

    Args:
        field: negative inside, positive at the border.
    """
    inside = field < 0
    size = tuple(n - 1 for n in field.shape)
    count = np.sum([_shifted(inside, c, size) for c in CORNERS], axis=0)
    active = (count > 0) & (count < 8)
    places = np.stack(np.nonzero(active), axis=1)
    total, hits = np.zeros((len(places), 3)), np.zeros((len(places), 1))
    for a in CORNERS:
        for axis in range(3):
            if a[axis]:
                continue
            b = tuple(1 if i == axis else v for i, v in enumerate(a))
            fa, fb = (field[tuple((places + c).T)] for c in (a, b))
            crossed = (fa < 0) != (fb < 0)
            share = np.where(crossed, fa / np.where(crossed, fa - fb, 1), 0)
            point = np.array(a) + share[:, None] * (np.array(b) - a)
            total += np.where(crossed[:, None], point, 0)
            hits += crossed[:, None]
    numbers = np.full(size, -1, np.int64)
    numbers[active] = np.arange(len(places))
    return places + total / hits, np.concatenate([_quads(inside, numbers, axis) for axis in range(3)]).astype(np.int32)


def _shifted(array: np.ndarray, by: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    return array[tuple(slice(b, b + n) for b, n in zip(by, size, strict=True))]


def _quads(inside: np.ndarray, numbers: np.ndarray, axis: int) -> Int32[np.ndarray, "f 3"]:
    """Two triangles around each grid edge along an axis that the surface crosses."""
    first, second = ((1, 2), (2, 0), (0, 1))[axis]
    start, end = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
    crossed = np.moveaxis(start != end, 0, axis)
    edges = np.stack(np.nonzero(crossed), axis=1)
    edges = edges[(edges[:, first] > 0) & (edges[:, second] > 0)]
    leaves = inside[tuple(edges.T)]  # from inside to outside along the axis
    ring = np.zeros((4, 3), int)
    ring[1, first] = ring[2, first] = -1
    ring[2, second] = ring[3, second] = -1
    a, b, c, d = (numbers[tuple((edges + r).T)] for r in ring)
    b, d = np.where(leaves, b, d), np.where(leaves, d, b)
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.int32)
