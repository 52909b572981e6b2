"""What becomes of pictures before they are upscaled: shrunk, by chance noisy and compressed; neighbours' ways
as an estimate gives them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

from diorama.diffusion.upscaler import FACTOR, agreement
from diorama.train.recipes.depth_spoil import _blurred, _compressed
from diorama.train.recipes.upscale_clips import PAIRS, Takes

CLEAN = 0.45
"""Share of samples that are only shrunk."""
SOFT = 0.45
"""Share of samples whose true pictures are soft as well: what is out of focus stays so."""
GIVEN = 0.15
"""Share of samples whose hidden surfaces are not told."""
WAYS = ("area", "bicubic", "bilinear")
FLIPS = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, eq=False)
class Lesson:
    """A sample as the network gets it; pictures in the order `FRAMES`, neighbours in the order `PAIRS`.

    Attributes:
        low, high: RGB in [0, 1].
        look: where in the neighbour each pixel of `high` is, -1 to 1 as `grid_sample` takes it.
        mask: how far that is believed, at the size of `low`.
    """

    low: Float[torch.Tensor, "5 3 h w"]
    high: Float[torch.Tensor, "5 3 h2 w2"]
    look: Float[torch.Tensor, "5 h2 w2 2"]
    mask: Float[torch.Tensor, "5 1 h w"]


def lesson(taken: Takes, rng: np.random.Generator) -> Lesson:
    """A sample spoiled at random, the same way in all its pictures.

    Args:
        taken: sides a multiple of 2.
        rng: the source of chance.
    """
    high = torch.from_numpy(np.ascontiguousarray(taken.images)).permute(0, 3, 1, 2).float() / 255
    maps = torch.from_numpy(np.ascontiguousarray(taken.maps)).permute(0, 3, 1, 2)
    if rng.random() < SOFT:
        blur = float(rng.uniform(0.4, 1.6))
        high = torch.stack([_blurred(image, blur) for image in high])
    flips = FLIPS[int(rng.integers(4))]
    high, maps = high.flip(flips), maps.flip(flips)
    maps = maps * torch.tensor([-1.0 if 3 in flips else 1.0, -1.0 if 2 in flips else 1.0])[:, None, None]
    low = shrunk(high, rng)
    coarse = maps[..., ::FACTOR, ::FACTOR]
    seen = torch.isfinite(coarse).all(1, keepdim=True)
    coarse = _misjudged(torch.nan_to_num(coarse), rng)
    look = looks(functional.interpolate(coarse, scale_factor=float(FACTOR), mode="bilinear"))
    there = torch.tensor([pair[1] for pair in PAIRS])
    here = torch.tensor([pair[0] for pair in PAIRS])
    warped = functional.grid_sample(low[there], looks(coarse / FACTOR), padding_mode="border", align_corners=False)
    mask = agreement(low[here], warped)
    return Lesson(low, high, look, mask if rng.random() < GIVEN else mask * seen)


def shrunk(high: Float[torch.Tensor, "n 3 h2 w2"], rng: np.random.Generator | None) -> Float[torch.Tensor, "n 3 h w"]:
    """Pictures at half the size, 8 bits deep; by the mean of four pixels where there is no chance."""
    way = "area" if rng is None else WAYS[int(rng.integers(3))]
    spoiled = rng is not None and rng.random() >= CLEAN
    options = {} if way == "area" else {"antialias": True}
    low = functional.interpolate(high, scale_factor=1 / FACTOR, mode=way, **options).clamp(0, 1)
    if rng is not None and spoiled:
        if rng.random() < 0.5:
            grain = rng.standard_normal(low.shape, np.float32)
            low = low + float(rng.uniform(0.002, 0.025)) * torch.from_numpy(grain)
        if rng.random() < 0.5:
            scale = float(np.exp(rng.uniform(np.log(0.05), np.log(0.8))))
            low = torch.stack([_compressed(image.clamp(0, 1), scale) for image in low])
    return (low.clamp(0, 1) * 255).round() / 255


def _misjudged(maps: Float[torch.Tensor, "n 2 h w"], rng: np.random.Generator) -> Float[torch.Tensor, "n 2 h w"]:
    """Ways that are off by smooth errors, mostly fractions of a pixel."""
    strength = float(np.exp(rng.uniform(np.log(0.03), np.log(0.9))))
    coarse = torch.from_numpy(rng.standard_normal((len(maps), 2, 6, 6), np.float32))
    return maps + strength * functional.interpolate(coarse, maps.shape[-2:], mode="bicubic")


def looks(maps: Float[torch.Tensor, "n 2 h w"]) -> Float[torch.Tensor, "n h w 2"]:
    """Ways in pixels as places for `grid_sample`, without aligned corners."""
    height, width = maps.shape[-2:]
    x = (2 * (torch.arange(width) + maps[:, 0]) + 1) / width - 1
    y = (2 * (torch.arange(height)[:, None] + maps[:, 1]) + 1) / height - 1
    return torch.stack([x, y], -1)
