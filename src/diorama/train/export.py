"""Trained weights as files: safetensors in half precision, with the configuration of networks that have one."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from diorama.errors import ModelError

HALF_MAX = 65504.0


def write_weights(network: nn.Module, path: Path, *, half: bool = True) -> None:
    """Write the state of a network; beside it, as JSON, the configuration of a network of `diffusers`.

    Args:
        network: what to write.
        path: of the .safetensors file.
        half: store floating point numbers as fp16.

    Raises:
        ModelError: values that are not finite, or too large for half precision.
    """
    tensors = {name: _stored(name, tensor, half) for name, tensor in network.state_dict().items()}
    save_file(tensors, path)
    config = getattr(network, "config", None)
    if config is not None:
        values = {key: value for key, value in dict(config).items() if not key.startswith("_")}
        text = json.dumps({"class": type(network).__name__, **values}, indent=1, sort_keys=True, default=str)
        path.with_suffix(".json").write_text(text + "\n")


def _stored(name: str, tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.clone().contiguous()
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if not largest <= (HALF_MAX if half else torch.finfo(tensor.dtype).max):
        raise ModelError(f"weights up to {largest:g}", name, "the training diverged; lower --lr, or see the log")
    return tensor.to(torch.float16 if half else tensor.dtype, copy=True).contiguous()
