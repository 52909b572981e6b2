"""What makes a character's pictures, by whatever networks: squares around an actor, a piece of a clip at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.layers import LayeredVideo, over, together
from diorama.perception.shrink import eight_bits
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_frames import Drawn
from diorama.pipelines.animate_roi import Roi, uncrop

if TYPE_CHECKING:
    from diorama.diffusion.generate import SampleConfig
    from diorama.diffusion.mimo import MimoSettings

REACH = 0.05
"""Part of the square by which a generated person may reach beyond the naked body: cloth and hair."""
SEEN, SURELY = 0.05, 0.16
"""Differences from the scene (of 1) from which on a pixel may show the person, and surely does."""
START = 0.5
"""Strength of the embedded generator: from noise it is lost on real photos."""


@dataclass(frozen=True)
class Asked:
    """How networks are asked; what is None, each kind has its own default for.

    Attributes:
        num_inference_steps: of the sampler.
        guidance_scale: towards the character's looks; 1 is none.
        strength: where sampling begins, from 1 (noise) to 0 (the preview).
        seed: of the noise.
    """

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float | None = None
    seed: int = 0

    def embedded(self) -> "SampleConfig":
        """For the embedded generator and its kind."""
        from diorama.diffusion.generate import SampleConfig  # seconds of loading that the preview does without

        strength = START if self.strength is None else self.strength
        return replace(SampleConfig(strength=strength, seed=self.seed), **self._walk)

    def released(self, own: "MimoSettings") -> "MimoSettings":
        """For networks with settings of their own."""
        return replace(own, share=1.0 if self.strength is None else self.strength, **self._walk)

    @property
    def _walk(self) -> dict[str, Any]:
        """Steps and guidance, where they are given."""
        given = {name: getattr(self, name) for name in ("num_inference_steps", "guidance_scale")}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, eq=False)
class Made:
    """A generated square: colours, and how much of each pixel is the person."""

    image: UInt8[np.ndarray, "s s 3"]
    alpha: Float32[np.ndarray, "s s"]

    def faded(self, old: "Made", share: float) -> "Made":
        """This one faded in over another one of the same frame."""
        mixed = cv2.addWeighted(self.image, share, old.image, 1 - share, 0)
        return Made(np.asarray(mixed), (share * self.alpha + (1 - share) * old.alpha).astype(np.float32))

    def drawn(self, roi: Roi, frame: int, height: int, width: int) -> Drawn:
        """The square in its place in the frame."""
        alpha = np.clip(uncrop(self.alpha, roi, frame, height, width), 0, 1)
        return Drawn(uncrop(self.image, roi, frame, height, width), alpha)


@runtime_checkable
class Engine(Protocol):
    """Networks, and how they are asked."""

    @property
    def size(self) -> int:
        """Pixels of the square that is generated."""

    @property
    def piece(self) -> int:
        """Frames made at once."""

    @property
    def shared(self) -> int:
        """Frames that two pieces share, over which they are faded into each other."""

    @property
    def coarse(self) -> bool:
        """Whether the textured body shows what is finer than these squares can."""

    @property
    def seed(self) -> int:
        """Of the noise."""

    def maker(self, part: Part, scene: LayeredVideo, roi: Roi) -> Callable[[int], list[Made]]:
        """What makes the frames of an actor from its frame of some number on, at most `piece`.

        Args:
            part: who plays whom.
            scene: the layers of the whole clip.
            roi: squares of all frames of the actor.
        """


def layers_of(scene: LayeredVideo, part: Part) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each frame: what is behind the actor, the same with what is before it, and where that is (0..255)."""
    names = [layer.name for layer in scene.layers]
    place = names.index(part.actor.layer)
    for pieces in zip(*(layer.read() for layer in scene.layers), strict=True):
        below = together(pieces[:place])
        image, covered = below, np.zeros(below.shape[:2], np.uint8)
        for frame, alpha in pieces[place + 1 :]:
            if alpha is not None:
                image = over(frame.image, alpha, image)
                covered = np.maximum(covered, eight_bits(alpha))
        yield eight_bits(below), eight_bits(image), covered


def person_of(
    made: UInt8[np.ndarray, "s s 3"], scene: UInt8[np.ndarray, "s s 3"], shown: Bool[np.ndarray, "s s"]
) -> Float32[np.ndarray, "s s"]:
    """Where a generated picture shows the person: on the body, and near it where it differs from the scene."""
    off = cv2.absdiff(made, scene).max(axis=-1).astype(np.float32) / 255
    differs = np.clip((cv2.blur(off, (3, 3)) - SEEN) / (SURELY - SEEN), 0, 1)
    reach = 2 * round(REACH * len(made)) + 1
    near = cv2.blur(cv2.dilate(shown.view(np.uint8), np.ones((reach, reach), np.uint8)).astype(np.float32), (5, 5))
    inner = cv2.blur(cv2.erode(shown.view(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32), (3, 3))
    return np.maximum(inner, differs * near).astype(np.float32)
