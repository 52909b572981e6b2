"""Pixels to latents and back: what every codec does, and what it refuses.

A codec is an autoencoder without chance: the same frames give the same latents. Frames are single pictures to it; whole
videos go through `diorama.diffusion.coding`.
"""

from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float

from diorama.errors import UsageError

Frames: TypeAlias = Float[torch.Tensor, "b 3 h w"]
Codes: TypeAlias = Float[torch.Tensor, "b c y x"]

SLACK = 1e-3
"""How far beyond [0, 1] values may lie: rounding of resizers and of half precision."""


@runtime_checkable
class Codec(Protocol):
    """What pixels and latents have between them.

    Attributes:
        channels: of the latents.
        factor: pixels a side of what one latent position stands for.
    """

    @property
    def channels(self) -> int:
        """Channels of the latents."""

    @property
    def factor(self) -> int:
        """Pixels a side of one latent position."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def encode(self, frames: Frames) -> Codes:
        """Frames in [0, 1], sides multiples of `factor`, to latents of about unit variance, "b c h/factor w/factor".

        Raises:
            UsageError: another shape, device or range.
        """

    def decode(self, latents: Codes) -> Frames:
        """Latents to frames in [0, 1].

        Raises:
            UsageError: another number of channels, another device.
        """


def check_frames(frames: torch.Tensor, codec: Codec) -> None:
    """Refuse what is no batch of frames for `codec`.

    Raises:
        UsageError: not "b 3 h w" of floats, empty, sides that are no multiples of the factor, another device, values
            that are not finite or not in [0, 1].
    """
    shape = _size(frames)
    if frames.ndim != 4 or frames.shape[1] != 3 or not frames.is_floating_point():
        raise UsageError(f"{shape} of {frames.dtype}", "frames", "give b x 3 x h x w floats in [0, 1]")
    if min(frames.shape) < 1 or frames.shape[2] % codec.factor or frames.shape[3] % codec.factor:
        fix = f"give sides that are multiples of {codec.factor}, or use coding.encode_video, which pads"
        raise UsageError(f"frames of {shape}", "frames", fix)
    _check_device(frames, codec, "frames")
    least, most = (float(value) for value in torch.aminmax(frames.detach()))
    if not (least >= -SLACK and most <= 1 + SLACK):  # NaN fails both
        raise UsageError(f"values from {least:g} to {most:g}", "frames", "give floats in [0, 1], all of them finite")


def check_latents(latents: torch.Tensor, codec: Codec) -> None:
    """Refuse what is no batch of latents of `codec`.

    Raises:
        UsageError: not "b c h w" of floats with the codec's channels, empty, or another device.
    """
    shape = _size(latents)
    if latents.ndim != 4 or latents.shape[1] != codec.channels or not latents.is_floating_point():
        fix = f"give b x {codec.channels} x h x w floats"
        raise UsageError(f"{shape} of {latents.dtype}", "latents", fix)
    if min(latents.shape) < 1:
        raise UsageError(f"latents of {shape}", "latents", "give at least one position")
    _check_device(latents, codec, "latents")


def _check_device(tensor: torch.Tensor, codec: Codec, name: str) -> None:
    if tensor.device != codec.device:
        given = f"{name} on {tensor.device}, the codec is on {codec.device}"
        raise UsageError(given, name, "move one of them")


def _size(tensor: torch.Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape) or "a scalar"
