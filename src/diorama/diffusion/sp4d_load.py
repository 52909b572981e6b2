"""SP4D's release as networks that can be run: one file with everything (spec sp4d.md 2.5), or a folder of pieces.

The pictures' encoder and decoder and CLIP's vision tower become those of `diffusers` and `transformers`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from jaxtyping import Shaped

from diorama.core.extras import need
from diorama.diffusion.checkpoint import Tensors, listed, peek_shapes, read_tensors
from diorama.diffusion.clip_image import count_positions, load_image_encoder
from diorama.diffusion.codec_kl import DiffusersCodec, open_folder
from diorama.diffusion.dual_load import load_dual
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.families import FAMILIES, detect, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.mimo_room import check_room
from diorama.diffusion.release import read_config
from diorama.diffusion.skeletons import skeleton
from diorama.diffusion.view_shape import LARGEST, CameraAttention
from diorama.errors import ModelError, OutOfMemoryError

NAMES = ("dual.safetensors", "sp4d.safetensors")
"""Of the network in a folder; the first that is there counts."""
TOWER = "conditioner.embedders.0.open_clip.model.visual."
ENCODER = "conditioner.embedders.1.encoder."
DECODER = "first_stage_model.decoder."
SCALE = 0.18215
"""Of latents that are denoised (sp4d.md 1.6)."""
HEAD_DIM = 64
HOLDS = f"give the whole sp4d.safetensors, or a folder of {' or '.join(NAMES)}, vae/ and image_encoder/"

# (published, of transformers), by prefix; the first that fits counts.
_BLOCK = (
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
)
_ENDS = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    **{f"ln_pre.{kind}": f"pre_layrnorm.{kind}" for kind in ("weight", "bias")},
    **{f"ln_post.{kind}": f"post_layernorm.{kind}" for kind in ("weight", "bias")},
}
_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
Given = Mapping[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True, eq=False)
class Released:
    """What samples.

    Attributes:
        network: the denoiser.
        codec: pictures to latents and back, float32.
        image: CLIP's vision tower with its projection.
    """

    network: DualUNet
    codec: DiffusersCodec
    image: Any


@dataclass(frozen=True)
class _Places:
    """Where the pieces are: the file with the denoiser, and folders, or None where the file holds them too."""

    file: Path
    vae: Path | None = None
    image: Path | None = None
    head_dim: int = HEAD_DIM
    camera_attention: CameraAttention = "released"


def load_released(model: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Released:
    """The networks of SP4D, in evaluation mode.

    Args:
        model: the published file; or a folder with ``dual.safetensors`` (as `diorama train sp4d-stage2` exports it,
            with its ``settings.json``) or ``sp4d.safetensors``, and ``vae/`` and ``image_encoder/`` in the layouts of
            diffusers and transformers, which the whole file needs not.
        device: where they compute.
        dtype: of the denoiser and the image encoder; the codec stays in float32, as in the release.

    Raises:
        ModelError: what is missing, damaged, of another architecture, or made for another one of the pieces.
        OutOfMemoryError: they do not fit.
    """
    places = _places(model)
    try:
        check_room([places.file], torch.device(device), dtype)
    except OutOfMemoryError as error:
        fix = "close programs, take a machine with more, or use --model embedded"
        raise OutOfMemoryError(error.what, error.where, fix) from error
    codec, image = _pictures(places)
    codec, image = codec.to(device), image.to(device=device, dtype=dtype)
    network = load_dual(places.file, head_dim=places.head_dim, camera_attention=places.camera_attention, dtype=dtype)
    _check_together(network, codec, image, places.file)
    return Released(network.to(device).requires_grad_(False), codec, image)


def _places(model: Path) -> _Places:
    if model.is_dir():
        file = next((model / name for name in NAMES if (model / name).is_file()), None)
        if file is None:
            raise ModelError(f"neither {' nor '.join(NAMES)} in the folder", model, HOLDS)
        vae, image = (folder if folder.is_dir() else None for folder in (model / "vae", model / "image_encoder"))
        places = _Places(file, vae, image, *_settings(model / "settings.json"))
    else:
        places = _Places(model)
    shapes = peek_shapes(places.file)
    if detect(shapes).name != "sp4d":
        raise ModelError(f"no SP4D; the file holds: {detect(shapes).title}", places.file, HOLDS)
    wanted = [] if places.image else [("image encoder", "image_encoder/", TOWER)]
    wanted += [] if places.vae else [("encoder of pictures", "vae/", ENCODER), ("decoder of pictures", "vae/", DECODER)]
    absent = [each for each in wanted if not any(name.startswith(each[2]) for name in shapes)]
    if absent:
        told = "; ".join(f"no {what} ({folder} or {prefix}*)" for what, folder, prefix in absent)
        raise ModelError(told, model, HOLDS)
    return places


def _settings(path: Path) -> tuple[int, CameraAttention]:
    """What tensors do not tell, as our trainer writes it; the release's without a file."""
    config = read_config(path)
    head_dim, attention = config.get("head_dim", HEAD_DIM), config.get("camera_attention", "released")
    if type(head_dim) is not int or not 1 <= head_dim <= LARGEST or attention not in get_args(CameraAttention):
        given = f"head_dim {str(head_dim)[:40]!r}, camera_attention {str(attention)[:40]!r}"
        known = ", ".join(get_args(CameraAttention))
        raise ModelError(given, path, f"expected a number of channels, and one of {known}")
    return head_dim, attention


def _pictures(places: _Places) -> tuple[DiffusersCodec, Any]:
    """Codec and image encoder; of the file, only their tensors are taken."""
    ours = (TOWER, ENCODER, DECODER)
    inside: Tensors = {}
    if places.vae is None or places.image is None:
        inside = {name: value for name, value in read_tensors(places.file).items() if name.startswith(ours)}
    where = str(places.file)
    codec = open_folder(places.vae) if places.vae else codec_from(inside, where)
    return codec, load_image_encoder(places.image) if places.image else image_encoder_from(inside, where)


def _check_together(network: DualUNet, codec: DiffusersCodec, image: Any, where: Path) -> None:
    shape, tokens = network.shape, int(image.config.projection_dim)
    faults = [
        f"{what} of {found} where the network takes {taken}"
        for what, found, taken in (
            ("latents", codec.channels, shape.latent_channels),
            ("image tokens", tokens, shape.context_dim),
        )
        if found != taken
    ]
    faults += [f"camera vectors of {shape.vector_dim}, no multiple of 10"] if shape.vector_dim % 10 else []
    if faults:
        raise ModelError("; ".join(faults), where, "give pieces that were made for each other")


def image_encoder_from(tensors: Given, where: str) -> torch.nn.Module:
    """OpenCLIP's vision tower in the published file as `CLIPVisionModelWithProjection`.

    Raises:
        ModelError: tensors are missing, of another size, or too many; transformers is not installed.
    """
    need("transformers")
    theirs = {name.removeprefix(TOWER): value for name, value in tensors.items() if name.startswith(TOWER)}
    named = tower_names(theirs, where)
    shapes = shapes_of(named)
    try:
        width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
        config = {
            "hidden_size": width,
            "intermediate_size": shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
            "num_hidden_layers": sum(name.endswith("mlp.fc1.weight") for name in shapes),
            # 16 in all of OpenCLIP's towers from ViT-L on (ViT-H: 80 channels each), 64 channels each below
            "num_attention_heads": min(16, max(1, width // 64)),
            "patch_size": patch,
            "image_size": patch * math.isqrt(shapes["vision_model.embeddings.position_embedding.weight"][0] - 1),
            "projection_dim": shapes["visual_projection.weight"][0],
            "hidden_act": "gelu",
        }
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"no vision tower of OpenCLIP ({type(error).__name__}: {error})", where, HOLDS) from error
    network = skeleton(FAMILIES["clip-vision"], shapes, config)
    assert network is not None
    fit(network, named, source=where)
    count_positions(network)
    return network.eval().requires_grad_(False)


def tower_names(theirs: Given, where: str) -> Tensors:
    """OpenCLIP's names of a vision tower (without prefix) -> those of transformers; its joint projection is cut up.

    Raises:
        ModelError: names that such a tower does not have.
    """
    named: Tensors = {}
    strange = []
    for name, value in theirs.items():
        layer = _LAYER.fullmatch(name)
        if name == "proj" and value.ndim == 2:
            named["visual_projection.weight"] = value.T.contiguous()  # as transformers has it, to the last bit
        elif name in _ENDS:
            named[f"vision_model.{_ENDS[name]}"] = value
        elif layer is None:
            strange.append(TOWER + name)
        else:
            named |= {f"vision_model.encoder.layers.{layer[1]}.{n}": v for n, v in _block(layer[2], value).items()}
    if strange:
        raise ModelError(f"unexpected tensors: {listed(strange)}", where, "expected OpenCLIP's ViT")
    return named


def _block(name: str, value: Shaped[torch.Tensor, "..."]) -> Tensors:
    """A tensor of a layer; what has no place keeps its name, and is refused as unexpected."""
    if name.startswith("attn.in_proj_") and value.ndim:
        kind = name.removeprefix("attn.in_proj_")
        return {f"self_attn.{part}_proj.{kind}": v for part, v in zip("qkv", value.chunk(3), strict=False)}
    for theirs, ours in _BLOCK:
        if name.startswith(theirs):
            return {ours + name.removeprefix(theirs): value}
    return {name: value}


def codec_from(tensors: Given, where: str) -> DiffusersCodec:
    """The pictures' encoder and decoder in the published file: one `AutoencoderKL`, float32.

    The encoder is that of the condition, with its quant_conv; the decoder has none behind it (sp4d.md 1.6).

    Raises:
        ModelError: tensors are missing, of another size, or too many.
    """
    own = {}
    for name, value in tensors.items():
        inner = name.removeprefix(ENCODER)
        if name.startswith(ENCODER) and inner.startswith(("encoder.", "quant_conv.")):
            own[inner] = value
        elif name.startswith(DECODER):
            own[f"decoder.{name.removeprefix(DECODER)}"] = value
    config = _codec_config(shapes_of(own), where)
    network = skeleton(FAMILIES["vae"], {}, config)
    assert network is not None
    try:
        named = convert_ldm_vae_checkpoint(own, config)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(f"no autoencoder ({type(error).__name__}: {error})", where, HOLDS) from error
    if len(named) != len(own):
        raise ModelError(f"{len(own)} tensors of the autoencoder, of which {len(named)} have a place", where, HOLDS)
    fit(network, named, source=where)
    return DiffusersCodec(network.float().eval().requires_grad_(False))


def _codec_config(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    first = [name for name in shapes if re.fullmatch(r"encoder\.down\.\d\.block\.0\.conv1\.weight", name)]
    try:
        widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(len(first))]
        layers = sum(bool(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", name)) for name in shapes)
        latents = shapes["decoder.conv_in.weight"][1]
    except (KeyError, IndexError) as error:
        raise ModelError(f"no autoencoder ({type(error).__name__}: {error})", where, HOLDS) from error
    return {
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": widths,
        "layers_per_block": layers,
        "latent_channels": latents,
        "scaling_factor": SCALE,
        "use_quant_conv": True,
        "use_post_quant_conv": False,
    }
