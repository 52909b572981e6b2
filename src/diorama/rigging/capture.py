"""Motion capture of any creature: the motion of a rig by which its parts look as in the part maps of a clip.

SP4D publishes no such step; this one is ours. Frame by frame, from the one before, the pose is sought whose drawn parts
have the sizes, middles and slants of those seen, in all views at once; then the poses are smoothed where they are not
sure. What no view can tell, such as how far something round is turned about itself, stays as it was or goes back to
rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress, Silent
from diorama.errors import UsageError
from diorama.rigging._capture_fit import Fit, Target, fitted, offset_of, pixels_off
from diorama.rigging._capture_model import Model, Pose
from diorama.rigging._capture_smooth import smoothed

PartMaps = Int16[np.ndarray, "v t h w"]


@dataclass(frozen=True, eq=False)
class Captured:
    """A motion, and how well it fits.

    Attributes:
        motion: of the figure's skeleton, a pose for each frame of the clip.
        error: how far the middles of parts are from where they are seen, mean over parts and views, pixels; not a
            number where no part is seen.
        held: frames in which no part of the figure is seen; they hold the pose before.
    """

    motion: Motion
    error: Float32[np.ndarray, " t"]
    held: Bool[np.ndarray, " t"]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it."""
        frames = np.flatnonzero(self.held)
        if not len(frames):
            return ()
        some = ", ".join(str(frame) for frame in frames[:5]) + (", ..." if len(frames) > 5 else "")
        return (f"no part of the figure is seen in {len(frames)} frames ({some}): they hold the pose before",)


def captured(
    figure: Figure,
    parts: PartMaps,
    cameras: Cameras,
    *,
    fps: float | int,
    numbers: Sequence[int] = (),
    at_rest: bool = True,
    progress: Progress | None = None,
) -> Captured:
    """The motion of a figure in a clip of part maps.

    One view is enough to go on: what lies along its rays is then held by what is likely.

    Args:
        figure: in the axes of the cameras; its size is of no matter.
        parts: part of each pixel, -1 beside the object; parts that the figure does not have are left out.
        cameras: of the views; they stand still.
        fps: frames a second.
        numbers: of the figure's parts in `parts`; -1 for one that they do not show, the same for several that they do
            not tell apart; 0, 1, 2, ... by default.
        at_rest: the first frame shows the rest pose. What the figure is off there is then taken for its own fault, not
            for a pose, in all frames.
        progress: told of each frame.

    Raises:
        UsageError: no frames, views that do not fit the cameras, numbers that do not fit the figure's parts, a rate
            that is none, or no part of the figure is seen in the clip.
    """
    known = _numbers(figure, numbers)
    _check(parts, cameras, float(fps))
    model, progress = Model.of(figure, known, cameras), progress or Silent()
    progress.begin("capture", parts.shape[1])
    pose = Pose.rest(len(figure.skeleton))
    fits: list[Fit | None] = []
    offset = None
    for frame in range(parts.shape[1]):
        target = Target.of(model.seen(parts[:, frame]), offset)
        if target.seen.any() and at_rest and frame == 0:
            offset = offset_of(model.drawn(pose).moments, target)
            target = Target.of(model.seen(parts[:, frame]), offset)
        fit = fitted(model, target, pose) if target.seen.any() else None
        pose = pose if fit is None else fit.pose
        fits.append(fit)
        progress.advance()
    held = np.array([fit is None for fit in fits])
    if held.all():
        raise UsageError("no part of the figure is seen", "captured", "check that cameras, part maps and figure fit")
    poses = _over_time(fits, model)
    seen = (Target.of(model.seen(parts[:, frame])) for frame in range(len(poses)))
    error = [pixels_off(model.drawn(pose).moments, target) for pose, target in zip(poses, seen, strict=True)]
    quats = np.stack([pose.quats for pose in poses]).astype(np.float32)
    root = np.stack([pose.root for pose in poses]).astype(np.float32)
    return Captured(Motion(figure.skeleton, quats, root, float(fps)), np.array(error, np.float32), held)


def _over_time(fits: list[Fit | None], model: Model) -> list[Pose]:
    """Runs of frames that show something are smoothed; between them the last pose is held."""
    poses: list[Pose] = []
    run: list[Fit] = []
    for fit in [*fits, None]:
        if fit is not None:
            run.append(fit)
            continue
        poses += smoothed(run, model.size)
        run = []
        poses.append(poses[-1] if poses else Pose.rest(len(model.parents)))
    return poses[:-1]


def _numbers(figure: Figure, numbers: Sequence[int]) -> Int64[np.ndarray, " p"]:
    found = np.array(numbers if len(numbers) else range(len(figure.parts)), np.int64)
    if len(found) != len(figure.parts) or found.min() < -1 or found.max() > np.iinfo(np.int16).max:
        given = f"{len(found)} numbers from {found.min()} to {found.max()} for {len(figure.parts)} parts"
        raise UsageError(given, "captured", "give one for each part, -1 for one that is not shown")
    if not (found >= 0).any():
        raise UsageError("no part of the figure is seen", "captured", "give numbers of parts that are shown")
    return found


def _check(parts: PartMaps, cameras: Cameras, fps: float) -> None:
    views, frames, height, width = parts.shape
    if not views or not frames:
        raise UsageError(f"{views} views of {frames} frames", "captured", "give at least one of each")
    if views != len(cameras) or (height, width) != (cameras.height, cameras.width):
        given = f"{views} part maps of {width}x{height}, {len(cameras)} cameras of {cameras.width}x{cameras.height}"
        raise UsageError(given, "captured", "give a camera of the same size for each view")
    if not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"{fps} frames a second", "captured", "give a rate above 0")
