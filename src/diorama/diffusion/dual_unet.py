"""SP4D's network: colours and part maps of one object, denoised by two UNets that talk after every step.

Built to compute the numbers of the published network (spec sp4d.md 1.3-1.4, Stable Part Diffusion 4D,
arXiv 2509.10687).
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import nn

from diorama.diffusion.view_shape import ViewShape
from diorama.diffusion.view_unet import Hidden, ShapedNetwork, ViewUNet, walk
from diorama.errors import UsageError


class Fusion(nn.Module):
    """BiDiFuse: what both branches know of a pixel is added to both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(2 * width, width, 1)
        self.conv_out = nn.Conv2d(width, width, 1)

    def forward(
        self, rgb: Float[torch.Tensor, "n c h w"], part: Float[torch.Tensor, "n c h w"]
    ) -> tuple[Float[torch.Tensor, "n c h w"], Float[torch.Tensor, "n c h w"]]:
        """Both streams, each with the same addition."""
        shared = self.conv_out(nn.functional.relu(self.conv_in(torch.cat([rgb, part], dim=1))))
        return rgb + shared, part + shared

    @torch.no_grad()
    def silence(self) -> None:
        """Add nothing, until trained."""
        for parameter in self.conv_out.parameters():
            parameter.zero_()


class DualUNet(ShapedNetwork):
    """Two `ViewUNet` and a `Fusion` after each of their steps. Build with `DualUNet.of(shape)`.

    The embedding of noise level and camera is the RGB branch's, for both: the part branch's own (`time_embedding`,
    `vector_embedding`) is in the published file, is loaded and written back, but never read, and is not trained.
    """

    def _build(self, shape: ViewShape) -> None:
        self.rgb, self.part = ViewUNet.of(shape), ViewUNet.of(shape)
        self.fusions = nn.ModuleList(Fusion(width) for width in shape.fusion_widths)
        self.part.time_embedding.requires_grad_(False)
        self.part.vector_embedding.requires_grad_(False)

    def forward(
        self,
        sample: Float[torch.Tensor, "n c h w"],
        timestep: Float[torch.Tensor, " n"],
        *,
        context: Float[torch.Tensor, "b t d"],
        vector: Float[torch.Tensor, "n e"],
        cond_view: Float[torch.Tensor, "b v l h w"],
    ) -> Float[torch.Tensor, "n l2 h w"]:
        """Predict v for colours and parts.

        Args:
            sample: noisy RGB latent, image condition, noisy part latent, the same image condition, along the
                channels; n is b t v, views fastest. Latents are scaled by c_in, image conditions are not scaled.
            timestep: c_noise, 0.25 ln sigma.
            context: image embedding (CLIP ViT-H in the release) of each input frame.
            vector: of each picture's camera, from `diorama.diffusion.view_cameras.camera_vector`.
            cond_view: latents of the views at the first frame where they are known, else zeros (as SP4D's sampler).

        Returns:
            RGB, then part, along the channels.

        Raises:
            UsageError: shapes that do not fit.
        """
        guide = self.rgb.guide(sample, timestep, context=context, vector=vector, cond_view=cond_view, branches=2)
        rgb, part = sample.chunk(2, dim=1)
        return torch.cat(walk((self.rgb, self.part), (rgb, part), guide, self._fuse), dim=1)

    def _fuse(self, number: int, hidden: Hidden) -> Hidden:
        return self.fusions[number](*hidden)

    def zero_fusions(self) -> None:
        """Silence the exchange: each branch becomes a lone UNet, and learns from there what to say."""
        for module in self.modules():
            if isinstance(module, Fusion):
                module.silence()

    def start_from(self, rgb: ViewUNet) -> None:
        """Begin as two copies of a trained multi-view network without exchange, for the second stage of training.

        Raises:
            UsageError: a network of another size.
        """
        if replace(rgb.shape, camera_attention=self.shape.camera_attention) != self.shape:
            raise UsageError(f"a network of {rgb.shape}", "start_from", f"expected {self.shape}")
        self.rgb.load_state_dict(rgb.state_dict())
        self.part.load_state_dict(rgb.state_dict())
        self.zero_fusions()
