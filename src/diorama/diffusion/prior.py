"""What a video network must be able to do to fill a frame matrix or to make a clip: one protocol, whatever the network.

Latents are "c t y x"; `t` counts latent frames, of which each may stand for several pictures (``time_factor``).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float

from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level, Schedule, levels, timesteps

Frames = Float[torch.Tensor, "t 3 h w"]
Latents = Float[torch.Tensor, "c _ y x"]
Videos = Float[torch.Tensor, "b c t y x"]
Shares = Float[torch.Tensor, "b 1 t y x"]
Source = Callable[[Videos, Shares], Denoiser]


class Rung(NamedTuple):
    """A level that a sampler visits.

    Attributes:
        time: from 1000 (noise) to 0 (data), as the network's own clock tells it; thresholds of plans are in it.
        level: how much data and noise that is.
    """

    time: float
    level: Level


@runtime_checkable
class Prior(Protocol):
    """A video network with its codec and its prompt.

    Attributes:
        name: for notes and recipes.
        size: height and width that it was made for, pixels.
        multiple: sides of pictures must be multiples of it.
        longest: latent frames in one call.
        shortest: pictures that it wants at least (1: it takes single pictures).
        rows: whether latents of single pictures side by side are a video to it, so that rows of a matrix can be
            denoised; not so where one latent frame stands for several pictures.
        reads_guess: whether `denoiser` makes use of its arguments.
    """

    name: str
    size: tuple[int, int]
    multiple: int
    shortest: int
    rows: bool
    reads_guess: bool

    @property
    def longest(self) -> int:
        """See above."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def fitting(self, count: int) -> int:
        """How many pictures it must be given where there are `count`: that many, or more (then the last repeats)."""

    def ladder(self, steps: int) -> list[Rung]:
        """Its `steps` levels from noise downwards, without the clean end.

        Raises:
            UsageError: fewer than 1, or more than it knows.
        """

    def encode(self, frames: Frames) -> Latents:
        """Pictures in [0, 1] to latents (the posterior's mean)."""

    def decode(self, latents: Latents) -> Frames:
        """Latents to pictures in [0, 1]."""

    def denoiser(self, guess: Videos, unknown: Shares) -> Denoiser:
        """``(x, level) -> x0`` for b videos "b c t y x", guidance and prompt included.

        Args:
            guess: latents of the videos with their holes filled by guess.
            unknown: the share of each position that is guessed, 0 to 1.
        """


def trained_ladder(trained: Schedule, steps: int) -> list[Rung]:
    """The released spacing (leading, offset 1) over a schedule's timesteps, told on a clock of 1000.

    Raises:
        UsageError: fewer than 1 step, or more than the schedule has.
    """
    whole = len(trained)
    times = timesteps(whole, steps, "leading", offset=1)
    heights = levels(trained, steps, "leading", offset=1)
    return [Rung(time * 1000 / whole, level) for time, level in zip(times, heights[:-1], strict=True)]
