"""Zeroscope and ModelScope's text-to-video as a prior, from folders of TextToVideoSDPipeline (s2vg.md 1.5)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel

from diorama.diffusion.codec_kl import DiffusersCodec
from diorama.diffusion.coding import Coding
from diorama.diffusion.mimo_load import schedule_of
from diorama.diffusion.prior_parts import Asked, half, network_of, picture_codec, scheduler_config
from diorama.diffusion.prior_text import clip_vectors
from diorama.diffusion.prior_unet import UNetPrior
from diorama.errors import ModelError

GUIDANCE = 7.5
FRAMES = 16
"""As S2VG runs it; Zeroscope was trained on 24."""
SIZE, MODELSCOPE = (320, 576), 32
"""Zeroscope's pixels, and the sample_size of its configuration, which is still that of ModelScope."""
# What schedulers of diffusers take where the file says nothing.
_UNSAID = {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, "timestep_spacing": "leading"}
_BETAS = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
_WALK = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr", "prediction_type")


def load_zeroscope(folder: Path, asked: Asked) -> UNetPrior:
    """The prior of a pipeline's folder: unet/, vae/, text_encoder/, tokenizer/, scheduler/.

    Raises:
        ModelError: parts missing, damaged, or of another class.
        OutOfMemoryError: the weights alone do not fit.
    """
    dtype = half(asked.device)
    trained = trained_by(scheduler_config(folder), folder / "scheduler" / "scheduler_config.json")
    context = clip_vectors(folder, [asked.prompt, asked.negative_prompt], device=asked.device, dtype=dtype)
    unet = network_of(UNet3DConditionModel, folder / "unet", asked, dtype)
    check_context(unet, context, folder)
    codec = picture_codec(folder, asked, int(unet.config.in_channels))
    return UNetPrior(
        name="zeroscope",
        size=_size(unet.config.sample_size, codec.factor, folder),
        longest=FRAMES,
        unet=torch.nn.Module.to(unet, asked.device),
        codec=codec,
        trained=trained["schedule"],
        prediction=trained["prediction"],
        context=context,
        guidance_scale=asked.guidance(GUIDANCE),
        coding=coding_of(codec),
    )


def trained_by(given: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What a network was trained on, by the settings of a scheduler: its ``schedule`` and ``prediction``.

    Raises:
        ModelError: settings that are not known.
    """
    if given.get("trained_betas") is not None:
        raise ModelError("a schedule of its own betas", where, "expected beta_start, beta_end and beta_schedule")
    told = {name: given[name] for name in _WALK if given.get(name) is not None}
    return schedule_of({**_UNSAID, **_BETAS, **told}, where)


def check_context(unet: Any, context: torch.Tensor, where: Path) -> None:
    """Refuse a text encoder of another width than the network reads.

    Raises:
        ModelError: it is.
    """
    if context.shape[-1] != unet.config.cross_attention_dim:
        what = f"a text encoder {context.shape[-1]} wide for a network that reads {unet.config.cross_attention_dim}"
        raise ModelError(what, where, "name the folder of one pipeline")


def coding_of(codec: DiffusersCodec) -> Coding:
    """How many pictures at once; those that are decoded as films see each other only then."""
    return Coding(batch=FRAMES if codec.films else 4)


def _size(sample: Any, factor: int, where: Path) -> tuple[int, int]:
    """Pixels of what the network was made for, by its configuration."""
    sides = list(sample) if isinstance(sample, list | tuple) else [sample, sample]
    if sample is None or sides == [MODELSCOPE, MODELSCOPE]:
        return SIZE
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= 1024 for side in sides):
        raise ModelError(f"sample_size = {str(sample)[:50]}", where / "unet" / "config.json", "expected 1 to 1024")
    return sides[0] * factor, sides[1] * factor
