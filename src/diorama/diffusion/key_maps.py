"""Names of released checkpoints to names of diffusers: pure functions of dicts (specs mimo.md 1.7-1.8, scd.md 3.5).

Values pass through untouched, except where a function says so. What fits is left to `fit.fit`, which names the rest.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Shaped

from diorama.diffusion.checkpoint import Tensors, listed
from diorama.diffusion.families import detect, shapes_of
from diorama.errors import ModelError

REFERENCE_ABSENT = frozenset({"conv_norm_out.weight", "conv_norm_out.bias", "conv_out.weight", "conv_out.bias"})
"""Tensors of `UNet2DConditionModel` that released reference networks leave out; nothing reads what they make."""

# In this order (mimo.md 1.8, step 2); ".norm." of the module itself stays, so ".norms." comes with its number.
_MOTION_NAMES = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0.pos_encoder.pe", ".pos_embed.pe"),
    (".attention_blocks.0.", ".attn1."),
    (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."),
    (".ff_norm.", ".norm3."),
)
# Autoencoders saved before 2023 name their attention so; only within ".attentions.".
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_SECOND = ".attention_blocks.1.pos_encoder.pe"
_FIRST = ".attention_blocks.0.pos_encoder.pe"
_POSE = ("conv_in.", "conv_out.", "blocks.")
_POSE_PREFIX = "controlnet_cond_embedding."

Given = Mapping[str, Shaped[torch.Tensor, "..."]]


def motion_name(name: str) -> str:
    """A name of AnimateDiff's layout in the layout of diffusers; other names are returned as they are."""
    if ".motion_modules." not in name:
        return name
    for old, new in _MOTION_NAMES:
        name = name.replace(old, new)
    return name


def motion_modules(tensors: Given) -> Tensors:
    """Motion modules of AnimateDiff, MIMO or Moore as those of `UNetMotionModel` and `MotionAdapter`.

    The two attentions of a block share one table of positions there; the second of the file is dropped. Where a file
    has none (converters leave them out), the places stay empty: see `with_positions`.

    Raises:
        ModelError: the two tables of a block differ, so that one cannot stand for both.
    """
    differing = [
        name
        for name, table in tensors.items()
        if name.endswith(_SECOND) and not _same(table, tensors.get(name.removesuffix(_SECOND) + _FIRST))
    ]
    if differing:
        raise ModelError(
            f"motion modules whose two attentions have different positions: {listed(differing)}",
            fix="these are not weights of AnimateDiff's design",
        )
    return {motion_name(name): tensor for name, tensor in tensors.items() if not name.endswith(_SECOND)}


def _same(one: Shaped[torch.Tensor, "..."], other: Shaped[torch.Tensor, "..."] | None) -> bool:
    if other is None or one.is_meta or other.is_meta:
        return other is not None and one.shape == other.shape
    return torch.equal(one, other)


def positions(length: int, width: int) -> Float[torch.Tensor, "1 length width"]:
    """The table of sines and cosines that motion modules add to the tokens of each frame (base 10000), float32."""
    place = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(1, length, width)
    table[0, :, 0::2] = torch.sin(place * rate)
    table[0, :, 1::2] = torch.cos(place * rate)
    return table


def with_positions(tensors: Given, length: int) -> Tensors:
    """`tensors` (diffusers' names) with the tables of `length` frames added where a motion module has none."""
    added: Tensors = {}
    for name, tensor in tensors.items():
        table = name.replace(".attn1.to_q.weight", ".pos_embed.pe")
        if ".motion_modules." in name and table != name and table not in tensors:
            added[table] = positions(length, tensor.shape[1]).to(tensor.dtype)
    return {**tensors, **added}


def animatediff(tensors: Given) -> Tensors:
    """An AnimateDiff motion module, any version, as `MotionAdapter` and `UNetMotionModel` name it.

    Tables of positions that the file lacks are computed: 24 frames without a middle block (v1), else 32. Those of v3
    have 32 and no middle block; its published file holds them.

    Raises:
        ModelError: no motion module, or other weights among it.
    """
    others = [name for name in tensors if ".motion_modules." not in name]
    if others:
        found = detect(shapes_of(tensors)).title
        raise ModelError(f"{len(others)} tensors are no motion modules: {listed(others)}; the file holds: {found}")
    middle = any(name.startswith("mid_block.") for name in tensors)
    return with_positions(motion_modules(tensors), 32 if middle else 24)


def mimo_denoiser(motion: Given, denoising: Given, base: Given | None = None) -> Tensors:
    """The denoiser of the MIMO or Moore release, as `UNetMotionModel` names it.

    Later ones win, as in the release: the SD-1.5 UNet `base`, then `motion` (motion_module.pth), then `denoising`

    Raises:
        ModelError: a tensor that two of them hold in different shapes, or motion modules that `motion_modules` refuses.
    """
    merged: Tensors = {}
    for part, tensors in (("base", base or {}), ("motion", motion), ("denoising", denoising)):
        named = motion_modules(tensors)
        clash = [
            f"{name} ({tuple(merged[name].shape)} and then {tuple(tensor.shape)})"
            for name, tensor in named.items()
            if name in merged and name != "conv_in.weight" and merged[name].shape != tensor.shape
        ]
        if clash:
            raise ModelError(f"the {part} weights are of another size than those before: {listed(clash)}")
        merged.update(named)
    return merged


def widen_input(tensors: Given, channels: int) -> Tensors:
    """A UNet whose first convolution takes `channels`: the added ones are zero, and change nothing until trained.

    Raises:
        ModelError: no first convolution, or one that takes more already.
    """
    first = tensors.get("conv_in.weight")
    if first is None or first.ndim != 4 or first.shape[1] > channels:
        found = "no conv_in.weight" if first is None else f"conv_in.weight of {tuple(first.shape)}"
        raise ModelError(f"{found}, expected a convolution of at most {channels} input channels")
    wide = first.new_zeros(first.shape[0], channels, *first.shape[2:])
    wide[:, : first.shape[1]] = first
    return {**tensors, "conv_in.weight": wide}


def mimo_reference(tensors: Given) -> Tensors:
    """A released reference network as `UNet2DConditionModel` names it: the same names, `REFERENCE_ABSENT` missing.

    Raises:
        ModelError: motion modules, or another first convolution than one of 4 channels: the file is another network's.
    """
    first = tensors.get("conv_in.weight")
    motion = [name for name in tensors if ".motion_modules." in name]
    if motion or first is None or tuple(first.shape[1:2]) != (4,):
        found = detect(shapes_of(tensors)).title
        raise ModelError(f"no reference network (a UNet of 4 input channels); the file holds: {found}")
    return dict(tensors)


def pose_guider(tensors: Given) -> Tensors:
    """A pose encoder as `ControlNetConditioningEmbedding` names it; a ControlNet's own prefix is stripped.

    Raises:
        ModelError: other weights than ``conv_in``, ``blocks.N``, ``conv_out``.
    """
    named = {name.removeprefix(_POSE_PREFIX): tensor for name, tensor in tensors.items()}
    others = [name for name in named if not name.startswith(_POSE)]
    if others or "blocks.0.weight" not in named:
        found = detect(shapes_of(tensors)).title
        raise ModelError(f"no pose encoder (conv_in, blocks.N, conv_out); the file holds: {found}")
    return named


def vae(tensors: Given) -> Tensors:
    """An `AutoencoderKL` under today's names; files of 2022 (sd-vae-ft-mse) call the parts of attention otherwise."""
    named: Tensors = {}
    for name, tensor in tensors.items():
        parent, _, leaf = name.rpartition(".")
        layer, _, part = parent.rpartition(".")
        if ".attentions." in name and part in _OLD_ATTENTION:
            flat = tensor.flatten(1) if leaf == "weight" else tensor  # some are 1x1 convolutions
            named[f"{layer}.{_OLD_ATTENTION[part]}.{leaf}"] = flat
        else:
            named[name] = tensor
    return named


def clip(tensors: Given) -> Tensors:
    """A CLIP encoder as transformers 5 names it: text encoders lost their prefix, positions are no longer saved."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("embeddings.position_ids")}
    if any(name.startswith("vision_model.") for name in kept) or "text_projection.weight" in kept:
        return kept
    return {name.removeprefix("text_model."): tensor for name, tensor in kept.items()}
