"""What a recipe of training is: networks, batches, a loss; the loop does the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import nn

from diorama.train.draws import Draws
from diorama.train.export import write_weights

Networks = Mapping[str, nn.Module]
Batch = Mapping[str, Shaped[torch.Tensor, "b ..."]]


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss of a batch.

    Attributes:
        total: what is minimised: a mean over samples of what depends on one sample each.
        terms: its named parts, for the logs; means over the samples as well, and the same names every time.
    """

    total: Float[torch.Tensor, ""]
    terms: Mapping[str, Float[torch.Tensor, ""]] = field(default_factory=dict)


class Recipe(ABC):
    """What is trained, on what, to what end. Picklable, since `batch` may run in other processes.

    Attributes:
        name: of the recipe.
        conditions: names that --drop knows.
        about: the data and the licence of what comes out, for the card; a line or two.
    """

    name: str = ""
    conditions: Sequence[str] = ()
    about: str = ""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, on the CPU in fp32; parameters with ``requires_grad`` are trained.

        The loop seeds torch before: plain initialisation is reproducible. A network without a trained parameter is
        put in evaluation mode and is not saved with the checkpoints.
        """

    @abstractmethod
    def batch(self, numbers: Sequence[int]) -> Batch:
        """The samples of these numbers, stacked, on the CPU: a function of the numbers and of the recipe alone.

        It runs in a thread or in other processes, so it uses no global randomness, but `Draws` or `seed_of`.
        """

    @abstractmethod
    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """The loss of a batch (or of a part of it) on the device, under autocast when bf16 is asked for."""

    def preview(self, networks: Networks) -> UInt8[np.ndarray, "h w 3"] | None:
        """A picture of what the averaged weights can do; runs in evaluation mode without gradients."""
        return None

    def measure(self, networks: Networks) -> dict[str, float]:
        """Scores of the averaged weights on held-out samples, for logs and card; runs as `preview` does."""
        return {}

    def export(self, networks: Networks, folder: Path) -> None:
        """Write the averaged weights into a fresh folder: ``<network>.safetensors``, half precision."""
        for name, network in networks.items():
            if any(parameter.requires_grad for parameter in network.parameters()):
                write_weights(network, folder / f"{name}.safetensors")
