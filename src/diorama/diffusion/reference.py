"""Reference attention: a network reads a reference picture through extra keys and values of its spatial self-attention.

The reference is seen once, at noise level 0. Its tokens see only themselves; the tokens of the target see both
(`softmax(q [k; k_r]^T) [v; v_r]`, scd.md 1.2). Where the tokens come from is the caller's choice: a separate reference
network (Animate Anyone, MIMO: mimo.md 1.5) or the same one (SCD). What is cached are keys and values of the reading
network, computed once and shared by all frames, windows and steps.

Everything goes through processors and `cross_attention_kwargs`, so gradient checkpointing recomputes the same thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Float
from torch import nn

from diorama.diffusion.attend import attend, merged, sdpa
from diorama.diffusion.reference_cache import Heads, ReferenceCache
from diorama.errors import UsageError

Tokens = Float[torch.Tensor, "r n c"]
Shared = Float[torch.Tensor, "refs heads m d"]


@dataclass(frozen=True)
class Recorder:
    """Collects what enters each spatial self-attention while the reference passes through a network."""

    tokens: dict[str, Tokens] = field(default_factory=dict)


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
        """Attention of `hidden_states` to themselves and, if given, to the reference of this layer.

        Raises:
            UsageError: a reference that does not fit, or an attention mask, which UNets have no use for.
        """
        if encoder_hidden_states is not None or attention_mask is not None:
            raise UsageError("a mask or a context for spatial self-attention", self.name, "give neither")
        if isinstance(reference, Recorder):  # stored by name, so that a recomputed pass stores the same again
            reference.tokens[self.name] = hidden_states
        q, k, v = (_split(layer(hidden_states), attn.heads) for layer in (attn.to_q, attn.to_k, attn.to_v))
        out = _read(q, k, v, self.name, reference) if isinstance(reference, ReferenceCache) else sdpa(q, k, v)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))


class QuietAttention(AttnProcessor2_0):
    """Plain attention that takes the reference without reading it; diffusers warns about unknown arguments."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        reference: object = None,
    ) -> torch.Tensor:
        """As its parent; faster where the context is one token, which then has all the weight, whatever is asked."""
        one = encoder_hidden_states is not None and encoder_hidden_states.shape[1] == 1
        plain = attn.norm_cross is None and attn.rescale_output_factor == 1 and not attn.residual_connection
        # in training every parameter needs a gradient, be it zero
        if one and plain and hidden_states.ndim == 3 and attention_mask is None and not torch.is_grad_enabled():
            out = attn.to_out[1](attn.to_out[0](attn.to_v(encoder_hidden_states)))
            return out.expand(-1, hidden_states.shape[1], -1)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def _split(x: Tokens, heads: int) -> Heads:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _read(q: Heads, k: Heads, v: Heads, name: str, cache: ReferenceCache) -> Heads:
    ref_k, ref_v, bias = _of_layer(cache, name, q)
    reading = len(q) if cache.readers is None else cache.readers * cache.frames
    videos, refs = reading // cache.frames, len(ref_k)
    if reading > len(q) or reading % cache.frames or videos % refs:
        raise UsageError(f"{refs} references for {videos} videos", "reference", "give one for each, or one for all")
    if torch.is_grad_enabled():  # the log-sum-exp of fused attention has no gradient
        out = _joined(q[:reading], (k[:reading], v[:reading]), (ref_k, ref_v), bias, cache.frames)
        return out if reading == len(q) else torch.cat([out, sdpa(q[reading:], k[reading:], v[reading:])])
    shape = (videos // refs, refs, cache.frames)
    together = q[:reading].unflatten(0, shape).permute(1, 3, 0, 2, 4, 5)  # r heads k f n d: all queries of a reference
    far, far_lse = attend(together.flatten(2, 4), ref_k, ref_v, bias)
    far = far.unflatten(2, together.shape[2:5]).permute(2, 0, 3, 1, 4, 5).flatten(0, 2)
    far_lse = far_lse.unflatten(2, together.shape[2:5]).permute(2, 0, 3, 1, 4).flatten(0, 2)
    near, near_lse = attend(q, k, v)
    if reading == len(q):
        return merged((near, near_lse), (far, far_lse))
    return torch.cat([merged((near[:reading], near_lse[:reading]), (far, far_lse)), near[reading:]])


def _joined(
    q: Heads, own: tuple[Heads, Heads], ref: tuple[Shared, Shared], bias: torch.Tensor | None, frames: int
) -> Heads:
    """Attention to the rows' own keys and the reference's, laid side by side; it has gradients."""
    times = len(q) // frames // len(ref[0])

    def rows(each: torch.Tensor) -> torch.Tensor:
        return each.repeat(times, 1, 1, 1).repeat_interleave(frames, 0)

    k, v = (torch.cat([mine, rows(its)], dim=2) for mine, its in zip(own, ref, strict=True))
    if bias is None:
        return sdpa(q, k, v)
    free = bias.new_zeros(len(q), 1, 1, own[0].shape[2])
    return sdpa(q, k, v, torch.cat([free, rows(bias)], dim=3))


def _of_layer(cache: ReferenceCache, name: str, q: Heads) -> tuple[Shared, Shared, torch.Tensor | None]:
    if name not in cache.keys:
        raise UsageError(f"a reference without the layer {name}", "reference", "read it for this network")
    ref = cache.keys[name]
    if ref.device != q.device or ref.dtype != q.dtype:
        given = f"a reference in {ref.dtype} on {ref.device} for a network in {q.dtype} on {q.device}"
        raise UsageError(given, "reference", "move it: cache.to(device, dtype)")
    return ref, cache.values[name], None if cache.bias is None else cache.bias[name]


def spatial_attentions(unet: nn.Module) -> dict[str, Attention]:
    """The spatial self-attention layers by name (16 in Stable Diffusion 1.5); motion modules are not among them."""
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and name.endswith(".attn1") and ".attentions." in f".{name}"
    }


def install(unet: nn.Module) -> None:
    """Gives a UNet of diffusers reference attention; without a reference its results stay the same.

    Raises:
        UsageError: a spatial self-attention that is none, or has parts of its own (norms of queries, added keys).
    """
    for name, attention in spatial_attentions(unet).items():
        parts = (attention.group_norm, attention.spatial_norm, attention.norm_q, attention.norm_cross)
        scaled = attention.rescale_output_factor != 1 or attention.residual_connection
        if attention.is_cross_attention or scaled or any(part is not None for part in parts):
            raise UsageError(f"the attention {name} of {type(unet).__name__} is of another kind", "reference")
        attention.set_processor(ReferenceAttention(name))
    for name, module in unet.named_modules():
        # motion modules are never told of a reference; cross-attention is, and so are temporal layers of UNet3D
        told = isinstance(module, Attention) and ".motion_modules." not in f".{name}"
        if told and type(module.processor) is AttnProcessor2_0:
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


TEMPORAL = frozenset({"motion_modules", "temp_convs", "temp_attentions", "transformer_in"})
"""Parts of a video network that a reference never passes through."""


_LORA = ("active_adapters", "disable_adapters", "merged_adapters", "scaling")


def signature(unet: nn.Module) -> tuple[object, ...]:
    """Changes when the network of single pictures changes: training steps, LoRA and its scales, another type.

    Values are not looked at, but their places in memory and how often they were written.
    """
    marks: list[object] = []
    _mark(unet, marks)
    return (hash(tuple(marks)),)


def _mark(module: nn.Module, marks: list[object]) -> None:
    """A walk of its own: it runs at each call of the network, and `named_modules` takes three times as long."""
    for name, child in module._modules.items():
        if child is None or name in TEMPORAL:
            continue
        for weight in child._parameters.values():
            if weight is not None:
                version = 0 if weight.is_inference() else weight._version
                marks.append((weight.data_ptr(), version, weight.dtype))
        if "lora_A" in child._modules:
            marks.append(str([getattr(child, each) for each in _LORA]))
        _mark(child, marks)


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
