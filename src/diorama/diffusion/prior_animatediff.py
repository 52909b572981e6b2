"""AnimateDiff as a prior: Stable Diffusion 1.5 with motion modules between its layers (Guo et al. 2024).

The folder is a pipeline of Stable Diffusion 1.5, or AnimateDiff's. Motion modules lie in its ``motion_adapter/``, in a
file beside (``v3_sd15_mm.ckpt``), or where `diorama models get` puts them; so does the pipeline where the folder holds
the motion modules alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diorama import catalog
from diorama.diffusion._weight_files import PICKLE_SUFFIXES, SAFE_SUFFIXES
from diorama.diffusion.checkpoint import peek_shapes
from diorama.diffusion.families import detect
from diorama.diffusion.mimo_load import video_network
from diorama.diffusion.prior_parts import AGAIN, Asked, class_of, config_of, half, picture_codec, tensors_of
from diorama.diffusion.prior_text import clip_vectors
from diorama.diffusion.prior_unet import UNetPrior
from diorama.diffusion.prior_zeroscope import check_context, coding_of, trained_by
from diorama.diffusion.release import Piece, open_release, pieces, read_config
from diorama.errors import ModelError

GUIDANCE = 7.5
FRAMES = 16
"""That motion modules were trained on; more positions lie in their tables."""
SIZE = (512, 512)
ADAPTER = "motion_adapter"
BASE, MODULES = "sd15-pipeline", ("animatediff-motion-v3", "animatediff-motion-v2")
"""Their names in the catalogue."""
_FAMILIES = ("animatediff-v1", "animatediff-v2", "animatediff-v3", "motion-adapter")
# AnimateDiff's own inference config: other betas than those of Stable Diffusion.
_TRAINED: Mapping[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
}


def load_animatediff(folder: Path, asked: Asked) -> UNetPrior:
    """The prior of a pipeline's folder and motion modules, see above.

    Raises:
        ModelError: parts missing, damaged, or of another network.
        OutOfMemoryError: the weights alone do not fit.
    """
    base, source = _places(folder)
    dtype = half(asked.device)
    motion = _motion(source)
    context = clip_vectors(base, [asked.prompt, asked.negative_prompt], device=asked.device, dtype=dtype)
    config = config_of(base / "unet", "UNet2DConditionModel")
    tensors = tensors_of(base / "unet", asked.device, dtype)
    heads = {
        "num_attention_heads": _heads(config, "attention_head_dim", base / "unet"),
        "motion_num_attention_heads": _heads(motion.config, "motion_num_attention_heads", source),
    }
    unet = video_network({**tensors, **motion.tensors}, f"{base / 'unet'} with {source}", dtype, heads)
    check_context(unet, context, base)
    codec = picture_codec(base, asked, int(unet.config.in_channels))
    settings = read_config(folder / "scheduler" / "scheduler_config.json") if _whole(folder) else {}
    trained = trained_by({**_TRAINED, **settings}, folder / "scheduler" / "scheduler_config.json")
    return UNetPrior(
        name="animatediff",
        size=SIZE,
        longest=min(FRAMES, int(unet.config.motion_max_seq_length)),
        unet=torch.nn.Module.to(unet, asked.device),
        codec=codec,
        trained=trained["schedule"],
        prediction=trained["prediction"],
        context=context,
        guidance_scale=asked.guidance(GUIDANCE),
        coding=coding_of(codec),
    )


def _whole(folder: Path) -> bool:
    """Whether the scheduler of the folder is AnimateDiff's: that of Stable Diffusion knows other betas."""
    return read_config(folder / "model_index.json").get("_class_name") == "AnimateDiffPipeline"


def motion_in(folder: Path) -> Path | None:
    """Motion modules in a folder: of diffusers, the folder itself or one within; or a file of AnimateDiff."""
    for place in (folder / ADAPTER, folder):
        if class_of(place) == "MotionAdapter":
            return place
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in SAFE_SUFFIXES + PICKLE_SUFFIXES)
    best = catalog.find(MODULES[0], catalog.ALL).files[0]
    files.sort(key=lambda file: file.name != best)  # the hub keeps all versions in one folder
    return next((file for file in files if detect(peek_shapes(file)).name in _FAMILIES), None)


def _places(folder: Path) -> tuple[Path, Path]:
    """Where the pipeline is, and where its motion modules are."""
    motion = motion_in(folder)
    base: Path | None = folder if (folder / "unet").is_dir() else None
    if motion is None:
        kept = [(catalog.folder_of(weights), weights) for weights in (catalog.find(m, catalog.ALL) for m in MODULES)]
        motion = next((place / weights.files[0] for place, weights in kept if place is not None), None)
    if base is None:
        base = catalog.folder_of(catalog.find(BASE, catalog.ALL))
    if motion is None:
        fix = f"diorama models get {MODULES[0]}, or put v3_sd15_mm.ckpt or {ADAPTER}/ into the folder"
        raise ModelError("a folder of Stable Diffusion without motion modules", folder, fix)
    if base is None:
        fix = f"diorama models get {BASE}, or put them into a folder of Stable Diffusion 1.5"
        raise ModelError("motion modules without the network that they go into", folder, fix)
    return base, motion


def _motion(source: Path) -> Piece:
    release = open_release(source)
    found = next((piece for piece in pieces(release) if piece.name == "motion"), None)
    if found is None or any(not name.split(".motion_modules.")[1:] for name in found.tensors):
        raise ModelError("no motion modules", source, AGAIN)
    return found


def _heads(config: Mapping[str, Any], name: str, where: Path) -> int:
    """A number of which the shapes tell nothing; that of Stable Diffusion 1.5 where the configuration is silent."""
    value = config.get(name, 8)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 256:
        raise ModelError(f"{name} = {str(value)[:50]}", where, "expected one number, 1 to 256")
    return value
