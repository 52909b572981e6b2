"""All tokens of a picture, as SCD reads it: with one token, queries of cross-attention learn nothing (scd.md 1.3)."""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch.nn import functional

from diorama.diffusion.clip_image import MEAN, STD
from diorama.errors import UsageError


def patch_tokens(encoder: Any, pictures: UInt8[torch.Tensor, "r h w 3"]) -> Float[torch.Tensor, "r n d"]:
    """Projected tokens of each picture: of the whole (that of `image_tokens`), then of its patches.

    Raises:
        UsageError: no pictures, or without pixels.
    """
    if min(pictures.shape) < 1:
        raise UsageError(f"pictures of {tuple(pictures.shape)}", "reference", "give at least one pixel")
    side, weight = encoder.config.image_size, next(encoder.parameters())
    bytes_ = pictures.cpu().permute(0, 3, 1, 2)  # the filter for bytes exists on the CPU alone
    small = functional.interpolate(bytes_, size=(side, side), mode="bicubic", antialias=True).float() / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    seen = encoder.vision_model(pixel_values=((small - mean) / std).to(weight)).last_hidden_state
    tokens: torch.Tensor = encoder.visual_projection(encoder.vision_model.post_layernorm(seen))
    return tokens
