"""The network that a set of tensors belongs to, built without memory: its size is read off the tensors' shapes.

So the whole list of names and shapes can be checked before, or without, loading a model, at any width.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Shaped

from diorama.core.extras import need
from diorama.diffusion.families import Family, Shapes, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.key_maps import REFERENCE_ABSENT
from diorama.errors import ModelError

HEADS = 8
"""Attention heads of every published network of the SD-1.5 kind; the shapes do not tell."""


def unet_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `diffusers.UNet2DConditionModel` for a UNet's names and shapes (motion modules are overlooked).

    Raises:
        ModelError: no such UNet.
    """
    return {**_sizes(shapes, "2D"), "attention_head_dim": HEADS}


def motion_unet_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `diffusers.UNetMotionModel` for names and shapes in its own layout (`key_maps.mimo_denoiser`).

    Raises:
        ModelError: no such UNet, or no motion modules.
    """
    config = {**_sizes(shapes, "Motion"), "num_attention_heads": HEADS, "motion_num_attention_heads": HEADS}
    return {**config, **_motion_sizes(shapes)}


def _motion_sizes(shapes: Shapes) -> dict[str, Any]:
    lengths = [shape[1] for name, shape in shapes.items() if name.endswith(".pos_embed.pe") and len(shape) == 3]
    if not lengths:
        raise ModelError("no motion modules with a table of positions", fix="expected names such as ...pos_embed.pe")
    middle = any(name.startswith("mid_block.motion_modules.") for name in shapes)
    return {"motion_max_seq_length": max(lengths), "use_motion_mid_block": middle}


def _sizes(shapes: Shapes, suffix: str) -> dict[str, Any]:
    try:
        context = [name for name in shapes if name.endswith(".attn2.to_k.weight") and ".attentions." in name]
        downs, ups = _count(shapes, "down_blocks.{}.resnets.0."), _count(shapes, "up_blocks.{}.resnets.0.")
        config: dict[str, Any] = {
            "in_channels": shapes["conv_in.weight"][1],
            "out_channels": shapes.get("conv_out.weight", (4,))[0],
            "block_out_channels": tuple(shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(downs)),
            "layers_per_block": _count(shapes, "down_blocks.0.resnets.{}."),
            "cross_attention_dim": shapes[context[0]][1],
            "down_block_types": tuple(_block(shapes, "Down", i) + suffix for i in range(downs)),
            "up_block_types": tuple(_block(shapes, "Up", i) + suffix for i in range(ups)),
        }
    except (KeyError, IndexError) as error:
        raise ModelError(f"no UNet of the Stable Diffusion kind ({type(error).__name__}: {error})") from error
    flat = [len(shape) == 2 for name, shape in shapes.items() if re.search(r"\.attentions\.0\.proj_in\.weight$", name)]
    return {**config, "use_linear_projection": all(flat)}


def _count(shapes: Shapes, pattern: str) -> int:
    """How many of the numbered parts there are."""
    form = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    return len({found[1] for name in shapes if (found := form.match(name))})


def _block(shapes: Shapes, side: str, index: int) -> str:
    attends = any(name.startswith(f"{side.lower()}_blocks.{index}.attentions.") for name in shapes)
    return f"CrossAttn{side}Block" if attends else f"{side}Block"


def skeleton(family: Family, shapes: Shapes, config: Mapping[str, Any] | None = None) -> torch.nn.Module | None:
    """The network of a family on the meta device, in the size of `shapes`.

    Args:
        family: from `detect`, in the layout of diffusers or transformers.
        shapes: names and shapes.
        config: contents of config.json, for the families whose shapes say too little.

    Returns:
        The network, or None where the family is not built here or lacks its config.

    Raises:
        ModelError: shapes or a config that describe no network.
    """
    build = _BUILDERS.get(family.name)
    if build is None or (family.name in _WITH_CONFIG and not config):
        return None
    try:
        with torch.device("meta"):
            network: torch.nn.Module = build(shapes, config or {})
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the tensors describe no {family.title} ({reason})") from error
    return network


def check_names(
    family: Family,
    tensors: Mapping[str, Shaped[torch.Tensor, "..."]],
    *,
    source: str,
    config: Mapping[str, Any] | None = None,
) -> bool:
    """Whether all tensors of the family's network are there, and no others; False where that is not known here.

    Raises:
        ModelError: missing, unexpected or mis-shaped tensors, as `fit` names them.
    """
    if family.name in ("sp4d", "sv4d"):
        _check_dual(family, tensors, source)
        return True
    network = skeleton(family, shapes_of(tensors), config)
    if network is None:
        return False
    missing: frozenset[str] = REFERENCE_ABSENT if family.name == "reference-unet" else frozenset()
    fit(network, {name: tensor.to("meta") for name, tensor in tensors.items()}, source=source, allow_missing=missing)
    return True


def _check_dual(family: Family, tensors: Mapping[str, Shaped[torch.Tensor, "..."]], source: str) -> None:
    from diorama.diffusion.dual_keys import shape_from, state_for
    from diorama.diffusion.dual_unet import DualUNet
    from diorama.diffusion.view_unet import ViewUNet

    shape = shape_from(tensors, source, head_dim=1)  # any that divides: it decides about no name
    with torch.device("meta"):
        network = DualUNet.of(shape) if family.name == "sp4d" else ViewUNet.of(shape)
    state_for(network, tensors, source)


def _unet(shapes: Shapes, config: Mapping[str, Any]) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**unet_config(shapes))


def _motion_unet(shapes: Shapes, config: Mapping[str, Any]) -> Any:
    from diffusers import UNetMotionModel

    return UNetMotionModel(**motion_unet_config(shapes))


def _adapter(shapes: Shapes, config: Mapping[str, Any]) -> Any:
    from diffusers import MotionAdapter

    downs = _count(shapes, "down_blocks.{}.motion_modules.0.")
    widths = tuple(shapes[f"down_blocks.{i}.motion_modules.0.norm.weight"][0] for i in range(downs))
    layers = _count(shapes, "down_blocks.0.motion_modules.{}.")
    sizes = {"motion_layers_per_block": layers, "motion_num_attention_heads": HEADS, **_motion_sizes(shapes)}
    return MotionAdapter(block_out_channels=widths, **sizes)


def _pose(shapes: Shapes, config: Mapping[str, Any]) -> Any:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    steps = _count(shapes, "blocks.{}.weight") // 2
    widths = (shapes["conv_in.weight"][0], *(shapes[f"blocks.{2 * i + 1}.weight"][0] for i in range(steps)))
    return ControlNetConditioningEmbedding(shapes["conv_out.weight"][0], shapes["conv_in.weight"][1], widths)


def _from_config(package: str, name: str) -> Callable[[Shapes, Mapping[str, Any]], Any]:
    def build(shapes: Shapes, config: Mapping[str, Any]) -> Any:
        kind = getattr(need(package), name)
        if package == "diffusers":
            return kind.from_config(dict(config))
        return kind(kind.config_class.from_dict(dict(config)))

    return build


_BUILDERS = {
    **dict.fromkeys(("sd15-unet", "mimo-denoiser", "sd-inpaint-unet", "reference-unet"), _unet),
    "motion-unet": _motion_unet,
    "motion-adapter": _adapter,
    "pose-guider": _pose,
    "zeroscope-unet": _from_config("diffusers", "UNet3DConditionModel"),
    "svd-unet": _from_config("diffusers", "UNetSpatioTemporalConditionModel"),
    "vae": _from_config("diffusers", "AutoencoderKL"),
    "temporal-vae": _from_config("diffusers", "AutoencoderKLTemporalDecoder"),
    "clip-vision": _from_config("transformers", "CLIPVisionModelWithProjection"),
    "clip-text": _from_config("transformers", "CLIPTextModel"),
}
_WITH_CONFIG = ("zeroscope-unet", "svd-unet", "vae", "temporal-vae", "clip-vision", "clip-text")
