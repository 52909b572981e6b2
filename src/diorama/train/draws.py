"""Random numbers of training: each sample has a generator of its own.

What a sample gets is a function of (seed, number of the sample) alone. So a run goes on exactly where it stopped
without any state of a generator, and the same samples get the same noise however a batch is split over processes
and over parts that fit into memory.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int

GOLDEN = 0.6180339887498949


def seed_of(*parts: object) -> int:
    """A seed (63 bits) from anything with a `repr` that does not change between runs."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


class Draws:
    """Draws for the samples of a batch; row i of each comes from sample i's own generator.

    Args:
        seed: of the run.
        numbers: of the samples.
        device: where the numbers are made; devices differ in them.
    """

    def __init__(self, seed: int, numbers: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.numbers = tuple(numbers)
        self.device = torch.device(device)
        self._seed = seed
        self._generators = [self._generator(number) for number in self.numbers]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.numbers)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed_of("sample", self._seed, number))

    def normal(self, *shape: int) -> Float[torch.Tensor, "b ..."]:
        """Standard normal, of `shape` for each sample."""
        return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in self._generators])

    def uniform(self, *shape: int) -> Float[torch.Tensor, "b ..."]:
        """From [0, 1), of `shape` for each sample."""
        return torch.stack([torch.rand(shape, generator=g, device=self.device) for g in self._generators])

    def integers(self, high: int, *shape: int) -> Int[torch.Tensor, "b ..."]:
        """From 0 to `high` - 1, of `shape` for each sample."""
        rows = [torch.randint(high, shape, generator=g, device=self.device) for g in self._generators]
        return torch.stack(rows)

    def keep(self, rate: float) -> Bool[torch.Tensor, " b"]:
        """Which samples keep a condition that is dropped at this rate."""
        return self.uniform() >= rate

    def spread(self) -> Float[torch.Tensor, " b"]:
        """From [0, 1), spread evenly over neighbouring samples: for noise levels, whose mean is then less noisy.

        Multiples of the golden ratio, shifted by the run's seed (a Kronecker sequence).
        """
        start = seed_of("spread", self._seed) / 2**63
        values = [(start + number * GOLDEN) % 1.0 for number in self.numbers]
        return torch.tensor(values, dtype=torch.float64).float().clamp(max=1 - 2**-24).to(self.device)
