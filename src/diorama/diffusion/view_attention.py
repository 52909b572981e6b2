"""Attention of SV4D 2.0 and SP4D: over the picture, between cameras, and over time, one block each.

The three blocks are those of `diffusers`; what is written here is which tokens they see together.
Tokens carry the axes b (sample), t (frame), v (view), s (pixel), c (channel).
"""

from dataclasses import dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.resnet import AlphaBlender
from jaxtyping import Float
from torch import nn

from diorama.diffusion.view_shape import GROUPS, CameraAttention, ViewShape

CAMERA_SHARE, MOTION_SHARE = 0.0, 0.5
"""Mixing factors before training (before the sigmoid): how much of the picture's own tokens the camera and the
motion block let pass."""


@dataclass(frozen=True, eq=False)
class ViewGuide:
    """What every block of a network is told.

    Attributes:
        embedding: of noise level and camera.
        context: image embedding of each input frame.
        cond_view: latents of the views at the first frame, zeros where unknown (as in all published runs of SP4D).
    """

    embedding: Float[torch.Tensor, "b t v e"]
    context: Float[torch.Tensor, "b t d"]
    cond_view: Float[torch.Tensor, "b v l y x"]


def camera_layout(
    tokens: Float[torch.Tensor, "b t v s c"], mode: CameraAttention
) -> tuple[Float[torch.Tensor, "m t c"], int]:
    """Lay tokens out for a temporal block that attends over groups of consecutive rows m, frame by frame.

    Returns:
        The tokens and the length of a group.
    """
    b, t, v, s, c = tokens.shape
    order = (0, 3, 2, 1, 4) if mode == "per_pixel_view" else (0, 2, 3, 1, 4)
    return tokens.permute(order).reshape(b * v * s, t, c), v * s if mode == "full_3d" else v


def camera_restore(
    rows: Float[torch.Tensor, "m t c"], shape: torch.Size, mode: CameraAttention
) -> Float[torch.Tensor, "b t v s c"]:
    """Undo `camera_layout`; `shape` is that of the tokens."""
    b, t, v, s, c = shape
    if mode == "per_pixel_view":
        return rows.reshape(b, s, v, t, c).permute(0, 3, 2, 1, 4)
    return rows.reshape(b, v, s, t, c).permute(0, 3, 1, 2, 4)


def camera_context(
    context: Float[torch.Tensor, "b t d"], groups: int, mode: CameraAttention
) -> Float[torch.Tensor, "q 1 d"]:
    """The image embedding for every sequence of the camera block: of its frame, except in `released`.

    Sequences come as (sample, group, frame). The published code lays the embeddings out as (sample, frame, group)
    beside them, so that most sequences read another frame's; its numbers need that too.
    """
    if mode == "released":
        return context.repeat_interleave(groups, dim=1).flatten(0, 1)[:, None]
    return context.repeat(1, groups, 1).flatten(0, 1)[:, None]


class ViewTransformer(nn.Module):
    """Attention over the pixels of a picture, then between cameras, then over time (spec sp4d.md 2.1).

    Args:
        width: channels.
        shape: of the network.
    """

    def __init__(self, width: int, shape: ViewShape) -> None:
        super().__init__()
        heads = width // shape.head_dim
        self.width, self.mode = width, shape.camera_attention
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.picture = BasicTransformerBlock(
            width, heads, shape.head_dim, cross_attention_dim=shape.context_dim, activation_fn="geglu"
        )
        self.camera = TemporalBasicTransformerBlock(width, width, heads, shape.head_dim, shape.context_dim)
        self.motion = TemporalBasicTransformerBlock(width, width, heads, shape.head_dim, shape.latent_channels)
        self.camera_embed = TimestepEmbedding(shape.embedding_dim, 4 * width, out_dim=width)
        self.motion_embed = TimestepEmbedding(width, 4 * width, out_dim=width)
        self.camera_mixer = AlphaBlender(CAMERA_SHARE, merge_strategy="learned")
        self.motion_mixer = AlphaBlender(MOTION_SHARE, merge_strategy="learned")
        self.proj_out = nn.Linear(width, width)

    def forward(self, hidden: Float[torch.Tensor, "n c h w"], guide: ViewGuide) -> Float[torch.Tensor, "n c h w"]:
        """Attend; n is b t v, views fastest."""
        b, t, v, _ = guide.embedding.shape
        n, c, h, w = hidden.shape
        tokens = self.proj_in(self.norm(hidden).permute(0, 2, 3, 1).reshape(n, h * w, c))
        context = guide.context.repeat_interleave(v, dim=1).reshape(n, 1, -1)
        tokens = self.picture(tokens, encoder_hidden_states=context).view(b, t, v, h * w, c)
        tokens = self._between_cameras(tokens, guide)
        tokens = self._over_time(tokens, guide, (h, w))
        tokens = self.proj_out(tokens.reshape(n, h * w, c))
        return hidden + tokens.view(n, h, w, c).permute(0, 3, 1, 2)

    def _between_cameras(
        self, tokens: Float[torch.Tensor, "b t v s c"], guide: ViewGuide
    ) -> Float[torch.Tensor, "b t v s c"]:
        camera = self.camera_embed(guide.embedding[:, 0])[:, None, :, None]
        rows, length = camera_layout(tokens + camera, self.mode)
        context = camera_context(guide.context, rows.shape[0] // length // len(tokens), self.mode)
        mixed = self.camera(rows, num_frames=length, encoder_hidden_states=context)
        return self.camera_mixer(tokens, camera_restore(mixed, tokens.shape, self.mode))

    def _over_time(
        self, tokens: Float[torch.Tensor, "b t v s c"], guide: ViewGuide, size: tuple[int, int]
    ) -> Float[torch.Tensor, "b t v s c"]:
        b, t, v, s, c = tokens.shape
        times = get_timestep_embedding(
            torch.arange(t, device=tokens.device), self.width, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        times = self.motion_embed(times.to(tokens.dtype))[:, None, None]
        context = nn.functional.interpolate(guide.cond_view.flatten(0, 1), size=size, mode="bilinear")
        context = context.permute(0, 2, 3, 1).reshape(b * v * s, 1, -1)
        mixed = self.motion((tokens + times).reshape(b * t, v * s, c), num_frames=t, encoder_hidden_states=context)
        return self.motion_mixer(tokens, mixed.view(b, t, v, s, c))
