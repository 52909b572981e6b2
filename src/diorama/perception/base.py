"""The questions asked of a clip, each as a protocol; answers are embedded, from files, or from the hub."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.video import Frame


@dataclass(frozen=True, eq=False)
class Tracked:
    """A frame with what every later stage needs to know of its shot.

    Attributes:
        frame: the full-size frame.
        shot: number of the shot, from 0.
        first: whether this frame starts the shot.
        small: the frame as 8-bit RGB, reduced to at most `SMALL_SIDE` pixels on the longer side.
        flow: for each pixel of `small`, where it was in the previous frame, minus where it is now ("h w 2", x then
            y, pixels of `small`); None in the first frame of a shot.
    """

    frame: Frame
    shot: int
    first: bool
    small: UInt8[np.ndarray, "sh sw 3"]
    flow: Float32[np.ndarray, "sh sw 2"] | None = None


SMALL_SIDE = 384


@runtime_checkable
class DepthEstimator(Protocol):
    """How near is each pixel?

    An estimator is called once a shot with the shot's frames in order and yields one map a frame: inverse depth,
    scaled so that 0 is the farthest and 1 the nearest surface of the shot (one scale over the shot), at any
    resolution with the frame's aspect; the caller resizes. It may look ahead, and must hold a bounded number of
    frames; one that needs the whole shot before its first map says so by an attribute `whole_shot`, and the caller
    then decodes twice. The same frames give the same maps.
    """

    name: str

    def __call__(self, shot: Iterable[Tracked]) -> Iterator[Float32[np.ndarray, "dh dw"]]: ...


@runtime_checkable
class PeopleSegmenter(Protocol):
    """Where are people? One mask a frame, the size of `small`; None where the question cannot be answered."""

    name: str

    def __call__(self, tracked: Tracked) -> Bool[np.ndarray, "sh sw"] | None: ...
