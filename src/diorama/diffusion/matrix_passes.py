"""Columns and rows of a frame matrix through a prior that is told which of them it sees, as many at once as fit."""

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Float

from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.frame_matrix import Pass
from diorama.diffusion.levels import Level
from diorama.diffusion.prior import Prior
from diorama.diffusion.room import no_memory
from diorama.errors import ModelError, OutOfMemoryError

_LOG = logging.getLogger(__name__)
Matrix = Float[torch.Tensor, "v c t y x"]
Shares = Float[torch.Tensor, "v 1 t y x"]
Turned = Float[torch.Tensor, "_ _ _ y x"]


@dataclass
class Counted:
    """What a prior was asked; grows on the way.

    Attributes:
        calls: of the network (a guided call counts once, as do videos in one batch).
        latent_frames: frames that it denoised.
        at_once: videos in one call; halved when memory runs out.
    """

    calls: int = 0
    latent_frames: int = 0
    at_once: int = 4


@dataclass(frozen=True, eq=False)
class PriorPasses:
    """`diorama.diffusion.frame_matrix.Passes` of a prior.

    Attributes:
        prior: the network.
        guess: latents with the holes filled by guess.
        unknown: the share of each position that is guessed.
        counted: shared by all that runs.
    """

    prior: Prior
    guess: Matrix
    unknown: Shares
    counted: Counted

    def __call__(self, way: Pass, views: tuple[int, ...]) -> Denoiser:
        """A denoiser of these views: "columns" over time, "rows" over views, "rows_back" from the last view on."""
        chosen = list(views)
        guess, unknown = (_videos(each[chosen], way) for each in (self.guess, self.unknown))

        def run(x: Matrix, level: Level) -> Matrix:
            return _matrix(self._all(_videos(x, way), guess, unknown, level), way)

        return run

    def _all(self, x: Matrix, guess: Matrix, unknown: Shares, level: Level) -> Matrix:
        done: list[torch.Tensor] = []
        while sum(map(len, done)) < len(x):
            first = sum(map(len, done))
            part = slice(first, first + self.counted.at_once)
            try:
                x0 = self.prior.denoiser(guess[part], unknown[part])(x[part], level)
            except (RuntimeError, MemoryError) as error:
                if not no_memory(error):
                    raise
                self._smaller()
                continue
            self.counted.calls += 1
            self.counted.latent_frames += x0.shape[0] * x0.shape[2]
            if not bool(torch.isfinite(x0).all()):
                what = f"{self.prior.name} gave numbers that are not finite at noise {level.ratio:g}"
                raise ModelError(what, "frame matrix", "check its weights, or run it in float32")
            done.append(x0)
        return torch.cat(done)

    def _smaller(self) -> None:
        if self.counted.at_once == 1:
            fix = "give a smaller --working-width (spatial: --width)"
            raise OutOfMemoryError("one video alone does not fit in memory", "frame matrix", fix)
        self.counted.at_once = (self.counted.at_once + 1) // 2
        _LOG.warning("out of memory: the frame matrix goes on with %d videos at once", self.counted.at_once)


def _videos(matrix: Matrix, way: Pass) -> Turned:
    if way == "columns":
        return matrix
    rows = matrix.transpose(0, 2)
    return rows.flip(2) if way == "rows_back" else rows


def _matrix(videos: Matrix, way: Pass) -> Turned:
    if way == "columns":
        return videos
    return (videos.flip(2) if way == "rows_back" else videos).transpose(0, 2)
