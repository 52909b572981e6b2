"""Gaussians over time as a folder of PLY files, one a moment: what any viewer of still Gaussians can play."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.atomic import atomic_folder
from diorama.media.safe import local_path, regular_file
from diorama.media.splat._numbers import AGAIN, whole
from diorama.media.splat.ply import gaussians_of, write_splat_ply

MOST_FILES = 10_000
MOST_BYTES = 2 << 30
"""Of all files together."""
_NAME = re.compile(r"[\w. -]{1,100}")
_NUMBERED = re.compile(r"(.*?)(\d+)\.ply", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class SplatSequence:
    """Moments of a scene, each with Gaussians of its own.

    Attributes:
        frames: in order of time.
        times: seconds, rising; None where the files do not say.

    Raises:
        UsageError: no frames, or times that do not rise or are of another number.
    """

    frames: tuple[Gaussians, ...]
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise UsageError("no frames", "SplatSequence")
        times = self.times
        if times is not None and (len(times) != len(self.frames) or not _rise(times)):
            raise UsageError(f"{len(times)} times of {len(self.frames)} frames", "SplatSequence", "give rising ones")

    def __len__(self) -> int:
        return len(self.frames)


def write_splat_sequence(
    folder: Path, moving: MovingGaussians, times: Iterable[float | int], *, name: str = "frame", overwrite: bool = False
) -> int:
    """Write ``name_00000.ply``, ``name_00001.ply``, ...; the folder appears when all of them are complete.

    Args:
        folder: to make.
        moving: the scene.
        times: seconds, rising, one for each file.
        name: of the files: letters, digits, space, dot, dash and underscore.
        overwrite: replace a folder that is there.

    Returns:
        The number of files.

    Raises:
        UsageError: no times, times that do not rise, a name that files cannot have, or the folder exists.
        LimitError: too many files, or the disk is full.
    """
    moments = [float(time) for time in times]
    if not moments or not _rise(moments):
        raise UsageError(f"{len(moments)} times", "write_splat_sequence", "give rising times in seconds")
    if len(moments) > MOST_FILES:
        raise LimitError(f"{len(moments)} files, the limit is {MOST_FILES}", folder, "write fewer a second")
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(f"the name {name[:100]!r}", "write_splat_sequence", "use letters, digits, dashes")
    with atomic_folder(folder, overwrite=overwrite) as partial:
        for number, time in enumerate(moments):
            write_splat_ply(partial / f"{name}_{number:05d}.ply", moving.at(time), time=time)
    return len(moments)


def read_splat_sequence(folder: Path) -> SplatSequence:
    """The PLY files of a folder in order of their numbers.

    Raises:
        UsageError: not a path of a local folder.
        MediaError: no folder, no numbered PLY files, a number given twice, files of several sequences, or a link that
            leads nowhere.
        DamagedMediaError: a file that cannot be read, or times that do not rise.
        LimitError: too many files, or too large together.
    """
    files = sequence_files(folder)
    total = sum(regular_file(file).stat().st_size for file in files)
    if total > MOST_BYTES:
        raise LimitError(f"{total / 1e9:.1f} GB of PLY files, the limit is {MOST_BYTES / 1e9:.1f} GB", folder)
    read = [gaussians_of(whole(file), file) for file in files]
    times = tuple(time for _, time in read if time is not None)
    frames = tuple(frame for frame, _ in read)
    if len(times) < len(frames):  # times of some files alone say nothing
        return SplatSequence(frames)
    if not _rise(times):
        raise DamagedMediaError("times that do not rise from file to file", folder, AGAIN)
    return SplatSequence(frames, times)


def sequence_files(folder: Path) -> list[Path]:
    """The numbered PLY files of a folder in order; raises as `read_splat_sequence`."""
    folder = local_path(folder)
    if not folder.is_dir():
        raise MediaError("no such folder", folder, "check the path")
    found: dict[tuple[str, int], Path] = {}
    for entry in folder.iterdir():
        match = _NUMBERED.fullmatch(entry.name)
        if match and not entry.name.startswith(".") and len(match[2]) < 16:
            twin = found.setdefault((match[1], int(match[2])), entry)
            if twin != entry:
                first, second = sorted((twin.name, entry.name))
                raise MediaError(f"one number in {first} and {second}", folder, "keep one of them")
    if not found:
        raise MediaError("no numbered PLY files in it", folder, "name a folder of name_00000.ply, name_00001.ply, ...")
    names = sorted({name for name, _ in found})
    if len(names) > 1:
        raise MediaError(f"files of {len(names)} sequences ({names[0]}, {names[1]})", folder, "keep one in a folder")
    if len(found) > MOST_FILES:
        raise LimitError(f"{len(found)} files, the limit is {MOST_FILES}", folder)
    return [found[key] for key in sorted(found)]


def _rise(times: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(times))
