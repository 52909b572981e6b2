"""The autoencoders of `diffusers` as codecs: of Stable Diffusion, its tiny one (TAESD), and that of SVD for films.

Encoding takes the mean of the posterior, not a sample of it: the same frames give the same latents. Inside, frames are
in [-1, 1]; latents are ``(z - shift_factor) * scaling_factor`` (Rombach et al. 2022, appendix D.1).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder, AutoencoderTiny
from jaxtyping import Shaped

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.codec import Codes, Frames, check_frames, check_latents
from diorama.diffusion.fit import fit
from diorama.errors import ModelError

CLASSES: dict[str, Any] = {
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderTiny": AutoencoderTiny,
    "AutoencoderKLTemporalDecoder": AutoencoderKLTemporalDecoder,
}
CONFIG_LIMIT = 1_000_000
WIDEST, DEEPEST = 4096, 64
"""Channels and blocks beyond which a configuration is refused before it takes memory."""

# What the weights of Stable Diffusion called the attention of the middle block before diffusers 0.15.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class DiffusersCodec(torch.nn.Module):
    """An autoencoder of `diffusers` behind the protocol `Codec`.

    The temporal decoder of Stable Video Diffusion takes what it is given at once for consecutive frames of one film,
    which see each other (`films`); all others decode each picture for itself.

    Args:
        network: of one of `CLASSES`; used as it is, tiling and slicing of its own included.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.channels = int(network.config.latent_channels)
        self.factor = _factor(network)
        self.scale = float(network.config.scaling_factor or 1.0)
        self.shift = float(network.config.get("shift_factor") or 0.0)
        self.films = isinstance(network, AutoencoderKLTemporalDecoder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def encode(self, frames: Frames) -> Codes:
        """As `Codec.encode`; the latents are in the dtype of the frames."""
        check_frames(frames, self)
        coded = self.network.encode((2 * frames - 1).to(self.network.dtype))
        z = coded.latents if isinstance(self.network, AutoencoderTiny) else coded.latent_dist.mode()
        return ((z - self.shift) * self.scale).to(frames.dtype)

    def decode(self, latents: Codes) -> Frames:
        """As `Codec.decode`; the frames are in the dtype of the latents."""
        check_latents(latents, self)
        z = latents / self.scale + self.shift
        several = {"num_frames": len(z)} if self.films else {}
        frames = self.network.decode(z.to(self.network.dtype), **several).sample
        return (frames / 2 + 0.5).clamp(0, 1).to(latents.dtype)


def open_folder(folder: Path) -> DiffusersCodec:
    """Load a folder with ``config.json`` and one file of weights, in evaluation mode, float32, on the CPU.

    The folder may also be one of a pipeline, whose ``vae`` is then taken.

    Raises:
        ModelError: no configuration, another class, weights that are missing, damaged or of another architecture.
    """
    inner = folder if (folder / "config.json").is_file() else folder / "vae"
    network = _empty(read_config(inner / "config.json"), inner)
    fit(network, _renamed(read_tensors(_weights(inner))), source=str(inner))
    return DiffusersCodec(network.float().eval().requires_grad_(False))


def read_config(path: Path) -> dict[str, Any]:
    """A configuration of `diffusers`: a JSON object of at most 1 MB.

    Raises:
        ModelError: missing, too large, or not a JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_LIMIT + 1)
    except OSError as error:
        fix = f"name a folder of {', '.join(CLASSES)}, with config.json and weights"
        raise ModelError("no config.json in the folder of the codec", path.parent, fix) from error
    if len(data) > CONFIG_LIMIT:
        raise ModelError(f"a configuration of more than {CONFIG_LIMIT} bytes", path)
    try:
        loaded = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not a JSON file ({str(error)[:100]})", path) from error
    if not isinstance(loaded, dict):
        raise ModelError("not a JSON object", path)
    return loaded


def _empty(config: Mapping[str, Any], folder: Path) -> Any:
    """The network of a configuration, with no values yet worth keeping."""
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in CLASSES:
        known = ", ".join(CLASSES)
        raise ModelError(f"a codec of the class {str(name)[:100]!r}", folder, f"known: {known}")
    _check_sizes(config, folder)
    try:
        with torch.device("meta"):  # a wrong configuration must not cost memory
            network = CLASSES[name].from_config(dict(config))
            _ = _factor(network)
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError, AttributeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the configuration of {name} does not work ({reason})", folder) from error
    if network.config.get("in_channels", 3) != 3 or network.config.get("out_channels", 3) != 3:
        raise ModelError("a codec for other than RGB pictures", folder)
    return network


def _check_sizes(config: Mapping[str, Any], folder: Path) -> None:
    """Numbers in a configuration that a network could be built from."""
    for key, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            limit = DEEPEST if "num_" in key or "layers" in key else WIDEST
            if not math.isfinite(number) or abs(number) > limit:
                raise ModelError(f"{key} = {number}, at most {limit} is sensible", folder / "config.json")
        if isinstance(value, list) and len(value) > DEEPEST:
            raise ModelError(f"{key} has {len(value)} entries", folder / "config.json")
    scale = config.get("scaling_factor")
    if scale is not None and (not isinstance(scale, int | float) or scale <= 0):
        raise ModelError(f"scaling_factor = {scale!r}, expected a number above 0", folder / "config.json")


def _factor(network: Any) -> int:
    """Pixels a side of one latent position."""
    config = network.config
    tiny = isinstance(network, AutoencoderTiny)
    blocks = config.encoder_block_out_channels if tiny else config.block_out_channels
    return int(2 ** (len(blocks) - 1))


def _weights(folder: Path) -> Path:
    """The file of the weights: safetensors before pickles, full precision before half."""
    names = [f"diffusion_pytorch_model{kind}" for kind in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError("no weights in the folder of the codec", folder, f"it must hold {names[0]}")


def _renamed(tensors: Mapping[str, Shaped[torch.Tensor, "..."]]) -> dict[str, Shaped[torch.Tensor, "..."]]:
    """Old names of the attention as they are now; its 1x1 convolutions are matrices."""
    found = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if "attentions" in parts and len(parts) > 1 and parts[-2] in _OLD_NAMES:
            parts[-2] = _OLD_NAMES[parts[-2]]
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        found[".".join(parts)] = tensor
    return found
