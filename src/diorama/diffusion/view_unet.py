"""The UNet of SV4D 2.0: frames times views of one object, denoised together; one branch of SP4D.

Built from the residual, attention and resampling blocks of `diffusers`; `diffusers` has no UNet with these places
for cameras and time. The residual blocks convolve along the flattened axis of frames and views, views fastest, so
that neighbouring views mix (spec sp4d.md 2.1).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.upsampling import Upsample2D
from jaxtyping import Float
from torch import nn

from diorama.diffusion.view_attention import ViewGuide, ViewTransformer
from diorama.diffusion.view_inputs import check_inputs
from diorama.diffusion.view_shape import GROUPS, CameraAttention, ViewShape

Hidden = tuple[torch.Tensor, ...]
"""One tensor "n c h w" per branch."""

Made = TypeVar("Made", bound="ShapedNetwork")


class ViewStage(nn.Module):
    """A step of the UNet: residual block, attention, resampling, of which any may be missing."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func: Callable[..., torch.Tensor] | None = None

    def forward(self, hidden: Float[torch.Tensor, "n c h w"], guide: ViewGuide) -> Float[torch.Tensor, "n c2 h2 w2"]:
        """The layers in turn; with `enable_gradient_checkpointing`, each is computed again for its gradients."""
        for layer in self.layers:
            if self.gradient_checkpointing and self._gradient_checkpointing_func and torch.is_grad_enabled():
                hidden = self._gradient_checkpointing_func(partial(_step, layer), hidden, guide)
            else:
                hidden = _step(layer, hidden, guide)
        return hidden


def _step(layer: nn.Module, hidden: torch.Tensor, guide: ViewGuide) -> torch.Tensor:
    if isinstance(layer, SpatioTemporalResBlock):
        embedding = guide.embedding
        b, t, v, _ = embedding.shape
        # Only the shape of the indicator is read: it tells the block how many pictures belong together.
        together = torch.zeros(b, t * v, device=hidden.device)
        return layer(hidden, embedding.flatten(0, 2), together)
    return layer(hidden, guide) if isinstance(layer, ViewTransformer) else layer(hidden)


class ShapedNetwork(ModelMixin, ConfigMixin):  # both name their file
    """A network of `diffusers` whose configuration is a `ViewShape`."""

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        *,
        latent_channels: int,
        widths: Sequence[int],
        layers_per_level: int,
        attention_levels: Sequence[bool],
        head_dim: int,
        context_dim: int,
        vector_dim: int,
        camera_attention: CameraAttention,
    ) -> None:
        super().__init__()
        self.shape = ViewShape(
            latent_channels,
            tuple(widths),
            layers_per_level,
            tuple(attention_levels),
            head_dim,
            context_dim,
            vector_dim,
            camera_attention,
        )
        self._build(self.shape)

    def _build(self, shape: ViewShape) -> None:
        """Make the layers; every network does."""
        raise NotImplementedError

    @classmethod
    def of(cls: type[Made], shape: ViewShape) -> Made:
        """A network of this shape with random weights."""
        return cls(**asdict(shape))


class ViewUNet(ShapedNetwork):
    """SV4D 2.0's network: the RGB branch of SP4D on its own. Build with `ViewUNet.of(shape)`."""

    def _build(self, shape: ViewShape) -> None:
        self.time_embedding = TimestepEmbedding(shape.widths[0], shape.embedding_dim)
        self.vector_embedding = TimestepEmbedding(shape.vector_dim, shape.embedding_dim)
        self.down = nn.ModuleList([ViewStage(nn.Conv2d(2 * shape.latent_channels, shape.widths[0], 3, padding=1))])
        width, skips = shape.widths[0], [shape.widths[0]]
        for level, target in enumerate(shape.widths):
            for _ in range(shape.layers_per_level):
                self.down.append(ViewStage(*_blocks(width, target, shape, attend=shape.attention_levels[level])))
                width = target
                skips.append(width)
            if level + 1 < len(shape.widths):
                self.down.append(ViewStage(Downsample2D(width, use_conv=True, name="op")))
                skips.append(width)
        around = _blocks(width, width, shape, attend=True)
        self.middle = ViewStage(*around, *_blocks(width, width, shape, attend=False))
        self.up = nn.ModuleList()
        for level, target in reversed(list(enumerate(shape.widths))):
            for block in range(shape.layers_per_level + 1):
                layers = _blocks(width + skips.pop(), target, shape, attend=shape.attention_levels[level])
                width = target
                if level and block == shape.layers_per_level:
                    layers.append(Upsample2D(width, use_conv=True))
                self.up.append(ViewStage(*layers))
        self.norm_out = nn.GroupNorm(GROUPS, width)
        self.conv_out = nn.Conv2d(width, shape.latent_channels, 3, padding=1)

    def forward(
        self,
        sample: Float[torch.Tensor, "n c h w"],
        timestep: Float[torch.Tensor, " n"],
        *,
        context: Float[torch.Tensor, "b t d"],
        vector: Float[torch.Tensor, "n e"],
        cond_view: Float[torch.Tensor, "b v l h w"],
    ) -> Float[torch.Tensor, "n l h w"]:
        """Predict v. Arguments as in `DualUNet`, but `sample` holds one latent and its image condition."""
        guide = self.guide(sample, timestep, context=context, vector=vector, cond_view=cond_view)
        (hidden,) = walk((self,), (sample,), guide, lambda _, features: features)
        return hidden

    def guide(
        self,
        sample: Float[torch.Tensor, "n c h w"],
        timestep: Float[torch.Tensor, " n"],
        *,
        context: Float[torch.Tensor, "b t d"],
        vector: Float[torch.Tensor, "n e"],
        cond_view: Float[torch.Tensor, "b v l h w"],
        branches: int = 1,
    ) -> ViewGuide:
        """Check the inputs of `branches` networks, and embed noise level and camera for all their blocks.

        Raises:
            UsageError: shapes that do not fit.
        """
        given = {"sample": sample, "timestep": timestep, "context": context, "vector": vector, "cond_view": cond_view}
        check_inputs(self.shape, branches, given)
        waves = get_timestep_embedding(timestep, self.shape.widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        embedding = self.time_embedding(waves.to(vector.dtype)) + self.vector_embedding(vector)
        b, t, _ = context.shape
        return ViewGuide(embedding.view(b, t, cond_view.shape[1], -1), context, cond_view)

    def head(self, hidden: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n l h w"]:
        """The last norm and convolution."""
        return self.conv_out(nn.functional.silu(self.norm_out(hidden)))


def _blocks(width: int, target: int, shape: ViewShape, *, attend: bool) -> list[nn.Module]:
    residual = SpatioTemporalResBlock(
        width, target, shape.embedding_dim, eps=1e-5, merge_factor=0.0, merge_strategy="learned"
    )
    return [residual, ViewTransformer(target, shape)] if attend else [residual]


def walk(
    branches: Sequence[ViewUNet], samples: Hidden, guide: ViewGuide, fuse: Callable[[int, Hidden], Hidden]
) -> Hidden:
    """Run branches side by side; `fuse` gets the number of a step and all branches' features after it."""
    hidden, skips, number = samples, [], 0
    for stages in zip(*(branch.down for branch in branches), strict=True):
        hidden = fuse(number, tuple(stage(h, guide) for stage, h in zip(stages, hidden, strict=True)))
        skips.append(hidden)
        number += 1
    hidden = fuse(number, tuple(branch.middle(h, guide) for branch, h in zip(branches, hidden, strict=True)))
    for stages in zip(*(branch.up for branch in branches), strict=True):
        number += 1
        joined = (torch.cat(pair, dim=1) for pair in zip(hidden, skips.pop(), strict=True))
        hidden = fuse(number, tuple(stage(h, guide) for stage, h in zip(stages, joined, strict=True)))
    return tuple(branch.head(h) for branch, h in zip(branches, hidden, strict=True))
