"""Averaged weights: an exponential moving average whose decay grows to its value like a power."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import nn

POWER = 2 / 3


def decay_at(update: int, decay: float) -> float:
    """The decay of the n-th update (from 0): ``1 - (1 + n)^(-2/3)``, at most `decay`.

    The average then spans a growing share of the run, and forgets where it started: the first update copies.
    """
    return min(decay, 1 - (1 + update) ** -POWER)


class Ema:
    """The average of some parameters, in fp32.

    Args:
        parameters: by name.
        decay: per step.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.average = {name: value.detach().clone().float() for name, value in parameters.items()}
        self._parameters = dict(parameters)

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters in as they are now."""
        share = 1 - decay_at(self.updates, self.decay)
        now = [value.detach().float() for value in self._parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), now, share)
        self.updates += 1

    def load(self, average: Mapping[str, Float[torch.Tensor, "..."]], updates: int) -> None:
        """Go on from a stored average."""
        for name, value in self.average.items():
            value.copy_(average[name])
        self.updates = updates

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The parameters are the averaged ones in here."""
        before = {name: value.detach().clone() for name, value in self._parameters.items()}
        try:
            self._copy(self.average)
            yield
        finally:
            self._copy(before)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Float[torch.Tensor, "..."]]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
