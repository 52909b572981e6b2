"""Two eyes packed into the picture that is encoded."""

from typing import NamedTuple, no_type_check

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16
from numba import njit

from diorama.core.video import Pixels
from diorama.errors import UsageError
from diorama.media.anaglyph import dubois, red_cyan
from diorama.media.formats import (
    FORMATS,
    ContainerTags,
    FormatName,
    Rig,
    StereoFormat,
    container_tags,
    stereo_format,
)
from diorama.media.vr180 import VR180, project_into

__all__ = [
    "FORMATS",
    "VR180",
    "ContainerTags",
    "FormatName",
    "Rig",
    "StereoFormat",
    "container_tags",
    "even",
    "pack",
    "packed_size",
    "stereo_format",
]

OtherEye = UInt8[np.ndarray, "right_h right_w 3"] | UInt16[np.ndarray, "right_h right_w 3"]
Packed = UInt8[np.ndarray, "rows columns 3"] | UInt16[np.ndarray, "rows columns 3"]
Nearness = (
    Float[np.ndarray, "depth_h depth_w"] | UInt8[np.ndarray, "depth_h depth_w"] | UInt16[np.ndarray, "depth_h depth_w"]
)


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


def packed_size(height: int, width: int, name: str, *, vr180: VR180 = VR180()) -> Size:
    """Size of what `pack` makes of eyes of `height` x `width`.

    Half formats have an even size along the halved side. Elsewhere an odd side stays odd: see `even`.
    """
    entry = stereo_format(name)
    if entry.spherical:
        side = vr180.side(width)
        return Size(side, 2 * side)
    if entry.arrangement == "side":
        return Size(height, width + width % 2 if entry.half else 2 * width)
    if entry.arrangement == "over":
        return Size(height + height % 2 if entry.half else 2 * height, width)
    return Size(height, width)


def pack(
    left: Pixels,
    right: OtherEye,
    name: str,
    *,
    swap: bool = False,
    depth: Nearness | None = None,
    vr180: VR180 = VR180(),
) -> Packed:
    """One picture of both eyes.

    Args:
        left, right: of one shape and type.
        name: a key of `FORMATS`, but not ``eyes``, which are written as two files.
        swap: exchange the eyes.
        depth: for ``rgbd``, of the size of `left`; larger is nearer, floats in [0, 1] or integers of the type of
            `left`. There `right` is not looked at.
        vr180: for ``vr180``: field of view and size of the eyes.

    Returns:
        a new picture of `packed_size`, of the type of `left`.

    Raises:
        UsageError: eyes that differ in shape or type, no depth for ``rgbd``, an unknown format.
    """
    entry = stereo_format(name)
    if left.shape != right.shape or left.dtype != right.dtype:
        what = f"left eye {left.shape} {left.dtype}, right eye {right.shape} {right.dtype}"
        raise UsageError(what, fix="both eyes must have one size and type")
    if entry.name == "rgbd":
        if swap:
            raise UsageError("rgbd has no eyes to exchange", "--swap", "leave --swap away, or use another format")
        return _beside(left, _grey(left, depth))
    if entry.reversed != swap:
        left, right = right, left
    return _arrange(left, right, entry, vr180)


def _arrange(first: Pixels, second: OtherEye, entry: StereoFormat, vr180: VR180) -> Packed:
    if entry.arrangement == "files":
        raise UsageError("separate eyes are not packed", entry.name, "write each eye to its own file")
    if entry.name == "anaglyph":
        return dubois(first, second)
    if entry.name == "red-cyan":
        return red_cyan(first, second)
    if entry.spherical:
        return _spheres(first, second, vr180)
    if entry.arrangement == "side":
        return _halves_beside(first, second) if entry.half else _beside(first, second)
    return _halves_over(first, second) if entry.half else np.concatenate([first, second])


def even(image: Pixels) -> Packed:
    """`image` with its last row and column repeated where its sides are odd, as 4:2:0 coding needs."""
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _beside(left: Pixels, right: OtherEye) -> Packed:
    return np.concatenate([left, right], axis=1)


def _halves_beside(left: Pixels, right: OtherEye) -> Packed:
    """Each column is the mean of two: the box filter, whose phase agrees with how players stretch it back."""
    height, width = left.shape[:2]
    half = (width + 1) // 2
    out = np.empty((height, 2 * half, 3), left.dtype)
    for number, eye in enumerate((left, right)):
        if width % 2:
            eye = np.pad(eye, ((0, 0), (0, 1), (0, 0)), mode="edge")
        # at exactly 2:1 bilinear weights are 1/2 and 1/2; INTER_AREA gives the same five times slower
        out[:, number * half : (number + 1) * half] = cv2.resize(eye, (half, height), interpolation=cv2.INTER_LINEAR)
    return out


def _halves_over(first: Pixels, second: OtherEye) -> Packed:
    """Each row is the mean of two."""
    height, width = first.shape[:2]
    half = (height + 1) // 2
    out = np.empty((2 * half, width, 3), first.dtype)
    rows = out.reshape(2 * half, -1)
    for number, eye in enumerate((first, second)):
        _mean_rows(eye.reshape(height, -1), rows[number * half : (number + 1) * half])
    return out


@njit(nogil=True, cache=True)
@no_type_check  # numba cannot compile the checks that the tests put around functions
def _mean_rows(image: Shaped[np.ndarray, "h n"], out: Shaped[np.ndarray, "half n"]) -> None:
    """Rows 2i and 2i + 1 averaged, half rounded up; a missing last row is the one before it."""
    height = image.shape[0]
    for i in range(out.shape[0]):
        a, b, row = image[2 * i], image[min(2 * i + 1, height - 1)], out[i]
        for j in range(row.size):
            row[j] = (np.uint32(a[j]) + np.uint32(b[j]) + np.uint32(1)) >> np.uint32(1)


def _spheres(left: Pixels, right: OtherEye, vr180: VR180) -> Packed:
    side = vr180.side(left.shape[1])
    out = np.zeros((side, 2 * side, 3), left.dtype)
    project_into(left, out[:, :side], vr180)
    project_into(right, out[:, side:], vr180)
    return out


def _grey(image: Pixels, depth: Nearness | None) -> Packed:
    """`depth` as a grey picture of the type of `image`."""
    if depth is None:
        raise UsageError("rgbd without depth", fix="give depth")
    if depth.shape != image.shape[:2]:
        raise UsageError(f"depth {depth.shape}, picture {image.shape[:2]}", "rgbd", "give depth of the picture's size")
    if depth.dtype.kind == "f":
        top = np.iinfo(image.dtype).max
        depth = np.rint(np.nan_to_num(np.clip(depth, 0, 1)) * top).astype(image.dtype)
    if depth.dtype != image.dtype:
        raise UsageError(f"depth {depth.dtype}, picture {image.dtype}", "rgbd", "give floats, or the picture's type")
    return cv2.cvtColor(depth, cv2.COLOR_GRAY2RGB)
