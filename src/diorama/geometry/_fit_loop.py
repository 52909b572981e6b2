"""The loop of fitting: a picture at a time is drawn, compared, and everything moved a little; Gaussians come and go."""

import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.gaussians import MovingGaussians
from diorama.core.progress import Progress
from diorama.geometry._fit_model import RATES, Still
from diorama.geometry._fit_ops import Goal, Shares, Unlike
from diorama.geometry.splat import SoftTensors, splat_torch

_LAST_RATE = 0.1
"""Of a step, at the end; falling exponentially."""
_GROW = 0.06
"""Of the Gaussians are split at a time, at most."""
_GROWN_UNTIL = 0.7
_TIMES, _BETWEEN = 20, 50
"""Changes of their number if they went on to the end, and steps between two at least."""
_CLOCK = 20
"""Steps between looks at the clock."""

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Frames:
    """What is to be matched.

    Attributes:
        images: RGB.
        cameras: of all views, for each time.
        times: seconds.
        inverse: 1 / depth of each view at each time in 1/m; 0 where it is not known.
        weights: how much each pixel counts.
    """

    images: UInt8[np.ndarray, "v t h w 3"]
    cameras: tuple[Cameras, ...]
    times: Float32[np.ndarray, " t"]
    inverse: Float32[np.ndarray, "v t h w"]
    weights: Float32[np.ndarray, "v t h w"]

    def goal(self, view: int, time: int) -> Goal:
        """One picture."""
        image = self.images[view, time].astype(np.float32) / 255
        return Goal(image, self.weights[view, time], self.inverse[view, time])


@dataclass(frozen=True)
class Schedule:
    """How long, and what counts.

    Attributes:
        iterations: steps.
        seconds: of time at most; 0: no limit.
        shares: of the picture's loss.
        smooth, together: how much roughness in time and among neighbours counts, per pixel.
        most: Gaussians at most.
        seed: of the order of pictures.
    """

    iterations: int
    seconds: float
    shares: Shares
    smooth: float
    together: float
    most: int
    seed: int


@runtime_checkable
class Motion(Protocol):
    """Something that moves Gaussians and learns how."""

    free: dict[str, Tensor]
    rates: dict[str, float]

    def lead(self, still: Still, time: float) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        """Centres and rotations at a time in seconds."""
        ...

    def roughness(self) -> tuple[Tensor, Tensor]:
        """In time, and among neighbours; pixels."""
        ...

    def told(self, still: Still) -> MovingGaussians:
        """The Gaussians with what was learned of their motion."""
        ...


def optimise(still: Still, motion: Motion, frames: Frames, schedule: Schedule, progress: Progress) -> MovingGaussians:
    """Fit Gaussians and their motion to the frames."""
    views, times = frames.images.shape[:2]
    generator = np.random.default_rng(schedule.seed)
    groups = [(name, still.free[name], rate) for name, rate in RATES.items()]
    groups += [(name, motion.free[name], rate) for name, rate in motion.rates.items()]
    optimizer = torch.optim.Adam(
        [{"params": [value], "lr": rate, "first": rate, "name": name} for name, value, rate in groups],
        eps=1e-15,
        fused=True,
    )
    pulls = torch.zeros(len(still), 2)
    progress.begin("fit", schedule.iterations)
    began, share, changed, order = clock.monotonic(), 0.0, 0, _pictures(views, times, generator)
    for step in range(schedule.iterations):
        share = max(share, step / schedule.iterations)
        if schedule.seconds and step % _CLOCK == 0:
            share = max(share, (clock.monotonic() - began) / schedule.seconds)
        if share >= 1:
            progress.advance(schedule.iterations - step)
            break
        for group in optimizer.param_groups:
            group["lr"] = group["first"] * _LAST_RATE**share
        view, time = next(order)
        _step(still, motion, frames, schedule, (view, time), optimizer, generator, pulls)
        if step + 1 - changed >= _between(schedule.iterations, step, share) and share < _GROWN_UNTIL:
            still = _renewed(still, pulls, schedule.most, optimizer)
            pulls, changed = torch.zeros(len(still), 2), step + 1
        progress.advance()
    return motion.told(still)


def _between(iterations: int, step: int, share: float) -> int:
    """Steps between changes of the number of Gaussians; fewer where the clock leaves time for fewer steps in all."""
    pace = step / iterations / share if share else 1.0
    return max(round(iterations * pace) // _TIMES, _BETWEEN)


def _pictures(views: int, times: int, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """All pictures in a new order, again and again."""
    while True:
        for number in generator.permutation(views * times).tolist():
            yield divmod(number, times)


def _step(
    still: Still,
    motion: Motion,
    frames: Frames,
    schedule: Schedule,
    picture: tuple[int, int],
    optimizer: torch.optim.Adam,
    generator: np.random.Generator,
    pulls: Float[Tensor, "g 2"],
) -> None:
    view, time = picture
    seconds = float(frames.times[time])
    means, quats = motion.lead(still, seconds)
    soft = SoftTensors(means, quats, torch.exp(still.free["scales"]), still.opacities(seconds), still.free["colors"])
    red, green, blue = generator.random(3).tolist()  # what should be covered cannot show a colour that changes
    drawn = splat_torch(soft, frames.cameras[time][view : view + 1], background=(red, green, blue))
    loss = Unlike.apply(drawn.color[0], drawn.alpha[0], drawn.depth[0], frames.goal(view, time), schedule.shares)
    bend, apart = motion.roughness()
    optimizer.zero_grad(set_to_none=True)
    (loss + schedule.smooth * bend + schedule.together * apart).backward()
    optimizer.step()
    with torch.no_grad():
        still.free["colors"].clamp_(0, 1)
        pulls[:, 0] += drawn.pull[0].norm(dim=1)
        pulls[:, 1] += drawn.radii[0] > 0


def _renewed(still: Still, pulls: Float[Tensor, "g 2"], most: int, optimizer: torch.optim.Adam) -> Still:
    """Without those that faded; those on which many pixels pull are split, as long as there may be more."""
    keep = torch.nonzero(~still.faded())[:, 0]
    room = min(most - len(keep), int(_GROW * len(keep)))
    pull = pulls[keep, 0] / pulls[keep, 1].clamp(min=1)
    wanted = torch.argsort(pull, descending=True, stable=True)[: max(room, 0)]
    return still.regrown(keep, keep[wanted], optimizer)
