"""One frame and its depth to the pictures of all eyes: pure functions, no files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.video import Pixels
from diorama.geometry.warp import TEAR, Eye, eye_warp
from diorama.media.stereo import Packed, even, pack
from diorama.perception.fill import fill
from diorama.perception.neighbours import Neighbour
from diorama.pipelines.presets import Look


@dataclass(frozen=True, eq=False)
class Eyes:
    """The pictures of one frame.

    Attributes:
        views: from left to right, at least two.
        known: which pixels of each view show the source; the others were filled.
    """

    views: tuple[Pixels, ...]
    known: tuple[Bool[np.ndarray, "h w"], ...]


def screen_disparity(
    inverse_depth: Float32[np.ndarray, "h w"], convergence: float, look: Look
) -> Float32[np.ndarray, "h w"]:
    """Parallax between the outermost views in pixels, positive in front of the screen.

    Args:
        inverse_depth: in [0, 1], 1 is nearest.
        convergence: the inverse depth on the screen plane.
        look: gives the divergence in percent of the width.
    """
    scale = np.float32(look.divergence / 100 * inverse_depth.shape[1])
    disparity = inverse_depth - np.float32(convergence)
    disparity *= scale  # in place: at 1080p another map costs as much as the sum
    return disparity


def make_eyes(
    image: Pixels,
    disparity: Float32[np.ndarray, "h w"],
    look: Look,
    *,
    neighbours: Sequence[Neighbour] = (),
) -> Eyes:
    """Warp a frame to every view and fill what becomes visible.

    Args:
        image: the source frame.
        disparity: parallax between the outermost views, pixels of `image` (`screen_disparity`).
        look: views, source eye, warp and fill.
        neighbours: other frames of the shot to borrow background from.
    """
    if look.format == "rgbd":  # shows the given picture only
        return Eyes((image, image), (np.ones(image.shape[:2], bool),) * 2)
    left, right = PLACES[look.source_eye]
    views, masks = [], []
    for place in np.linspace(left, right, look.views).tolist():
        if place == 0:
            views.append(image)
            masks.append(np.ones(image.shape[:2], bool))
            continue
        eye: Eye = "right" if place > 0 else "left"
        tear = TEAR if look.warp == "subpixel" else None
        view, known = eye_warp(image, disparity, eye=eye, share=abs(place), tear=tear)
        found = {"disparity": disparity, "share": abs(place), "neighbours": neighbours}
        fill(view, known, eye=eye, method=look.fill, out=view, **found)
        views.append(view)
        masks.append(known)
    return Eyes(tuple(views), tuple(masks))


# Where the outermost views stand, in units of the whole parallax, seen from the given picture.
PLACES = {"center": (-0.5, 0.5), "left": (0.0, 1.0), "right": (-1.0, 0.0)}


def pictures(eyes: Eyes, image: Pixels, inverse_depth: Float32[np.ndarray, "h w"], look: Look) -> tuple[Packed, ...]:
    """What is encoded: one packed picture, or one picture a view for separate files; sides made even."""
    if look.separate:
        views = eyes.views[::-1] if look.swap else eyes.views
        return tuple(even(view) for view in views)
    if look.format == "rgbd":
        return (even(pack(image, image, "rgbd", depth=inverse_depth)),)
    return (even(pack(eyes.views[0], eyes.views[1], look.format, swap=look.swap)),)
