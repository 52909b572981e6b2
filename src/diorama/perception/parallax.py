"""Inverse depth from motion: what moves otherwise than the scene as a whole: it is near, or moves itself."""

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from diorama.perception.flow import Flow

DEAD = 0.0012  # picture widths a frame: below this, flow is noise
FULL = 0.006  # ... from here on a motion of its own counts fully
ROUNDS = 6
STEP = 4  # pixels between the samples that the camera's motion is fitted to


def camera_motion(flow: Flow) -> Flow:
    """The part of the flow that an affine motion of the whole picture explains.

    Fitted to a grid of samples by reweighting, so that the largest body of consistent motion wins and things that move
    on their own are left out. Affine motion covers pan, tilt, roll, zoom and any one tilted plane.
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height:STEP, 0:width:STEP]
    basis = _basis(x.ravel(), y.ravel(), height, width)
    samples = flow[::STEP, ::STEP].reshape(-1, 2).astype(np.float64)
    weight = np.ones(len(samples))
    solution = np.zeros((3, 2))
    for _ in range(ROUNDS):
        scaled = basis * weight[:, None]
        solution = np.linalg.solve(scaled.T @ basis + 1e-6 * np.eye(3), scaled.T @ samples)
        error = ((samples - basis @ solution) ** 2).sum(1)
        scale = np.median(error) * 2 + 1e-4
        weight = 1 / (1 + error / scale) ** 2
    rows, cols = np.arange(height), np.arange(width)
    down = _basis(np.full(height, width / 2), rows, height, width) @ solution
    across = _basis(cols, np.full(width, height / 2), height, width)[:, 1:2] * solution[1:2]
    return (down[:, None] + across[None]).astype(np.float32)


def own_motion(flow: Flow) -> Float32[np.ndarray, "sh sw"]:
    """How clearly each pixel moves on its own, 0..1.

    Zero for a still scene, a panning or zooming camera, and a scene that is one plane.
    """
    rest = flow - camera_motion(flow)
    amount = cv2.magnitude(rest[..., 0], rest[..., 1]) / max(flow.shape[:2])
    return np.asarray(np.clip((amount - DEAD) / (FULL - DEAD), 0, 1), np.float32)


def _basis(x: np.ndarray, y: np.ndarray, height: int, width: int) -> Float64[np.ndarray, "n 3"]:
    return np.stack([np.ones(len(x)), (x - width / 2) / width, (y - height / 2) / height], 1)
