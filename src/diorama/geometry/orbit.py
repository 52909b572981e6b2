"""Cameras that look at something, and those that go round it."""

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.camera import Cameras
from diorama.errors import UsageError

FIELD_OF_VIEW = 33.8
"""Degrees of the cameras around an object, as in the SV3D family."""
FILLED = 0.82
"""The share of the view's angle that the ball around the object fills."""


def look_at(
    place: Float[np.ndarray, "t 3"], target: Float[np.ndarray, "t 3"], *, height: int, width: int, focal: float
) -> Cameras:
    """Cameras at `place` that look at `target`, upright.

    Args:
        place, target: metres.
        height, width: pixels.
        focal: pixels.

    Raises:
        UsageError: a camera where its target is, or one that looks straight up or down.
    """
    forward = target - place
    length = np.linalg.norm(forward, axis=1, keepdims=True)
    if (length < 1e-6).any():
        raise UsageError("a camera is where it should look", "look_at", "move one of them")
    forward = forward / length
    right = np.cross(forward, [0.0, 1.0, 0.0])
    wide = np.linalg.norm(right, axis=1, keepdims=True)
    if (wide < 1e-6).any():
        raise UsageError("a camera looks straight up or down", "look_at", "tilt it a little")
    right = right / wide
    viewmats = np.tile(np.eye(4), (len(place), 1, 1))
    viewmats[:, :3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    viewmats[:, :3, 3] = -np.einsum("tij,tj->ti", viewmats[:, :3, :3], place)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(viewmats, np.tile(K, (len(place), 1, 1)), height, width)


def around(azimuths: Float32[np.ndarray, " v"], elevation: float, radius: float, size: int) -> Cameras:
    """Cameras around the origin that hold a ball.

    Args:
        azimuths: degrees; 0 looks from +Z, 90 from +X.
        elevation: degrees.
        radius: of the ball, metres.
        size: pixels a side.
    """
    half = np.radians(FIELD_OF_VIEW) / 2
    away = radius / (FILLED * np.sin(half))
    turn, up = np.radians(azimuths.astype(np.float64)), np.radians(elevation)
    place = away * np.stack([np.sin(turn) * np.cos(up), np.full_like(turn, np.sin(up)), np.cos(turn) * np.cos(up)], 1)
    focal = size / 2 / float(np.tan(half))
    return look_at(place, np.zeros_like(place), height=size, width=size, focal=focal)
