"""The part of each frame that a generator sees: a square around a person that moves and grows smoothly."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float64, UInt8

from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.figures.pose import joint_positions
from diorama.perception.people_mask import centered

ROOM = 0.2
"""Part of the joints' extent that is added on each side, for head, hands, feet and cloth."""
LEAST = 32.0
"""Pixels of a square's side, at least."""
SECONDS = 0.5
"""Over which its way is smoothed."""


@dataclass(frozen=True, eq=False)
class Roi:
    """Squares of t frames.

    Attributes:
        centers: columns and rows of their middles, pixels.
        sides: pixels.
    """

    centers: Float64[np.ndarray, "t 2"]
    sides: Float64[np.ndarray, " t"]

    def matrix(self, frame: int, size: int) -> Float64[np.ndarray, "2 3"]:
        """From places in the frame to places in its square at `size` pixels; both count from the upper left edge."""
        scale = size / self.sides[frame]
        corner = self.centers[frame] - self.sides[frame] / 2
        return np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])

    def camera(self, cameras: Cameras, frame: int, size: int) -> Cameras:
        """The camera of the square, for the frame's own one."""
        change = np.vstack([self.matrix(frame, size), [0, 0, 1]])
        own = cameras[frame : frame + 1]
        return Cameras(own.viewmats, change[None] @ own.Ks, size, size)


def roi_of(motion: Motion, cameras: Cameras) -> Roi:
    """Squares that hold a person in every frame of its motion; of one shot, as actors are."""
    places = joint_positions(motion)
    low, high = np.empty((len(motion), 2)), np.empty((len(motion), 2))
    for t, joints in enumerate(places):
        (pixels,), (depth,) = cameras[t : t + 1].project(joints.astype(np.float64))
        good = pixels[depth > 0.05] if (depth > 0.05).any() else np.array([[cameras.width / 2, cameras.height / 2]])
        low[t], high[t] = good.min(axis=0), good.max(axis=0)
    extent = np.maximum((high - low).max(axis=1), LEAST / (1 + 2 * ROOM))
    width = max(1, round(SECONDS * motion.fps))
    centers = _smooth((low + high) / 2, width)
    off = np.abs((low + high) / 2 - centers).max(axis=1)
    sides = _smooth(_highest((1 + 2 * ROOM) * extent + 2 * off, width)[:, None], width)[:, 0]
    return Roi(centers, sides)


def crop(
    image: UInt8[np.ndarray, "h w *c"], roi: Roi, frame: int, size: int, *, beyond: int | None = None
) -> UInt8[np.ndarray, "s s *c"]:
    """The square of a frame; what lies beyond the picture repeats its border, or is of the value `beyond`."""
    matrix = centered(roi.matrix(frame, size))
    shrunk = roi.sides[frame] / size
    if shrunk > 1.5:  # fine patterns would flicker
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * shrunk)
    mode = cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT
    value = (beyond or 0,) * 4
    done = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=value)
    return np.asarray(done)


def uncrop(picture: np.ndarray, roi: Roi, frame: int, height: int, width: int) -> np.ndarray:
    """A square brought back into a frame of `height` x `width`, zero beside it; "s s" or "s s c" of any type."""
    matrix = centered(roi.matrix(frame, picture.shape[0]))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP if picture.ndim == 3 else cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=flags))


def _smooth(values: Float[np.ndarray, "t c"], width: int) -> Float64[np.ndarray, "t c"]:
    bell = np.hanning(2 * width + 3)[1:-1]
    padded = np.pad(values, ((width, width), (0, 0)), mode="edge")
    found = [np.convolve(padded[:, c], bell / bell.sum(), mode="valid") for c in range(values.shape[1])]
    return np.stack(found, axis=1)


def _highest(values: Float[np.ndarray, " t"], width: int) -> Float64[np.ndarray, " t"]:
    """The highest value within `width` frames on either side."""
    padded = np.pad(values, width, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1).max(axis=1)
