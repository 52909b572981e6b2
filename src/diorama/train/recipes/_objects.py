"""Objects from all around as SP4D learns from them: colours and parts of the views, and the input view."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int8, Shaped, UInt8

from diorama.diffusion.pictures import to_frames
from diorama.errors import UsageError
from diorama.figures.part_colors import part_colors
from diorama.theatre.dataset import DatasetConfig
from diorama.theatre.shards import Sample
from diorama.train.draws import seed_of
from diorama.train.recipes._encoders import Encoders
from diorama.train.sources import Shards, Theatre, open_shards
from diorama.train.split import Part, theatre_seed

FPS = 24.0
MOST_STRIDE = 4
ARRAYS = ("image", "parts", "azimuths", "part_centers", "box")


@dataclass(frozen=True)
class Round:
    """Which pictures of an object a sample has.

    Attributes:
        frames, views: how many; the input view is one more.
        size: pixels a side.
        input_too: the input view is the first of the views, and not one more.
    """

    frames: int
    views: int
    size: int
    input_too: bool = False

    @property
    def needed(self) -> int:
        """Views that a sample must have."""
        return self.views + (not self.input_too)


@dataclass(frozen=True, eq=False)
class Object:
    """Pictures of an object.

    Attributes:
        image: of the views, in order of their azimuth against the input view.
        parts: the part of each pixel, -1 beside the object.
        colored: the parts in their colours, on white; colours are those of the input view's axes.
        given: the input view.
        azimuths: of the views against the input view, radians in [0, 2 pi).
    """

    image: UInt8[np.ndarray, "v t h w 3"]
    parts: Int8[np.ndarray, "v t h w"]
    colored: UInt8[np.ndarray, "v t h w 3"]
    given: UInt8[np.ndarray, "t h w 3"]
    azimuths: Float32[np.ndarray, " v"]


def objects(folder: str, shape: Round, *, part: Part, seed: int) -> Shards | Theatre:
    """Shards where a folder is named, else the theatre, in the very cameras of the published sampler."""
    if folder:
        return open_shards(Path(folder), part=part)
    config = DatasetConfig("parts", shape.size, shape.frames, FPS, shape.needed, theatre_seed(seed, part))
    return Theatre(config)


def object_of(source: Shards | Theatre, number: int, shape: Round) -> Object:
    """The object of a number: every view may be the input view, frames are 1 to 4 apart; always the same choice.

    Raises:
        UsageError: samples of too few views or frames, or of another size.
    """
    rng = np.random.default_rng(seed_of("object", number))
    if isinstance(source, Theatre):
        source = Theatre(replace(source.config, fps=FPS / int(rng.integers(1, MOST_STRIDE + 1))))
    return chosen(source.sample(number, ARRAYS), shape, rng)


def chosen(sample: Sample, shape: Round, rng: np.random.Generator) -> Object:
    """Views and frames of a sample; the first frame is its own first, where the parts' centres were taken."""
    image, parts, azimuths = (sample.arrays[name] for name in ("image", "parts", "azimuths"))
    views, frames, height, width = parts.shape
    if views < shape.needed or frames < shape.frames or (height, width) != (shape.size, shape.size):
        found = f"a sample of {views} views x {frames} frames of {width}x{height}"
        needed = f"{shape.needed} views, {shape.frames} frames and {shape.size} pixels"
        raise UsageError(found, "--data", f"make a set with {needed}, or more views and frames")
    widest = min(MOST_STRIDE, (frames - 1) // max(shape.frames - 1, 1)) if shape.frames > 1 else 1
    times = np.arange(shape.frames) * int(rng.integers(1, widest + 1))
    given = int(rng.integers(views))
    turned = (azimuths - azimuths[given]) % 360
    drawn = rng.permutation(np.array([view for view in range(views) if view != given], np.int64))
    drawn = np.concatenate([np.full(int(shape.input_too), given, np.int64), drawn])[: shape.views]
    others = drawn[np.argsort(turned[drawn], kind="stable")]
    low, high = sample.arrays["box"]
    palette = part_colors(sample.arrays["part_centers"], low, high, float(azimuths[given]))
    palette = np.concatenate([palette, np.full((1, 3), 255, np.uint8)])  # the last one is that of -1
    seen = parts[others][:, times]
    return Object(
        image[others][:, times], seen, palette[seen], image[given, times], np.radians(turned[others], dtype=np.float32)
    )


def encoded(seen: Object, encoders: Encoders) -> Mapping[str, Shaped[torch.Tensor, "..."]]:
    """An object as stored: latents "n c h w" (n frames x views, views fastest) and "t c h w", tokens "t d" (half).

    The latents of the input view are those before scaling, as the published network is given them (sp4d.md 1.6).
    """
    scale, shift = (float(getattr(encoders.codec, name, other)) for name, other in (("scale", 1.0), ("shift", 0.0)))
    given = to_frames(seen.given)
    return {
        "rgb": encoders.latents(to_frames(_flat(seen.image))).half(),
        "part": encoders.latents(to_frames(_flat(seen.colored))).half(),
        "image": (encoders.latents(given) / scale + shift).half(),
        "context": encoders.tokens(given)[:, 0].half(),
        "ids": majority(torch.from_numpy(_flat(seen.parts)), encoders.codec.factor),
        "azimuth": torch.from_numpy(seen.azimuths),
    }


def _flat(pictures: Shaped[np.ndarray, "v t ..."]) -> Shaped[np.ndarray, "n ..."]:
    """Pictures with frames outside and views inside."""
    return np.ascontiguousarray(pictures.swapaxes(0, 1)).reshape(-1, *pictures.shape[2:])


def majority(parts: Shaped[torch.Tensor, "n hh ww"], factor: int) -> Shaped[torch.Tensor, "n h w"]:
    """The part that most pixels of each block show, -1 for none (int8)."""
    numbers = torch.arange(-1, int(parts.max()) + 1)[:, None, None]
    found = [
        torch.nn.functional.avg_pool2d((picture[None] == numbers).float(), factor).argmax(dim=0) - 1
        for picture in parts
    ]
    return torch.stack(found).to(torch.int8)
