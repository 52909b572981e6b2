"""The rows of SCD's table (scd.md 1 and 2): a person in a new pose, and three ways of looking at a picture of it.

The same network of pictures makes the target in all of them. What differs is who reads the reference, and whether the
reference sees the target:

- separate: a second network of the same size reads it, once (Animate Anyone, MIMO);
- joint: the same network, both pictures look at each other, so both pass it at every step;
- causal: the same network, the target looks at the reference and not the other way round, so it is read once (SCD).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from diorama.diffusion.backbone import BackboneConfig, CodeEncoder, ImageTokens
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.motion_unet import adapt, predict, read_reference
from diorama.diffusion.reference import ReferenceCache, spatial_attentions

Kind = Literal["separate", "joint", "causal"]
TITLES: dict[Kind, str] = {
    "separate": "separate reference network",
    "joint": "shared, joint attention",
    "causal": "shared, causal (ours)",
}
Pictures = Float[torch.Tensor, "b c h w"]


@dataclass(frozen=True)
class Pose:
    """Pictures of people, and the poses in which they are wanted: one reference a pose, or one for all.

    Attributes:
        reference: latents.
        reference_codes, codes: vertex codes with coverage, of the references and of the targets.
    """

    reference: Float[torch.Tensor, "r c h w"]
    reference_codes: Float[torch.Tensor, "r 4 hh ww"]
    codes: Float[torch.Tensor, "b 4 hh ww"]


@dataclass(frozen=True)
class Read:
    """What is computed once for a reference and any number of steps; one reference may serve several targets.

    Attributes:
        context: tokens of the reference.
        residual, own: of the target's and of the reference's pose.
        cache: keys and values of the reference; None where it passes with the target.
        latents: of the reference.
    """

    context: Float[torch.Tensor, "r n d"]
    residual: Float[torch.Tensor, "b k 1 h w"]
    own: Float[torch.Tensor, "r k 1 h w"]
    cache: ReferenceCache | None
    latents: Float[torch.Tensor, "r c h w"]


class JointAttention:
    """Spatial self-attention over a target and a reference at once; a batch is the targets, then the references."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[torch.Tensor, "bb n c"],
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        reference: object = None,
    ) -> Float[torch.Tensor, "bb n c"]:
        """Every token sees its own picture and the other one of the pair."""
        both = torch.cat(hidden_states.chunk(2), dim=1)
        q, k, v = (
            layer(both).unflatten(2, (attn.heads, -1)).transpose(1, 2) for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        out = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](torch.cat(out.chunk(2, dim=1))))


class PairNetwork(nn.Module):
    """A network of pictures that says a person's picture in a pose from another picture of that person.

    Args:
        kind: how it looks at the reference.
        config: sizes, those of the embedded generator without what looks along time.
    """

    def __init__(self, kind: Kind, config: BackboneConfig = BackboneConfig()) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.denoiser = picture_network(config)
        self.codes = CodeEncoder(config.widths[0])
        self.tokens = ImageTokens(config.latent_channels, config.context_width)
        # last, so that what all kinds have starts from the same weights
        self.source = picture_network(config) if kind == "separate" else None
        if kind == "joint":
            for attention in spatial_attentions(self.denoiser).values():
                attention.set_processor(JointAttention())

    def read(self, pose: Pose) -> Read:
        """Look at the reference."""
        residual, own = (self.codes(codes[:, :, None]) for codes in (pose.codes, pose.reference_codes))
        context, cache = self.tokens(pose.reference[:, :, None]), None
        if self.kind != "joint":
            told = Conditioning(context=context, residual=own)
            cache = read_reference(self.source or self.denoiser, pose.reference, told, reader=self.denoiser)
        return Read(context, residual, own, cache, pose.reference)

    def forward(
        self, x: Pictures, alpha: Float[torch.Tensor, " b"], sigma: Float[torch.Tensor, " b"], read: Read
    ) -> Pictures:
        """The clean target from ``x = alpha * target + sigma * noise``."""
        times = torch.atan2(sigma, alpha) * (2000 / torch.pi)
        count, context = len(x), read.context.expand(len(x), -1, -1)
        if read.cache is not None:
            told = Conditioning(context=context, reference=read.cache, residual=read.residual)
            return predict(self.denoiser, x[:, :, None], times, told)[:, :, 0]
        residual = torch.cat([each.expand(count, -1, -1, -1, -1) for each in (read.residual, read.own)])
        told = Conditioning(context=context.repeat(2, 1, 1), residual=residual)
        both = torch.cat([x, read.latents.expand(count, -1, -1, -1)])[:, :, None]
        return predict(self.denoiser, both, torch.cat([times, torch.zeros_like(times)]), told)[:count, :, 0]


def picture_network(config: BackboneConfig) -> UNet2DConditionModel:
    """The embedded generator's network of single pictures, with nothing beside the latents."""
    plain = ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (len(config.widths) - 1)
    unet = UNet2DConditionModel(
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        down_block_types=tuple(plain),
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(plain)),
        block_out_channels=config.widths,
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=config.context_width,
        attention_head_dim=config.heads,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    adapt(unet)
    return unet
