"""The published people networks with what they are told: one `condition()` for the loss and for sampling.

MIMO and Moore-AnimateAnyone read the reference with a network of its own, SCD with the generating one; the rest is the
same (specs mimo.md 1.3-1.6, scd.md 1.1-1.2).
"""

from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from jaxtyping import Bool, Float, Shaped
from torch import nn

from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.levels import Schedule, schedule
from diorama.diffusion.motion_unet import read_reference, spatial_view
from diorama.train.config import Target


@dataclass(frozen=True, eq=False)
class Members:
    """Networks that work together.

    Attributes:
        denoiser: of pictures or videos.
        source: reads the reference: a network of its own, or the denoiser's network of pictures.
        pose_encoder: pictures of poses to residuals of the first convolution.
    """

    denoiser: nn.Module
    source: nn.Module
    pose_encoder: nn.Module


@dataclass(frozen=True, eq=False)
class Told:
    """What is known of b videos of t frames.

    Attributes:
        pose: pictures of the poses, eight times as large as latents: RGB in [0, 1], or vertex codes.
        reference: latents of a picture of the person.
        tokens: of that picture.
        reference_pose: as `pose`, of that picture (SCD).
        concat: latents of scene and occluder (MIMO).
    """

    pose: Float[torch.Tensor, "b p t hh ww"]
    reference: Float[torch.Tensor, "b c h w"]
    tokens: Float[torch.Tensor, "b n d"]
    reference_pose: Float[torch.Tensor, "b p hh ww"] | None = None
    concat: Float[torch.Tensor, "b k t h w"] | None = None


def condition(members: Members, told: Told, keep: Bool[torch.Tensor, " b"] | None = None) -> Conditioning:
    """The four places from what is known.

    Args:
        members: the networks.
        told: what is known.
        keep: which videos keep their reference: the others read none, and their tokens are 0, as in `unguided`. The
            embedding is dropped, not the picture that it was made from, and sample by sample (mimo.md 2.2).
    """
    encode = members.pose_encoder
    pose = encode(told.pose.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(told.pose), -1)).transpose(1, 2)
    shown = None if told.reference_pose is None else encode(told.reference_pose)[:, :, None]
    learns = any(parameter.requires_grad for parameter in members.source.parameters())
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):  # a frozen reader gives constants
        seen = Conditioning(context=told.tokens, residual=shown)
        cache = read_reference(members.source, told.reference, seen, reader=members.denoiser)
    if keep is None:
        return Conditioning(told.concat, told.tokens, cache, pose)
    return Conditioning(told.concat, told.tokens * keep[:, None, None], cache.kept(keep), pose)


def unguided(cond: Conditioning) -> Conditioning:
    """Nobody in particular, in the same pose and place: what guidance leads away from."""
    return replace(cond, context=None if cond.context is None else torch.zeros_like(cond.context), reference=None)


def own_view(denoiser: nn.Module) -> nn.Module:
    """The denoiser's network of single pictures: itself, or what shares its parameters (scd.md 3.4)."""
    if isinstance(denoiser, UNet2DConditionModel):
        return denoiser
    assert isinstance(denoiser, UNetMotionModel)
    if "view" not in denoiser.__dict__:
        denoiser.__dict__["view"] = spatial_view(denoiser)  # not a submodule: the parameters are there already
    view: nn.Module = denoiser.__dict__["view"]
    return view


def code_maps(
    codes: Float[torch.Tensor, "v c"],
    vertices: Shaped[torch.Tensor, "b t h w 3"],
    weights: Shaped[torch.Tensor, "b t h w 3"],
) -> Float[torch.Tensor, "b c t h w"]:
    """Vertex codes over the visible surface, 0 beside it; differentiable in the codes (mimo.md 1.15).

    Args:
        codes: one a vertex.
        vertices: whole numbers, the corners of the face at each pixel.
        weights: of the corners, 0 beside the surface.
    """
    seen = weights.sum(dim=-1) > 0
    mixed = (codes[vertices[seen].long()] * weights[seen][..., None].to(codes.dtype)).sum(dim=1)
    return codes.new_zeros(*seen.shape, codes.shape[1]).index_put((seen,), mixed).permute(0, 4, 1, 2, 3)


def train_motion_only(denoiser: nn.Module) -> None:
    """Motion modules learn, everything else stays."""
    for name, parameter in denoiser.named_parameters():
        parameter.requires_grad_("motion_modules" in name)


def trained_schedule(target: Target) -> Schedule:
    """The levels of training and of sampling, one and the same: scaled linear; ends in pure noise unless the network
    predicts the noise, which says nothing there (Lin et al. 2023).
    """
    return schedule("scaled_linear", zero_terminal_snr=target != "eps")
