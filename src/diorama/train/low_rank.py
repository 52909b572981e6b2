"""LoRA while it is trained: a product of two thin matrices beside each attention projection (arXiv 2106.09685).

The weights themselves stay. `take_low_rank` adds what was learned to them in the end, and gives it as
`diorama.diffusion.lora` reads and merges it.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrize

from diorama.diffusion.lora import Lora, Pair, lora_tensors
from diorama.errors import UsageError

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class LowRank(nn.Module):
    """A weight with ``up @ down`` added; nothing at first, since `up` begins as zero.

    Args:
        weight: outputs x inputs.
        rank: of what is added.
    """

    def __init__(self, weight: Float[torch.Tensor, "o i"], rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Float[torch.Tensor, "o i"]) -> Float[torch.Tensor, "o i"]:
        """The sum."""
        return weight + self.up @ self.down


def add_low_rank(network: nn.Module, rank: int) -> int:
    """Put a LoRA beside each attention projection, in place; it alone is trained from then on.

    Returns:
        How many layers have one.

    Raises:
        UsageError: a network without attention projections.
    """
    network.requires_grad_(False)
    layers = [layer for name, layer in network.named_modules() if _projects(name, layer)]
    if not layers:
        raise UsageError(f"{type(network).__name__} has no attention projections", "--lora", "train it without --lora")
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        parametrize.register_parametrization(layer, "weight", LowRank(weight, rank))
    return len(layers)


def _projects(name: str, layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and name.endswith(tuple(f".{projection}" for projection in PROJECTIONS))


@torch.no_grad()
def take_low_rank(network: nn.Module) -> dict[str, Pair]:
    """Add what `add_low_rank` put beside the layers to their weights, in place, and take it out.

    Returns:
        What was added, by layer; empty for a network without.
    """
    found = {}
    for name, layer in list(network.named_modules()):
        if not (parametrize.is_parametrized(layer, "weight") and hasattr(layer, "parametrizations")):
            continue
        added = layer.parametrizations["weight"][0]
        found[name] = Pair(added.down.detach().cpu().clone(), added.up.detach().cpu().clone(), len(added.down))
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return found


def write_low_rank(pairs: Mapping[str, Pair], path: Path) -> None:
    """Write a LoRA file."""
    tensors = {name: value.contiguous() for name, value in lora_tensors(Lora(pairs)).items()}
    save_file(tensors, path)
