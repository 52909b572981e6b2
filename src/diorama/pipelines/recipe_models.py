"""What answered in a run, as its recipe tells it: each network's name, content hash and licence.

Where they lie is nobody's business. Loads no framework before it is asked about a prior or an upscaler.
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from diorama import catalog
from diorama.media.atomic import content_hash
from diorama.perception import answers
from diorama.perception.base import DepthEstimator
from diorama.perception.depth_hub import HubDepth
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.presets import StereoConfig

EMBEDDED = "embedded"
PRIOR, CODEC, UPSCALER = "scene-s", "codec-s", "upscale-s"
"""What "embedded" means, in the catalogue's words."""
PARTS = frozenset([".safetensors", ".bin", ".ckpt", ".pth", ".pt", ".json"])
"""Endings of weights and configurations, in lower case."""
HEAD = 4000
STATED = re.compile(r"^(license(?:_name)?):\s*([\w.-]+)", re.MULTILINE)
"""The licence in the head of a README, the form that model pages use."""


def models_of(config: StereoConfig, estimator: DepthEstimator, note: Callable[[str], None]) -> dict[str, str]:
    """All that answers in a stereo run.

    Args:
        config: of the run.
        estimator: what answers depth.
        note: told of a download.

    Returns:
        dict[str, str]: as `answers.provenance` and `networks_of`; ``depth_licence`` of depth that is a network, which
        a folder names as `name_of` does.

    Raises:
        ModelError: a network is not to be found.
    """
    told = answers.provenance(estimator)
    if isinstance(estimator, HubDepth):
        folder = estimator.folder.path
        if Path(estimator.model).is_dir():
            told["depth"] = name_of(folder)
        told["depth_licence"] = licence_of(folder)
    return told | networks_of(config, note)


def networks_of(config: StereoConfig, note: Callable[[str], None]) -> dict[str, str]:
    """The networks besides depth that take part; reads them once for their hash.

    Args:
        config: of a stereo run.
        note: told of a download.

    Returns:
        dict[str, str]: ``prior``, ``autoencoder`` (unless the prior's own folder holds it) and ``upscaler``, each with
        its ``_sha`` (of a file that ships, SHA-256; of a folder, `fingerprint_of`) and ``_licence``.

    Raises:
        ModelError: one is not to be found.
    """
    told = painting_of(config.generative) if config.look.engine == "generative" else {}
    larger = config.larger
    if larger.upscale == 1:
        return told
    if larger.upscaler == EMBEDDED:
        return told | _packaged("upscaler", UPSCALER)
    from diorama.pipelines.upscale_hub import located  # torch: only where there is another upscaler

    return told | lying("upscaler", located(larger.upscaler, note).path, larger.upscaler)


def painting_of(config: Generative) -> dict[str, str]:
    """What paints in the generative engine: ``prior`` and ``autoencoder`` as `networks_of` tells them."""
    if config.prior == EMBEDDED:
        return _packaged("prior", PRIOR) | _packaged("autoencoder", CODEC)
    from diorama.diffusion.prior_load import prior_folder  # torch: only where there is a prior

    told = lying("prior", prior_folder(config.prior), config.prior)
    return told | (lying("autoencoder", Path(config.autoencoder)) if config.autoencoder else {})


def _packaged(question: str, name: str) -> dict[str, str]:
    entry = catalog.find(name, catalog.EMBEDDED)
    file = Path(catalog.__file__).parent / entry.packaged / entry.files[0]
    return {question: name, f"{question}_sha": content_hash(file), f"{question}_licence": entry.licence}


def lying(question: str, folder: Path, asked: str = "") -> dict[str, str]:
    """A network in a folder, which is read once for its hash.

    Args:
        question: what it answers, such as ``prior``.
        folder: where it lies.
        asked: its name, where it was not the folder that was given.

    Returns:
        dict[str, str]: its name under `question`, its ``_sha`` and ``_licence``.
    """
    name = name_of(folder) if not asked or Path(asked).is_dir() else asked
    return {question: name, f"{question}_sha": fingerprint_of(folder), f"{question}_licence": licence_of(folder)}


def named(option: str) -> str:
    """An option for a prior or an autoencoder as a recipe keeps it: where folders lie is nobody's business."""
    return option if option in ("", EMBEDDED) else name_of(Path(option))


def name_of(folder: Path) -> str:
    """What a folder with a network is called: as in the catalogue where it is known, else by its last name."""
    entry = catalog.at_folder(folder)
    return entry.name if entry else os.fsencode(folder.resolve().name).decode(errors="replace")


def licence_of(folder: Path) -> str:
    """The licence of the weights in a folder: the catalogue's word, else what the README's head states."""
    entry = catalog.at_folder(folder)
    if entry:
        return entry.licence
    readme = folder / "README.md"
    if not readme.is_file():
        return "unstated"
    with readme.open("rb") as file:
        stated = dict(STATED.findall(file.read(HEAD).decode("utf-8", "replace")))
    return str(stated.get("license_name") or stated.get("license") or "unstated")


def fingerprint_of(folder: Path) -> str:
    """SHA-256 (hexadecimal) of the names and contents of the weights and configurations in a folder.

    Those in its folders count, the layout of `diffusers`; README, pictures and what is hidden do not.
    """
    inner = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    total = hashlib.sha256()
    for place in (folder, *inner):
        for file in sorted(place.iterdir()):
            if file.suffix.lower() in PARTS and file.is_file() and not file.name.startswith("."):
                line = f"{content_hash(file)} {file.relative_to(folder).as_posix()}\n"
                total.update(line.encode(errors="surrogateescape"))
    return total.hexdigest()
