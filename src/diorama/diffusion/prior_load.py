"""A prior from a folder of released weights, whichever it is; what the folder holds, its configurations say."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from diorama import catalog
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_animatediff import load_animatediff, motion_in
from diorama.diffusion.prior_parts import NEGATIVE, Asked, class_of
from diorama.diffusion.prior_wan import load_wan
from diorama.diffusion.prior_zeroscope import load_zeroscope
from diorama.diffusion.release import read_config
from diorama.errors import ModelError, UsageError

Load = Callable[[Path, Asked], Prior]


@dataclass(frozen=True)
class Kind:
    """Pipelines of one kind.

    Attributes:
        part: the folder of the network that denoises.
        network: its class.
        pipelines: classes that may be in model_index.json.
        load: makes the prior.
    """

    part: str
    network: str
    pipelines: tuple[str, ...]
    load: Load


KINDS = (
    Kind("unet", "UNet3DConditionModel", ("TextToVideoSDPipeline", "VideoToVideoSDPipeline"), load_zeroscope),
    Kind("unet", "UNet2DConditionModel", ("StableDiffusionPipeline", "AnimateDiffPipeline"), load_animatediff),
    Kind("transformer", "WanTransformer3DModel", ("WanPipeline",), load_wan),
)


PRIORS = ("zeroscope-v2-576w", "wan-2.1-t2v-1.3b", "sd15-pipeline", "animatediff-motion-v3")
"""What the catalogue calls them."""
GET = f"diorama models get {PRIORS[0]} (or {', '.join(PRIORS[1:3])}), then --prior {PRIORS[0]}"
"""How to come by one."""


def prior_folder(name: str) -> Path:
    """The folder of a prior, named by itself or as in the catalogue.

    Raises:
        ModelError: unknown, or not on this machine.
    """
    try:
        if Path(name).is_dir():
            return Path(name)
    except (OSError, ValueError) as error:
        raise ModelError("not a usable path", repr(name[:80]), "name a folder") from error
    if any(separator in name for separator in "/\\"):
        raise ModelError("no such folder", name, f"name a folder of weights, or one of {', '.join(PRIORS)}")
    table = tuple(catalog.find(known, catalog.ALL) for known in PRIORS)
    weights = catalog.find(name, table)
    folder = catalog.folder_of(weights)
    if folder is None:
        fix = f"diorama models get {name}, or --prior FOLDER"
        raise ModelError(f"{name} is not on this machine ({weights.terms})", "--prior", fix)
    return folder


def load_prior(
    folder: Path,
    *,
    prompt: str = "",
    negative_prompt: str = NEGATIVE,
    guidance_scale: float | int | None = None,
    device: torch.device | str = "auto",
    codec: Path | None = None,
) -> Prior:
    """A video network with its codec and a prompt, which is read once; the text encoder then leaves the memory.

    Args:
        folder: of Zeroscope or ModelScope, of Stable Diffusion 1.5 with motion modules, of motion modules alone, or of
            Wan 2.1, all as diffusers lays them out.
        prompt: what to show.
        negative_prompt: what to steer away from.
        guidance_scale: how far towards the prompt, 1 is none and halves the time; None: as released (7.5; Wan 5).
        device: "auto": CUDA where there is one. There in half precision, else in float32.
        codec: folder of another autoencoder for pictures of the same latents, such as SVD's.

    Raises:
        ModelError: another folder; parts missing, damaged, with NaN, with more than tensors, or that do not fit.
        OutOfMemoryError: the weights alone do not fit.
        UsageError: no such device, or a guidance that is none.
    """
    if not folder.is_dir():
        raise ModelError("no such folder", folder, "name a folder of weights, see diorama models list")
    if guidance_scale is not None and not 0 <= guidance_scale <= 100:
        raise UsageError(f"guidance {guidance_scale}", "guidance_scale", "give 0 to 100; 1 is none")
    asked = Asked(prompt, negative_prompt, guidance_scale, place_of(device), codec)
    return _kind(folder).load(folder, asked)


def _kind(folder: Path) -> Kind:
    pipeline = str(read_config(folder / "model_index.json").get("_class_name", ""))[:100]
    parts = {part: class_of(folder / part) for part in dict.fromkeys(kind.part for kind in KINDS)}
    found = next((kind for kind in KINDS if parts[kind.part] == kind.network), None)
    if found is None and not any(parts.values()) and motion_in(folder) is not None:
        found = next(kind for kind in KINDS if kind.load is load_animatediff)
    known = ", ".join(name for kind in KINDS for name in kind.pipelines)
    told = pipeline or next(filter(None, parts.values()), "")
    if found is None and not told and not (folder / "model_index.json").is_file():
        raise ModelError("no model_index.json: no pipeline of diffusers", folder, f"name a folder with one; or {GET}")
    if found is None:
        raise ModelError(f"no prior of films: {told or 'no pipeline of diffusers'}", folder, f"known: {known}")
    if pipeline and pipeline not in found.pipelines:
        raise ModelError(f"a folder of {pipeline}", folder, f"known: {known}")
    return found


def place_of(device: torch.device | str) -> torch.device:
    """A device that is there; "auto": CUDA where there is one.

    Raises:
        UsageError: there is none of that name.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).tolist()  # "meta" holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise UsageError(
            f"no device {str(device)!r}", "--device", "give auto, cpu, or a device that torch sees"
        ) from error
    return place
