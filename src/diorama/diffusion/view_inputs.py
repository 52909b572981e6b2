"""What the multi-view networks refuse to be given."""

import torch

from diorama.diffusion.view_shape import ViewShape
from diorama.errors import UsageError

AXES = {"sample": "n c h w", "timestep": "n", "context": "b t d", "vector": "n e", "cond_view": "b v l h w"}


def check_inputs(shape: ViewShape, branches: int, given: dict[str, torch.Tensor]) -> None:
    """Refuse tensors that do not fit the network or each other.

    Args:
        shape: of the network.
        branches: UNets that share the channels of `sample`.
        given: the arguments of the network by name.

    Raises:
        UsageError: says which, what was given and what was expected.
    """
    for name, axes in AXES.items():
        if given[name].ndim != len(axes.split()):
            raise UsageError(f"{name} of shape {tuple(given[name].shape)}", name, f"expected the axes ({axes})")
    _check_counts(given)
    _check_channels(shape, branches, given)
    height, width = given["sample"].shape[-2:]
    if height % shape.stride or width % shape.stride:
        raise UsageError(f"latents of {height} x {width}", "sample", f"take multiples of {shape.stride}")
    devices = {str(tensor.device) for tensor in given.values()}
    if len(devices) > 1:
        raise UsageError(f"tensors on {' and '.join(sorted(devices))}", "sample", "move all to the network's device")


def _check_counts(given: dict[str, torch.Tensor]) -> None:
    samples, frames, views = *given["context"].shape[:2], given["cond_view"].shape[1]
    count = samples * frames * views
    found = {name: len(given[name]) for name in ("sample", "timestep", "vector")}
    expected = f"{samples} samples x {frames} frames x {views} views = {count}, views fastest"
    for name, number in found.items():
        if number != count:
            raise UsageError(f"{name} has {number} rows", name, f"context and cond_view say {expected}")
    if len(given["cond_view"]) != samples:
        number = len(given["cond_view"])
        raise UsageError(f"cond_view of {number} samples, context of {samples}", "cond_view", "give one of each")


def _check_channels(shape: ViewShape, branches: int, given: dict[str, torch.Tensor]) -> None:
    expected = {
        "sample": 2 * branches * shape.latent_channels,
        "context": shape.context_dim,
        "vector": shape.vector_dim,
        "cond_view": shape.latent_channels,
    }
    for name, channels in expected.items():
        found = given[name].shape[1 if name == "sample" else 2 if name in ("context", "cond_view") else 1]
        if found != channels:
            raise UsageError(f"{name} has {found} channels", name, f"this network takes {channels}")
