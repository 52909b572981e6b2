"""MIMO's networks from a folder laid out as the release (mimo.md 1.7)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel

from diorama.diffusion import key_maps
from diorama.diffusion._weight_files import PICKLE_SUFFIXES, SAFE_SUFFIXES
from diorama.diffusion.checkpoint import Tensors, read_tensors
from diorama.diffusion.clip_image import load_image_encoder
from diorama.diffusion.codec_kl import open_folder
from diorama.diffusion.families import shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.levels import Betas, Schedule, Spacing, schedule
from diorama.diffusion.mimo import PREDICTIONS, MimoNetworks
from diorama.diffusion.motion_unet import adapt
from diorama.diffusion.pose_encoder import load_pose_encoder
from diorama.diffusion.release import read_config
from diorama.diffusion.skeletons import HEADS, motion_unet_config, unet_config
from diorama.errors import ModelError, UsageError

POSITIONS = 32
"""Frames that motion modules can tell apart where the file has no table of positions."""

# The release's inference_v2.yaml; the release itself holds no config.json.
_SCHEDULER: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}
_BETAS: Mapping[object, Betas] = {"scaled_linear": "scaled_linear", "linear": "linear", "squaredcos_cap_v2": "cosine"}


def load_mimo(folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> MimoNetworks:
    """All networks of a release, in evaluation mode; sizes are read off the tensors.

    Args:
        folder: denoising_unet, motion_module, reference_unet and pose_guider (.pth or .safetensors), sd-vae-ft-mse/ (or
            vae/), image_encoder/; config.json, where present, tells attention heads and the scheduler.
        device: where to put them.
        dtype: of the weights.

    Raises:
        ModelError: a part missing, damaged, or of another architecture.
    """
    settings = read_config(folder / "config.json")
    heads = _heads(settings)
    trained, spacing, offset, prediction = _schedule(_part(settings, "scheduler"), folder)
    codec = open_folder(_inside(folder, "sd-vae-ft-mse", "vae"))
    return MimoNetworks(
        denoiser=_denoiser(folder, heads, dtype).to(device),
        reference=_reference(folder, heads, dtype).to(device),
        pose_encoder=load_pose_encoder(_file(folder, "pose_guider")).to(device, dtype),
        codec=codec.to(device, dtype),
        image_encoder=load_image_encoder(_inside(folder, "image_encoder")).to(device, dtype),
        schedule=trained,
        spacing=spacing,
        offset=offset,
        prediction=prediction,
    )


def _denoiser(folder: Path, heads: int, dtype: torch.dtype) -> UNetMotionModel:
    file = _file(folder, "denoising_unet")
    denoising, motion = read_tensors(file), _optional(folder, "motion_module")
    tensors = key_maps.with_positions(key_maps.mimo_denoiser(motion, denoising), POSITIONS)
    config = motion_unet_config(shapes_of(tensors))
    config.update(num_attention_heads=heads, motion_num_attention_heads=heads)
    unet = _built(UNetMotionModel, config, file, dtype)
    fit(unet, tensors, source=str(file))
    return cast(UNetMotionModel, adapt(unet.eval().requires_grad_(False)))


def _reference(folder: Path, heads: int, dtype: torch.dtype) -> UNet2DConditionModel:
    file = _file(folder, "reference_unet")
    tensors = key_maps.mimo_reference(read_tensors(file))
    config = {**unet_config(shapes_of(tensors)), "attention_head_dim": heads}
    unet = _built(UNet2DConditionModel, config, file, dtype)
    fit(unet, tensors, source=str(file), allow_missing=key_maps.REFERENCE_ABSENT)
    unet.conv_norm_out, unet.conv_out = None, torch.nn.Identity()  # what they would make is not read
    return cast(UNet2DConditionModel, adapt(unet.eval().requires_grad_(False)))


def _built(kind: Any, config: Mapping[str, Any], file: Path, dtype: torch.dtype) -> Any:
    try:
        with torch.device("meta"):
            return torch.nn.Module.to(kind(**config), dtype)  # diffusers' own `to` warns of layers there are none of
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the tensors describe no {kind.__name__} ({reason})", file) from error


def _file(folder: Path, stem: str) -> Path:
    """The file of a part, safetensors before pickles."""
    for suffix in SAFE_SUFFIXES + PICKLE_SUFFIXES:
        if (folder / (stem + suffix)).is_file():
            return folder / (stem + suffix)
    raise ModelError(f"no {stem}.pth in the release", folder, "download all of it")


def _optional(folder: Path, stem: str) -> Tensors:
    """A part that may be in another file: the denoiser's own may hold the motion modules."""
    there = any((folder / (stem + suffix)).is_file() for suffix in SAFE_SUFFIXES + PICKLE_SUFFIXES)
    return read_tensors(_file(folder, stem)) if there else {}


def _inside(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ModelError(f"no folder {' or '.join(names)} in the release", folder, "download all of it")


def _part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = settings.get(name, {})
    if not isinstance(part, dict):
        raise ModelError(f"{name} = {str(part)[:50]}, expected an object", "config.json")
    return part


def _heads(settings: Mapping[str, Any]) -> int:
    heads = _part(settings, "unet").get("attention_heads", HEADS)
    if isinstance(heads, bool) or not isinstance(heads, int) or not 1 <= heads <= 128:
        raise ModelError(f"attention_heads = {str(heads)[:50]}", "config.json", "expected 1 to 128")
    return heads


def _schedule(given: Mapping[str, Any], folder: Path) -> tuple[Schedule, Spacing, int, str]:
    """The schedule, and how samplers walk it, from the settings of a scheduler of diffusers."""
    wanted = {**_SCHEDULER, **given}
    spacing, prediction, betas = (wanted[n] for n in ("timestep_spacing", "prediction_type", "beta_schedule"))
    known = {"timestep_spacing": get_args(Spacing), "prediction_type": PREDICTIONS, "beta_schedule": _BETAS}
    for name, names in known.items():
        if not isinstance(wanted[name], str) or wanted[name] not in names:
            raise ModelError(f"{name} = {str(wanted[name])[:50]}", folder / "config.json", f"known: {', '.join(names)}")
    for name in ("beta_start", "beta_end", "num_train_timesteps", "steps_offset"):
        value, whole = wanted[name], not name.startswith("beta")
        number = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not number or not 0 <= value <= 100_000:
            raise ModelError(f"{name} = {str(value)[:50]}, expected a number", folder / "config.json")
    try:
        trained = schedule(
            _BETAS[betas],
            steps=wanted["num_train_timesteps"],
            beta_start=wanted["beta_start"],
            beta_end=wanted["beta_end"],
            zero_terminal_snr=wanted["rescale_betas_zero_snr"] is True,
        )
    except UsageError as error:
        raise ModelError(error.what, folder / "config.json", error.fix) from error
    return trained, spacing, wanted["steps_offset"], prediction
