"""upscale-s: frames at twice their size, with a look at the frame before and at the other eye.

A sample is worked off as a film is: each frame with what the network itself made of its neighbours, a little disturbed,
so that errors die out over the frames instead of growing. Beside what is right in each picture, errors that do not move
with the surface count once more: these are what flickers, and what the eyes see differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn
from torch.nn import functional

from diorama.diffusion.upscaler import Neighbour, UpscaleNet
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws, seed_of
from diorama.train.preview import grid, to_picture
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes.upscale_clips import PAIRS, open_stock, takes
from diorama.train.recipes.upscale_spoil import Lesson, lesson, looks, shrunk

CROP = 96
HELD_OUT = 12
"""Takes that are measured."""
SOFT = 1e-3
"""Where the loss turns from square to straight."""
GRADIENTS, STEADY = 0.25, 0.1
"""Weights of the differences of neighbouring pixels, and of errors that differ between neighbours."""
PASSES: tuple[tuple[int | None, int | None], ...] = ((None, None), (0, None), (1, None), (None, 2), (3, 4))
"""Of each picture: which of `PAIRS` leads to the frame before, and which to the other eye."""

Pictures = Float[torch.Tensor, "b 3 h w"]


@dataclass(frozen=True)
class UpscaleRecipe(Recipe):
    """Regression of true pictures, neighbours first."""

    config: TrainConfig
    name = "upscale-s"
    conditions = ("before", "beside")
    about = "Clips of the theatre in stereo, and photographs of scikit-image in motion (upscale_clips). Apache-2.0."

    def networks(self) -> dict[str, nn.Module]:
        """One network."""
        return {"upscale-s": UpscaleNet()}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Three frames of the left eye and two of the right, and the ways between them."""
        stock = open_stock(self.config.data, self.config.seed)
        made = []
        for number in numbers:
            rng = np.random.default_rng([seed_of("upscale spoil", self.config.seed), number])
            made.append(lesson(stock.take(number, CROP), rng))
        return {name: torch.stack([getattr(one, name) for one in made]) for name in ("low", "high", "look", "mask")}

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """See the module."""
        network, rates = networks["upscale-s"], self.config.drop_rates
        found: list[Pictures] = []
        plain, edges, steady = [], [], []
        for number, (before, beside) in enumerate(PASSES):
            kept = [(draws.keep(rates.get(name, 0.0)), _disturbance(draws)) for name in self.conditions]
            first, second = (
                None if pair is None else _neighbour(found, batch, pair, keep, strange)
                for pair, (keep, strange) in zip((before, beside), kept, strict=True)
            )
            high = batch["high"][:, number]
            made = network(batch["low"][:, number], first, second).float()
            plain.append(_soft(made - high))
            edges.append(_gradients(made - high))
            steady += [_apart(made - high, found, batch, pair) for pair in (before, beside) if pair is not None]
            found.append(made.detach())
        terms = {
            name: torch.stack(values).mean(0)
            for name, values in (("plain", plain), ("edges", edges), ("steady", steady))
        }
        total = (terms["plain"] + GRADIENTS * terms["edges"] + STEADY * terms["steady"]).mean()
        return Loss(total, {name: value.mean() for name, value in terms.items()})

    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Right eyes: interpolated, as the network makes them, and the truth."""
        rows = []
        for number in range(4):
            held = _held_out(number)
            plain = functional.interpolate(held.low[4][None], scale_factor=2.0, mode="bicubic")[0]
            pictures = plain, _work_off(networks["upscale-s"], held)[4], held.high[4]
            rows.append([to_picture(picture[:, 40:216, 40:216].cpu().numpy()) for picture in pictures])
        return grid(rows)

    def measure(self, networks: Networks) -> dict[str, float]:
        """PSNR (dB) of the right eye on held-out clips: interpolated, without and with neighbours."""
        scores: dict[str, list[float]] = {"bicubic": [], "alone": [], "psnr": []}
        for number in range(HELD_OUT):
            held = _held_out(number)
            plain = functional.interpolate(held.low[4][None], scale_factor=2.0, mode="bicubic")[0].clamp(0, 1)
            scores["bicubic"].append(_psnr(plain, held.high[4]))
            scores["alone"].append(_psnr(_work_off(networks["upscale-s"], held, neighbours=False)[4], held.high[4]))
            scores["psnr"].append(_psnr(_work_off(networks["upscale-s"], held)[4], held.high[4]))
        return {name: float(np.mean(values)) for name, values in scores.items()}


def make(config: TrainConfig) -> UpscaleRecipe:
    """The recipe for the options of a run."""
    return UpscaleRecipe(config)


def _neighbour(
    found: Sequence[Pictures],
    batch: Batch,
    pair: int,
    keep: torch.Tensor,
    strange: Float[torch.Tensor, " b"],
) -> Neighbour:
    """What was made of a neighbour, disturbed, at the pixels of the picture; nothing where it is left out."""
    image = found[PAIRS[pair][1]]
    smooth = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    image = (image + strange[:, None, None, None] * (image - smooth)).clamp(0, 1)
    mask = batch["mask"][:, pair] * keep[:, None, None, None]
    return Neighbour(_warped(image, batch["look"][:, pair]), mask)


def _disturbance(draws: Draws) -> Float[torch.Tensor, " b"]:
    """How much sharper than it is a neighbour is shown."""
    return (draws.uniform() < 0.5) * (1.2 * draws.uniform() - 0.4)


def _warped(image: Pictures, look: Float[torch.Tensor, "b h w 2"]) -> Pictures:
    return functional.grid_sample(image, look, mode="bicubic", padding_mode="border", align_corners=False)


def _soft(error: Pictures) -> Float[torch.Tensor, " b"]:
    """Charbonnier's loss of each sample."""
    return (error.square() + SOFT**2).sqrt().flatten(1).mean(1)


def _gradients(error: Pictures) -> Float[torch.Tensor, " b"]:
    down, across = error[..., 1:, :] - error[..., :-1, :], error[..., 1:] - error[..., :-1]
    return (down.abs().flatten(1).mean(1) + across.abs().flatten(1).mean(1)) / 2


def _apart(error: Pictures, found: Sequence[Pictures], batch: Batch, pair: int) -> Float[torch.Tensor, " b"]:
    """How far an error is from that of the neighbour at the same surface."""
    there = PAIRS[pair][1]
    theirs = _warped(found[there] - batch["high"][:, there], batch["look"][:, pair])
    mask = functional.interpolate(batch["mask"][:, pair], error.shape[-2:])
    return ((error - theirs).abs() * mask).flatten(1).mean(1)


@lru_cache(HELD_OUT)
def _held_out(number: int) -> Lesson:
    """A clip that is not trained on, shrunk and nothing else, with true ways."""
    taken = takes(seed_of("upscale held", number))
    high = torch.from_numpy(taken.images).permute(0, 3, 1, 2).float() / 255
    maps = torch.from_numpy(taken.maps).permute(0, 3, 1, 2)
    seen = torch.isfinite(maps[..., ::2, ::2]).all(1, keepdim=True).float()
    return Lesson(shrunk(high, None), high, looks(torch.nan_to_num(maps)), seen)


def _work_off(network: nn.Module, held: Lesson, *, neighbours: bool = True) -> list[Float[torch.Tensor, "3 h w"]]:
    """Every picture of a lesson upscaled, each after its neighbours."""
    device = next(network.parameters()).device
    low, look, mask = (part.to(device) for part in (held.low, held.look, held.mask))
    made: list[torch.Tensor] = []
    for number, pairs in enumerate(PASSES):
        given = [
            None
            if pair is None or not neighbours
            else Neighbour(_warped(made[PAIRS[pair][1]][None], look[pair][None]), mask[pair][None])
            for pair in pairs
        ]
        made.append(network(low[number][None], *given).float().clamp(0, 1)[0])
    return [picture.cpu() for picture in made]


def _psnr(found: Float[torch.Tensor, "3 h w"], true: Float[torch.Tensor, "3 h w"]) -> float:
    return float(-10 * (found - true).square().mean().clamp(min=1e-10).log10())
