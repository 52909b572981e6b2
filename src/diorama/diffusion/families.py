"""What a file of weights is, told by the names and shapes of its tensors; file names say nothing reliable.

Names are those of the published checkpoints (specs mimo.md 1.7, scd.md 3.5, sp4d.md 2.5). Widths are not looked at, so
that a small network of a family is the same family.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Shaped

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Family:
    """A kind of weights.

    Attributes:
        name: for manifests and code.
        title: for people.
    """

    name: str
    title: str


FAMILIES = {
    family.name: family
    for family in (
        Family("mimo-denoiser", "denoiser of the MIMO release (Stable Diffusion 1.5 with 8 input channels)"),
        Family("sd15-unet", "Stable Diffusion 1.5 UNet, diffusers layout (also Moore-AnimateAnyone's denoiser)"),
        Family("sd-inpaint-unet", "Stable Diffusion inpainting UNet (9 input channels)"),
        Family("reference-unet", "reference network of MIMO or Moore-AnimateAnyone (a UNet without its last layers)"),
        Family("pose-guider", "pose encoder of MIMO or Moore-AnimateAnyone"),
        Family("animatediff-v1", "AnimateDiff motion module, v1 layout (24 frames, no middle block)"),
        Family("animatediff-v2", "AnimateDiff motion module, v2 layout (32 frames; also MIMO's and Moore's)"),
        Family("animatediff-v3", "AnimateDiff motion module, v3 layout (32 frames, no middle block)"),
        Family("motion-adapter", "motion modules, diffusers layout"),
        Family("motion-unet", "UNet with motion modules, diffusers layout"),
        Family("animate-unet", "UNet with motion modules, layout of AnimateDiff and MIMO"),
        Family("zeroscope-unet", "Zeroscope or ModelScope UNet3D, diffusers layout"),
        Family("svd-unet", "Stable Video Diffusion UNet, diffusers layout"),
        Family("sp4d", "SP4D dual UNet"),
        Family("sv4d", "SV4D or SV3D UNet"),
        Family("sd-single-file", "Stable Diffusion in one file, layout of its authors"),
        Family("controlnet", "ControlNet, diffusers layout"),
        Family("vae", "image autoencoder (AutoencoderKL), diffusers layout"),
        Family("temporal-vae", "video autoencoder of Stable Video Diffusion, diffusers layout"),
        Family("clip-vision", "CLIP image encoder, transformers layout"),
        Family("clip-text", "CLIP text encoder, transformers layout"),
        Family("lora-kohya", "LoRA, kohya layout"),
        Family("lora-peft", "LoRA, peft layout"),
        Family("lora-diffusers", "LoRA, layout of older diffusers"),
    )
}
UNKNOWN = Family("unknown", "a kind of weights that is not known here")

_LORA = {
    "lora-kohya": re.compile(r"\.lora_(?:down|up)\.weight$"),
    "lora-peft": re.compile(r"\.lora_[AB](?:\.\w+)?\.weight$"),
    "lora-diffusers": re.compile(r"(?:_lora|\.lora(?:_linear_layer)?)\.(?:down|up)\.weight$"),
}
# The first rule whose names are all there decides; each name stands for the many around it.
_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("zeroscope-unet", ("conv_in.weight", "transformer_in.proj_in.weight")),
    ("svd-unet", ("conv_in.weight", "down_blocks.0.resnets.0.spatial_res_block.conv1.weight")),
    ("controlnet", ("controlnet_down_blocks.0.weight",)),
    ("temporal-vae", ("encoder.conv_in.weight", "decoder.time_conv_out.weight")),
    ("vae", ("encoder.conv_in.weight", "decoder.conv_in.weight")),
    ("clip-vision", ("vision_model.embeddings.class_embedding",)),
    ("clip-text", ("text_model.embeddings.token_embedding.weight",)),
    ("clip-text", ("embeddings.token_embedding.weight", "final_layer_norm.weight")),
    ("pose-guider", ("conv_in.weight", "blocks.0.weight", "conv_out.weight")),
    ("pose-guider", ("controlnet_cond_embedding.conv_in.weight",)),
)
_AUTHORS = "model.diffusion_model."


def shapes_of(tensors: Mapping[str, Shaped[torch.Tensor, "..."]]) -> dict[str, tuple[int, ...]]:
    """Name to shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def detect(shapes: Shapes) -> Family:
    """The family of a set of names and shapes; `UNKNOWN` where none fits."""
    return FAMILIES.get(_name(shapes), UNKNOWN)


def _name(shapes: Shapes) -> str:
    for layout, pattern in _LORA.items():
        if any(pattern.search(name) for name in shapes):
            return layout
    inner = {name.removeprefix(_AUTHORS) for name in shapes}
    if any(name.startswith("net1.") for name in inner) and any(name.startswith("net2.") for name in inner):
        return "sp4d"
    if any(".time_mix_blocks." in name for name in inner):
        return "sv4d"
    if f"{_AUTHORS}input_blocks.0.0.weight" in shapes:
        return "sd-single-file"
    for family, marks in _MARKS:
        if all(mark in shapes for mark in marks):
            return family
    return _unet(shapes)


def _unet(shapes: Shapes) -> str:
    """Of UNets of Stable Diffusion 1.5, with or without motion modules, and of motion modules alone."""
    spatial = "down_blocks.0.resnets.0.conv1.weight" in shapes
    motion = [name for name in shapes if ".motion_modules." in name]
    original = any(".temporal_transformer." in name for name in motion)
    if motion and spatial:
        return "animate-unet" if original else "motion-unet"
    if motion:
        return _motion_version(shapes, motion) if original else "motion-adapter"
    if not spatial or "conv_in.weight" not in shapes:
        return ""
    if "conv_out.weight" not in shapes:
        return "reference-unet"
    channels = shapes["conv_in.weight"][1] if len(shapes["conv_in.weight"]) == 4 else 0
    return {4: "sd15-unet", 8: "mimo-denoiser", 9: "sd-inpaint-unet"}.get(channels, "")


def _motion_version(shapes: Shapes, motion: list[str]) -> str:
    if any(name.startswith("mid_block.") for name in motion):
        return "animatediff-v2"
    lengths = {shapes[name][1] for name in motion if name.endswith(".pe") and len(shapes[name]) == 3}
    return "animatediff-v1" if lengths and max(lengths) <= 24 else "animatediff-v3"
