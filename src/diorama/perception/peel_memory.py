"""What earlier frames of a shot tell of the things before a person: their colours, and where they are going."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.perception._peel_kernels import LEVELS, look_up, tally

FORGET = 0.97
"""Of what was seen, a frame later."""
SURE = 0.5
"""Coverage from which on a pixel counts."""
PATH = 0.6
"""What a thing's foreseen place counts, against its colours."""

WHOLE = (slice(None), slice(None))

Map = Float32[np.ndarray, "h w"]


@dataclass(eq=False)
class Memory:
    """Colours of a person and of things before it, and the way of those things; fed frame by frame.

    Attributes:
        own, things: how often each colour was seen, of the person and of things.
        last: where things were in the frame before, None where there were none.
        center: the middle of that, row and column, pixels.
        step: how far it had moved, pixels.
    """

    own: Float32[np.ndarray, "n"] = field(default_factory=lambda: np.ones(LEVELS**3, np.float32))
    things: Float32[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(LEVELS**3, np.float32))
    last: Bool[np.ndarray, "h w"] | None = None
    center: Float32[np.ndarray, "2"] | None = None
    step: Float32[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2, np.float32))

    def likely(
        self, image: UInt8[np.ndarray, "h w 3"], part: tuple[slice, slice] = WHOLE
    ) -> Float32[np.ndarray, "ph pw"]:
        """How much each pixel of a part of the frame looks like a thing seen before, where one is foreseen, 0..1."""
        share = look_up(self.things / (self.things + self.own), image[part])
        if self.last is None:
            return share * (1 - PATH)
        shift = np.array([[1, 0, self.step[1]], [0, 1, self.step[0]]], np.float32)
        size = self.last.shape[::-1]
        moved = cv2.warpAffine(self.last.astype(np.float32), shift, size, flags=cv2.INTER_LINEAR)
        near = cv2.blur(cv2.dilate(moved, np.ones((5, 5), np.uint8)), (5, 5))
        return np.asarray(share * (1 - PATH + PATH * near[part]), np.float32)

    def see(self, image: UInt8[np.ndarray, "h w 3"], person: Map, occluder: Map) -> None:
        """Learn from a frame taken apart."""
        there = occluder > SURE
        self.own = FORGET * self.own + tally(image, person > SURE)
        self.things = FORGET * self.things + tally(image, there)
        self.own, self.things = self.own.astype(np.float32), self.things.astype(np.float32)
        center = np.argwhere(there).mean(axis=0).astype(np.float32) if there.any() else None
        still = np.zeros(2, np.float32)
        self.step = still if center is None or self.center is None else np.asarray(center - self.center, np.float32)
        self.last, self.center = (there if there.any() else None), center
