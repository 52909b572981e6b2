"""The recipe of scene-s: what comes into sight beside somebody who stands before a scene, along time and along views.

The network is the backbone at a smaller width. It is given the warped picture with its holes filled by guess, as a
preview that covers the holes, and says what is wrong with it; at pure noise that is the mean of what may be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import nn

from diorama.diffusion.backbone import SPREAD, Backbone, BackboneConfig
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import load_backbone
from diorama.diffusion.levels import CLEAN, NOISE
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.prior_scene import guess_of
from diorama.diffusion.sample import descend, sample
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.loss import noised, sample_means
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._holes import VIEWS, HoleLessons, read_holes
from diorama.train.recipes.backbone import encoder_fingerprint
from diorama.train.split import theatre_seed

WIDTHS = (32, 48, 64)
POOL, SIDE = 320, 16
"""Lessons of an epoch, and latent positions a side of what is looked at."""
AT_NOISE = 0.7
"""Share of the samples at pure noise, where sampling begins, and ends if it takes one step."""
BESIDE = 0.05
"""What the error counts where everything is known."""
MEASURED = 12


@dataclass(frozen=True)
class SceneRecipe(Recipe):
    """See the module."""

    config: TrainConfig
    name = "scene-s"
    about = "Clips of the theatre seen from several cameras, made from seeds; Apache-2.0 like the code."

    @cached_property
    def _lessons(self) -> HoleLessons:
        folder = Path(self.config.data or f"{self.config.out or f'runs/{self.name}'}/lessons")
        return HoleLessons(folder, encoder_fingerprint(self._codec), theatre_seed(self.config.seed, "train"))

    @cached_property
    def _codec(self) -> Codec:
        return load_codec("codec-s")

    @cached_property
    def _channel_weights(self) -> Float[torch.Tensor, "c 1 1 1"]:
        energy = getattr(self._codec, "energy", torch.ones(self._codec.channels))
        return (energy / energy.mean())[:, None, None, None]

    def networks(self) -> dict[str, nn.Module]:
        """The network, from scratch or from a former result (--init)."""
        if self.config.init:
            return {self.name: load_backbone(Path(self.config.init) / f"{self.name}.safetensors").requires_grad_(True)}
        return {self.name: Backbone(BackboneConfig(widths=WIDTHS))}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Columns and rows of lessons in turn, each epoch in another order."""
        rows = bool(min(numbers) // self.config.batch % 2)
        return stacked([self._piece(number, rows=rows) for number in numbers])

    def _piece(self, number: int, *, rows: bool) -> dict[str, Shaped[torch.Tensor, "..."]]:
        epoch, within = divmod(number, POOL)
        order = np.random.default_rng(seed_of("epoch", self.config.seed, epoch)).permutation(POOL)
        matrix = read_holes(self._lessons.ready(int(order[within]), self._codec))
        return cut(matrix, np.random.default_rng(seed_of("piece", self.config.seed, number)), rows=rows)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of the residual in pixels, in the holes."""
        network = networks[self.name]
        assert isinstance(network, Backbone)
        x0, guess = batch["image"], batch["guess"]
        angle = torch.where(draws.uniform() < AT_NOISE, torch.ones_like(draws.spread()), draws.spread())
        alpha, sigma = torch.cos(angle * torch.pi / 2), torch.sin(angle * torch.pi / 2)
        cond = network.condition(guess_of(guess, batch["unknown"]), x0)
        rest = x0 - guess
        said = network.residual(noised(rest, draws.normal(*x0.shape[1:]), alpha, sigma), alpha, sigma, cond)
        open_ = (batch["unknown"] > 0).float()
        weights = (open_ + BESIDE) * self._channel_weights.to(x0)
        error = sample_means((said.float() - rest / SPREAD) ** 2, weights)
        guessed = sample_means((rest / SPREAD) ** 2, weights)
        late = angle >= 1
        share = (error * late).sum() / (guessed * late).sum().clamp(min=1e-6)
        return Loss(error.mean(), {"of_guess_at_noise": share})

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Rows: what was guessed, made in one step, and true, of held-out clips; the last view over time."""
        sheet = []
        for number in range(3):
            matrix = self._held_out(number)
            guess, made = matrix["guess"][-1:], self._made(networks, matrix, slice(VIEWS - 1, None))
            for latents in (guess, made, matrix["image"][-1:]):
                frames = self._codec.decode(latents[0].transpose(0, 1)[::2].cpu())
                sheet.append([to_picture(frame.numpy()) for frame in frames])
        return grid(sheet)

    @torch.no_grad()
    def measure(self, networks: Networks) -> dict[str, float]:
        """How much nearer than the guess one step from noise comes in the holes, dB (over all held-out holes)."""
        found = {"guess": 0.0, "columns": 0.0}
        for number in range(MEASURED):
            matrix = self._held_out(number)
            weights = (matrix["unknown"] > 0).float() * self._channel_weights
            for name, made in (("guess", matrix["guess"]), ("columns", self._made(networks, matrix, slice(1, None)))):
                wrong = (made - matrix["image"][-len(made) :]) ** 2 * weights[-len(made) :]
                found[name] += float(wrong.sum())
        return {"gain_db": 10 * float(np.log10(found["guess"] / max(found["columns"], 1e-9)))}

    def _made(self, networks: Networks, matrix: Batch, views: slice) -> Float[torch.Tensor, "v c t h w"]:
        network = networks[self.name]
        assert isinstance(network, Backbone)
        device = next(network.parameters()).device
        guess, unknown = matrix["guess"][views].to(device), matrix["unknown"][views].to(device)
        denoise = network.denoiser(network.condition(guess_of(guess, unknown), guess))
        start = Noise(generators(len(guess), self.name))(guess)
        made = sample(descend([NOISE, CLEAN], denoise), start)
        return torch.where(unknown > 0, made, guess).cpu()

    def _held_out(self, number: int) -> dict[str, Shaped[torch.Tensor, "..."]]:
        lessons = HoleLessons(self._lessons.folder, self._lessons.codec, theatre_seed(self.config.seed, "held-out"))
        return read_holes(lessons.ready(number, self._codec))


def cut(
    matrix: dict[str, Shaped[torch.Tensor, "..."]], rng: np.random.Generator, *, rows: bool
) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """A column (over time) or a row (over views) of a matrix, and a window of it in which something is unknown."""
    views, frames = matrix["guess"].shape[0], matrix["guess"].shape[2]
    if rows:
        moment = int(rng.integers(frames))
        video = {name: each[:, :, moment].transpose(0, 1) for name, each in matrix.items()}
        if rng.random() < 0.5:
            video = {name: each.flip(1) for name, each in video.items()}
    else:
        view = int(rng.integers(1, views))
        video = {name: each[view] for name, each in matrix.items()}
    chance = video["unknown"][0].mean(dim=0).numpy().astype(np.float64) + 1e-4
    place = int(rng.choice(chance.size, p=(chance / chance.sum()).ravel()))
    corner = []
    for middle, side in zip(divmod(place, chance.shape[1]), chance.shape, strict=True):
        corner.append(int(np.clip(middle - rng.integers(SIDE), 0, side - SIDE)))
    y, x = corner
    return {name: each[..., y : y + SIDE, x : x + SIDE].contiguous() for name, each in video.items()}


def make(config: TrainConfig) -> SceneRecipe:
    """The recipe for the options of a run."""
    return SceneRecipe(config)
