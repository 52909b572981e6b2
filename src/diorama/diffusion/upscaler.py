"""Frames at twice their size, each with a look at what is already upscaled: the frame before, and the other eye.

No diffusion: one pass of a small convolutional network, and the protocol that any other upscaler fits. S2VG (arXiv
2508.08048) conditions a frame on upscaled neighbours; here these come warped to the frame's pixels, with masks of where
they can be believed. The network works at the size of its input. Neighbours enter as what they say beyond bicubic
interpolation, folded 2 x 2 pixels to one, and its answer is again what is to be added to bicubic interpolation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import nn
from torch.nn import functional

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.fit import fit
from diorama.errors import ModelError

EMBEDDED = Path(__file__).parent / "data" / "upscale-s.safetensors"
FACTOR = 2
SHARPNESS = -0.75
"""Parameter a of the cubic kernel; that of torch and OpenCV."""
GREY = 0.5
GAIN = 4.0
"""What neighbours add to bicubic interpolation is small beside the picture; this brings it to its scale."""
TOLERANCE, TEXTURE = 12 / 255, 0.3
"""Difference to a frame's own pixels up to which a neighbour is believed, and what the range of colours around a pixel
adds to that: where there is texture, a fraction of a pixel makes a difference."""
WIDEST, DEEPEST = 256, 32
INPUTS = 32
"""Channels: the frame 3, neighbours 12 + 1 each, how far these are from the frame 2, where there are both 1."""

Low = Float[torch.Tensor, "b 3 h w"]
High = Float[torch.Tensor, "b 3 h2 w2"]
Mask = Float[torch.Tensor, "b 1 h w"]


@dataclass(frozen=True, eq=False)
class Neighbour:
    """An upscaled picture brought to the pixels of the frame that is to be upscaled.

    Attributes:
        image: RGB, at twice the frame's size.
        mask: how far it is believed, 0 to 1, at the frame's size.
    """

    image: High
    mask: Mask


@runtime_checkable
class Upscaler(Protocol):
    """Makes frames larger, with or without regard to neighbours."""

    @property
    def factor(self) -> int:
        """Pixels a side for each pixel."""
        ...

    def __call__(self, frame: Low, before: Neighbour | None, beside: Neighbour | None) -> High:
        """Upscaled frames.

        Args:
            frame: RGB in [0, 1].
            before: the frame before of the same eye, at the result's size; None at the first.
            beside: this frame of the other eye; None where it is not upscaled yet.

        Returns:
            RGB in [0, 1], `factor` times the size.
        """
        ...


class Block(nn.Module):
    """A residual block; it starts as identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        _silence(self.b)

    def forward(self, x: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """The input and a correction."""
        return cast(torch.Tensor, x + self.b(functional.relu(self.a(functional.relu(x)), inplace=True)))


class UpscaleNet(nn.Module):
    """The embedded upscaler; an `Upscaler` of factor 2 for pictures of any size. It starts as bicubic interpolation.

    Args:
        width: channels. On CPUs, 32 are computed in half the time of 29 or 40.
        blocks: pairs of convolutions.
    """

    factor = FACTOR

    def __init__(self, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv2d(INPUTS, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1)
        _silence(self.leave)
        self.register_buffer("cubic", cubic_kernel(), persistent=False)
        self.cubic: Float[torch.Tensor, "12 3 5 5"]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs

    def forward(self, frame: Low, before: Neighbour | None = None, beside: Neighbour | None = None) -> High:
        """As `Upscaler`, without clamping to [0, 1] in training."""
        base = self._interpolated(frame)
        first, second = _heard(before, base), _heard(beside, base)
        x = torch.cat([frame - GREY, *first, *second, first[1] * second[1]], 1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        found = base + self.leave(functional.relu(self.blocks(x), inplace=True))
        found = functional.pixel_shuffle(found, FACTOR)
        return found if self.training else found.clamp(0, 1)

    def _interpolated(self, frame: Low) -> Float[torch.Tensor, "b 12 h w"]:
        """Bicubic interpolation, folded; in full precision also where the network is not, as the result rests on it."""
        padded = functional.pad(frame, (2, 2, 2, 2), mode="replicate")
        with torch.autocast(frame.device.type, enabled=False):
            return functional.conv2d(padded.contiguous(memory_format=torch.channels_last), self.cubic)


def _heard(
    neighbour: Neighbour | None, base: Float[torch.Tensor, "b 12 h w"]
) -> tuple[Float[torch.Tensor, "b 12 h w"], Mask, Mask]:
    """What a neighbour adds to interpolation, how far it is believed, and how far it is from the frame itself."""
    if neighbour is None:
        none = torch.zeros_like(base)
        return none, none[:, :1], none[:, :1]
    added = (functional.pixel_unshuffle(neighbour.image, FACTOR) - base) * (GAIN * neighbour.mask)
    return added, neighbour.mask, added.mean(1, keepdim=True).abs()


def cubic_kernel() -> Float[torch.Tensor, "12 3 5 5"]:
    """Bicubic interpolation to twice the size as a convolution whose channels `pixel_shuffle` puts in place."""
    steps = torch.arange(-2, 3)
    rows = torch.stack([_cubic(steps + 0.25), _cubic(steps - 0.25)])
    one = torch.einsum("yi,xj->yxij", rows, rows).reshape(4, 1, 5, 5)
    whole = torch.zeros(3, 4, 3, 5, 5)
    for channel in range(3):
        whole[channel, :, channel] = one[:, 0]
    return whole.reshape(12, 3, 5, 5)


def _cubic(x: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, " n"]:
    """Keys' kernel (1981)."""
    a, x = SHARPNESS, x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def agreement(here: Low, warped: Low) -> Mask:
    """How far a warped neighbour can be believed, by its difference to the frame before either was upscaled.

    Args:
        here: RGB in [0, 1].
        warped: the neighbour brought to its pixels.

    Returns:
        1 up to the difference that is borne (`TOLERANCE`, `TEXTURE`) in every channel, falling to 0 at twice that.
    """
    apart = (here - warped).abs().amax(1, keepdim=True)
    spread = functional.max_pool2d(here, 3, 1, 1) + functional.max_pool2d(-here, 3, 1, 1)
    return (2 - apart / (TOLERANCE + TEXTURE * spread.amax(1, keepdim=True))).clamp(0, 1)


def open_upscaler(path: Path = EMBEDDED) -> UpscaleNet:
    """The network in a file of weights, in evaluation mode, float32, on the CPU; sizes are taken from the shapes.

    Raises:
        ModelError: missing, damaged, or not of this architecture.
    """
    tensors = read_tensors(path)
    width, blocks = _sizes(tensors, path)
    network = UpscaleNet(width, blocks)
    fit(network, tensors, source=str(path))
    return network.eval().requires_grad_(False)


def _sizes(tensors: Mapping[str, Shaped[torch.Tensor, "..."]], path: Path) -> tuple[int, int]:
    first = tensors.get("enter.weight")
    width = first.shape[0] if first is not None and first.ndim else 0
    blocks = sum(name.startswith("blocks.") and name.endswith(".a.weight") for name in tensors)
    if not (1 <= width <= WIDEST and blocks <= DEEPEST):
        fix = "name weights of upscale-s, or a folder of Swin2SR"
        raise ModelError(f"no upscaler of ours: {width} channels and {blocks} blocks", path, fix)
    return width, blocks


def _silence(layer: nn.Conv2d) -> None:
    """A layer that says 0."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
