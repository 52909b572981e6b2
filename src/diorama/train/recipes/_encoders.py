"""Codec and image encoder of the published recipes: frozen, and done with their work before a batch is made."""

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from diorama.diffusion.clip_image import load_image_encoder, patch_tokens
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.codec_small import SmallCodec, SmallCodecConfig
from diorama.train.config import TrainConfig
from diorama.train.latents import fingerprint
from diorama.train.recipes._initial import Weights, find_weights


def encoders_for(config: TrainConfig, tiny_context: int) -> "Encoders":
    """The encoders of a run, loaded once in each process; they compute where it is trained.

    Args:
        config: options of the run.
        tiny_context: width of the tokens at the size "tiny".

    Raises:
        ModelError: as `encoders`.
    """
    device = config.device
    if device == "auto":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    return _loaded(config.init, tiny_context if config.size == "tiny" else None, device)


@lru_cache(2)
def _loaded(init: str, tiny_context: int | None, device: str) -> "Encoders":
    return encoders(find_weights(init), tiny_context, device=device)


@dataclass(frozen=True, eq=False)
class Encoders:
    """What turns pictures into what networks read.

    Attributes:
        codec: pictures to latents.
        image: CLIP's vision tower with its projection.
    """

    codec: Codec
    image: Any

    @cached_property
    def name(self) -> str:
        """Tells encoders of different weights apart."""
        assert isinstance(self.codec, nn.Module)
        return f"{fingerprint(self.codec)} {fingerprint(self.image)}"

    @torch.no_grad()
    def latents(self, frames: Float[torch.Tensor, "t 3 h w"]) -> Float[torch.Tensor, "t c hh ww"]:
        """Pictures in [0, 1], one by one: memory does not grow with their number."""
        at = self.codec.device
        return torch.cat([self.codec.encode(frame[None].to(at)).cpu() for frame in frames])

    @torch.no_grad()
    def tokens(self, frames: Float[torch.Tensor, "t 3 h w"]) -> Float[torch.Tensor, "t n d"]:
        """Tokens of pictures in [0, 1]: of the whole picture (as `clip_image.image_tokens`), then of its patches."""
        pictures = (frames * 255).round().to(torch.uint8)  # bytes, as they are resized when sampling
        return patch_tokens(self.image, pictures.permute(0, 2, 3, 1)).cpu()


def encoders(weights: Weights, tiny_context: int | None, *, device: torch.device | str) -> Encoders:
    """Codec and image encoder from folders; at the tiny size what is not there is made up.

    Args:
        weights: with "vae" and "image_encoder", each in a folder with its config.json.
        tiny_context: width of the tokens of an image encoder without weights; None where weights are needed.
        device: where they compute.

    Raises:
        ModelError: missing, damaged, or of another architecture.
    """
    if tiny_context is None or "vae" in weights:
        codec = load_codec(weights.need("vae").parent, device=device)
    else:
        codec = plain_codec().to(device)
    made_up = tiny_context is not None and "image_encoder" not in weights
    image = _tiny_clip(tiny_context or 0) if made_up else load_image_encoder(weights.need("image_encoder").parent)
    return Encoders(codec, image.float().eval().requires_grad_(False).to(device))


def _tiny_clip(width: int) -> Any:
    """A vision tower of the same kind, always the same; its tokens are random features of the picture."""
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        projection_dim=width,
        initializer_factor=8.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CLIPVisionModelWithProjection(config)


def plain_codec(channels: int = 4) -> SmallCodec:
    """The principal components of pictures whose pixels resemble their neighbours: a codec without training.

    Patches differ by an exponential covariance over 8 pixels, and colours go together by six tenths: brightness, two
    tints and a slope are then the first four components.
    """
    codec = SmallCodec(SmallCodecConfig(channels, encoder_width=8, encoder_blocks=0, decoder_width=8, decoder_blocks=0))
    side = torch.arange(8.0)
    places = torch.cartesian_prod(side, side)
    near = torch.exp(-torch.cdist(places, places) / 8)
    colours = torch.full((3, 3), 0.6) + 0.4 * torch.eye(3)
    root = torch.linalg.cholesky(torch.kron(colours, near) * 0.06 + 1e-5 * torch.eye(192))
    noise = torch.randn(8192, 192, generator=torch.Generator().manual_seed(0))
    for layer in (codec.encoder, codec.decoder):  # nothing of chance: the fingerprint is always the same
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    codec.set_basis(0.5 + noise @ root.T)
    return codec.eval().requires_grad_(False)
