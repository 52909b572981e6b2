"""Solids as signed distances, and their surfaces by naive surface nets (Gibson 1998)."""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from diorama.theatre.menagerie.bones import Bone

CORNERS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
"""Of a cell; opposite ones are first and last, second and last but one, ..."""
BLEND = 0.022
"""Metres over which two bones flow into each other."""
PIECE_CELLS = 12
"""Of the grid for a solid by itself."""
FAR = 30.0
"""Blending lengths from every bone at which space counts as empty."""


def distance(bone: Bone, points: Float64[np.ndarray, "*n 3"]) -> Float64[np.ndarray, "*n"]:
    """Metres from a bone's surface, negative within; ellipsoids nearly so."""
    head, tail = np.array(bone.head), np.array(bone.tail)
    if bone.shape == "capsule":
        along = tail - head
        share = np.clip((points - head) @ along / max(along @ along, 1e-12), 0, 1)
        radius = bone.size[0] + share * (bone.size[1] - bone.size[0])
        return np.linalg.norm(points - head - share[..., None] * along, axis=-1) - radius
    local = (points - (head + tail) / 2) @ frame_of(bone)  # boxes count as ellipsoids here: only machines have them
    half = np.array([bone.size[0], np.linalg.norm(tail - head) / 2, bone.size[1]])
    scaled, steep = np.linalg.norm(local / half, axis=-1), np.linalg.norm(local / half**2, axis=-1)
    return np.where(scaled < 1e-6, -half.min(), scaled * (scaled - 1) / np.maximum(steep, 1e-9))


def frame_of(bone: Bone) -> Float64[np.ndarray, "3 3"]:
    """A bone's own axes as columns: x across, y from head to tail."""
    y = np.array(bone.tail) - np.array(bone.head)
    y = y / max(float(np.linalg.norm(y)), 1e-9)
    x = np.array(bone.across) - (np.array(bone.across) @ y) * y
    if np.linalg.norm(x) < 1e-3:
        x = np.cross(y, [0.3, 0.5, 0.8])
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def blended_surface(
    bones: tuple[Bone, ...], cells: int, blend: float = BLEND
) -> tuple[Float32[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"]]:
    """The surface of bones that flow into each other.

    Args:
        bones: at least one.
        cells: of the grid along the longest side.
        blend: metres of the smooth minimum (exponential).
    """
    boxes = np.stack([_box(bone) for bone in bones])
    low, high = boxes[:, 0].min(axis=0) - 3 * blend, boxes[:, 1].max(axis=0) + 3 * blend
    step = float((high - low).max()) / cells
    shape = np.ceil((high - low) / step).astype(int) + 2
    total = np.full(shape, np.exp(-FAR))
    for bone, (near, far) in zip(bones, boxes, strict=True):
        start = np.maximum(((near - low) / step - 6 * blend / step).astype(int), 0)
        end = np.minimum(((far - low) / step + 6 * blend / step).astype(int) + 2, shape)
        axes = [low[i] + step * np.arange(start[i], end[i]) for i in range(3)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        block = tuple(slice(a, b) for a, b in zip(start, end, strict=True))
        total[block] += np.exp(np.clip(-distance(bone, points) / blend, -FAR, FAR))
    vertices, faces = surface_nets(filled(-blend * np.log(total)))
    return (low + step * vertices).astype(np.float32), faces


def piece(bone: Bone) -> tuple[Float32[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"]]:
    """The surface of one bone by itself: an ellipsoid, or a box with rounded edges."""
    unit, faces = _unit_solid(8 if bone.shape == "box" else 2)
    half = np.array([bone.size[0], np.linalg.norm(np.subtract(bone.tail, bone.head)) / 2, bone.size[1]])
    middle = (np.array(bone.head) + np.array(bone.tail)) / 2
    return ((unit * half) @ frame_of(bone).T + middle).astype(np.float32), faces


@cache
def _unit_solid(power: int) -> tuple[Float64[np.ndarray, "v 3"], Int32[np.ndarray, "f 3"]]:
    """Where the powers of the coordinates sum to 1: a ball for 2, nearly a cube of half side 1 for much more."""
    line = np.linspace(-1.15, 1.15, PIECE_CELLS)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    vertices, faces = surface_nets((np.abs(points) ** power).sum(axis=-1) ** (1 / power) - 1)
    return -1.15 + vertices * (line[1] - line[0]), faces


def _box(bone: Bone) -> Float64[np.ndarray, "2 3"]:
    ends = np.array([bone.head, bone.tail])
    reach = max(bone.size) * (1.0 if bone.shape == "capsule" else 1.5)
    return np.stack([ends.min(axis=0) - reach, ends.max(axis=0) + reach])


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
