"""Reproducible noise: one generator an item, seeded by a hash of what the item is.

Noise is drawn on the CPU and moved, so that a seed means the same picture on every device, and item by item, so that a
batch of n equals n singles.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float

from diorama.diffusion.denoise import Draw
from diorama.errors import UsageError

Generators = Sequence[torch.Generator]


def seed_of(*what: object) -> int:
    """A seed of 63 bits from any printable names and numbers, e.g. ("animate", seed, window)."""
    digest = hashlib.blake2b("\x1f".join(map(str, what)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generators(count: int, *what: object) -> list[torch.Generator]:
    """`count` independent generators, the i-th seeded by (`what`, i)."""
    return [torch.Generator().manual_seed(seed_of(*what, item)) for item in range(count)]


class Noise:
    """Draws standard normal noise ``like`` a tensor "b ...", the i-th item from the i-th generator."""

    def __init__(self, of: Generators) -> None:
        self._generators = list(of)

    def __call__(self, like: Float[torch.Tensor, "b *rest"]) -> Float[torch.Tensor, "b *rest"]:
        """Noise of the shape, type and device of `like`.

        Raises:
            UsageError: not one generator an item.
        """
        if len(like) != len(self._generators):
            given = f"{len(self._generators)} generators for {len(like)} items"
            raise UsageError(given, "generator", "give one generator an item")
        rest = like.shape[1:]
        drawn = [torch.randn(rest, generator=each, dtype=torch.float32) for each in self._generators]
        return torch.stack(drawn).to(device=like.device, dtype=like.dtype)

    def only(self, items: Sequence[int]) -> "Noise":
        """The same generators, of some items alone: drawing moves them on for all."""
        return Noise([self._generators[item] for item in items])


class FrameNoise(Noise):
    """Noise for videos "v c t y x" in which each frame of each view has a generator of its own.

    What a frame gets does not depend on which window it is in.
    """

    def __init__(self, of: Sequence[Generators]) -> None:
        super().__init__([])
        self._frames = [list(each) for each in of]

    def __call__(self, like: Float[torch.Tensor, "b *rest"]) -> Float[torch.Tensor, "b *rest"]:
        """As `Noise`.

        Raises:
            UsageError: another number of views or frames.
        """
        shape = [len(self._frames), len(self._frames[0]) if self._frames else 0]
        if like.ndim != 5 or [like.shape[0], like.shape[2]] != shape:
            given = f"generators for {shape[0]} views of {shape[1]} frames, latents {tuple(like.shape)}"
            raise UsageError(given, "generator", "give one generator a frame")
        rest = (like.shape[1], *like.shape[3:])
        views = [
            torch.stack([torch.randn(rest, generator=g, dtype=torch.float32) for g in view], 1) for view in self._frames
        ]
        return torch.stack(views).to(device=like.device, dtype=like.dtype)

    def only(self, items: Sequence[int]) -> "FrameNoise":
        """The same generators, of some views alone."""
        return FrameNoise([self._frames[item] for item in items])


def only(draw: Draw, items: Sequence[int] | None) -> Draw:
    """A source of noise for some items of a batch; any source but `Noise` serves them as it is."""
    return draw.only(items) if isinstance(draw, Noise) and items is not None else draw
