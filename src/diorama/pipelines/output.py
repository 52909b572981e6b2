"""Where a run writes: names, what may be replaced, and how finished files get their tags and their final names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diorama.errors import UsageError
from diorama.media.atomic import atomic_path
from diorama.media.boxes import inject
from diorama.media.encoding import CONTAINERS, Encoding
from diorama.media.formats import ContainerTags, container_tags, stereo_format
from diorama.media.hdr import HdrMetadata
from diorama.media.recipe import Recipe, sidecar_path, write_sidecar
from diorama.media.safe import IMAGE_SUFFIXES, beside, local_path
from diorama.pipelines.presets import Look
from diorama.pipelines.work import WorkFolder

EXTRAS = (".diorama.json", ".comfort.json", ".comfort.png", ".report.html")
"""What stands beside an output, after its name."""
LONGEST_NAME = 255 - max(map(len, EXTRAS))
"""Bytes of an output's name that leave room for the extras."""
STILLS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}) & IMAGE_SUFFIXES


@dataclass(frozen=True)
class Target:
    """What a run writes.

    Attributes:
        path: the name given; for separate files the names are made from it.
        files: the finished files, one an output stream.
        overwrite: whether existing files are replaced.
        resume: whether an unfinished run is continued, and a finished one left alone.
    """

    path: Path
    files: tuple[Path, ...]
    overwrite: bool = False
    resume: bool = False

    @property
    def still(self) -> bool:
        """Whether images are written instead of videos."""
        return self.path.suffix.lower() in STILLS


def default_output(source: Path, look: Look, suffix: str = ".mp4") -> Path:
    """The name players recognise, beside the source: ``clip_LRF_Full_SBS.mp4``."""
    ending = "_3d" if look.separate else stereo_format(look.format).suffixes[0]
    if look.swap:
        ending = next((ending.replace(*names) for names in _SWAPPED if names[0] in ending), ending)
    return beside(source, ending + suffix)


# Players believe names: what they say first must be first.
_SWAPPED = (("_LR", "_RL"), ("_RL", "_LR"), ("_TBF_fulltb", "_BTF_fullbt"), ("_TB", "_BT"))


def make_target(
    given: str | Path, look: Look, *, inputs: Sequence[Path], overwrite: bool = False, resume: bool = False
) -> Target:
    """Check an output before anything is read, as `check_target` does; missing folders are made.

    Raises:
        UsageError: as there, or a folder that cannot be written.
    """
    target = check_target(given, look, inputs=inputs, overwrite=overwrite, resume=resume)
    _make_folder(target.path.parent)
    return target


def check_target(
    given: str | Path, look: Look, *, inputs: Sequence[Path] = (), overwrite: bool = False, resume: bool = False
) -> Target:
    """Check an output; nothing is made.

    Raises:
        UsageError: an unknown format, an input as output, or an existing file without `overwrite` or `resume`.
    """
    path = local_path(given)
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS and suffix not in STILLS:
        known = ", ".join([*CONTAINERS, *sorted(STILLS)])
        raise UsageError(f"unknown output format {path.suffix or '(none)'!r}", path, f"use one of {known}")
    if path.is_dir():
        raise UsageError("the output is a folder", path, "add a file name to the path")
    files = _files(path, look)
    if any(len(os.fsencode(file.name)) > LONGEST_NAME for file in files):
        raise UsageError("the output's name is too long", path.name, f"at most {LONGEST_NAME} bytes, ending included")
    extras = [file.with_name(file.name + extra) for file in (path, *files) for extra in EXTRAS]
    if any(_same(written, source) for written in (*files, *extras) for source in inputs):
        raise UsageError("the output is the input", path, "choose another name")
    going_on = resume and WorkFolder.waits(path)
    for file in files:
        ours = resume and sidecar_path(file).is_file()
        if file.exists() and not (overwrite or going_on or ours):
            raise UsageError("the output exists", file, "choose another name, or add --overwrite")
    return Target(path, files, overwrite, resume)


def _files(path: Path, look: Look) -> tuple[Path, ...]:
    if look.views > 2:
        return tuple(path.with_name(f"{path.stem}_view{i}{path.suffix}") for i in range(look.views))
    if look.format == "eyes":
        return tuple(path.with_name(f"{path.stem}{end}{path.suffix}") for end in stereo_format("eyes").suffixes)
    return (path,)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or os.path.samefile(one, other)
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the output folder cannot be made ({error.strerror})", folder, "choose another") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError("the output folder is not writable", folder, "choose another")


def tags_of(look: Look, suffix: str) -> ContainerTags:
    """How the container says where each eye is; nothing for separate files and more than two views."""
    if look.separate:
        return ContainerTags()
    tags = container_tags(look.format, swap=look.swap)
    return tags if suffix in (".mp4", ".m4v", ".mov") else ContainerTags(None, tags.matroska, tags.x264)


def encoder_options(tags: ContainerTags, encoding: Encoding, hdr: HdrMetadata | None) -> dict[str, dict[str, str]]:
    """Extra encoder options by codec: the H.264 frame-packing message, and HDR10 metadata in HEVC."""
    if encoding.codec == "libx264" and tags.x264 is not None:
        return {"libx264": {"x264-params": tags.x264}}
    if encoding.codec == "libx265" and hdr is not None:
        return {"libx265": {"x265-params": hdr.x265_params()}}
    return {}


def publish(made: Path, target: Path, tags: ContainerTags, recipe: Recipe, *, overwrite: bool) -> None:
    """Give a finished file its tags, its sidecar, and last its final name.

    Raises:
        UsageError: `target` appeared in the meantime.
        LimitError: the disk is full.
    """
    if tags.mp4 is not None:
        tagged = made.with_name(f"tagged{made.suffix}")
        inject(made, tagged, tags.mp4)
        tagged.replace(made)
    with atomic_path(target, overwrite=overwrite) as partial:
        made.replace(partial)
        write_sidecar(target, recipe)


def already_done(target: Target) -> bool:
    """Whether every file of a run stands complete with its sidecar, and nothing waits to be finished."""
    if WorkFolder.waits(target.path):  # stopped after the film had its name, before its reports
        return False
    return all(file.is_file() and sidecar_path(file).is_file() for file in target.files)
