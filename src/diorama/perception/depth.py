"""Embedded depth: cues and a small network that comes with the package; nothing to download.

Every few frames a still is read (see fuse); in between and over time the map follows the flow, motion of its own brings
things forward, and a person becomes a card on the ground.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.perception.base import PeopleSegmenter, Tracked
from diorama.perception.cardboard import paste, place
from diorama.perception.flow import Flow, pull, resize_flow
from diorama.perception.fuse import InverseDepth, analysis_size, read_still
from diorama.perception.parallax import own_motion
from diorama.perception.upsample import upsample

EVERY = 6  # frames between stills
FOLLOW = 0.12  # share of the new answer in each frame's map
REVEALED = 0.7  # ... where the flow brought something else
CHANGED = 24.0  # mean colour levels from which flow is held to have failed
FORWARD = 0.25  # inverse depth that full motion of its own adds
SOLID = 0.15  # inverse depth from which motion counts fully: flow in an even sky means nothing
MOVING = 0.3  # share of the new motion in each frame's
PERSON = 0.25  # share of the new answer in a person's inverse depth

Map = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Belief:
    """What is held to be true after a frame, on the grid of the analysis.

    Attributes:
        image: the frame.
        still: the last still's answer, carried along.
        motion: own motion, 0..1.
        inverse_depth: of the scene without the person.
        person: the person's inverse depth, None before one is seen.
    """

    image: UInt8[np.ndarray, "h w 3"]
    still: InverseDepth
    motion: Map
    inverse_depth: InverseDepth
    person: float | None = None


class EmbeddedDepth:
    """A `DepthEstimator`: maps at the size of `Tracked.small`, no look-ahead, one map held.

    The scale is fixed: 0 is the sky, 0.75 the ground at the lower border, 1 what is right before the camera.

    Args:
        people: finds the person in a frame, or None to go without.
    """

    name = "embedded"

    def __init__(self, people: PeopleSegmenter | None = None) -> None:
        self.people = people

    def __call__(self, shot: Iterable[Tracked]) -> Iterator[Float32[np.ndarray, "sh sw"]]:
        belief: Belief | None = None
        for number, tracked in enumerate(shot):
            belief = _begin(tracked) if belief is None else _follow(belief, tracked, fresh=number % EVERY == 0)
            mask = self.people(tracked) if self.people is not None else None
            scene = np.clip(upsample(belief.inverse_depth, tracked.small), 0, 1)
            if mask is None:
                yield scene
                continue
            person = place(mask, scene)
            before = person.inverse_depth if belief.person is None else belief.person
            value = before + PERSON * (person.inverse_depth - before)
            belief = Belief(belief.image, belief.still, belief.motion, belief.inverse_depth, value)
            yield paste(scene, type(person)(mask, value))

    def close(self) -> None:
        """Free what finds people; a later call loads it again."""
        close = getattr(self.people, "close", None)
        if close is not None:
            close()


def _begin(tracked: Tracked) -> Belief:
    image = analysis_size(tracked.small)
    still = read_still(tracked.small).inverse_depth
    return Belief(image, still, np.zeros_like(still), _snap(still, image))


def _follow(before: Belief, tracked: Tracked, *, fresh: bool) -> Belief:
    """One frame on: carry everything along the flow, then move it towards the new answer."""
    image = analysis_size(tracked.small)
    height, width = image.shape[:2]
    small_flow = tracked.flow if tracked.flow is not None else np.zeros((*tracked.small.shape[:2], 2), np.float32)
    flow = resize_flow(small_flow, height, width)
    carried = pull(np.dstack([before.still, before.motion, before.inverse_depth]), flow)
    still = read_still(tracked.small).inverse_depth if fresh else np.ascontiguousarray(carried[..., 0])
    motion = carried[..., 1] + MOVING * (own_motion(flow) - carried[..., 1])
    target = still + FORWARD * motion * np.minimum(still / SOLID, 1) * (1 - still)
    share = _share(before.image, image, flow)
    inverse_depth = carried[..., 2] + share * (target - carried[..., 2])
    return Belief(image, still, motion, _snap(inverse_depth, image), before.person)


def _share(before: UInt8[np.ndarray, "h w 3"], image: UInt8[np.ndarray, "h w 3"], flow: Flow) -> Map:
    """How much of the new answer each pixel takes: little where the flow shows the same thing as before."""
    difference = cv2.absdiff(image, pull(before, flow)).astype(np.float32).mean(2)
    changed = np.clip(cv2.blur(difference, (3, 3)) / CHANGED, 0, 1) ** 2
    return np.asarray(FOLLOW + (REVEALED - FOLLOW) * changed, np.float32)


def _snap(inverse_depth: InverseDepth, image: UInt8[np.ndarray, "h w 3"]) -> InverseDepth:
    """Edges of the map moved to edges of the picture (guided filter, He et al., ECCV 2010)."""
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return np.asarray(cv2.ximgproc.guidedFilter(guide, inverse_depth.astype(np.float32), 4, 4e-4), np.float32)
