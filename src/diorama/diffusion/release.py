"""A folder or file of released weights -> the pieces of a model under the names of diffusers, one at a time.

What a file is, its tensors say (`families`); of its name only the suffix counts. Known are the releases of MIMO and
Moore-AnimateAnyone, AnimateDiff's motion modules, folders of SD-1.5, Zeroscope and Stable Video Diffusion, SP4D's file,
LoRA files, and single pieces of these.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diorama.diffusion import key_maps
from diorama.diffusion._weight_files import PICKLE_SUFFIXES, SAFE_SUFFIXES
from diorama.diffusion.checkpoint import Tensors, listed, peek_shapes, read_tensors
from diorama.diffusion.dual_keys import network_tensors
from diorama.diffusion.families import UNKNOWN, Family, Shapes, detect, shapes_of
from diorama.diffusion.lora import lora_tensors, read_lora
from diorama.diffusion.skeletons import check_names, motion_unet_config, unet_config
from diorama.errors import ModelError

DEPTH = 3
"""Folders within a release that are searched."""

FILES = 400
"""Weight files in a release, at most."""

JSON_LIMIT = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file of weights and what it is."""

    path: Path
    family: Family
    shapes: Shapes = field(repr=False)


@dataclass(frozen=True, eq=False)
class Piece:
    """One network's weights under the names of diffusers or transformers.

    Attributes:
        name: what it is in the model: ``denoiser``, ``reference``, ``pose_encoder``, ``vae``, ``unet``, ...
        family: of the tensors as they are here.
        tensors: of one network, all names checked where the network is known.
        sources: the files they come from.
        config: arguments of the network's class; empty where the file itself tells nothing.
        checked: whether the list of names was compared with the network's.
    """

    name: str
    family: Family
    tensors: Tensors
    sources: tuple[Path, ...]
    config: Mapping[str, Any]
    checked: bool


@dataclass(frozen=True)
class Release:
    """Released weights on the disk, looked at but not read.

    Attributes:
        root: the folder, or the only file.
        kind: ``mimo``, ``moore``, ``animatediff``, ``sd15``, ``zeroscope``, ``svd``, ``sp4d``, ``lora``, or the family
            of a single piece.
        parts: files by piece.
    """

    root: Path
    kind: str
    parts: Mapping[str, tuple[Found, ...]]


_ROLES = {
    **dict.fromkeys(("mimo-denoiser", "motion-unet"), "denoiser"),
    "sd15-unet": "unet",
    "reference-unet": "reference",
    "pose-guider": "pose_encoder",
    **dict.fromkeys(("animatediff-v1", "animatediff-v2", "animatediff-v3", "motion-adapter"), "motion"),
    **dict.fromkeys(("zeroscope-unet", "svd-unet", "sp4d", "sv4d"), "unet"),
    **dict.fromkeys(("vae", "temporal-vae"), "vae"),
    "clip-vision": "image_encoder",
    "clip-text": "text_encoder",
    **dict.fromkeys(("lora-kohya", "lora-peft", "lora-diffusers"), "lora"),
}
_TOGETHER = ("denoiser", "motion", "reference", "pose_encoder")
_MAKERS = {
    "mimo-denoiser": "mimo",
    "zeroscope-unet": "zeroscope",
    "svd-unet": "svd",
    "sd15-unet": "sd15",
    **{f"animatediff-v{version}": "animatediff" for version in (1, 2, 3)},
    **dict.fromkeys(("lora-kohya", "lora-peft", "lora-diffusers"), "lora"),
}


def open_release(path: Path) -> Release:
    """Find out what a folder or file of released weights is; values are not read.

    Raises:
        ModelError: nothing known, an incomplete or ambiguous release, or a damaged file.
    """
    found = [found for file in _files(path) if (found := _identified(file, alone=path.is_file())) is not None]
    roles: dict[str, list[Found]] = {}
    for one in found:
        roles.setdefault(_ROLES[one.family.name], []).append(one)
    if not roles:
        raise ModelError("no known weights in the folder", path, f"known: {', '.join(sorted(_ROLES))}")
    if "reference" in roles and "unet" in roles and "denoiser" not in roles:
        _promote(roles)  # Moore's denoiser has the tensors of SD-1.5
    for role, files in roles.items():
        if len(files) > 1:
            names = listed([str(one.path.relative_to(path)) for one in files])
            raise ModelError(f"{len(files)} files could be the {role}: {names}", path, "name one of them")
    kind = _kind(roles)
    if kind in ("mimo", "moore") and roles["denoiser"][0].family.name != "motion-unet":
        _check_whole(roles, path)
    return Release(path, kind, {role: tuple(files) for role, files in roles.items()})


def _files(path: Path) -> Iterator[Path]:
    """Weight files: one of each name, safetensors and full variants first."""
    if not path.is_dir():
        yield path
        return
    chosen: dict[tuple[Path, str], Path] = {}
    inside = [entry for depth in range(DEPTH + 1) for entry in sorted(path.glob("/".join(["*"] * (depth + 1))))]
    for entry in inside:
        if entry.suffix.lower() in SAFE_SUFFIXES + PICKLE_SUFFIXES and entry.is_file():
            key = (entry.parent, entry.name.split(".")[0])
            chosen[key] = min(chosen.get(key, entry), entry, key=_preference)
    if len(chosen) > FILES:
        raise ModelError(f"{len(chosen)} weight files, the limit is {FILES}", path, "name the folder of one model")
    yield from chosen.values()


def _preference(path: Path) -> tuple[bool, int, str]:
    return path.suffix.lower() not in SAFE_SUFFIXES, path.name.count("."), path.name


def _identified(file: Path, *, alone: bool) -> Found | None:
    """The file and its family; None for what a folder may hold beside (a safety checker, a whole model in one file)."""
    shapes = peek_shapes(file)
    family = detect(shapes)
    if family.name in _ROLES:
        return Found(file, family, shapes)
    if alone:
        names = listed(sorted(shapes))
        what = f"{len(shapes)} tensors of {family.title}: {names}"
        raise ModelError(what, file, f"known: {', '.join(sorted(_ROLES))}")
    _log.info("left out %s: %s", file, family.title)
    return None


def _promote(roles: dict[str, list[Found]]) -> None:
    """Of several UNets of SD-1.5, the one beside the reference network is the denoiser, another its base."""
    home = roles["reference"][0].path.parent
    beside = [one for one in roles["unet"] if one.path.parent == home]
    rest = [one for one in roles["unet"] if one.path.parent != home]
    if beside:
        roles["denoiser"] = beside
        roles.pop("unet")
        if rest:
            roles["unet"] = rest


def _kind(roles: Mapping[str, list[Found]]) -> str:
    if "denoiser" in roles:
        return "mimo" if roles["denoiser"][0].family.name == "mimo-denoiser" else "moore"
    for role in ("unet", "motion", "lora", *roles):
        if role in roles:
            name = roles[role][0].family.name
            return _MAKERS.get(name, name)
    return UNKNOWN.name


def _check_whole(roles: Mapping[str, list[Found]], path: Path) -> None:
    absent = [role for role in _TOGETHER if role not in roles]
    if path.is_dir() and absent:
        there = ", ".join(f"{role} ({files[0].path.name})" for role, files in roles.items())
        raise ModelError(f"the release lacks {', '.join(absent)}; found: {there}", path, "download all of it")


def pieces(release: Release) -> Iterator[Piece]:
    """The pieces of a release, read one at a time.

    Raises:
        ModelError: as `read_tensors` and `fit`: damaged values, or names and shapes that are not the network's.
    """
    for role in release.parts:
        if role == "denoiser" and "motion" in release.parts:
            yield _denoiser(release)
        elif not (role in ("motion", "unet") and "denoiser" in release.parts):
            yield _single(role, release.parts[role][0])


def _denoiser(release: Release) -> Piece:
    denoising, motion = release.parts["denoiser"][0], release.parts["motion"][0]
    files = [denoising.path, motion.path]
    base = None
    if "unet" in release.parts and not set(release.parts["unet"][0].shapes) <= set(denoising.shapes):
        files.append(release.parts["unet"][0].path)
        base = read_tensors(files[-1])
    tensors = key_maps.mimo_denoiser(read_tensors(motion.path), read_tensors(denoising.path), base)
    return _checked("denoiser", tensors, files, motion_unet_config(shapes_of(tensors)))


def _single(role: str, found: Found) -> Piece:
    tensors = read_tensors(found.path)
    config: Mapping[str, Any] = {}
    match found.family.name:
        case "reference-unet":
            tensors = key_maps.mimo_reference(tensors)
            config = unet_config(found.shapes)
        case "motion-unet":
            config = motion_unet_config(found.shapes)
        case "sd15-unet" | "mimo-denoiser":
            config = unet_config(found.shapes)
        case "pose-guider":
            tensors = key_maps.pose_guider(tensors)
        case "animatediff-v1" | "animatediff-v2" | "animatediff-v3":
            tensors = key_maps.animatediff(tensors)
        case "lora-kohya" | "lora-peft" | "lora-diffusers":
            tensors = lora_tensors(read_lora(tensors))
        case "vae" | "temporal-vae":
            tensors = key_maps.vae(tensors)
        case "clip-vision" | "clip-text":
            tensors = key_maps.clip(tensors)
        case "sp4d" | "sv4d":
            tensors = network_tensors(tensors, found.path)
    return _checked(role, tensors, [found.path], config or read_config(found.path.parent / "config.json"))


def _checked(name: str, tensors: Tensors, files: Iterable[Path], config: Mapping[str, Any]) -> Piece:
    family = detect(shapes_of(tensors))
    sources = tuple(files)
    where = ", ".join(str(file) for file in sources)
    checked = check_names(family, tensors, source=where, config=config)
    return Piece(name, family, tensors, sources, config, checked)


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object of at most 1 MB; empty where there is no such file.

    Raises:
        ModelError: too large, or no JSON object.
    """
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        data = file.read(JSON_LIMIT + 1)
    try:
        config = json.loads(data.decode("utf-8")) if len(data) <= JSON_LIMIT else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ModelError("no JSON object, or one of more than 1 MB", path, "copy or download the file again")
    return config
