"""The published SP4D and SV4D 2.0 files -> networks."""

from pathlib import Path
from typing import TypeVar

import torch

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.dual_keys import network_tensors, shape_from, state_for
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.view_shape import CameraAttention
from diorama.diffusion.view_unet import ViewUNet

Network = TypeVar("Network", DualUNet, ViewUNet)


def load_dual(
    path: Path,
    *,
    head_dim: int = 64,
    camera_attention: CameraAttention = "released",
    dtype: torch.dtype = torch.float32,
) -> DualUNet:
    """SP4D's network from a file such as `sp4d.safetensors`, in evaluation mode; its size is read off the tensors.

    Args:
        path: safetensors with the published names.
        head_dim: channels of an attention head, which the file does not record.
        camera_attention: `released` computes the published numbers.
        dtype: of the weights in memory.

    Raises:
        ModelError: missing, unexpected or mis-shaped tensors, by name.
    """
    return _loaded(DualUNet, path, head_dim, camera_attention, dtype)


def load_single(
    path: Path,
    *,
    head_dim: int = 64,
    camera_attention: CameraAttention = "released",
    dtype: torch.dtype = torch.float32,
) -> ViewUNet:
    """As `load_dual`, the network of SV4D 2.0: one branch, for `DualUNet.start_from`."""
    return _loaded(ViewUNet, path, head_dim, camera_attention, dtype)


def _loaded(
    kind: type[Network], path: Path, head_dim: int, camera_attention: CameraAttention, dtype: torch.dtype
) -> Network:
    tensors = network_tensors(read_tensors(path), path)
    shape = shape_from(tensors, path, head_dim=head_dim, camera_attention=camera_attention)
    with torch.device("meta"):
        network = kind.of(shape)
    state = state_for(network, tensors, path)
    # Tensor by tensor: the file's and the converted weights of all 4 billion never lie in memory together.
    tensors.clear()
    for name in state:
        state[name] = state[name].to(dtype)
    network.load_state_dict(state, assign=True)
    return network.eval()
