"""MIMO's networks from a folder laid out as the release (mimo.md 1.7)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel

from diorama import catalog
from diorama.diffusion import key_maps
from diorama.diffusion._weight_files import PICKLE_SUFFIXES, SAFE_SUFFIXES
from diorama.diffusion.checkpoint import Tensors, peek_shapes, read_tensors
from diorama.diffusion.clip_image import load_image_encoder
from diorama.diffusion.codec_kl import open_folder
from diorama.diffusion.families import shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.levels import Betas, Spacing, schedule
from diorama.diffusion.mimo import PREDICTIONS, MimoNetworks
from diorama.diffusion.motion_unet import adapt
from diorama.diffusion.pose_encoder import load_pose_encoder
from diorama.diffusion.release import read_config
from diorama.diffusion.skeletons import HEADS, motion_unet_config, unet_config
from diorama.errors import ModelError, UsageError

POSITIONS = 32
"""Frames that motion modules can tell apart where the file has no table of positions."""
STEMS = ("denoising_unet", "reference_unet", "pose_guider", "motion_module")
"""Files of a release; the last may be within the first."""
BASES = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16")

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
            vae/), image_encoder/, each of the last two also where `diorama models get` puts them; config.json, where
            present, tells attention heads and the scheduler. stable-diffusion-v1-5/unet/, where present, gives what
            denoising_unet leaves out, as in the release.
        device: where to put them.
        dtype: of the weights.

    Raises:
        ModelError: parts missing (all of them named), damaged, or of another architecture.
    """
    settings = read_config(folder / "config.json")
    heads = heads_of(settings)
    how = schedule_of(part_of(settings, "scheduler"), folder / "config.json")
    files = {stem: file for stem in STEMS if (file := file_of(folder, stem))}
    codec, image_encoder = codec_folder(folder), image_encoder_folder(folder)
    get = f"diorama models get mimo -o {folder}, or copy the missing files there"
    absent = {f"{stem}.pth": get for stem in STEMS[:3] if stem not in files}
    check_whole(folder, absent, codec, image_encoder)
    assert codec is not None
    assert image_encoder is not None
    tensors, source = _denoising(folder, files), str(files["denoising_unet"])
    both = {"num_attention_heads": heads, "motion_num_attention_heads": heads}
    reference = read_tensors(files["reference_unet"])
    return MimoNetworks(
        denoiser=video_network(tensors, source, dtype, both).to(device),
        reference=picture_network(reference, str(files["reference_unet"]), dtype, {"attention_head_dim": heads}).to(
            device
        ),
        pose_encoder=load_pose_encoder(files["pose_guider"]).to(device, dtype),
        codec=open_folder(codec).to(device, dtype),
        image_encoder=load_image_encoder(image_encoder).to(device, dtype),
        **how,
    )


def check_whole(folder: Path, absent: Mapping[str, str], codec: object | None, image_encoder: object | None) -> None:
    """Say all that is missing in a folder of networks at once, and how to get it.

    Args:
        folder: that the user named.
        absent: networks that are not there, with what to do.
        codec, image_encoder: None where they are not there.

    Raises:
        ModelError: something is missing.
    """
    fixes = dict(absent)
    if codec is None:
        fixes["sd-vae-ft-mse/"] = "diorama models get sd-vae-ft-mse"
    if image_encoder is None:
        fixes["image_encoder/"] = "diorama models get sd-image-variations"
    if fixes:
        raise ModelError(f"the folder lacks {', '.join(fixes)}", folder, "; ".join(dict.fromkeys(fixes.values())))


def video_network(
    tensors: Tensors, source: str, dtype: torch.dtype, sizes: Mapping[str, int] | None = None
) -> UNetMotionModel:
    """A denoiser of videos, ready for conditions.

    Args:
        tensors: in the layout of diffusers.
        source: where they come from, for messages.
        dtype: of the weights.
        sizes: arguments of the class that shapes do not tell.

    Raises:
        ModelError: other tensors than those of such a network.
    """
    named = key_maps.with_positions(tensors, POSITIONS)
    unet = _built(UNetMotionModel, {**motion_unet_config(shapes_of(named)), **(sizes or {})}, source, dtype)
    fit(unet, named, source=source)
    return cast(UNetMotionModel, adapt(unet.eval().requires_grad_(False)))


def picture_network(
    tensors: Tensors, source: str, dtype: torch.dtype, sizes: Mapping[str, int] | None = None
) -> UNet2DConditionModel:
    """A network that reads a picture, ready for conditions; arguments as `video_network`."""
    named = key_maps.mimo_reference(tensors)
    unet = _built(UNet2DConditionModel, {**unet_config(shapes_of(named)), **(sizes or {})}, source, dtype)
    fit(unet, named, source=source, allow_missing=key_maps.REFERENCE_ABSENT)
    unet.conv_norm_out, unet.conv_out = None, torch.nn.Identity()  # what they would make is not read
    return cast(UNet2DConditionModel, adapt(unet.eval().requires_grad_(False)))


def _denoising(folder: Path, files: Mapping[str, Path]) -> Tensors:
    """The denoiser's tensors; motion modules, and what Stable Diffusion gives, may be in other files or its own."""
    denoising, motion, base = read_tensors(files["denoising_unet"]), Tensors(), None
    if "motion_module" in files:
        motion = read_tensors(files["motion_module"])
    started = [file for stem in BASES if (file := file_of(folder / "stable-diffusion-v1-5" / "unet", stem))]
    if started and not set(peek_shapes(started[0])) <= set(denoising):
        base = read_tensors(started[0])
    return key_maps.mimo_denoiser(motion, denoising, base)


def _built(kind: Any, config: Mapping[str, Any], source: str, dtype: torch.dtype) -> Any:
    try:
        with torch.device("meta"):
            return torch.nn.Module.to(kind(**config), dtype)  # diffusers' own `to` warns of layers there are none of
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the tensors describe no {kind.__name__} ({reason})", source) from error


def file_of(folder: Path, stem: str) -> Path | None:
    """The file of a part, safetensors before pickles; None where there is none."""
    places = (folder / (stem + suffix) for suffix in SAFE_SUFFIXES + PICKLE_SUFFIXES)
    return next((file for file in places if file.is_file()), None)


def codec_folder(folder: Path) -> Path | None:
    """Where the codec of a release is: in its folder, or where `diorama models get` puts it."""
    inside = (folder / name for name in ("sd-vae-ft-mse", "vae") if (folder / name).is_dir())
    return next(inside, None) or catalog.folder_of(catalog.find("sd-vae-ft-mse", catalog.ALL))


def image_encoder_folder(folder: Path) -> Path | None:
    """As `codec_folder`, of the image encoder."""
    if (folder / "image_encoder").is_dir():
        return folder / "image_encoder"
    kept = catalog.folder_of(catalog.find("sd-image-variations", catalog.ALL))
    return None if kept is None else kept / "image_encoder"


def part_of(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within a config.json; empty where there is none."""
    part = settings.get(name, {})
    if not isinstance(part, dict):
        raise ModelError(f"{name} = {str(part)[:50]}, expected an object", "config.json")
    return part


def heads_of(settings: Mapping[str, Any]) -> int:
    """Attention heads, of which shapes tell nothing."""
    heads = part_of(settings, "unet").get("attention_heads", HEADS)
    if isinstance(heads, bool) or not isinstance(heads, int) or not 1 <= heads <= 128:
        raise ModelError(f"attention_heads = {str(heads)[:50]}", "config.json", "expected 1 to 128")
    return heads


def schedule_of(given: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The schedule and how samplers walk it, as fields of `MimoNetworks`, from the settings of a diffusers' scheduler.

    Args:
        given: settings; what they leave out is the release's.
        where: the file they are of, for messages.

    Raises:
        ModelError: a setting that is not known here.
    """
    wanted = {**_SCHEDULER, **given}
    spacing, prediction, betas = (wanted[n] for n in ("timestep_spacing", "prediction_type", "beta_schedule"))
    known = {"timestep_spacing": get_args(Spacing), "prediction_type": PREDICTIONS, "beta_schedule": _BETAS}
    for name, names in known.items():
        if not isinstance(wanted[name], str) or wanted[name] not in names:
            raise ModelError(f"{name} = {str(wanted[name])[:50]}", where, f"known: {', '.join(names)}")
    for name in ("beta_start", "beta_end", "num_train_timesteps", "steps_offset"):
        value, whole = wanted[name], not name.startswith("beta")
        number = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not number or not 0 <= value <= 100_000:
            raise ModelError(f"{name} = {str(value)[:50]}, expected a number", where)
    try:
        trained = schedule(
            _BETAS[betas],
            steps=wanted["num_train_timesteps"],
            beta_start=wanted["beta_start"],
            beta_end=wanted["beta_end"],
            zero_terminal_snr=wanted["rescale_betas_zero_snr"] is True,
        )
    except UsageError as error:
        raise ModelError(error.what, where, error.fix) from error
    return {"schedule": trained, "spacing": spacing, "offset": wanted["steps_offset"], "prediction": prediction}
