"""depth-s: how near each pixel of a single picture is, learned from scenes whose depth is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from diorama.train.config import TrainConfig
from diorama.train.draws import Draws, seed_of
from diorama.train.preview import grid
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes.depth_loss import depth_loss, rank_correlation, roots
from diorama.train.recipes.depth_net import DepthNet
from diorama.train.recipes.depth_spoil import Spoiled, spoil
from diorama.train.recipes.depth_stills import HEIGHT, WIDTH, Still, Stills, open_stills, still

SHAPES = ((96, 160), (96, 160), (96, 160), (112, 144), (128, 128), (160, 96), (80, 192))
"""Heights and widths, all of about the same area; a batch has one of them."""
PAIRS = 3000
HELD_OUT = 48
"""Stills that are measured."""


@dataclass(frozen=True)
class DepthRecipe(Recipe):
    """Regression and ranking of roots of inverse depth, in units of what is near in each picture."""

    config: TrainConfig
    name = "depth-s"
    about = "Stills of the theatre and of worlds of blocks, rendered with true depth (depth_scenes). Apache-2.0."

    def networks(self) -> dict[str, nn.Module]:
        """One network."""
        return {"depth-s": DepthNet()}

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Spoiled stills of one shape, which depends on the number of the batch."""
        shape = SHAPES[seed_of("shape", self.config.seed, min(numbers) // self.config.batch) % len(SHAPES)]
        stills = open_stills(self.config.data, self.config.seed)
        made = [self._sample(stills, number, *shape) for number in numbers]
        return {
            "image": torch.stack([s.image for s in made]),
            "root": torch.stack([roots(s.inverse, s.known) for s in made]),
            "known": torch.stack([s.known for s in made]),
        }

    def _sample(self, stills: Stills, number: int, height: int, width: int) -> Spoiled:
        rng = np.random.default_rng([seed_of("spoil", self.config.seed), number])
        image, inverse = as_tensors(stills.still(number))
        return spoil(image, inverse, rng, height=height, width=width)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """See `depth_loss`."""
        root = networks["depth-s"](batch["image"])
        pairs = draws.integers(root[0].numel(), 2, PAIRS)
        return depth_loss(root.float(), batch["root"], batch["known"], pairs)

    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"]:
        """Pictures, what is seen in them, and the truth."""
        rows = []
        for number in range(6):
            seen = _held_out(number)
            image, inverse = as_tensors(seen)
            found = _answer(networks["depth-s"], image)
            pictures = [seen.image[::2, ::2], _grey(found), _grey(_half(inverse))]
            rows.append([np.ascontiguousarray(p) for p in pictures])
        return grid(rows)

    def measure(self, networks: Networks) -> dict[str, float]:
        """Mean rank correlation with the truth on stills of scenes that are not trained on."""
        scores = []
        for number in range(HELD_OUT):
            image, inverse = as_tensors(_held_out(number))
            scores.append(rank_correlation(_answer(networks["depth-s"], image), _half(inverse)))
        return {"spearman": float(np.mean(scores))}


def make(config: TrainConfig) -> DepthRecipe:
    """The recipe for the options of a run."""
    return DepthRecipe(config)


@lru_cache(HELD_OUT)
def _held_out(number: int) -> Still:
    return still(seed_of("held out"), number * 17)


def as_tensors(seen: Still) -> tuple[Float[torch.Tensor, "3 h w"], Float[torch.Tensor, "h w"]]:
    """RGB in [0, 1], and inverse depth in 1/m."""
    image = torch.from_numpy(np.ascontiguousarray(seen.image)).permute(2, 0, 1).float() / 255
    return image, torch.from_numpy(np.ascontiguousarray(seen.inverse))


def _answer(network: nn.Module, image: Float[torch.Tensor, "3 h w"]) -> Float[np.ndarray, "hh hw"]:
    """Inverse depth of a 4:3 picture."""
    device = next(network.parameters()).device
    small = nn.functional.interpolate(image[None].to(device), SHAPES[3], mode="bilinear", antialias=True)
    root = nn.functional.interpolate(network(small)[:, None].float(), (HEIGHT // 2, WIDTH // 2), mode="bilinear")
    return (root[0, 0].clamp(min=0) ** 2).cpu().numpy()


def _half(inverse: Float[torch.Tensor, "h w"]) -> Float[np.ndarray, "hh hw"]:
    return inverse[::2, ::2].numpy()


def _grey(inverse: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Nearer is brighter."""
    level = np.sqrt(np.clip(inverse / max(float(np.percentile(inverse, 97)), 1e-6), 0, 1))
    return np.repeat(np.rint(level * 255).astype(np.uint8)[..., None], 3, 2)
