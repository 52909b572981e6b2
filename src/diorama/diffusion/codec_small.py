"""Our own codec: a principal-component transform of 8x8 patches, and two small networks that correct it.

The encoder sees nothing but its own patch: the transform, and a perceptron of it (1x1 convolutions). So latents beside
a mask's border, or a tile's, do not depend on what lies behind it; a mask that follows the patches cuts latents as it
cuts pixels. The decoder looks around (3x3 convolutions at latent resolution): it removes the borders of patches and
continues edges across them.

Latents have variance 1 and a mean near 0 in each channel over frames of the theatre. Channels 0 to 2 are about the
patch's brightness and colour, later ones finer patterns; `SmallCodec.energy` says how much each counts in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import nn
from torch.nn import functional

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.codec import Codes, Frames, check_frames, check_latents
from diorama.diffusion.fit import fit
from diorama.errors import ModelError, UsageError

EMBEDDED = Path(__file__).parent / "data" / "codec-s.safetensors"
GREY = 0.5
# What the networks say is scaled, so that they start small beside the linear transform and learn at its pace.
ENCODER_GAIN, DECODER_GAIN = 0.2, 0.05
WIDEST, DEEPEST = 2048, 64


@dataclass(frozen=True)
class SmallCodecConfig:
    """Sizes.

    Attributes:
        channels: of the latents.
        factor: pixels a side of a patch.
        encoder_width, encoder_blocks: of the perceptron; 0 blocks leave one hidden layer.
        decoder_width, decoder_blocks: of the convolutional decoder.
    """

    channels: int = 16
    factor: int = 8
    encoder_width: int = 128
    encoder_blocks: int = 2
    decoder_width: int = 64
    decoder_blocks: int = 4

    def __post_init__(self) -> None:
        sizes = (self.channels, self.factor, self.encoder_width, self.decoder_width)
        if min(sizes) < 1 or max(sizes) > WIDEST or self.channels > self.pixels:
            what = f"a codec of the sizes {sizes}, expected 1 to {WIDEST}"
            raise UsageError(what, "SmallCodecConfig", "give fewer channels than a patch has numbers")
        if not (0 <= self.encoder_blocks <= DEEPEST and 0 <= self.decoder_blocks <= DEEPEST):
            blocks = f"{self.encoder_blocks} and {self.decoder_blocks} blocks"
            raise UsageError(blocks, "SmallCodecConfig", f"give 0 to {DEEPEST}")

    @property
    def pixels(self) -> int:
        """Numbers in a patch."""
        return 3 * self.factor**2


class Block(nn.Module):
    """A residual block; it starts as identity."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        self.b = nn.Conv2d(width, width, kernel, padding=kernel // 2)
        _silence(self.b)

    def forward(self, x: Float[torch.Tensor, "b w h2 w2"]) -> Float[torch.Tensor, "b w h2 w2"]:
        """The input and a correction."""
        return x + self.b(functional.relu(self.a(functional.relu(x))))


class SmallCodec(nn.Module):
    """The codec; a `diorama.diffusion.codec.Codec`.

    Args:
        config: sizes. Without weights it encodes nothing useful: see `set_basis`, or `open_small`.
    """

    def __init__(self, config: SmallCodecConfig = SmallCodecConfig()) -> None:
        super().__init__()
        self.sizes = config
        self.analysis = nn.Conv2d(config.pixels, config.channels, 1)
        self.synthesis = nn.Conv2d(config.channels, config.pixels, 1)
        self.encoder = _stack(config.pixels, config.encoder_width, config.channels, blocks=config.encoder_blocks)
        self.decoder = _stack(
            config.channels, config.decoder_width, config.pixels, blocks=config.decoder_blocks, kernel=3
        )
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("std", torch.ones(config.channels))
        self.mean: Float[torch.Tensor, " c"]
        self.std: Float[torch.Tensor, " c"]

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return self.sizes.channels

    @property
    def factor(self) -> int:
        """Pixels a side of one latent position."""
        return self.sizes.factor

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    @property
    def energy(self) -> Float[torch.Tensor, " c"]:
        """Mean squared change of a patch's pixels for a change of 1 of a channel, linearly; mean 1 over channels.

        A loss on latents that is weighted by it is about one on pixels.
        """
        squares = self.synthesis.weight.detach().square().mean(dim=(0, 2, 3))
        return squares / squares.mean()

    def encode(self, frames: Frames) -> Codes:
        """As `Codec.encode`; on a CPU a batch gives the bits of its single frames."""
        check_frames(frames, self)
        if frames.device.type != "cpu":
            return self.to_latents(frames)
        # Matrix products round differently for other sizes of a batch, and gain nothing by it.
        return torch.cat([self.to_latents(frame) for frame in frames.split(1)])

    def decode(self, latents: Codes) -> Frames:
        """As `Codec.decode`."""
        check_latents(latents, self)
        return self.to_frames(latents).clamp(0, 1)

    def to_latents(self, frames: Frames) -> Codes:
        """`encode` without checks, for training."""
        patches = functional.pixel_unshuffle(frames - GREY, self.factor)
        z = self.analysis(patches) + ENCODER_GAIN * self.encoder(patches)
        return (z - _across(self.mean)) / _across(self.std)

    def to_frames(self, latents: Codes) -> Frames:
        """`decode` without checks and without clamping, for training."""
        patches = self.synthesis(latents) + DECODER_GAIN * self.decoder(latents)
        return functional.pixel_shuffle(patches, self.factor) + GREY

    @torch.no_grad()
    def set_basis(self, patches: Float[torch.Tensor, "n p"]) -> None:
        """Make the codec the principal-component transform of some patches; the networks say 0.

        Args:
            patches: RGB in [0, 1], in the order of `torch.nn.functional.pixel_unshuffle`; many more than p.
        """
        centred = patches.double() - GREY
        mean = centred.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(centred.T))
        basis = vectors.flip(1)[:, : self.channels]
        std = values.flip(0)[: self.channels].clamp(min=1e-12).sqrt()
        _assign(self.analysis, (basis / std).T, -(mean @ basis) / std)
        _assign(self.synthesis, basis * std, basis @ (mean @ basis))
        self.mean.zero_()
        self.std.fill_(1)
        _silence(self.encoder[-1])
        _silence(self.decoder[-1])

    @torch.no_grad()
    def standardise(self, frames: Frames) -> None:
        """Make latents of these frames have variance 1 in each channel; what is decoded stays the same.

        Their mean is left as it is, near 0 from the principal components on: moving it would move the zeros with which
        the decoder continues latents beyond the border.
        """
        z = self.to_latents(frames)
        std = (z - z.mean(dim=(0, 2, 3), keepdim=True)).square().mean(dim=(0, 2, 3)).sqrt()
        self.std.mul_(std)
        enter = self.decoder[0]
        assert isinstance(enter, nn.Conv2d)
        for layer in (self.synthesis, enter):
            layer.weight.mul_(std[None, :, None, None])


def open_small(path: Path) -> SmallCodec:
    """The codec in a file of weights, in evaluation mode, float32, on the CPU; sizes are taken from the shapes.

    Raises:
        ModelError: missing, damaged, or not of this architecture.
    """
    tensors = read_tensors(path)
    codec = SmallCodec(_config_of(tensors, path))
    fit(codec, tensors, source=str(path))
    if not bool((codec.std > 0).all()):
        raise ModelError("standard deviations that are not above 0", path, "get the file again")
    return codec.eval().requires_grad_(False)


def _config_of(tensors: Mapping[str, Shaped[torch.Tensor, "..."]], path: Path) -> SmallCodecConfig:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        channels, pixels = shapes["analysis.weight"][:2]
        return SmallCodecConfig(
            channels=channels,
            factor=round((pixels / 3) ** 0.5),
            encoder_width=shapes["encoder.0.weight"][0],
            encoder_blocks=sum(name.startswith("encoder.") and name.endswith(".a.weight") for name in shapes),
            decoder_width=shapes["decoder.0.weight"][0],
            decoder_blocks=sum(name.startswith("decoder.") and name.endswith(".a.weight") for name in shapes),
        )
    except (KeyError, ValueError, IndexError, UsageError) as error:
        what = f"no codec of ours: {error.what if isinstance(error, UsageError) else f'{error} is missing'}"
        raise ModelError(what, path, "name weights of codec-s, or a folder of AutoencoderKL") from error


def _stack(inputs: int, width: int, outputs: int, *, blocks: int, kernel: int = 1) -> nn.Sequential:
    enter = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
    leave = nn.Conv2d(width, outputs, kernel, padding=kernel // 2)
    _silence(leave)
    return nn.Sequential(enter, *(Block(width, kernel) for _ in range(blocks)), nn.ReLU(), leave)


def _assign(layer: nn.Conv2d, matrix: Float[torch.Tensor, "o i"], bias: Float[torch.Tensor, " o"]) -> None:
    """Make a 1x1 convolution the affine map given."""
    assert layer.bias is not None
    layer.weight.copy_(matrix[:, :, None, None])
    layer.bias.copy_(bias)


def _silence(layer: nn.Module) -> None:
    """A layer that says 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _across(values: Float[torch.Tensor, " c"]) -> Float[torch.Tensor, "c 1 1"]:
    return values[:, None, None]
