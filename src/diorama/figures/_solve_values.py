"""The values of a fit: what was seen, what is asked, what is looked for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from diorama.core.rotations import from_axis_angle, multiply, normalize
from diorama.figures.fit_body import Rig
from diorama.figures.limits import Limits

NEAR = 0.2
"""Metres before the camera: nearer points are taken there, so that none is behind it."""


@dataclass(frozen=True, eq=False)
class Outline:
    """Vertices that should lie on the edge of a mask.

    Attributes:
        arms, mass: of the vertices, as landmarks have them.
        fields: signed distances to the masks' edges and their slopes in x and y, pixels of the fields.
        scale: pixels of a field in one of the picture (x, y).
        trust: 0 where a frame has no mask or no vertex.
        deviation: picture pixels.
    """

    arms: Float64[np.ndarray, "t n j 3"]
    mass: Float64[np.ndarray, "t n j"]
    fields: Float[np.ndarray, "t h w 3"]
    scale: tuple[float, float]
    trust: Float64[np.ndarray, "t n"]
    deviation: float


@dataclass(frozen=True, eq=False)
class Feet:
    """Where feet touch the ground.

    Attributes:
        points: numbers of the landmarks: heel and toe of the left and of the right foot.
        rest: their heights over the floor while they stand, metres.
        standing: 1 where they stand.
        floor: whether the floor is at y = 0.
    """

    points: Int64[np.ndarray, " f"]
    rest: Float64[np.ndarray, " f"]
    standing: Float64[np.ndarray, "t f"]
    floor: bool


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in some frames.

    Attributes:
        pixels, trust: of each landmark; a trust of 0 where it is not known.
        world, world_trust: metres in camera axes, or None.
        viewmats, Ks: of the cameras.
        deviations: of pixels, and of metres in `world`.
        fps: frames a second.
    """

    pixels: Float64[np.ndarray, "t l 2"]
    trust: Float64[np.ndarray, "t l"]
    world: Float64[np.ndarray, "t l 3"] | None
    world_trust: Float64[np.ndarray, "t l"] | None
    viewmats: Float64[np.ndarray, "t 4 4"]
    Ks: Float64[np.ndarray, "t 3 3"]
    deviations: tuple[float, float]
    fps: float

    def __len__(self) -> int:
        return len(self.pixels)

    def at(self, frames: slice | Int64[np.ndarray, " n"]) -> "Seen":
        """Some of the frames."""
        world = None if self.world is None else self.world[frames]
        trust = None if self.world_trust is None else self.world_trust[frames]
        cameras = self.viewmats[frames], self.Ks[frames]
        return Seen(self.pixels[frames], self.trust[frames], world, trust, *cameras, self.deviations, self.fps)

    @property
    def projections(self) -> Float64[np.ndarray, "t 3 4"]:
        """From the world to pixels times depth."""
        return self.Ks @ self.viewmats[:, :3]

    def project(self, points: Float64[np.ndarray, "t n 3"]) -> Float64[np.ndarray, "t n 2"]:
        """World points to pixels."""
        views = self.projections
        flat = points @ views[:, :, :3].transpose(0, 2, 1) + views[:, None, :, 3]
        return flat[..., :2] / np.maximum(flat[..., 2:], NEAR)


@dataclass(frozen=True)
class Weights:
    """How much each term counts; 1 is what its deviations say."""

    points: float = 1.0
    world: float = 1.0
    outline: float = 1.0
    limits: float = 1.0
    smooth: float = 1.0
    feet: float = 1.0


@dataclass(frozen=True, eq=False)
class Problem:
    """All that the cost of some frames depends on but poses.

    Attributes:
        rig, limits: of the body; limits of all roles but the hips.
        seen: what was seen.
        weights: of the terms.
        feet, outline: None until they are known.
        smooth: whether the frames follow each other.
        robust: deviations from which a distance counts less and less.
        tailed: whether accelerations are mostly small and seldom large, rather than normally distributed.
    """

    rig: Rig
    limits: Limits
    seen: Seen
    weights: Weights
    feet: Feet | None = None
    outline: Outline | None = None
    smooth: bool = True
    robust: float = 4.0
    tailed: bool = False


@dataclass(frozen=True, eq=False)
class Pose:
    """What is looked for.

    Attributes:
        quats: the share that each joint of a role's chain has of its turn.
        root: where the root joint is, metres.
    """

    quats: Float64[np.ndarray, "t r 4"]
    root: Float64[np.ndarray, "t 3"]

    def __len__(self) -> int:
        return len(self.root)

    def stepped(self, step: Float64[np.ndarray, "t d"]) -> "Pose":
        """The pose after small turns and a shift."""
        turns = step[:, :-3].reshape(len(step), -1, 3)
        return Pose(normalize(multiply(self.quats, from_axis_angle(turns))), self.root + step[:, -3:])

    def at(self, frames: slice | Int64[np.ndarray, " n"]) -> "Pose":
        """Some of the frames."""
        return Pose(self.quats[frames], self.root[frames])
