"""Another eye's view from a picture and its disparity.

Disparity is in pixels, larger is nearer, and what the right eye sees lies that much further left. A surface at
disparity 0 is on the screen, above 0 in front of it. Views are rectified: rows stay rows.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16

from diorama.core.parallel import bands
from diorama.errors import UsageError
from diorama.geometry._mesh import FRACTION, mesh_rows
from diorama.geometry._scan import as_words, finite_rows, known_mark, scan_rows

__all__ = [
    "Eye",
    "Split",
    "StereoWarp",
    "eye_warp",
    "forward_warp",
    "forward_warp_reference",
    "forward_warp_subpixel",
    "share_of",
    "stereo_warp",
]

Pixels = TypeVar("Pixels", UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h w 3"])
Eye = Literal["left", "right"]
Split = Literal["symmetric", "left", "right"]

TEAR = 1.25
"""Pixels to which the gap between two neighbours may stretch before the sub-pixel warp tears it."""


@dataclass(frozen=True, eq=False)
class StereoWarp:
    """Both eyes' views, 0 where unknown, and the masks of known pixels."""

    left: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    right: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    left_known: Bool[np.ndarray, "h w"]
    right_known: Bool[np.ndarray, "h w"]


def forward_warp(image: Pixels, disparity: Float32[np.ndarray, "h w"]) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """The right eye's view of `image`, by nearest pixel: x goes to ``floor(x - disparity + 0.5)``, the nearer wins.

    Args:
        image: RGB, uint8 or uint16, seen by the left eye.
        disparity: pixels, any sign.

    Returns:
        The warped image, 0 where unknown, and the mask of known pixels.

    Raises:
        UsageError: where `disparity` is not finite.
    """
    return eye_warp(image, disparity, eye="right")


def forward_warp_subpixel(
    image: Pixels, disparity: Float32[np.ndarray, "h w"], *, tear: float | int = TEAR
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """As `forward_warp`, to sub-pixel accuracy and without cracks on slanted surfaces.

    Args:
        image: as in `forward_warp`.
        disparity: as in `forward_warp`.
        tear: neighbours that land further apart than this (pixels, above 1) belong to different surfaces.

    Raises:
        UsageError: where `disparity` is not finite, or `tear` is not above 1.
    """
    return eye_warp(image, disparity, eye="right", tear=tear)


def stereo_warp(
    image: Pixels,
    disparity: Float32[np.ndarray, "h w"],
    *,
    split: Split = "symmetric",
    subpixel: bool = False,
) -> StereoWarp:
    """Both eyes' views of `image`.

    Args:
        image: RGB, uint8 or uint16.
        disparity: pixels between the left and the right view, any sign.
        split: "symmetric": each eye is moved by half; "left": `image` is the left view and comes back as it is, and
            the right eye is moved by all of it; "right": the mirror of that.
        subpixel: use `forward_warp_subpixel`.

    Raises:
        UsageError: as in `forward_warp`.
    """
    tear = TEAR if subpixel else None
    left, left_known = eye_warp(image, disparity, eye="left", share=share_of(split, "left"), tear=tear)
    right, right_known = eye_warp(image, disparity, eye="right", share=share_of(split, "right"), tear=tear)
    return StereoWarp(left, right, left_known, right_known)


def share_of(split: Split, eye: Eye) -> float:
    """The part of the disparity by which `eye` is moved: 0, 0.5 or 1."""
    if split == "symmetric":
        return 0.5
    return 0.0 if split == eye else 1.0


def forward_warp_reference(
    image: Pixels, disparity: Float32[np.ndarray, "h w"]
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """`forward_warp` in plain numpy, column by column: the readable twin of the kernel."""
    height, width = disparity.shape
    warped, known = np.zeros_like(image), np.zeros((height, width), dtype=bool)
    rows = np.arange(height)
    for x in range(width):
        target = x + np.floor(np.float32(0.5) - disparity[:, x])
        inside = (target >= 0) & (target < width)
        place = rows[inside], target[inside].astype(int)
        warped[place], known[place] = image[inside, x], True
    return warped, known


def eye_warp(
    image: Pixels,
    disparity: Float32[np.ndarray, "h w"],
    *,
    eye: Eye,
    share: float | int = 1.0,
    tear: float | int | None = None,
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """The view of an eye that stands `share` of the way from `image` to `eye`, for any number of views.

    Args:
        image: as in `forward_warp`.
        disparity: as in `forward_warp`.
        eye: to which side.
        share: the part of `disparity` to move by; at 0 the image comes back.
        tear: None for the nearest warp, else as in `forward_warp_subpixel`.
    """
    if tear is not None and not tear > 1:
        raise UsageError(f"tear is {tear}, expected more than 1 pixel", "tear", f"{TEAR} suits most depth maps")
    image, disparity = np.ascontiguousarray(image), np.ascontiguousarray(disparity)
    out, known = np.empty_like(image), np.empty(disparity.shape, dtype=bool)
    samples, source, mark = out.reshape(len(out), -1), image.reshape(len(image), -1), known_mark(image.dtype)
    words, gain, mirrored = as_words(image), np.float32(share), eye == "left"
    still = share == 0

    def work(first: int, last: int) -> None:
        if tear is None and not still:
            finite = scan_rows(source, words, disparity, gain, mirrored, mark, samples, known, first, last)
        else:
            finite = finite_rows(disparity, first, last)
        if not finite:
            raise UsageError("disparity holds NaN or infinite values", "disparity", "mend or mask the map first")
        if still:
            out[first:last], known[first:last] = image[first:last], True
        elif tear is not None:
            reach = int(tear * (1 << FRACTION))
            mesh_rows(source, disparity, gain, mirrored, reach, mark, samples, known, first, last)

    bands(len(image), work)
    return out, known
