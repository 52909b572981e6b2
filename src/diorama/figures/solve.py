"""Landmarks to pose and shape over time: a body fitted to what is seen of a person.

The fit is the most likely pose under what was seen (points in the picture, points in space, the outline of a mask), how
far people bend (`limits`), how they accelerate, and feet that neither slide nor sink while they stand. Points that are
missing, unsure or far off do not count; frames without enough of them are led over by the frames around them.

First the shape, from some frames spread over the clip; then, shape held, all frames of a window at once, by
Gauss-Newton steps with exact derivatives. Windows overlap and are blended, so memory does not grow with the clip. How
far away somebody is follows from how large the body is: from points in space, from the floor where cameras know it,
else from the usual size of people. Nothing is random.
"""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress, Silent
from diorama.core.rotations import slerp, steady
from diorama.errors import UsageError
from diorama.figures._solve_newton import descend, descend_shape
from diorama.figures._solve_seen import FEET, Edges, Surface, feet_of, outline_of, seen_of, standing
from diorama.figures._solve_start import placed, spread_frames, start_flat, start_in_space
from diorama.figures._solve_values import Feet, Pose, Problem, Weights
from diorama.figures.cast import Cast
from diorama.figures.fit_body import FitBody, Rig, Shape
from diorama.figures.landmarks import POINT_NAMES
from diorama.figures.limits import limits_of
from diorama.figures.observation import Observation
from diorama.figures.smpl import SmplBody

T = TypeVar("T")
Weighting = Float64[np.ndarray, " k"]
"""Coefficients of a shape."""

_log = logging.getLogger(__name__)
_ENOUGH = 6
"""Points below which a frame is led over rather than seen."""
_FAR = 6.0
"""Standard deviations beyond which nobody's shape is looked for."""
_LENIENT = 3.0
"""How much farther points may be off at first."""
_KEY_SECONDS = 0.25
"""Between frames that are tried from all sides."""


@dataclass(frozen=True)
class FitConfig:
    """How a body is fitted.

    Attributes:
        weights: how much each term counts.
        iterations: steps on a window, at most.
        shape_iterations: steps towards the shape, at most; 0 keeps the mean.
        shape_frames: frames that it looks at.
        window, overlap: frames solved at once, and how many of them two neighbours share.
        outline_points: vertices on the outline of a frame; 0 leaves masks unused.
        fingers: whether fingers move; they take several times as long, and points of hands ("coco133").
        pixel_deviation: noise of points, pixels; None: measured from how they tremble.
        world_deviation: noise of points in space, metres; None: measured.
    """

    weights: Weights = field(default_factory=Weights)
    iterations: int = 20
    shape_iterations: int = 15
    shape_frames: int = 32
    window: int = 120
    overlap: int = 20
    outline_points: int = 48
    fingers: bool = False
    pixel_deviation: float | None = None
    world_deviation: float | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.shape_iterations < 0 or self.shape_frames < 1 or self.outline_points < 0:
            given = f"{self.iterations} and {self.shape_iterations} iterations, {self.shape_frames} shape frames"
            raise UsageError(given, "FitConfig", "give 1 iteration or more")
        if not 0 <= self.overlap < self.window:
            given = f"windows of {self.window} frames that share {self.overlap}"
            raise UsageError(given, "FitConfig", "let windows share fewer frames than they have")
        for name in ("pixel_deviation", "world_deviation"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}", "FitConfig", "give a number above 0, or leave it out")


@dataclass(frozen=True, eq=False)
class Fit:
    """A body fitted to an observation.

    Attributes:
        figure: the body in its shape.
        motion: of its skeleton, in the world of the cameras.
        shape: the coefficients of the shape.
        cameras: one a frame.
        error: mean distance of the seen landmarks from where they were seen, pixels; NaN where none was.
        guessed: frames that showed too little, and were led over.
        standing: whether the left and the right foot stand.
    """

    figure: Figure
    motion: Motion
    shape: Float32[np.ndarray, " k"]
    cameras: Cameras
    error: Float32[np.ndarray, " t"]
    guessed: Bool[np.ndarray, " t"]
    standing: Bool[np.ndarray, "t 2"]


def fit(
    observation: Observation,
    body: Cast | SmplBody,
    config: FitConfig = FitConfig(),
    *,
    shape: Float32[np.ndarray, " k"] | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit a body to what is seen of a person.

    Args:
        observation: of one person.
        body: the cast, whose shape components make anybody; or a body of the SMPL family.
        config: weights, iterations, windows.
        shape: coefficients that are known, and kept; None: they are looked for.
        progress: told of windows.

    Raises:
        UsageError: a shape of another number of coefficients, or no frame that shows enough of the body.
    """
    told = Silent() if progress is None else progress
    whole = FitBody.of(body)
    rig = Rig.of(whole, (*POINT_NAMES[observation.table], *FEET), fingers=config.fingers)
    seen = seen_of(observation, rig.known, config.pixel_deviation, config.world_deviation)
    shown = (seen.trust > 0).sum(axis=1)
    enough = shown >= _ENOUGH
    if not enough.any():
        most = int(shown.max())
        raise UsageError(
            f"no frame shows more than {most} points of the body, {_ENOUGH} are needed", "fit", "give a larger view"
        )
    problem = Problem(rig, limits_of(rig.roles[1:]), seen, config.weights)
    told.begin("shape", 1)
    weights = _given_shape(shape, len(whole.vertex_dirs))
    start = _start(observation, whole, problem, weights, enough)
    if shape is None and config.shape_iterations:
        weights, start = _shaped(whole, problem, start, weights, enough, observation.floor, config)
    told.advance()
    pose, stands = _in_windows(observation, whole, problem, weights, start, config, told)
    figure = whole.figure(weights.astype(np.float32))
    motion = rig.motion(figure, steady(pose.quats), pose.root, float(observation.fps))
    return Fit(
        figure,
        motion,
        weights.astype(np.float32),
        observation.all_cameras,
        _error(problem, rig.shape(weights), pose),
        ~enough,
        stands,
    )


def _given_shape(shape: Float32[np.ndarray, " k"] | None, count: int) -> Weighting:
    if shape is None:
        return np.zeros(count)
    if shape.shape != (count,) or not np.isfinite(shape).all():
        raise UsageError(f"a shape of {shape.shape} coefficients", "fit", f"give {count} finite ones")
    return shape.astype(np.float64)


def _start(
    observation: Observation, body: FitBody, problem: Problem, weights: Weighting, enough: Bool[np.ndarray, " t"]
) -> Pose:
    """A pose of every frame to begin from."""
    shape = problem.rig.shape(weights)
    if observation.world is not None and problem.seen.world_trust is not None:
        known = problem.seen.world_trust[:, : observation.points.shape[1], None] > 0
        world = np.where(known, observation.world, np.float32(np.nan))
        try:
            return start_in_space(world, observation.table, body.figure(weights.astype(np.float32)), problem, shape)
        except UsageError as error:  # a limb that is never seen: the picture alone has to do
            _log.info("no start from points in space: %s", error)
    most = max(int(len(enough) / observation.fps / _KEY_SECONDS), 1) + 1
    return start_flat(problem, shape, spread_frames(enough, most), len(enough))


def _shaped(
    body: FitBody,
    problem: Problem,
    start: Pose,
    weights: Weighting,
    enough: Bool[np.ndarray, " t"],
    floor: bool,
    config: FitConfig,
) -> tuple[Weighting, Pose]:
    """The shape that suits some frames, each on its own, and the start with its root moved accordingly."""
    rig, frames = problem.rig, spread_frames(enough, config.shape_frames)
    pose, shape = start.at(frames), rig.shape(weights)
    feet = feet_of(body, rig, shape, len(frames), floor) if floor else None
    if feet is not None:  # somebody mostly stands on something, which says how large they are
        height = rig.landmarks(shape, rig.frames(shape, pose.quats, pose.root))[:, feet.points, 1] - feet.rest
        feet = replace(feet, standing=(height <= height.min(axis=1, keepdims=True)).astype(np.float64))
    alone = replace(problem, seen=problem.seen.at(frames), feet=feet, smooth=False)
    found, _ = descend_shape(alone, weights, pose, config.shape_iterations)
    found = found.clip(-_FAR, _FAR)
    return found, replace(start, root=placed(rig, rig.shape(found), start.quats, problem.seen))


def _in_windows(
    observation: Observation,
    body: FitBody,
    problem: Problem,
    weights: Weighting,
    start: Pose,
    config: FitConfig,
    told: Progress,
) -> tuple[Pose, Bool[np.ndarray, "t 2"]]:
    """Poses and contacts of all frames, windows blended where they overlap."""
    count, pace = len(observation), config.window - config.overlap
    firsts = list(range(0, max(count - config.overlap, 1), pace))
    quats, root, stands = start.quats.copy(), start.root.copy(), np.zeros((count, 2), bool)
    told.begin("pose", len(firsts))

    def solved(first: int) -> tuple[Pose, Bool[np.ndarray, "t 2"]]:
        span = slice(first, min(first + config.window, count))
        return _window(observation, body, problem, weights, start.at(span), span, config)

    done = 0
    for first, (found, feet) in zip(firsts, _side_by_side(solved, firsts), strict=True):
        span = slice(first, first + len(found))
        shared = max(done - first, 0)
        share = np.minimum(np.arange(1, len(found) + 1) / (shared + 1), 1)
        quats[span] = slerp(quats[span], found.quats, np.repeat(share[:, None], quats.shape[1], axis=1))
        root[span] += share[:, None] * (found.root - root[span])
        stands[span] = feet
        done = span.stop
        told.advance()
    return Pose(quats, root), stands


def _side_by_side(work: Callable[[int], T], items: list[int]) -> Iterator[T]:
    """The results of `work`, in order; as many at a time as there are cores."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(items)), "diorama-fit") as pool:
        yield from pool.map(work, items)


def _window(
    observation: Observation,
    body: FitBody,
    problem: Problem,
    weights: Weighting,
    pose: Pose,
    span: slice,
    config: FitConfig,
) -> tuple[Pose, Bool[np.ndarray, "t 2"]]:
    """One window: first without feet and outlines, then with those that the first answer shows."""
    rig = problem.rig
    shape = rig.shape(weights)
    feet = feet_of(body, rig, shape, len(pose), observation.floor)
    here = replace(problem, seen=problem.seen.at(span), robust=_LENIENT * problem.robust)
    pose = descend(here, shape, pose, (config.iterations + 1) // 2)
    here = replace(here, robust=problem.robust, tailed=observation.world is not None)
    surface = edges = None
    if observation.masks is not None and config.outline_points:
        surface, edges = Surface.of(body, rig, weights), Edges.of(observation.masks[span])
    for _ in range(2):
        frames = rig.frames(shape, pose.quats, pose.root)
        if feet is not None:
            feet = replace(feet, standing=standing(feet, rig.landmarks(shape, frames), here.seen.fps))
        here = replace(here, feet=feet)
        if surface is not None and edges is not None:
            wide, cameras = 2 * here.seen.deviations[0], observation.all_cameras[span]
            count = config.outline_points
            outline = outline_of(surface, shape, frames, edges, cameras, count=count, deviation=wide)
            here = replace(here, outline=outline)
        pose = descend(here, shape, pose, (config.iterations + 3) // 4)
    return pose, _stands(feet, rig, len(pose))


def _stands(feet: Feet | None, rig: Rig, frames: int) -> Bool[np.ndarray, "t 2"]:
    """Whether heel or toe of each foot stands."""
    found = np.zeros((frames, 2), bool)
    if feet is not None:
        for column, number in enumerate(feet.points.tolist()):
            side = (number - (len(rig.known) - len(FEET))) // 2
            found[:, side] |= feet.standing[:, column] > 0
    return found


def _error(problem: Problem, shape: Shape, pose: Pose) -> Float32[np.ndarray, " t"]:
    """Mean distance of trusted landmarks, pixels."""
    rig, seen = problem.rig, problem.seen
    marks = rig.landmarks(shape, rig.frames(shape, pose.quats, pose.root))
    off = np.linalg.norm(seen.project(marks) - seen.pixels, axis=-1)
    total = seen.trust.sum(axis=1)
    mean = (seen.trust * off).sum(axis=1) / np.maximum(total, 1e-9)
    return np.where(total > 0, mean, np.nan).astype(np.float32)
