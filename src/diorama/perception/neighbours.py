"""Earlier frames of a shot kept at hand, with the motion from the current frame to each."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from diorama.perception.flow import compose_planes, pull

GAP = 6
"""Frames between two kept ones."""

KEPT = 3
"""Frames kept at most: their ages are a, a + 6 and a + 12 with a in 1..6."""

OFFERED = 2
"""Frames offered: the oldest ones, as what is hidden now was seen a while ago."""


@dataclass(frozen=True, eq=False)
class Neighbour:
    """Another frame of the shot, unwarped.

    Attributes:
        image: the frame, same size and type as the one being filled.
        disparity: its disparity in full-size pixels, on the same scale as the current frame's.
        flow: for each pixel of a small map of the current frame, where it is in `image` minus where it is now
            ("sh sw 2", x then y, pixels of the map; at least 2 x 2).
    """

    image: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    disparity: Float32[np.ndarray, "h w"]
    flow: Float32[np.ndarray, "sh sw 2"]


def compose_flow(
    a_to_b: Float32[np.ndarray, "sh sw 2"], b_to_c: Float32[np.ndarray, "sh sw 2"]
) -> Float32[np.ndarray, "sh sw 2"]:
    """The motion from frame a to frame c: along `a_to_b`, then along `b_to_c` from where that leads."""
    return a_to_b + pull(b_to_c, a_to_b)


@dataclass(frozen=True)
class Kept:
    """A kept frame; `flow`, planes of x and y, leads from the current frame to it, None while it is that frame."""

    image: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    disparity: Float32[np.ndarray, "h w"]
    flow: tuple[Float32[np.ndarray, "sh sw"], Float32[np.ndarray, "sh sw"]] | None = None


@dataclass(frozen=True)
class History:
    """What a shot has shown so far: every sixth frame, the last three of them, as references.

    For each frame of a shot in order: ``history = history.moved(flow)``, use ``history.neighbours()``, then
    ``history = history.appended(image, disparity)``. A new shot starts with ``History()``.
    """

    kept: tuple[Kept, ...] = field(default=())
    age: int = 0

    def moved(self, flow: Float32[np.ndarray, "sh sw 2"] | None) -> "History":
        """The history as seen from the next frame, `flow` leading from that frame back to the one before it.

        None (no motion known) forgets everything.
        """
        if flow is None:
            return History()
        planes = compose_planes(flow, *(k.flow for k in self.kept if k.flow is not None))
        if len(planes) < len(self.kept):  # the newest was the current frame until now
            planes.append((flow[..., 0].copy(), flow[..., 1].copy()))
        kept = (replace(k, flow=p) for k, p in zip(self.kept, planes, strict=True))
        return History(tuple(kept), self.age + 1)

    def appended(
        self, image: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], disparity: Float32[np.ndarray, "h w"]
    ) -> "History":
        """The history with the current frame, where it is due to be kept."""
        if self.kept and self.age < GAP:
            return self
        return History((*self.kept, Kept(image, disparity))[-KEPT:], 0)

    def neighbours(self) -> tuple[Neighbour, ...]:
        """Kept frames to borrow from, the newer first."""
        found = [
            Neighbour(k.image, k.disparity, np.asarray(cv2.merge(k.flow), np.float32))
            for k in self.kept[:OFFERED]
            if k.flow is not None
        ]
        return tuple(reversed(found[:OFFERED]))
