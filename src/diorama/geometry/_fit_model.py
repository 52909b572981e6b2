"""What is learned: the Gaussians at rest as free numbers, how they grow in number, and how they become values again.

Lengths are counted in pixels of the picture that a Gaussian came from, so that one step means the same to what is near
and to what is far.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.errors import UsageError

_FADED = 0.02
"""Opacity below which a Gaussian is dropped."""
_SHRINK = 0.62
"""Of the longest axis of one that is split in two."""
_APART = 0.6
"""Standard deviations from the middle to either of the two."""
_ALWAYS = 4.0
"""Width of presence over the duration from which a Gaussian is always there."""

Tensor = torch.Tensor
RATES = {"offsets": 0.06, "quats": 0.004, "scales": 0.012, "opacities": 0.04, "colors": 0.004, "widths": 0.01}
"""Steps of Adam: pixels, parts of a unit quaternion, logarithms, logits, colour of 0 to 1, logarithms."""


@dataclass(eq=False)
class Still:
    """The Gaussians at rest.

    Attributes:
        base: centres where fitting began, metres.
        units: metres that a pixel covers at each.
        centers: seconds at which each is there most.
        links, weights: as in `MovingGaussians`.
        always: width of presence in seconds from which a Gaussian is always there.
        free: what is learned: offsets (pixels) from `base`, quats, scales (logarithms of metres), opacities (logits),
            colors, widths (logarithms of seconds).
    """

    base: Float[Tensor, "g 3"]
    units: Float[Tensor, "g 1"]
    centers: Float[Tensor, " g"]
    links: Int32[np.ndarray, "g k"]
    weights: Float32[np.ndarray, "g k"]
    always: float
    free: dict[str, Tensor]

    @classmethod
    def of(cls, moving: MovingGaussians, units: Float32[np.ndarray, " g"]) -> "Still":
        """The numbers behind values.

        Raises:
            UsageError: Gaussians without presence.
        """
        if moving.presence is None:
            raise UsageError("Gaussians without presence", "Still.of", "give a time and a width for each")
        rest = moving.rest
        opacities = np.clip(rest.opacities, 0.01, 0.98)
        values = {
            "offsets": np.zeros_like(rest.means),
            "quats": rest.quats,
            "scales": np.log(rest.scales),
            "opacities": np.log(opacities / (1 - opacities)),
            "colors": rest.colors,
            "widths": np.log(moving.presence[:, 1]),
        }
        free = {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in values.items()}
        base, centers = torch.from_numpy(rest.means.copy()), torch.from_numpy(moving.presence[:, 0].copy())
        always = _ALWAYS * (moving.seconds or 1.0)
        return cls(base, torch.from_numpy(units)[:, None], centers, moving.links, moving.weights, always, free)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def means(self) -> Float[Tensor, "g 3"]:
        """Centres at rest, metres."""
        return self.base + self.units * self.free["offsets"]

    def opacities(self, time: float) -> Float[Tensor, " g"]:
        """At a time in seconds."""
        there = (time - self.centers) * torch.exp(-self.free["widths"])
        return torch.sigmoid(self.free["opacities"]) * torch.exp(-0.5 * there * there)

    @torch.no_grad()
    def rest(self) -> Gaussians:
        """As values."""
        free = {name: value.detach() for name, value in self.free.items()}
        return Gaussians(
            self.means.numpy().copy(),
            torch.nn.functional.normalize(free["quats"], dim=1).numpy().copy(),
            torch.exp(free["scales"]).numpy().copy(),
            torch.sigmoid(free["opacities"]).numpy().copy(),
            free["colors"].clamp(0, 1).numpy().copy(),
        )

    @torch.no_grad()
    def presence(self) -> Float32[np.ndarray, "g 2"]:
        """When each is there most, and how long, seconds; those that nearly always are, always."""
        widths = torch.exp(self.free["widths"])
        return torch.stack([self.centers, torch.where(widths > self.always, torch.inf, widths)], dim=1).numpy()

    @torch.no_grad()
    def faded(self) -> Bool[Tensor, " g"]:
        """Those that are next to invisible, or no longer finite."""
        fine = torch.stack([value.reshape(len(self), -1).isfinite().all(dim=1) for value in self.free.values()])
        return (torch.sigmoid(self.free["opacities"]) < _FADED) | ~fine.all(dim=0)

    @torch.no_grad()
    def regrown(self, keep: Int64[Tensor, " m"], split: Int64[Tensor, " s"], optimizer: torch.optim.Adam) -> "Still":
        """These only, and after them the second halves of those that are split; the optimiser goes along."""
        axis = self.free["scales"][split].argmax(dim=1, keepdim=True)
        length = torch.exp(self.free["scales"][split].gather(1, axis))
        away = _APART * _columns(self.free["quats"][split], axis[:, 0]) * length / self.units[split]
        self.free["scales"][split] = self.free["scales"][split].scatter_add(
            1, axis, torch.full_like(length, float(np.log(_SHRINK)))
        )
        self.free["offsets"][split] -= away
        rows = torch.cat([keep, split])
        new = {}
        for group in optimizer.param_groups:
            if group["name"] not in self.free:
                continue
            old = self.free[group["name"]]
            value = old[rows].clone()
            if group["name"] == "offsets":
                value[len(keep) :] += 2 * away
            state = optimizer.state.pop(old, None)
            new[group["name"]] = value.requires_grad_()
            group["params"] = [value]
            if state:
                moments = {name: state[name][rows].clone() for name in ("exp_avg", "exp_avg_sq")}
                for moment in moments.values():
                    moment[len(keep) :] = 0
                optimizer.state[value] = {"step": state["step"], **moments}
        index = rows.numpy()
        base, units, centers = self.base[rows], self.units[rows], self.centers[rows]
        return Still(base, units, centers, self.links[index], self.weights[index], self.always, new)


def _columns(quats: Float[Tensor, "n 4"], axis: Int64[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """An axis of each rotation in the world."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(dim=1)
    columns = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], dim=1),
        torch.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], dim=1),
        torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    return torch.stack(columns, dim=1)[torch.arange(len(axis)), axis]
