"""One sampler for all recipes: it walks a plan of steps between levels.

Time is data: a step names its level, the next one, and the denoiser to use. Where the next level is noisier, noise is
added, so RePaint's jumps and the resampling of a frame matrix are plans, not loops.

Sources: DDIM (Song et al. 2021, eq. 12), which is Euler's method in the EDM view; DDPM's posterior (Ho et al. 2020,
eq. 7); DPM-Solver++(2M) (Lu et al. 2022, algorithm 2).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float

from diorama.core.progress import Progress, Silent
from diorama.diffusion.denoise import Denoiser, Draw
from diorama.diffusion.levels import Level
from diorama.diffusion.noise import only
from diorama.errors import ModelError, UsageError

Tensor = Float[torch.Tensor, "..."]
Finish = Callable[[Tensor, Level], Tensor]
"""What is done to x after a step, at the level it has reached."""
Solver = Literal["ddim", "ddpm", "dpm++2m"]


@dataclass(frozen=True)
class Step:
    """One move between two levels.

    Attributes:
        level: where x stands.
        next_level: where it goes; noisier than `level` means that noise is added and nothing is denoised, the same that
            x stays as it is.
        denoise: says what x0 is; needed only where the next level is less noisy.
        finish: applied to what has moved, e.g. known parts put back.
        items: which items of the batch move; all where None.
        sees_all: the denoiser is given the items that stay, too, at whatever level they stand; what it says of them is
            dropped.
    """

    level: Level
    next_level: Level
    denoise: Denoiser | None = None
    finish: Finish | None = None
    items: Sequence[int] | None = None
    sees_all: bool = False

    @property
    def rises(self) -> bool:
        """Whether the next level is noisier."""
        return self.next_level.ratio > self.level.ratio

    @property
    def stays(self) -> bool:
        """Whether the next level is the same, and only `finish` acts."""
        return self.next_level == self.level


def descend(levels: Sequence[Level], denoise: Denoiser | Sequence[Denoiser]) -> list[Step]:
    """The plain plan: down a list of levels with one denoiser, or one for each step.

    Raises:
        UsageError: not one denoiser a step.
    """
    moves = list(pairwise(levels))
    each = [denoise] * len(moves) if callable(denoise) else denoise
    if len(each) != len(moves):
        raise UsageError(f"{len(each)} denoisers for {len(moves)} steps", "plan", "give one, or one a step")
    return [Step(level, after, one) for (level, after), one in zip(moves, each, strict=True)]


@torch.no_grad()
def sample(
    plan: Iterable[Step],
    x: Float[torch.Tensor, "b *rest"],
    *,
    solver: Solver = "ddim",
    eta: float | int = 0.0,
    draw: Draw | None = None,
    progress: Progress | None = None,
) -> Float[torch.Tensor, "b *rest"]:
    """Walks the plan from noise `x` (at the first step's level) to data.

    Args:
        solver: "ddim" (Euler), "ddpm" (ancestral: fresh noise at each step), "dpm++2m" (second order, 12 to 20 steps).
        eta: share of DDPM's fresh noise that "ddim" adds, 0 to 1.
        draw: source of noise; needed by "ddpm", by eta > 0 and by rising levels. Of a `Noise` with one generator an
            item, a step that moves some items uses theirs.
        progress: told of each step.

    Raises:
        UsageError: an empty plan, an unknown solver, eta out of range, a denoiser or noise needed but not given, or x0
            of another shape than x.
        ModelError: x0 that is not finite.
    """
    whole = list(plan)
    if not whole:
        raise UsageError("a plan of 0 steps", "num_inference_steps", "give 1 or more")
    if solver not in ("ddim", "ddpm", "dpm++2m"):
        raise UsageError(f"no solver is called {solver!r}", "solver", "known: ddim, ddpm, dpm++2m")
    if not 0 <= eta <= 1:
        raise UsageError(f"eta {eta}", "eta", "give 0 to 1")
    share = {"ddim": eta, "ddpm": 1.0, "dpm++2m": 0.0}[solver]
    past: Past | None = None
    told = progress or Silent()
    told.begin("sampling", len(whole))
    for step in whole:
        at, past = _walked(x, step, past if solver == "dpm++2m" else None, share=share, draw=draw)
        at = step.finish(at, step.next_level) if step.finish else at
        x = at if step.items is None else x.index_copy(0, torch.tensor(list(step.items), device=x.device), at)
        told.advance()
    return x


@dataclass(frozen=True)
class Past:
    """What a second-order step remembers: the level before, and x0 there."""

    level: Level
    x0: Tensor


def _walked(
    x: Tensor, step: Step, past: Past | None, *, share: float | int, draw: Draw | None
) -> tuple[Tensor, Past | None]:
    """The items that move, after the step; and what the next step may remember of this one."""
    at = x if step.items is None else x[list(step.items)]
    source = only(draw, step.items) if draw is not None else None
    if step.stays:
        return at, past
    if step.rises:
        return risen(at, step.level, step.next_level, source), None
    x0 = _clean(x, at, step)
    if past is not None and step.items is None:
        return _second_order(at, x0, step, past), Past(step.level, x0)
    return _moved(at, x0, step, share=share, draw=source), (Past(step.level, x0) if step.items is None else None)


def _clean(x: Tensor, at: Tensor, step: Step) -> Tensor:
    if step.denoise is None:
        raise UsageError(f"a step from {step.level.ratio:g} down to {step.next_level.ratio:g} has no denoiser", "plan")
    seen = x if step.sees_all else at
    x0 = step.denoise(seen, step.level)
    if x0.shape != seen.shape:
        raise UsageError(f"a denoiser gave {tuple(x0.shape)} for latents {tuple(seen.shape)}", "plan")
    x0 = x0[list(step.items)] if step.sees_all and step.items is not None else x0
    if not bool(torch.isfinite(x0).all()):
        raise ModelError(
            f"the network gave numbers that are not finite at noise {step.level.ratio:g}",
            "sampling",
            "check the weights, or run in float32",
        )
    return x0


def risen(x: Tensor, level: Level, next_level: Level, draw: Draw | None) -> Tensor:
    """From a level to a noisier one: a draw from q(x' | x) of the forward process (Ho et al. 2020, eq. 2).

    Raises:
        UsageError: no source of noise.
    """
    shrink = next_level.alpha / level.alpha
    fresh = math.sqrt(max(next_level.sigma**2 - (shrink * level.sigma) ** 2, 0.0))
    return shrink * x + fresh * _drawn(x, draw)


def _drawn(like: Tensor, draw: Draw | None) -> Tensor:
    if draw is None:
        raise UsageError("this plan adds noise, and no source of it was given", "draw", "pass draw=Noise(generators)")
    return draw(like)


def _moved(x: Tensor, x0: Tensor, step: Step, *, share: float | int, draw: Draw | None) -> Tensor:
    level, after = step.level, step.next_level
    noise = (x - level.alpha * x0) / level.sigma
    fresh = share * _posterior(level, after)
    out = after.alpha * x0 + math.sqrt(max(after.sigma**2 - fresh**2, 0.0)) * noise
    return out + fresh * _drawn(x, draw) if fresh > 0 else out


def _posterior(level: Level, after: Level) -> float:
    """Spread of DDPM's posterior q(x' | x, x0)."""
    ratio = (level.alpha / after.alpha) ** 2
    return after.sigma / level.sigma * math.sqrt(max(1 - ratio, 0.0))


def _second_order(x: Tensor, x0: Tensor, step: Step, past: Past) -> Tensor:
    level, after = step.level, step.next_level
    if after.sigma <= 0 or level.alpha <= 0 or past.level.alpha <= 0:  # log SNR is infinite: first order
        return _moved(x, x0, step, share=0.0, draw=None)
    log = [-math.log(each.ratio) for each in (past.level, level, after)]
    h_last, h = log[1] - log[0], log[2] - log[1]
    slope = (x0 - past.x0) * (h / h_last / 2)
    return after.sigma / level.sigma * x - after.alpha * math.expm1(-h) * (x0 + slope)
