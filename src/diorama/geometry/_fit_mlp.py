"""Motion as a network, as published (Yang et al. 2024, Deformable 3D Gaussians): offsets from place and time.

8 layers of 256 with the place fed in again in the middle, both given by sines of ten frequencies. Scales stay as they
are: `MovingGaussians` moves and turns. A step takes 30 times as long as with nodes on the processor.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from diorama.core.gaussians import MovingGaussians
from diorama.core.rotations import steady
from diorama.geometry._fit_model import Still
from diorama.geometry._fit_motion import product

_FREQUENCIES = 10
_WIDTH, _DEPTH, _SKIP = 256, 8, 4
_RATE = 8e-4

Tensor = torch.Tensor


class OffsetNet(torch.nn.Module):
    """From places and times, both about -1 to 1, to offsets of places and quaternions; 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        places, time = 3 * (2 * _FREQUENCIES + 1), 2 * _FREQUENCIES + 1
        given = places + time
        sizes = [given] + [_WIDTH + (given if i == _SKIP else 0) for i in range(_DEPTH - 1)]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(size, _WIDTH) for size in sizes)
        self.offsets, self.turns = torch.nn.Linear(_WIDTH, 3), torch.nn.Linear(_WIDTH, 4)
        for head in (self.offsets, self.turns):
            torch.nn.init.zeros_(head.weight)
            torch.nn.init.zeros_(head.bias)

    def forward(
        self, places: Float[Tensor, "g 3"], time: Float[Tensor, "g 1"]
    ) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        """Offsets in pixels, and what is added to the quaternion of no turn."""
        given = torch.cat([waves(places), waves(time)], dim=-1)
        x = given
        for i, layer in enumerate(self.layers):
            x = torch.relu(layer(torch.cat([given, x], dim=-1) if i == _SKIP + 1 else x))
        return self.offsets(x), self.turns(x)


def waves(values: Float[Tensor, "g c"]) -> Float[Tensor, "g d"]:
    """Values beside sines and cosines of ever finer waves of them."""
    found = [values]
    for i in range(_FREQUENCIES):
        found += [torch.sin(2.0**i * values), torch.cos(2.0**i * values)]
    return torch.cat(found, dim=-1)


@dataclass(eq=False)
class MlpMotion:
    """Gaussians moved by a network.

    Attributes:
        start: whose keys the motion is told at in the end.
        middle, extent: of the places, metres.
        net: the network.
        free, rates: what is learned, and steps of Adam.
    """

    start: MovingGaussians
    middle: Float[Tensor, "3"]
    extent: float
    net: OffsetNet
    free: dict[str, Tensor]
    rates: dict[str, float]

    @classmethod
    def of(cls, start: MovingGaussians, seed: int) -> "MlpMotion":
        """Without any motion yet."""
        generator = torch.get_rng_state()
        torch.manual_seed(seed)  # modules take no generator
        net = OffsetNet()
        torch.set_rng_state(generator)
        free = dict(net.named_parameters())
        means = torch.from_numpy(start.rest.means)
        middle = means.median(dim=0).values
        extent = float((means - middle).norm(dim=1).quantile(0.9)) if len(means) else 1.0
        return cls(start, middle, max(extent, 1e-3), net, dict(free), dict.fromkeys(free, _RATE))

    def lead(self, still: Still, time: float) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        """Centres and rotations of Gaussians at a time in seconds."""
        means = still.means
        offsets, turns = self._offsets(means.detach(), time)
        return means + still.units * offsets, product(turns, still.free["quats"])

    def roughness(self) -> tuple[Tensor, Tensor]:
        """A network is smooth by itself."""
        return torch.zeros(()), torch.zeros(())

    @torch.no_grad()
    def told(self, still: Still) -> MovingGaussians:
        """A node for each Gaussian, with the network's motion at the keys."""
        means = still.means
        found = [self._offsets(means, float(time)) for time in self.start.times]
        return MovingGaussians(
            still.rest(),
            self.start.times,
            means.numpy().copy(),
            torch.stack([still.units * offsets for offsets, _ in found]).numpy(),
            steady(torch.stack([turns for _, turns in found]).numpy()),
            np.arange(len(means), dtype=np.int32)[:, None],
            np.ones((len(means), 1), np.float32),
            still.presence(),
        )

    def _offsets(self, means: Float[Tensor, "g 3"], time: float) -> tuple[Float[Tensor, "g 3"], Float[Tensor, "g 4"]]:
        times = self.start.times
        share = (time - float(times[0])) / max(float(times[-1] - times[0]), 1e-6)
        when = torch.full((len(means), 1), share)
        offsets, turns = self.net((means - self.middle) / self.extent, when)
        still = torch.tensor([1.0, 0, 0, 0])
        return offsets, torch.nn.functional.normalize(still + turns, dim=-1)
