"""Frames with their shot, reduced picture and flow: scene cuts are found here, and nothing is tracked across them.

A cut is decided from two consecutive frames alone, so a run that starts at any shot finds the same shots from there on.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.video import Frame, Pixels
from diorama.perception.base import SMALL_SIDE, Tracked
from diorama.perception.flow import Flow, Small, dense_flow, grey, pull
from diorama.perception.shrink import shrink

SIMILAR = 0.4  # within shots 0.79 and more was measured on eight real clips, across cuts 0.37 and less
RECOLOURED = 0.12  # within shots at most 0.11 without a flash, across cuts 0.26 and more
STRUCTURE = 2.0  # grey levels: below this spread there is nothing to recognise (black, white, fades)

Histogram = Float32[np.ndarray, "n"]


def track(frames: Iterable[Frame], *, moving: bool = True) -> Iterator[Tracked]:
    """Number the shots of consecutive frames and find each frame's motion since the frame before.

    Holds two reduced frames; every shot starts with `Tracked.first` and without flow.

    Args:
        frames: consecutive ones.
        moving: whether the motion is wanted; else all frames are without flow, which is measured where a cut may be.
    """
    before: tuple[Small, Histogram] | None = None
    shot = 0
    for frame in frames:
        small = reduce(frame.image)
        here = small, _histogram(small)
        first, flow = before is None, None
        if before is not None:
            # Colours first: they take a fifth of the time, and nearly every frame is settled by them.
            doubtful = _apart(before[1], here[1]) > RECOLOURED
            flow = dense_flow(small, before[0]) if moving or doubtful else None
            if doubtful and flow is not None and is_torn(before[0], small, flow):
                first, shot = True, shot + 1
        yield Tracked(frame, shot, first, small, flow if moving and not first else None)
        before = here


def reduce(image: Pixels, side: int = SMALL_SIDE) -> Small:
    """The picture as 8-bit RGB with at most `side` pixels on its longer side (area average; never enlarged)."""
    return shrink(image, *reduced_size(image.shape[0], image.shape[1], side))


def reduced_size(height: int, width: int, side: int = SMALL_SIDE) -> tuple[int, int]:
    """Height and width of a picture reduced to at most `side` pixels on its longer side; never enlarged."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def is_cut(before: Small, small: Small, flow: Flow) -> bool:
    """Whether `small` starts a new shot after `before`; `flow` leads from `small` to `before`.

    Both must hold: the structure is not found again along the flow, and the colours differ. A flash changes colours and
    keeps structure; fast motion and blur lose structure and keep colours.
    """
    return recoloured(before, small) > RECOLOURED and is_torn(before, small, flow)


def is_torn(before: Small, small: Small, flow: Flow) -> bool:
    """Whether the structure of `before` is not found again in `small`; `flow` leads from `small` to `before`."""
    return alike(small, pull(before, flow)) < SIMILAR


def alike(one: Small, other: Small) -> float:
    """Correlation of local structure, -1..1; 1 where both pictures are flat, 0 where one is."""
    a, b = _structure(one), _structure(other)
    spread = float(np.sqrt(np.mean(a * a))), float(np.sqrt(np.mean(b * b)))
    flat = [value < STRUCTURE for value in spread]
    if any(flat):
        return float(all(flat))
    return float(np.mean(a * b)) / (spread[0] * spread[1])


def recoloured(one: Small, other: Small) -> float:
    """Share of pixels, 0..1, whose colour (8 levels a channel) has no counterpart in the other picture."""
    return _apart(_histogram(one), _histogram(other))


def _structure(small: Small) -> Float32[np.ndarray, "qh qw"]:
    """Grey levels at half size without their local mean, so that brightness and flashes drop out."""
    height, width = small.shape[:2]
    size = (max(1, width // 2), max(1, height // 2))
    half = cv2.resize(grey(small), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    window = max(3, max(size) // 6)
    return np.asarray(half - cv2.blur(half, (window, window)), np.float32)


def _apart(one: Histogram, other: Histogram) -> float:
    return float(np.abs(one - other).sum() / 2)


def _histogram(small: UInt8[np.ndarray, "sh sw 3"]) -> Histogram:
    counts = cv2.calcHist([small], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()
    return np.asarray(counts / max(counts.sum(), 1), np.float32)
