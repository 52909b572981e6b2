"""Video and picture UNets of diffusers as ``(x, time) -> prediction`` with conditions bound.

Nothing of diffusers is copied: the first convolution takes more channels and a residual, GroupNorms of motion modules
may normalise each frame by itself, and self-attention reads a reference (mimo.md 1.3, 1.8; scd.md 3).
"""

from dataclasses import replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from jaxtyping import Float
from torch import nn

from diorama.diffusion import reference
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Network
from diorama.errors import ModelError, UsageError


class FirstConv(nn.Conv2d):
    """The first convolution; channels of the input beyond its own are a residual, added to its output.

    A residual that travels inside the input needs no hook and no state: it works under checkpointing, data parallelism
    and compilation.
    """

    def forward(self, x: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n d h w"]:
        """Raises UsageError where the input has neither its own channels nor those and a residual."""
        extra = x.shape[1] - self.in_channels
        if extra == 0:
            return super().forward(x)
        if extra != self.out_channels:
            given = f"{x.shape[1]} input channels, of which {self.in_channels} are x and concat"
            raise UsageError(given, "concat, residual", f"the residual has {self.out_channels} channels")
        own, residual = x.split([self.in_channels, extra], dim=1)
        return super().forward(own) + residual


class PerFrameNorm(nn.GroupNorm):
    """GroupNorm of "b c t h w" with statistics of each frame alone, as AnimateDiff, Moore and MIMO were trained."""

    def forward(self, x: Float[torch.Tensor, "b c t h w"]) -> Float[torch.Tensor, "b c t h w"]:
        frames = super().forward(x.transpose(1, 2).flatten(0, 1))
        return frames.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


def adapt(unet: nn.Module, *, per_frame_norm: bool = True) -> nn.Module:
    """Gives a UNet of diffusers the four places of `Conditioning`; state-dict keys and plain results stay the same.

    Works for UNet2DConditionModel, UNetMotionModel and UNet3DConditionModel; doing it twice changes nothing.

    Args:
        per_frame_norm: statistics of motion modules' GroupNorm per frame (AnimateDiff's own code) and not over all
            frames (diffusers); trained weights need the one they were trained with (3.9 to 4.6 % error otherwise).
    """
    _become(unet.conv_in, FirstConv)
    for module in unet.modules():
        if per_frame_norm and isinstance(module, AnimateDiffTransformer3D):
            _become(module.norm, PerFrameNorm)
    reference.install(unet)
    return unet


def _become(module: Any, kind: type[nn.Module]) -> None:
    """Changes what a layer computes while its parameters, names and hooks stay; kinds add no state of their own."""
    module.__class__ = kind


def bind(unet: nn.Module, cond: Conditioning) -> Network:
    """A network of "b c t h w" with its conditions.

    Raises:
        UsageError: (when called) conditions that do not fit x, a stale reference, or more frames than positions.
    """

    def network(x: Float[torch.Tensor, "b c t h w"], time: float) -> Float[torch.Tensor, "b c t h w"]:
        return predict(unet, x, torch.full((len(x),), float(time), device=x.device), cond)

    return network


def predict(
    unet: Any, x: Float[torch.Tensor, "b c t h w"], times: Float[torch.Tensor, " b"], cond: Conditioning
) -> Float[torch.Tensor, "b d t h w"]:
    """One pass of the network, each video at its own time; what training calls too.

    Raises:
        UsageError: as `bind`.
    """
    frames = x.shape[2]
    longest = getattr(unet.config, "motion_max_seq_length", None)
    if longest is not None and frames > longest:
        raise UsageError(f"{frames} frames, the network has positions for {longest}", "windows", "use shorter windows")
    sample = torch.cat([x, *(_like(part, x) for part in (cond.concat, cond.residual) if part is not None)], dim=1)
    kwargs = None
    if cond.reference is not None:
        reference.check(unet, cond.reference, (x.shape[3], x.shape[4]))
        kwargs = {"reference": cond.reference.over(frames)}
    _check_channels(unet, sample, cond)
    if isinstance(unet, UNet3DConditionModel):  # repeats the context itself
        return unet(sample, times, _video_context(unet, x, cond), cross_attention_kwargs=kwargs).sample
    context = _frame_context(unet, x, cond)
    if isinstance(unet, UNet2DConditionModel):
        flat = sample.transpose(1, 2).flatten(0, 1)
        out = unet(flat, times.repeat_interleave(frames), context, cross_attention_kwargs=kwargs).sample
        return out.unflatten(0, (len(x), frames)).transpose(1, 2)
    return unet(sample, times, context, cross_attention_kwargs=kwargs).sample


def _frame_context(unet: Any, x: torch.Tensor, cond: Conditioning) -> Float[torch.Tensor, "bt n d"]:
    """Tokens of each frame of each video; a single zero token where none are given."""
    if cond.context is None:
        return x.new_zeros(len(x) * x.shape[2], 1, unet.config.cross_attention_dim or 1)
    each = replace(cond, context=_fitting(cond.context, x)).frame_context(x.shape[2])
    assert each is not None
    return each


def _video_context(unet: Any, x: torch.Tensor, cond: Conditioning) -> Float[torch.Tensor, "b n d"]:
    if cond.context is None:
        return x.new_zeros(len(x), 1, unet.config.cross_attention_dim)
    if cond.context.ndim != 3:
        raise UsageError("a context for each frame", "context", f"{type(unet).__name__} takes one for each video")
    return _fitting(cond.context, x)


def _fitting(context: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if context.device != x.device or len(x) % len(context):
        given = f"tokens {tuple(context.shape)} on {context.device} for {len(x)} videos on {x.device}"
        raise UsageError(given, "context", "give them for each video, or for one, on the same device")
    return _times(context.to(x.dtype), len(x))


def _times(part: torch.Tensor, count: int) -> torch.Tensor:
    return part if len(part) == count else part.repeat(count // len(part), *[1] * (part.ndim - 1))


def _like(part: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    fits = part.ndim == 5 and part.shape[2:] == x.shape[2:] and len(x) % len(part) == 0
    if not fits or part.device != x.device:
        given = f"a condition {tuple(part.shape)} on {part.device} for latents {tuple(x.shape)} on {x.device}"
        raise UsageError(given, "conditioning", "same frames, size and device")
    return _times(part.to(x.dtype), len(x))


def _check_channels(unet: Any, sample: torch.Tensor, cond: Conditioning) -> None:
    own = sample.shape[1] - (0 if cond.residual is None else cond.residual.shape[1])
    if own != unet.conv_in.in_channels:
        given = f"{own} channels of latents and concat, the network takes {unet.conv_in.in_channels}"
        raise UsageError(given, "concat", "give the conditions this network was made for")


def spatial_view(unet: UNetMotionModel) -> UNet2DConditionModel:
    """The picture network inside a video network: the very same layers without motion modules (scd.md 3.4).

    A single frame through motion modules is not the same: they are no identity. Layers are shared, not only their
    parameters, so what is done to the one later (LoRA, training, another device) holds for the other.

    Raises:
        ModelError: a video network with other parts than those of a picture network and motion modules.
    """
    config = unet.config
    known = (
        *("in_channels", "out_channels", "block_out_channels", "layers_per_block", "norm_num_groups", "norm_eps"),
        *("cross_attention_dim", "sample_size", "act_fn", "use_linear_projection", "transformer_layers_per_block"),
        *("downsample_padding", "mid_block_scale_factor"),
    )
    with torch.device("meta"):
        view = UNet2DConditionModel(
            **{name: config[name] for name in known},
            attention_head_dim=config.num_attention_heads,
            down_block_types=tuple(name.replace("Motion", "2D") for name in config.down_block_types),
            up_block_types=tuple(name.replace("Motion", "2D") for name in config.up_block_types),
        )
    _share(view, unet)
    odd = [name for name, parameter in view.named_parameters() if parameter.is_meta]
    if odd and not next(unet.parameters()).is_meta:
        raise ModelError(f"{type(unet).__name__} has no {', '.join(odd[:3])}", fix="its pictures cannot be read alone")
    adapt(view)
    return view.train(unet.training)


def _share(view: nn.Module, unet: nn.Module) -> None:
    """Puts the layers of `unet` into `view`; what holds motion modules is shared part by part."""
    for name, _ in list(view.named_children()):
        its = unet.get_submodule(name)
        if any(".motion_modules." in f".{inner}." for inner, _ in its.named_modules()):
            _share(view.get_submodule(name), its)
        else:
            setattr(view, name, its)


def read_reference(
    source: Any,
    latents: Float[torch.Tensor, "r c h w"],
    cond: Conditioning,
    *,
    reader: nn.Module | None = None,
) -> reference.ReferenceCache:
    """Passes reference pictures through `source` at noise level 0 and keeps what `reader` needs of them.

    Args:
        source: a picture network: MIMO's reference network, or the `spatial_view` of the video network (SCD).
        latents: clean latents of r references.
        cond: context, and residual of the reference's own pose; each for one frame.
        reader: the network that will look at the reference; `source` itself where not given.

    Raises:
        UsageError: conditions or latents that do not fit.
    """
    if isinstance(source, UNetMotionModel | UNet3DConditionModel):
        raise UsageError(f"a reference through {type(source).__name__}", "source", "pass its spatial_view")
    recorder, x = reference.Recorder(), latents[:, :, None]
    flat = torch.cat([x, *(_like(part, x) for part in (cond.concat, cond.residual) if part is not None)], dim=1)
    _check_channels(source, flat, cond)
    context = _frame_context(source, x, cond)
    kwargs = {"reference": recorder}
    source(flat[:, :, 0], latents.new_zeros(len(latents)), context, cross_attention_kwargs=kwargs)
    return reference.project(reader or source, recorder.tokens, (latents.shape[2], latents.shape[3]))
