"""The recipe of backbone-s: people of the theatre animated, with every condition left out now and then."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from safetensors import safe_open
from torch import nn

from diorama.diffusion.backbone import SPREAD, Backbone, Given, Kept
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import SampleConfig, generate, load_backbone
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.latents import fingerprint
from diorama.train.lessons import Lessons, read_lesson
from diorama.train.loss import details_of, noised, region_weights, sample_means
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.split import theatre_seed

CONDITIONS = ("scene", "occluder", "preview", "codes", "reference")


@dataclass(frozen=True)
class Piece:
    """What a sample is of its clip: frames, and a square of latent positions around the person.

    Attributes:
        frames: how many.
        side: latent positions; 0: the whole frame.
        pool: clips of an epoch.
    """

    frames: int = 8
    side: int = 16
    pool: int = 1200


@dataclass(frozen=True)
class BackboneRecipe(Recipe):
    """See the module; `piece` is smaller on a CPU, where a person near the middle is what time is spent on."""

    config: TrainConfig
    piece: Piece = field(default_factory=Piece)
    name = "backbone-s"
    conditions = (*CONDITIONS, "all")
    about = "Clips of the theatre, made from seeds, with their own truth; Apache-2.0 like the code."

    @cached_property
    def _lessons(self) -> Lessons:
        folder = Path(self.config.data or f"{self.config.out or f'runs/{self.name}'}/lessons")
        return Lessons(folder, encoder_fingerprint(self._codec), theatre_seed(self.config.seed, "train"))

    @cached_property
    def _codec(self) -> Codec:
        return load_codec("codec-s")

    @cached_property
    def _channel_weights(self) -> Float[torch.Tensor, "c 1 1 1"]:
        """Latents have unit variance whatever they mean in pixels: between counting latents and counting pixels."""
        energy = getattr(self._codec, "energy", torch.ones(self._codec.channels))
        return (energy.sqrt() / energy.sqrt().mean())[:, None, None, None]

    def networks(self) -> dict[str, nn.Module]:
        """The backbone alone, from scratch or from a former result (--init); the codec has done its work before."""
        if self.config.init:
            return {"backbone-s": load_backbone(Path(self.config.init) / "backbone-s.safetensors").requires_grad_(True)}
        network = Backbone()
        side = slice(0, self._lessons.size // self._codec.factor)
        seen = [self._lessons.ready(n, self._codec) for n in range(min(FITTED, self.piece.pool))]
        parts = [read_lesson(path, slice(0, 1), side, side) for path in seen]
        latents = torch.cat([part[name].transpose(0, 1) for part in parts for name in ("image", "preview")])
        network.transfer.fit(self._codec.decode(latents), latents)
        return {"backbone-s": network}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Pieces of clips, each epoch in another order; a clip is made when it is first asked for."""
        return stacked([self._piece(number) for number in numbers])

    def _piece(self, number: int) -> dict[str, Shaped[torch.Tensor, "..."]]:
        epoch, within = divmod(number, self.piece.pool)
        order = np.random.default_rng(seed_of("epoch", self.config.seed, epoch)).permutation(self.piece.pool)
        path = self._lessons.ready(int(order[within]), self._codec)
        rng = np.random.default_rng(seed_of("piece", self.config.seed, number))
        return cut_piece(path, self.piece, self._lessons, rng)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of the residual, the same at all levels, more where the person is."""
        network = networks["backbone-s"]
        assert isinstance(network, Backbone)
        x0 = batch["image"]
        angle = draws.spread() * (torch.pi / 2)
        alpha, sigma = torch.cos(angle), torch.sin(angle)
        kept, known = dropped(self.config, draws), holes(batch, draws)
        cond = network.condition(given_of({**batch, "scene_known": known}), x0, kept)
        assert cond.concat is not None
        rest = (x0 - network.base(cond.concat)).detach()
        said = network.residual(noised(rest, draws.normal(*x0.shape[1:]), alpha, sigma), alpha, sigma, cond)
        weights = region_weights(_grown(batch["person"]), self.config.person_weight) * self._channel_weights.to(x0)
        weights = weights * region_weights(details_of(batch["codes"]), self.config.detail_weight)
        error = sample_means((said.float() - rest / SPREAD) ** 2, weights)
        late = angle > 0.35 * torch.pi
        terms = {
            "with_preview": _mean(error, kept.preview),
            "without_preview": _mean(error, ~kept.preview),
            "late": _mean(error, late),
        }
        return Loss(error.mean(), terms)

    @torch.no_grad()
    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Rows: frames of held-out clips; what was given as preview; made with it; made without it."""
        network = networks["backbone-s"]
        assert isinstance(network, Backbone)
        device = next(network.parameters()).device
        rows = []
        for number in range(2):
            clip = {k: v[None].to(device) for k, v in self._held_out(number).items()}
            given = given_of({**clip, "scene_known": torch.ones_like(clip["person"])})
            bare = replace(given, preview=None, preview_alpha=None)
            seeded = SampleConfig(seed=number)
            made = [generate(network, each, clip["image"], config=seeded) for each in (given, bare)]
            for latents in (clip["image"], clip["preview"], *made):
                frames = self._codec.decode(latents[0].transpose(0, 1).cpu())
                rows.append([to_picture(frame.numpy()) for frame in frames])
        return grid(rows)

    def _held_out(self, number: int) -> dict[str, Shaped[torch.Tensor, "..."]]:
        lessons = replace(self._lessons, seed=theatre_seed(self.config.seed, "held-out"))
        path = lessons.ready(number, self._codec)
        whole = slice(0, lessons.size // self._codec.factor)
        return {k: v[:, :: lessons.frames // 4] if k not in STILL else v for k, v in _all(path, whole).items()}


STILL = ("reference", "reference_codes")
"""Parts of a lesson that are of no frame."""
FITTED = 16
"""Clips whose pictures tell how latents and colours belong together."""
DECODING = ("decoder", "synthesis")


def _all(path: Path, whole: slice) -> dict[str, Shaped[torch.Tensor, "..."]]:
    return read_lesson(path, slice(None), whole, whole)


def encoder_fingerprint(codec: Codec) -> str:
    """What decides a codec's latents: another decoder leaves them, and what was learned of them, as they are."""
    assert isinstance(codec, nn.Module)
    encoder = nn.ParameterDict(
        {name.replace(".", "/"): value for name, value in codec.state_dict().items() if not name.startswith(DECODING)}
    )
    return fingerprint(encoder)


def cut_piece(path: Path, piece: Piece, lessons: Lessons, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Some frames of a clip, evenly apart, and a window of positions that holds a part of the person."""
    stride = int(rng.integers(1, max(1, lessons.frames // piece.frames) + 1))
    first = int(rng.integers(0, lessons.frames - (piece.frames - 1) * stride))
    frames = slice(first, first + (piece.frames - 1) * stride + 1)
    side = lessons.size // 8
    if not piece.side or piece.side >= side:
        rows = columns = slice(0, side)
    else:
        rows, columns = (_window(rng, place, piece.side, side) for place in _middle(path, frames))
    found = read_lesson(path, frames, rows, columns)
    return {k: v if k in STILL else v[:, ::stride].contiguous() for k, v in found.items()}


def _middle(path: Path, frames: slice) -> tuple[float, float]:
    """Mean place of the person over some frames, latent positions."""
    with safe_open(path, "pt") as file:
        mask = file.get_slice("person")[frames].float().mean(dim=0)
    if float(mask.sum()) <= 0:
        return mask.shape[0] / 2, mask.shape[1] / 2
    share = mask / mask.sum()
    y, x = torch.arange(mask.shape[0]) + 0.5, torch.arange(mask.shape[1]) + 0.5
    return float((share.sum(dim=1) * y).sum()), float((share.sum(dim=0) * x).sum())


def _window(rng: np.random.Generator, middle: float, size: int, side: int) -> slice:
    start = int(np.clip(round(middle - size / 2 + rng.normal(0, size / 6)), 0, side - size))
    return slice(start, start + size)


def dropped(config: TrainConfig, draws: Draws) -> Kept:
    """What each sample keeps; with "all" dropped, it keeps nothing."""
    rates = config.drop_rates
    every = draws.keep(rates.get("all", 0.0))
    return Kept(**{name: draws.keep(rates.get(name, 0.0)) & every for name in CONDITIONS})


def holes(batch: Batch, draws: Draws) -> Float[torch.Tensor, "b 1 t h w"]:
    """Where the scene is known: in a third of the samples a random box of it is not."""
    like = batch["person"]
    corners, size = draws.uniform(2), draws.uniform(2) * 0.6 + 0.1
    open_ = draws.uniform() < 1 / 3
    y = torch.linspace(0, 1, like.shape[3], device=like.device)[None, :, None]
    x = torch.linspace(0, 1, like.shape[4], device=like.device)[None, None, :]
    low, high = corners - size / 2, corners + size / 2
    inside: Bool[torch.Tensor, "b h w"] = (y > low[:, 0, None, None]) & (y < high[:, 0, None, None])
    inside = inside & (x > low[:, 1, None, None]) & (x < high[:, 1, None, None]) & open_[:, None, None]
    return (~inside)[:, None, None].to(like.dtype).expand_as(like)


def given_of(batch: Batch) -> Given:
    """The conditions in a batch."""
    return Given(
        **{name: batch[name] for name in ("scene", "scene_known", "occluder", "occluder_alpha", "preview")},
        **{name: batch[name] for name in ("preview_alpha", "codes", "reference", "reference_codes")},
    )


def _grown(mask: Float[torch.Tensor, "b 1 t h w"]) -> Float[torch.Tensor, "b 1 t h w"]:
    """A mask widened by one position: shadows, hair and clothes beyond the body."""
    return nn.functional.max_pool3d(mask, (1, 3, 3), stride=1, padding=(0, 1, 1))


def _mean(values: Float[torch.Tensor, " b"], of: Bool[torch.Tensor, " b"]) -> Float[torch.Tensor, ""]:
    return (values * of).sum() / of.sum().clamp(min=1)


def make(config: TrainConfig) -> BackboneRecipe:
    """The recipe at the size that the device bears."""
    large = config.device.startswith("cuda") or (config.device == "auto" and torch.cuda.is_available())
    return BackboneRecipe(config, Piece(16, 0, 6000) if large else Piece())
