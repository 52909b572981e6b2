"""Gaussians fitted to posed frames: several views over time become a scene to look around in.

The frames are of known cameras beside each other (Yang et al. 2024, Deformable 3D Gaussians, with the control nodes of
Huang et al. 2024, SC-GS, instead of a network). Since the reference view's depth is known,
Gaussians begin as its unprojected pixels, and nodes where its flow leads them; what is left to learn is little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.gaussians import MovingGaussians
from diorama.core.progress import Progress, Silent
from diorama.errors import UsageError
from diorama.geometry._fit_loop import Frames, Schedule, optimise
from diorama.geometry._fit_mlp import MlpMotion
from diorama.geometry._fit_model import Still
from diorama.geometry._fit_motion import NodeMotion
from diorama.geometry._fit_nodes import Nodes, find_nodes, marks_of, node_units, to_moving
from diorama.geometry._fit_ops import Shares
from diorama.geometry._fit_seeds import ALWAYS, AROUND, Snapshot, seed, units_of
from diorama.geometry._fit_tracks import Reference, reference

_SPARSE = 4
"""Times between those at which the outer views are looked at too."""


@dataclass(frozen=True, eq=False)
class PosedFrames:
    """What a scene is fitted to.

    Attributes:
        frames: views beside each other over time; `depth` is "t h w" or "v t h w" of them, `weights` "v t h w" and
            `flow` "t-1 h w 2".
        cameras: of all views, where they stand all the time, or for each time.
        times: of the frames, seconds, rising.
        depth: metres along z of one view, or of all; what is not finite or not above 0 is taken for very far.
        reference: the view that `depth` and `flow` are of.
        weights: how much each pixel counts, 0 to 1 (0.5 for what was invented); 1 by default.
        flow: of the reference view to the next frame, pixels (x, y); measured by default.

    Raises:
        UsageError: sizes that do not fit, times that do not rise, weights out of range, nothing measured in the depth.
    """

    frames: UInt8[np.ndarray, "v t h w 3"]
    cameras: Cameras | Sequence[Cameras]
    times: Float32[np.ndarray, " n"]
    depth: Float32[np.ndarray, "*vt dh dw"]
    reference: int = 0
    weights: Float32[np.ndarray, "wv wt wh ww"] | None = None
    flow: Float32[np.ndarray, "ft fh fw 2"] | None = None

    def __post_init__(self) -> None:
        views, times, height, width = self.frames.shape[:4]
        if not (views and times):
            raise UsageError(f"{views} views of {times} frames", "PosedFrames.frames", "give at least one")
        if not 0 <= self.reference < views:
            raise UsageError(f"view {self.reference} of {views}", "PosedFrames.reference")
        rigs = self.rigs
        if len(rigs) != times or any((len(r), r.height, r.width) != (views, height, width) for r in rigs):
            given = f"{len(rigs)} sets of {len(rigs[0]) if rigs else 0} cameras"
            wanted = f"one for each of {views} views of {width}x{height}, for all {times} times or for each"
            raise UsageError(given, "PosedFrames.cameras", wanted)
        if len(self.times) != times or not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise UsageError(f"{len(self.times)} times for {times} frames", "PosedFrames.times", "give rising seconds")
        shapes = {
            "depth": (self.depth.shape, ((times, height, width), (views, times, height, width))),
            "weights": (None if self.weights is None else self.weights.shape, (None, (views, times, height, width))),
            "flow": (None if self.flow is None else self.flow.shape, (None, (times - 1, height, width, 2))),
        }
        for name, (given_shape, wanted_shapes) in shapes.items():
            if given_shape not in wanted_shapes:
                raise UsageError(f"shape {given_shape}, expected {wanted_shapes[-1]}", f"PosedFrames.{name}")
        if self.weights is not None and not ((self.weights >= 0) & (self.weights <= 1)).all():
            raise UsageError("weights that are not from 0 to 1", "PosedFrames.weights", "give 0 to 1")
        if not (np.isfinite(self.depth) & (self.depth > 0)).any():
            raise UsageError("no depth above 0", "PosedFrames.depth", "give metres along z")

    @property
    def rigs(self) -> tuple[Cameras, ...]:
        """The cameras of all views for each time."""
        return (self.cameras,) * self.frames.shape[1] if isinstance(self.cameras, Cameras) else tuple(self.cameras)


@dataclass(frozen=True)
class FitConfig:
    """How to fit."""

    field: Literal["nodes", "mlp"] = "nodes"
    """What moves the Gaussians: nodes around them, or a network as published (a step takes 30 times as long)."""
    iterations: int = 3000
    """Pictures that are looked at."""
    seconds: float = 0.0
    """At most this long, the loading not counted; 0 for no limit. With a limit, results depend on the machine."""
    nodes: int = 1200
    """Nodes that the Gaussians follow, at most."""
    key_every: int = 1
    """Frames between the keys of their motion."""
    spacing: int = 2
    """Pixels between the unprojected Gaussians that fitting begins with."""
    gaussians: int = 30_000
    """Gaussians, at most; more if more pixels were seen at first."""
    similarity: float = 0.2
    """Share of structural similarity in the loss; the rest is absolute difference."""
    depth: float = 0.1
    """Share of the relative error of depth."""
    smooth: float = 2e-3
    """How much bends of paths count, per pixel."""
    together: float = 5e-3
    """How much it counts that neighbours are moved differently, per pixel."""
    seed: int = 0
    """Of the order in which pictures are looked at."""

    def __post_init__(self) -> None:
        if self.field not in ("nodes", "mlp"):
            raise UsageError(f"field {self.field!r}", "FitConfig", "choose nodes or mlp")
        for name in ("iterations", "nodes", "key_every", "spacing", "gaussians"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}", "FitConfig", "give 1 or more")
        for name in ("seconds", "similarity", "depth", "smooth", "together", "seed"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise UsageError(f"{name} {getattr(self, name)}", "FitConfig", "give 0 or more")
        if self.similarity > 1:
            raise UsageError(f"similarity {self.similarity}", "FitConfig", "give 0 to 1")


def fit(posed: PosedFrames, config: FitConfig = FitConfig(), progress: Progress | None = None) -> MovingGaussians:
    """A scene that looks like the frames from their cameras, and moves like them; of one frame, one that stands still.

    The same frames, config and seed give the same scene, whatever the number of threads. A step at 288x160 with 30,000
    Gaussians takes about 50 ms of processor time, most of it spread over the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the kernels bring their own threads; torch's would spin in their way
    try:
        return _fit(posed, config, Silent() if progress is None else progress)
    finally:
        torch.set_num_threads(threads)


def _fit(posed: PosedFrames, config: FitConfig, progress: Progress) -> MovingGaussians:
    known, r = posed.depth.ndim == 4, posed.reference
    depth = _finite(posed.depth if known else posed.depth[None])
    views = tuple(rig[r : r + 1] for rig in posed.rigs)
    ref = reference(posed.frames[r], posed.times, depth[r if known else 0], views, posed.flow)
    network = config.field == "mlp"
    nodes = find_nodes(ref, 1 if network else config.nodes)
    moving = _seeded(posed, config, ref, nodes, depth, progress)
    inverse = np.zeros(posed.frames.shape[:4], np.float32)
    inverse[slice(None) if known else slice(r, r + 1)] = 1 / depth
    weights = np.ones(posed.frames.shape[:4], np.float32) if posed.weights is None else posed.weights
    schedule = Schedule(
        config.iterations,
        config.seconds,
        Shares(config.similarity, config.depth),
        config.smooth,
        config.together,
        config.gaussians,
        config.seed,
    )
    still = Still.of(moving, units_of(moving, config.spacing))
    frames = Frames(posed.frames, posed.rigs, posed.times, inverse, weights)
    if network:
        return optimise(still, MlpMotion.of(moving, config.seed), frames, schedule, progress)
    marks = marks_of(ref, nodes.places).reshape(len(nodes.places), -1)
    return optimise(still, NodeMotion.of(moving, node_units(ref, nodes), marks), frames, schedule, progress)


def _seeded(
    posed: PosedFrames,
    config: FitConfig,
    ref: Reference,
    nodes: Nodes,
    depth: Float32[np.ndarray, "d t h w"],
    progress: Progress,
) -> MovingGaussians:
    """What fitting begins with: the middle time of the reference view first, then what others show besides."""
    (views, times), r = posed.frames.shape[:2], posed.reference
    keys = np.unique(np.append(np.arange(0, times, config.key_every), times - 1)).astype(np.int32)
    moving = to_moving(ref, nodes, posed.times, keys)
    seconds = moving.seconds or 1.0
    order = [(time, r) for time in sorted(range(times), key=lambda t: (abs(t - ref.middle), t))]
    order += [(time, view) for time, _ in order[::_SPARSE] for view in sorted({0, views - 1} - {r})]
    progress.begin("unproject", len(order))
    for time, view in order:
        camera, known = posed.rigs[time][view : view + 1], len(depth) == views or view == r
        present = (ALWAYS if time == ref.middle and view == r else AROUND) * seconds
        far = depth[view if len(depth) == views else 0, time] if known else None
        moving = seed(
            moving, nodes, ref, Snapshot(posed.frames[view, time], camera, time, present, far), config.spacing
        )
        progress.advance()
    return moving


def _finite(depth: Float32[np.ndarray, "v t h w"]) -> Float32[np.ndarray, "v t h w"]:
    """What has no depth is taken to be twice as far as the farthest that has."""
    fine = np.isfinite(depth) & (depth > 0)
    return np.where(fine, depth, 2 * np.percentile(depth[fine], 99)).astype(np.float32)
