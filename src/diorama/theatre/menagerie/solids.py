"""Solids as signed distances, and their surfaces."""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64, Int32

from diorama.geometry.nets import filled, surface_nets
from diorama.theatre.menagerie.bones import Bone

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
