"""The soft shadow where a character touches the ground, whatever touches it: feet, hands, or a back in a roll.

Points of the body are let fall on the ground in three layers: what is near darkens it much and sharply, what is high
little and widely, as light from all around is hidden. Each layer is a small picture of the ground that is blurred.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch.nn import functional

from diorama.core.camera import Cameras
from diorama.errors import UsageError

LAYERS = ((0.04, 0.025, 0.55), (0.25, 0.07, 0.35), (1.2, 0.22, 0.25))
"""Up to how many metres above the ground, over how many metres spread, and how dark at most."""
CELL = 0.02
MARGIN = 0.7
MOST_CELLS = 512


@dataclass(frozen=True, eq=False)
class Ground:
    """A plane on which somebody stands.

    Attributes:
        normal: up, of length 1; in the axes of the vertices that are let fall on it.
        height: of the plane along the normal, metres: points p with p . normal = height lie on it.
    """

    normal: Float[np.ndarray, "3"]
    height: float | int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.normal).all() and abs(np.linalg.norm(self.normal) - 1) < 1e-3):
            raise UsageError(f"a ground with normal {self.normal.tolist()}", "Ground.normal", "give length 1")
        if not np.isfinite(self.height):
            raise UsageError(f"a ground at {self.height}", "Ground.height", "give metres")


def contact_shadow(vertices: Float32[np.ndarray, "v 3"], ground: Ground, camera: Cameras) -> Float32[np.ndarray, "h w"]:
    """How much of the ground's light is left in each pixel, 0..1; 1 away from the character and above the horizon.

    Args:
        vertices: of the character, metres in the world.
        ground: in the same axes.
        camera: one view.

    Raises:
        UsageError: vertices that are not finite.
    """
    if not np.isfinite(vertices).all():
        raise UsageError("a vertex is not finite", "vertices", "pose the figure again")
    across = np.stack(_axes(ground.normal))
    above = vertices @ ground.normal.astype(np.float32) - np.float32(ground.height)
    near = above < LAYERS[-1][0]
    left = np.ones((camera.height, camera.width), np.float32)
    if not near.any():
        return left
    flat = (vertices @ across.T.astype(np.float32))[near]
    low, high = flat.min(axis=0) - MARGIN, flat.max(axis=0) + MARGIN
    cell = max(CELL, float((high - low).max()) / MOST_CELLS)
    dark = _darkness((flat - low) / cell, above[near], np.ceil((high - low) / cell).astype(int), cell)
    places, hit = _on_ground(ground, camera, across)
    size = np.array(dark.shape[::-1])
    grid = torch.from_numpy((places - low) / cell / size * 2 - 1).float()[None]
    found = functional.grid_sample(torch.from_numpy(dark)[None, None], grid, align_corners=False)[0, 0].numpy()
    return np.where(hit, 1 - found, 1).astype(np.float32)


def shadowed(image: UInt8[np.ndarray, "h w 3"], left: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture in a shadow; the same bits where all light is left."""
    dark = np.rint(image * left[..., None]).astype(np.uint8)
    return np.where(left[..., None] < 1, dark, image)


def _darkness(
    cells: Float[np.ndarray, "n 2"], above: Float32[np.ndarray, " n"], size: np.ndarray, cell: float
) -> Float32[np.ndarray, "h w"]:
    """What is taken of the light in each cell of the ground, 0..1."""
    left = torch.ones(1, 1, int(size[1]), int(size[0]))
    for reach, spread, strength in LAYERS:
        chosen = cells[above < reach].astype(np.int64)
        spots = torch.zeros_like(left)
        if len(chosen):
            spots[0, 0, chosen[:, 1], chosen[:, 0]] = 1
        spots = functional.max_pool2d(spots, 3, 1, 1)  # vertices are some centimetres apart
        left = left * (1 - strength * _soft(spots, spread / cell))
    return (1 - left)[0, 0].numpy()


def _soft(spots: Float[torch.Tensor, "1 1 h w"], sigma: float) -> Float[torch.Tensor, "1 1 h w"]:
    reach = int(np.ceil(3 * sigma))
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    bell = bell / bell.sum()
    rows = functional.conv2d(spots, bell.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(rows, bell.view(1, 1, -1, 1), padding=(reach, 0))


def _axes(normal: Float[np.ndarray, "3"]) -> tuple[np.ndarray, np.ndarray]:
    """Two directions along a plane, square to each other."""
    other = np.eye(3)[int(np.abs(normal).argmin())]
    first = np.cross(normal, other)
    first = first / np.linalg.norm(first)
    return first, np.cross(normal, first)


def _on_ground(
    ground: Ground, camera: Cameras, across: Float[np.ndarray, "2 3"]
) -> tuple[Float[np.ndarray, "h w 2"], np.ndarray]:
    """Where the ray of each pixel meets the ground, along its axes, and whether it does before the camera."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    turn, K = camera.viewmats[0, :3, :3], np.linalg.inv(camera.Ks[0])
    toward = turn.T @ K  # pixels to rays in the world
    eye = camera.centers[0]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ toward.T
    fall = rays @ ground.normal
    far = (ground.height - eye @ ground.normal) / np.where(np.abs(fall) > 1e-9, fall, 1e-9)
    hit = (far > 0) & (far < 1e4)
    flat = eye @ across.T + np.where(hit, far, 0)[..., None] * (rays @ across.T)
    return flat, hit
