"""Reference attention: a network reads a reference picture through extra keys and values of its spatial self-attention.

The reference is seen once, at noise level 0. Its tokens see only themselves; the tokens of the target see both
(`softmax(q [k; k_r]^T) [v; v_r]`, scd.md 1.2). Where the tokens come from is the caller's choice: a separate reference
network (Animate Anyone, MIMO: mimo.md 1.5) or the same one (SCD). What is cached are keys and values of the reading network,
computed once and shared by all frames, windows and steps.

Everything goes through processors and `cross_attention_kwargs`, so gradient checkpointing recomputes the same thing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Float
from torch import nn

from diorama.diffusion.attend import attend, merged, sdpa
from diorama.errors import UsageError

Tokens = Float[torch.Tensor, "r n c"]
Heads = Float[torch.Tensor, "r heads n d"]


@dataclass(frozen=True)
class Recorder:
    """Collects what enters each spatial self-attention while the reference passes through a network."""

    tokens: dict[str, Tokens] = field(default_factory=dict)


@dataclass(frozen=True)
class ReferenceCache:
    """Keys and values of r references (one for each video, or one for all), by layer.

    Attributes:
        keys, values: "r heads n d" of each layer, in the reading network's own projections.
        bias: added to the logits of reference keys, "r 1 1 n": log strength, and minus infinity where masked.
        grid: height and width of the reference latents, and of the videos that may read it unless `any_size`.
        signature: of the weights that made the keys; a cache of other weights is refused.
        any_size: whether videos of another size may read it, as networks trained so can.
        frames: of the videos that read, so that a frame finds its video's reference.
    """

    keys: Mapping[str, Heads]
    values: Mapping[str, Heads]
    grid: tuple[int, int]
    signature: tuple[object, ...] = ()
    bias: Mapping[str, Float[torch.Tensor, "r 1 1 n"]] | None = None
    frames: int = 1
    any_size: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(each.nbytes for table in (self.keys, self.values) for each in table.values())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "ReferenceCache":
        """The same on another device, in another type."""

        def moved(table: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: each.to(device=device, dtype=dtype) for name, each in table.items()}

        bias = None if self.bias is None else moved(self.bias)
        return replace(self, keys=moved(self.keys), values=moved(self.values), bias=bias)

    def joined(self, other: "ReferenceCache") -> "ReferenceCache":
        """Both references together: the target may look at either (cost grows by one reference).

        Raises:
            UsageError: caches of different networks or numbers of videos.
        """
        if self.signature != other.signature or self.keys.keys() != other.keys.keys():
            raise UsageError("two references of different networks or weights", "reference", "encode both anew")

        def both(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor], axis: int) -> dict[str, torch.Tensor]:
            return {name: torch.cat([one[name], two[name]], dim=axis) for name in one}

        bias = None
        if self.bias is not None or other.bias is not None:
            bias = both(self._full_bias(), other._full_bias(), 3)
        return replace(
            self, keys=both(self.keys, other.keys, 2), values=both(self.values, other.values, 2), bias=bias
        )

    def scaled(self, strength: float) -> "ReferenceCache":
        """Reference logits moved by log `strength`: 1 changes nothing, 2 equals showing it twice, 0 switches it off.

        Raises:
            UsageError: a negative strength.
        """
        if not 0 <= strength < math.inf:
            raise UsageError(f"a reference strength of {strength}", "strength", "give 0 or more")
        shift = math.log(strength) if strength > 0 else _never(next(iter(self.keys.values())).dtype)
        return replace(self, bias={name: bias + shift for name, bias in self._full_bias().items()})

    def masked(self, mask: Float[torch.Tensor, "r h w"]) -> "ReferenceCache":
        """Only reference tokens where `mask` (at the latents' size, 1 shown, 0 hidden) is at least one half are seen.

        Raises:
            UsageError: a mask of another size, or one that hides a whole reference.
        """
        if tuple(mask.shape[1:]) != self.grid:
            raise UsageError(f"a mask of {tuple(mask.shape[1:])} for a reference of {self.grid}", "mask")
        bias = {name: each + _hidden(mask, each, self.grid) for name, each in self._full_bias().items()}
        return replace(self, bias=bias)

    def kept(self, keep: torch.Tensor) -> "ReferenceCache":
        """Videos where `keep` (bool "r") is false read no reference: training's dropout, one draw a video."""
        off = torch.where(keep, 0.0, _never(next(iter(self.keys.values())).dtype))[:, None, None, None]
        return replace(self, bias={name: bias + off.to(bias) for name, bias in self._full_bias().items()})

    def over(self, frames: int) -> "ReferenceCache":
        """Itself, read by videos of `frames` frames."""
        return replace(self, frames=frames)

    def _full_bias(self) -> dict[str, torch.Tensor]:
        if self.bias is not None:
            return dict(self.bias)
        return {name: each.new_zeros(len(each), 1, 1, each.shape[2]) for name, each in self.keys.items()}


def _never(dtype: torch.dtype) -> float:
    """A logit shift after which nothing is left, without infinities that would make nan of empty rows."""
    return torch.finfo(dtype).min / 4


def _hidden(mask: torch.Tensor, bias: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """`_never` for hidden tokens of one layer; the layer's size is the grid halved some times, rounded up."""
    count, (height, width) = bias.shape[-1], grid
    while height * width > count:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != count:
        raise UsageError(f"{count} tokens do not fit a grid of {grid}", "mask", "mask before joining references")
    small = nn.functional.adaptive_avg_pool2d(mask[:, None].float(), (height, width)).flatten(1)
    shown = small >= min(0.5, float(small.max()))
    if not bool(shown.any(dim=1).all()) or not bool((mask > 0).flatten(1).any(dim=1).all()):
        raise UsageError("the mask hides a whole reference", "mask", "leave a part of it visible, or give no reference")
    return torch.where(shown, 0.0, _never(bias.dtype)).to(bias)[:, None, None]


class ReferenceAttention:
    """Processor of a spatial self-attention; without a reference it is plain attention."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tokens,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        reference: Recorder | ReferenceCache | None = None,
    ) -> Tokens:
        """Attention of `hidden_states` to themselves and, if given, to the reference of this layer."""
        if isinstance(reference, Recorder):  # stored by name, so that a recomputed pass stores the same again
            reference.tokens[self.name] = hidden_states
        q, k, v = (_split(layer(hidden_states), attn.heads) for layer in (attn.to_q, attn.to_k, attn.to_v))
        if isinstance(reference, ReferenceCache):
            out = _read(q, k, v, self.name, reference)
        else:
            out = sdpa(q, k, v)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))


class QuietAttention(AttnProcessor2_0):
    """Plain cross-attention that takes the reference without reading it; diffusers warns about unknown arguments."""

    def __call__(self, attn: Attention, *args: Any, reference: object = None, **kwargs: Any) -> torch.Tensor:
        """As its parent."""
        return super().__call__(attn, *args, **kwargs)


def _split(x: Tokens, heads: int) -> Heads:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _read(q: Heads, k: Heads, v: Heads, name: str, cache: ReferenceCache) -> Heads:
    ref_k, ref_v = cache.keys[name], cache.values[name]
    bias = None if cache.bias is None else cache.bias[name]
    videos, refs = len(q) // cache.frames, len(ref_k)
    if videos % refs:
        raise UsageError(f"{refs} references for {videos} videos", "reference", "give one for each, or one for all")
    if torch.is_grad_enabled():  # the log-sum-exp of fused attention has no gradient
        rows = [each.repeat(videos // refs, 1, 1, 1).repeat_interleave(cache.frames, 0) for each in (ref_k, ref_v)]
        wide = None
        if bias is not None:
            own = bias.new_zeros(len(q), 1, 1, k.shape[2])
            wide = torch.cat([own, bias.repeat(videos // refs, 1, 1, 1).repeat_interleave(cache.frames, 0)], dim=3)
        return sdpa(q, torch.cat([k, rows[0]], dim=2), torch.cat([v, rows[1]], dim=2), wide)
    shape = (videos // refs, refs, cache.frames)
    together = q.unflatten(0, shape).permute(1, 3, 0, 2, 4, 5)  # r heads k f n d: all queries of a reference
    far, far_lse = attend(together.flatten(2, 4), ref_k, ref_v, bias)
    far = far.unflatten(2, together.shape[2:5]).permute(2, 0, 3, 1, 4, 5).flatten(0, 2)
    far_lse = far_lse.unflatten(2, together.shape[2:5]).permute(2, 0, 3, 1, 4).flatten(0, 2)
    return merged(attend(q, k, v), (far, far_lse))


def spatial_attentions(unet: nn.Module) -> dict[str, Attention]:
    """The spatial self-attention layers by name (16 in Stable Diffusion 1.5); motion modules are not among them."""
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and name.endswith(".attn1") and ".attentions." in f".{name}"
    }


def install(unet: nn.Module) -> None:
    """Gives a UNet of diffusers reference attention; without a reference its results stay the same."""
    for name, attention in spatial_attentions(unet).items():
        attention.set_processor(ReferenceAttention(name))
    for name, module in unet.named_modules():
        if isinstance(module, Attention) and name.endswith(".attn2") and ".attentions." in f".{name}":
            module.set_processor(QuietAttention())


def project(reader: nn.Module, tokens: Mapping[str, Tokens], grid: tuple[int, int]) -> ReferenceCache:
    """Keys and values that `reader` computes from recorded tokens.

    Raises:
        UsageError: tokens of other layers or widths than the reader's.
    """
    layers = spatial_attentions(reader)
    if layers.keys() != tokens.keys():
        odd = sorted(layers.keys() ^ tokens.keys())
        raise UsageError(f"the reference was recorded by another network: {odd[:5]}", "reference")
    keys, values = {}, {}
    for name, layer in layers.items():
        if tokens[name].shape[2] != layer.to_k.weight.shape[1]:
            raise UsageError(f"reference tokens {tuple(tokens[name].shape)} at {name}", "reference", "same widths")
        keys[name] = _split(layer.to_k(tokens[name]), layer.heads)
        values[name] = _split(layer.to_v(tokens[name]), layer.heads)
    return ReferenceCache(keys, values, grid, signature(reader))


def signature(unet: nn.Module) -> tuple[object, ...]:
    """Changes when the projections change: training steps, LoRA scales, another type."""
    marks: list[object] = []
    for name, module in unet.named_modules():
        if name.endswith((".attn1.to_k", ".attn1.to_v")) and ".attentions." in f".{name}":
            scaling = getattr(module, "scaling", None)
            adapters = (tuple(getattr(module, "active_adapters", ())), getattr(module, "disable_adapters", False))
            weights = [(p.data_ptr(), p._version, p.dtype) for p in module.parameters()]
            marks.append((*weights, tuple(sorted((scaling or {}).items())), adapters if scaling else ()))
    return (hash(tuple(marks)),)


def check(reader: nn.Module, cache: ReferenceCache, grid: tuple[int, int]) -> None:
    """Refuses a cache that does not belong to the weights, or to the size, at hand.

    Raises:
        UsageError: it does not.
    """
    if cache.grid != grid and not cache.any_size:
        given = f"a reference of {cache.grid[1]} x {cache.grid[0]} latents for a video of {grid[1]} x {grid[0]}"
        raise UsageError(given, "reference", "encode the reference at the size of the video")
    if cache.signature != signature(reader):
        raise UsageError("the network's weights, type or LoRA changed after the reference was read", "reference")
