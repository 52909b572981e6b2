"""Variants as recipes of the trainer: the same samples, noise and first weights for all of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import nn

from diorama.bench.miniature.pairs import Kind, PairNetwork, Pose
from diorama.bench.miniature.takes import Arrays, Takes
from diorama.bench.miniature.variants import Miniature, Variant, cut, given_of
from diorama.diffusion.backbone import SPREAD, BackboneConfig
from diorama.diffusion.codec import Codec
from diorama.train.config import TrainConfig
from diorama.train.data import stacked
from diorama.train.draws import Draws, seed_of
from diorama.train.loss import noised, region_weights, sample_means
from diorama.train.recipe import Batch, Loss, Networks, Recipe
from diorama.train.recipes._takes import shuffled

FITTED = 8
"""Takes whose pictures tell how latents and colours belong together (see `Transfer.fit`)."""
_FITTING = ("image", "preview")
NETWORK = "network"
"""Name of the one network of a recipe."""


@dataclass(frozen=True)
class Course:
    """What all variants of a table learn from.

    Attributes:
        takes: where they are.
        pool: how many of them.
        frames: of a sample.
        sizes: of the networks.
    """

    takes: Takes
    pool: int = 160
    frames: int = 8
    sizes: BackboneConfig = BackboneConfig()


@dataclass(frozen=True)
class AnimateRecipe(Recipe):
    """A row of MIMO's table."""

    config: TrainConfig
    course: Course
    variant: Variant
    about = "A variant of a table, trained on clips of the theatre."

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the variant."""
        return f"bench-animate-{self.variant.name}"

    def networks(self) -> dict[str, nn.Module]:
        """From scratch, and the transfer fitted to the pictures where there is one."""
        network = self.bare()
        if network.transfers:
            codec = self.course.takes.codec
            known = [self.course.takes.lesson(n) for n in range(min(FITTED, self.course.pool))]
            latents = torch.cat([take[name][:, :2].float().transpose(0, 1) for take in known for name in _FITTING])
            network.transfer.fit(codec.decode(latents), latents)
        return {NETWORK: network}

    def bare(self) -> Miniature:
        """The network as it is built."""
        return Miniature(bool(self.variant.preview), self.course.sizes)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Some frames of a take, evenly apart, the first frame never among them."""
        return stacked([self._sample(number) for number in numbers])

    def _sample(self, number: int) -> dict[str, Shaped[torch.Tensor, "..."]]:
        course, rng = self.course, np.random.default_rng(seed_of("piece", self.config.seed, number))
        take = course.takes.lesson(shuffled(number, course.pool, self.config.seed))
        count = take["image"].shape[1]
        stride = int(rng.integers(1, max(1, (count - 1) // course.frames) + 1))
        first = 1 + int(rng.integers(0, count - 1 - (course.frames - 1) * stride))
        return cut(take, self.variant, slice(first, first + (course.frames - 1) * stride + 1, stride))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """As backbone-s learns (`diorama.train.recipes.backbone`), with everything always given."""
        network, x0 = networks[NETWORK], batch["image"]
        assert isinstance(network, Miniature)
        angle = draws.spread() * (torch.pi / 2)
        alpha, sigma = torch.cos(angle), torch.sin(angle)
        cond = network.condition(given_of(self.variant, batch), x0)
        assert cond.concat is not None
        rest = (x0 - network.base(cond.concat)).detach()
        said = network.residual(noised(rest, draws.normal(*x0.shape[1:]), alpha, sigma), alpha, sigma, cond)
        grown = nn.functional.max_pool3d(batch["person"], (1, 3, 3), stride=1, padding=(0, 1, 1))
        weights = region_weights(grown, self.config.person_weight) * channel_weights(self.course.takes.codec)
        error = sample_means((said.float() - rest / SPREAD) ** 2, weights)
        return Loss(error.mean(), {})


@dataclass(frozen=True)
class PersonRecipe(Recipe):
    """A row of SCD's table."""

    config: TrainConfig
    course: Course
    kind: Kind
    about = "A variant of a table, trained on clips of the theatre."

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the kind."""
        return f"bench-person-{self.kind}"

    def networks(self) -> dict[str, nn.Module]:
        """From scratch."""
        return {NETWORK: self.bare()}

    def bare(self) -> PairNetwork:
        """The network as it is built."""
        return PairNetwork(self.kind, self.course.sizes)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Two moments of a person."""
        return stacked([self._sample(number) for number in numbers])

    def _sample(self, number: int) -> dict[str, Shaped[torch.Tensor, "..."]]:
        rng = np.random.default_rng(seed_of("pair", self.config.seed, number))
        take = self.course.takes.lesson(shuffled(number, self.course.pool, self.config.seed))
        one, two = (int(n) for n in rng.choice(take["pose"].shape[1], 2, replace=False))
        return pair(take, one, two)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Squared error of the clean target, more where the person is; the reference costs nothing."""
        network, x0 = networks[NETWORK], batch["target"]
        assert isinstance(network, PairNetwork)
        angle = draws.spread() * (torch.pi / 2)
        alpha, sigma = torch.cos(angle), torch.sin(angle)
        x = noised(x0, draws.normal(*x0.shape[1:]), alpha, sigma)
        said = network(x, alpha, sigma, network.read(pose_of(batch)))
        seen = nn.functional.avg_pool2d(batch["codes"][:, 3:], 4)
        grown = nn.functional.max_pool2d(seen, 3, stride=1, padding=1)
        weights = region_weights(grown, self.config.person_weight) * channel_weights(self.course.takes.codec)[:, 0]
        return Loss(sample_means((said.float() - x0) ** 2, weights).mean(), {})


def pair(take: Arrays, one: int, two: int) -> dict[str, Float[torch.Tensor, "c h w"]]:
    """The reference `one` and the target `two` among the moments of a take."""
    latents, codes = take["pose"].float(), take["pose_codes"].float() / 255
    found = {"reference": latents[:, one], "target": latents[:, two]}
    found |= {"reference_codes": codes[:, one], "codes": codes[:, two]}
    return {name: value.contiguous() for name, value in found.items()}


def pose_of(batch: Batch) -> Pose:
    """What is known in a batch of pairs."""
    return Pose(batch["reference"], batch["reference_codes"], batch["codes"])


def channel_weights(codec: Codec) -> Float[torch.Tensor, "c 1 1 1"]:
    """Latents have unit variance whatever they mean in pixels: between counting latents and counting pixels."""
    energy = getattr(codec, "energy", torch.ones(codec.channels))
    return (energy.sqrt() / energy.sqrt().mean())[:, None, None, None]
