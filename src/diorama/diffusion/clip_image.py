"""Picture tokens from CLIP, as MIMO and its relatives give them to cross-attention.

MIMO takes one of the whole picture (mimo.md 1.2), SCD those of its patches too (scd.md 1.3).
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch.nn import functional

from diorama.core.extras import need
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.families import FAMILIES, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.release import read_config
from diorama.diffusion.skeletons import skeleton
from diorama.errors import ModelError, UsageError

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that OpenAI's CLIP was trained on, RGB in [0, 1]."""

NAMES = ("model.safetensors", "pytorch_model.bin", "model.fp16.safetensors")
_POSITIONS = "vision_model.embeddings.position_ids"


def load_image_encoder(folder: Path) -> torch.nn.Module:
    """`CLIPVisionModelWithProjection` from a folder of transformers, in evaluation mode, float32, on the CPU.

    Raises:
        ModelError: transformers is not installed; no config.json or weights; damaged weights or of another network.
    """
    need("transformers")
    config = read_config(folder / "config.json")
    if not config:
        raise ModelError("no config.json in the folder of the image encoder", folder, "download all of it")
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None:
        raise ModelError("no weights in the folder of the image encoder", folder, f"it must hold {NAMES[0]}")
    tensors = {name: each for name, each in read_tensors(file).items() if name != _POSITIONS}
    network = skeleton(FAMILIES["clip-vision"], shapes_of(tensors), config)
    if network is None or not hasattr(getattr(network, "config", None), "image_size"):
        raise ModelError("no image encoder of CLIP", folder, "expected CLIPVisionModelWithProjection")
    fit(network, tensors, source=str(file), allow_missing={_POSITIONS})
    count_positions(network)
    return network.float().eval().requires_grad_(False)


def count_positions(network: torch.nn.Module) -> None:
    """Fill in the positions of an encoder that was built without memory: counted through, they are in no file."""
    for name, table in list(network.named_buffers()):
        if table.is_meta:
            holder, _, leaf = name.rpartition(".")
            numbers = torch.arange(table.shape[-1]).expand(table.shape)
            network.get_submodule(holder).register_buffer(leaf, numbers, persistent=False)


def image_tokens(encoder: Any, pictures: UInt8[torch.Tensor, "r h w 3"]) -> Float[torch.Tensor, "r 1 d"]:
    """One token a picture: its projected embedding.

    Raises:
        UsageError: no pictures, or without pixels.
    """
    tokens: torch.Tensor = encoder(_prepared(encoder, pictures)).image_embeds[:, None]
    return tokens


def patch_tokens(encoder: Any, pictures: UInt8[torch.Tensor, "r h w 3"]) -> Float[torch.Tensor, "r n d"]:
    """Projected tokens of each picture: of the whole (that of `image_tokens`), then of its patches.

    With one token, queries of cross-attention learn nothing (scd.md 1.3).

    Raises:
        UsageError: no pictures, or without pixels.
    """
    seen = encoder.vision_model(pixel_values=_prepared(encoder, pictures)).last_hidden_state
    tokens: torch.Tensor = encoder.visual_projection(encoder.vision_model.post_layernorm(seen))
    return tokens


def _prepared(encoder: Any, pictures: UInt8[torch.Tensor, "r h w 3"]) -> Float[torch.Tensor, "r 3 s s"]:
    """As the release: resized to the encoder's size by a bicubic filter on bytes, then normalised.

    Pictures should be square; others are squeezed.
    """
    if min(pictures.shape) < 1:
        raise UsageError(f"pictures of {tuple(pictures.shape)}", "reference", "give at least one pixel")
    side, weight = encoder.config.image_size, next(encoder.parameters())
    bytes_ = pictures.cpu().permute(0, 3, 1, 2)  # the filter for bytes exists on the CPU alone
    small = functional.interpolate(bytes_, size=(side, side), mode="bicubic", antialias=True).float() / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return ((small - mean) / std).to(weight)
