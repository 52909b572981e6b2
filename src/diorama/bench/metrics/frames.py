"""Videos and regions as the metrics take them: checked frame by frame, never repaired."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8, UInt16

from diorama.errors import UsageError

# The sides are not bound to names here: that two videos differ in size must reach the user as a UsageError.
Video: TypeAlias = UInt8[np.ndarray, "_t _h _w 3"] | UInt16[np.ndarray, "_t _h _w 3"] | Float[np.ndarray, "_t _h _w 3"]
Mask: TypeAlias = Bool[np.ndarray, "_t _h _w"]
Boxes: TypeAlias = Float[np.ndarray, "_t _k 4"]
Frame: TypeAlias = Float64[np.ndarray, "h w 3"]

SLACK = 1e-6
"""By which rounding may carry a float frame beyond [0, 1]."""


@dataclass(frozen=True)
class Measured:
    """A value and what it was measured by.

    Attributes:
        value: the number.
        by: name of the network (with a hash of its weights), or of the stand-in.
    """

    value: float
    by: str


def unit(frame: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"]) -> Frame:
    """A frame in [0, 1], float64: whole numbers are divided by their largest value, floats must be in range.

    Raises:
        UsageError: floats that are not finite, or outside [0, 1].
    """
    if frame.dtype.kind == "u":
        return frame / np.float64(np.iinfo(frame.dtype).max)
    least, most = float(np.min(frame)), float(np.max(frame))  # NaN wins in both
    if not (least >= -SLACK and most <= 1 + SLACK):
        raise UsageError(f"a float frame with values from {least:g} to {most:g}, expected [0, 1]", "frames")
    return frame.astype(np.float64)


def check_video(video: Video, name: str) -> None:
    """Refuse what is no video.

    Raises:
        UsageError: another rank or number of channels, or no pixels.
    """
    if video.ndim != 4 or video.shape[3] != 3 or not video.size:
        raise UsageError(f"an array of {_size(video.shape)}, expected t h w 3", name, "give frames of RGB")


def pairs(made: Video, true: Video) -> Iterator[tuple[Frame, Frame]]:
    """The frames of two videos side by side, each in [0, 1].

    Raises:
        UsageError: videos of different size or length, and as `unit`.
    """
    check_video(made, "made")
    check_video(true, "true")
    if made.shape != true.shape:
        what = f"videos of {_size(made.shape)} and {_size(true.shape)}, expected one size and length"
        raise UsageError(what, "made, true", "cut and resize one of them first, and say so beside the numbers")
    return ((unit(one), unit(two)) for one, two in zip(made, true, strict=True))


def frame_masks(mask: Mask | None, like: Video) -> Iterator[Bool[np.ndarray, "h w"] | None]:
    """A mask for each frame of `like`, or None for all pixels.

    Raises:
        UsageError: a mask of another size, or without a pixel in any frame.
    """
    if mask is None:
        return (None for _ in like)
    if mask.shape != like.shape[:3] or mask.dtype != np.bool_:
        what = f"a mask of {_size(mask.shape)}, {mask.dtype}, for frames of {_size(like.shape)}"
        raise UsageError(what, "mask", "give a boolean one of t h w")
    if not mask.any():
        raise UsageError("the mask is empty in every frame: nothing to measure", "mask", "leave this region out")
    return iter(mask)


def box_mask(boxes: Boxes, like: Video) -> Mask:
    """Where boxes are.

    Args:
        boxes: left, top, right, bottom in pixels, the last two excluded; a box that is absent is NaN.
        like: the video they belong to.

    Raises:
        UsageError: boxes for another number of frames, infinite, or turned inside out.
    """
    if len(boxes) != len(like):
        raise UsageError(f"boxes for {len(boxes)} frames, expected {len(like)}", "boxes")
    absent = np.isnan(boxes).any(axis=-1)
    known = boxes[~absent]
    if not np.isfinite(known).all() or (known[:, 2:] < known[:, :2]).any():
        raise UsageError("a box that is infinite, or ends before it begins", "boxes", "give left, top, right, bottom")
    height, width = like.shape[1:3]
    mask = np.zeros(like.shape[:3], bool)
    for number, box in zip(np.nonzero(~absent)[0], known, strict=True):
        left, top, right, bottom = (int(side) for side in np.round(np.clip(box, 0, (width, height, width, height))))
        mask[number, top:bottom, left:right] = True
    return mask


def boxes_around(points: Float[np.ndarray, "t k 2"], radius: float | int) -> Float64[np.ndarray, "t k 4"]:
    """Squares about points, as hands and feet are measured.

    Args:
        points: x, y in pixels; NaN where a point is not seen.
        radius: half of a square's side, pixels.
    """
    if not radius > 0:
        raise UsageError(f"a radius of {radius} pixels", "radius", "give a positive one")
    return np.concatenate([points - radius, points + radius], axis=-1).astype(np.float64)


def mean_over_frames(values: Iterable[float]) -> float:
    """Mean of the frames that have a value; NaN means that nothing of a frame was to be measured.

    Raises:
        UsageError: no frame has a value.
    """
    found = [value for value in values if not np.isnan(value)]
    if not found:
        raise UsageError("nothing to measure in any frame", "mask", "leave this region out")
    return float(np.mean(found))


def windows(video: Video, frames: int, stride: int) -> Iterator[Video]:
    """Runs of `frames` consecutive frames, one begun every `stride`; none where the video is shorter.

    Raises:
        UsageError: a number below 1.
    """
    if frames < 1 or stride < 1:
        raise UsageError(f"windows of {frames} frames every {stride}", "frames, stride", "give 1 or more")
    return (video[n : n + frames] for n in range(0, len(video) - frames + 1, stride))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
