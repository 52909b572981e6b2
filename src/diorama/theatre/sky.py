"""The picture behind everything, as a turned camera sees it."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from diorama.core.camera import Cameras


def sky_picture(sky: UInt8[np.ndarray, "h w 3"], camera: Cameras) -> UInt8[np.ndarray, "a b 3"]:
    """What a camera of one view sees of an infinitely far panorama.

    Args:
        sky: rows from straight up to straight down, columns once around: -Z in the middle, +X right of it.
        camera: one view.
    """
    rays = camera.viewmats[0, :3, :3].T @ np.linalg.inv(camera.Ks[0])
    image = np.empty((camera.height, camera.width, 3), np.uint8)
    _look(image, sky, rays.astype(np.float32))
    return image


@njit(nogil=True, cache=True)
@no_type_check
def _look(image, sky, rays: Float32[np.ndarray, "3 3"]):
    """Each fourth pixel's direction is worked out, and those between are interpolated: a sky is smooth."""
    rows, columns, step = sky.shape[0], sky.shape[1], 4
    height, width = (image.shape[0] + step - 1) // step + 1, (image.shape[1] + step - 1) // step + 1
    coarse = np.empty((height, width, 3), np.float32)
    for i in range(height):
        for j in range(width):
            u, v = np.float32(j * step + 0.5), np.float32(i * step + 0.5)
            x = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
            y = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
            z = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
            down = np.arctan2(np.sqrt(x * x + z * z), y) / np.float32(np.pi)
            around = np.arctan2(x, -z) / np.float32(2 * np.pi) + np.float32(0.5)
            row, column = down * (rows - 1), around * columns
            top, left = min(int(row), rows - 2), int(column)
            fy, fx = row - top, column - left
            for c in range(3):
                upper = (1 - fx) * sky[top, left % columns, c] + fx * sky[top, (left + 1) % columns, c]
                lower = (1 - fx) * sky[top + 1, left % columns, c] + fx * sky[top + 1, (left + 1) % columns, c]
                coarse[i, j, c] = (1 - fy) * upper + fy * lower
    for y in range(image.shape[0]):
        i, fy = y // step, np.float32(y % step) / step
        for x in range(image.shape[1]):
            j, fx = x // step, np.float32(x % step) / step
            for c in range(3):
                upper = (1 - fx) * coarse[i, j, c] + fx * coarse[i, j + 1, c]
                lower = (1 - fx) * coarse[i + 1, j, c] + fx * coarse[i + 1, j + 1, c]
                image[y, x, c] = np.uint8((1 - fy) * upper + fy * lower + np.float32(0.5))
