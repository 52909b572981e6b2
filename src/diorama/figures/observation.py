"""What is seen of one person over time: points in the picture, points in space, masks, and the cameras."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.figures.landmarks import POINT_NAMES

FOCAL_SIDES = 1.2
"""Focal length that is guessed, longer sides of the picture: 45 degrees across."""
LEAST_CONFIDENCE = 0.05
"""Points less sure than this are not looked at."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One person in t frames.

    Attributes:
        points: x and y in pixels (the first pixel's centre is at 0.5) and confidence in [0, 1]; NaN or a confidence of
            0 where a point is not known.
        table: what the points are: "mediapipe33", "coco17" or "coco133".
        cameras: one that stands still, or one a frame; `guessed_camera` where nothing is known.
        fps: frames a second.
        world: the same points in metres about the hips, in the axes of each frame's camera (x right, y down, z away),
            as MediaPipe's world landmarks; NaN where not known.
        masks: where the person is seen.
        floor: whether y = 0 of the cameras' world is the floor, on which feet stand and below which they never are.

    Raises:
        UsageError: a table that is not known, another number of points, frames, cameras or pixels than expected, a
            confidence outside [0, 1], no frame rate, or nothing seen in any frame.
    """

    points: Float32[np.ndarray, "t l 3"]
    table: str
    cameras: Cameras
    fps: float
    world: Float32[np.ndarray, "u m 3"] | None = None
    masks: Bool[np.ndarray, "n h w"] | None = None
    floor: bool = False

    def __post_init__(self) -> None:
        if self.table not in POINT_NAMES:
            raise UsageError(f"points of {self.table!r}", "Observation", f"known tables: {', '.join(POINT_NAMES)}")
        frames, count = len(self.points), len(POINT_NAMES[self.table])
        if not frames or self.points.shape[1:] != (count, 3):
            expected = f"expected (frames, {count}, 3) for {self.table}"
            raise UsageError(f"points of shape {self.points.shape}, {expected}", "Observation")
        if self.world is not None and self.world.shape != self.points.shape:
            raise UsageError(f"world points {self.world.shape}, points {self.points.shape}", "Observation")
        if len(self.cameras) not in (1, frames):
            raise UsageError(f"{len(self.cameras)} cameras for {frames} frames", "Observation", "give one or one each")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"{self.fps} frames a second", "Observation", "give a rate above 0")
        self._check_masks(frames)
        given = self.points[..., 2]
        if not ((given >= 0) & (given <= 1) | np.isnan(given)).all():
            raise UsageError("a confidence is not within 0 to 1", "Observation", "give x, y and confidence")
        if not (self.confidence > 0).any():
            raise UsageError("no point is seen in any frame", "Observation", "give a clip that shows the body")

    def _check_masks(self, frames: int) -> None:
        size = self.cameras.height, self.cameras.width
        if self.masks is not None and self.masks.shape != (frames, *size):
            expected = f"expected {(frames, *size)}, as the points and the cameras say"
            raise UsageError(f"masks of shape {self.masks.shape}, {expected}", "Observation")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def confidence(self) -> Float32[np.ndarray, "t l"]:
        """How far each point is trusted; 0 where it is not known, unsure or absurdly far away."""
        far = 10 * max(self.cameras.height, self.cameras.width)
        known = (np.abs(self.points[..., :2]) < far).all(axis=-1) & (self.points[..., 2] >= LEAST_CONFIDENCE)
        return np.where(known, self.points[..., 2], 0).astype(np.float32)

    @property
    def all_cameras(self) -> Cameras:
        """A camera a frame."""
        if len(self.cameras) == len(self):
            return self.cameras
        viewmats, Ks = (np.repeat(a, len(self), axis=0) for a in (self.cameras.viewmats, self.cameras.Ks))
        return Cameras(viewmats, Ks, self.cameras.height, self.cameras.width)

    def without(self, hidden: Bool[np.ndarray, "t l"]) -> "Observation":
        """The same with some points not known."""
        points = self.points.copy()
        points[hidden] = (np.nan, np.nan, 0)
        world = None if self.world is None else np.where(hidden[..., None], np.float32(np.nan), self.world)
        return Observation(points, self.table, self.cameras, self.fps, world, self.masks, self.floor)


def guessed_camera(height: int, width: int) -> Cameras:
    """A level camera at the origin of a world with Y up, with the field of view of an ordinary lens."""
    focal = FOCAL_SIDES * max(height, width)
    K: Float[np.ndarray, "3 3"] = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(np.diag([1.0, -1.0, -1.0, 1.0])[None], K[None], height, width)
