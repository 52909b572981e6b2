"""A set of kinematic parts from any folder of rigged, animated GLB files (SP4D section 4.1, our rules).

Each object becomes one shard; a file that cannot serve is named with its reason in ``skipped.jsonl``.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress, Silent
from diorama.errors import DioramaError, UsageError
from diorama.figures.clean import resampled
from diorama.media.atomic import atomic_path
from diorama.media.mesh import Asset, read_glb
from diorama.theatre.dataset import object_arrays, object_note
from diorama.theatre.rigs import KinematicRig, fingerprint, kinematic_parts, reject_reason
from diorama.theatre.shards import Sample, ShardPlan, write_shards
from diorama.theatre.turntable import film

SUFFIXES = (".glb", ".gltf")
MOST_FILES = 200_000


@dataclass(frozen=True)
class RigSetConfig:
    """How objects are filmed.

    Attributes:
        size: pixels a side.
        views: evenly around.
        frames: over the whole animation.
        most_parts: parts of an object at most.
    """

    size: int = 256
    views: int = 24
    frames: int = 24
    most_parts: int = 32

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096 or not 1 <= self.views <= 360 or not 2 <= self.frames <= 2000:
            given = f"{self.size} pixels, {self.views} views, {self.frames} frames"
            raise UsageError(given, "--size, --views, --frames", "give 16 to 4096, 1 to 360 and 2 to 2000")
        if not 3 <= self.most_parts <= 127:
            raise UsageError(f"{self.most_parts} parts at most", "most_parts", "give 3 to 127")


@dataclass(frozen=True)
class RigSet:
    """What was made: a shard an object, and the files left out, each with a reason."""

    shards: list[Path]
    skipped: list[tuple[str, str]]


def write_rigs(
    folder: Path, output: Path, config: RigSetConfig = RigSetConfig(), progress: Progress | None = None
) -> RigSet:
    """Film every usable model of a folder; goes on where an earlier run stopped.

    Args:
        folder: searched with the folders in it.
        output: for the shards and the list of skipped files.
        config: how.
        progress: told of each file.

    Raises:
        UsageError: no folder, no model in it, or `output` holds another set.
    """
    progress = progress or Silent()
    paths = list(_models(folder))
    if not paths:
        raise UsageError(f"no {' or '.join(SUFFIXES)} files", str(folder), "give a folder of rigged models")
    shards: list[Path] = []
    skipped: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    progress.begin("models", len(paths))
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            with _unfit():
                found = _example(path, name, config, seen)
            shards += _filmed(found, output, config)
        except _UnfitError as error:
            skipped.append((name, error.what))
            progress.note(f"skipped {name}: {error.what}")
        progress.advance()
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(output / "skipped.jsonl") as partial:
        partial.write_text("".join(json.dumps({"file": file, "reason": reason}) + "\n" for file, reason in skipped))
    return RigSet(shards, skipped)


class _UnfitError(DioramaError):
    """A model that does not serve: the run goes on without it."""


@contextmanager
def _unfit() -> Iterator[None]:
    """What is wrong within the block is wrong with one model."""
    try:
        yield
    except DioramaError as error:
        raise _UnfitError(error.what, error.where, error.fix) from error


def _models(folder: Path) -> Iterator[Path]:
    """Model files below a folder, by name; links are not followed."""
    if folder.is_file():
        raise UsageError("a file", str(folder), "give the folder that the models are in")
    if not folder.is_dir():
        raise UsageError("no such folder", str(folder), "give a folder of rigged models")
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink():
            count += 1
            if count > MOST_FILES:
                raise UsageError(f"more than {MOST_FILES} models", str(folder), "split the folder")
            yield path


@dataclass(frozen=True, eq=False)
class Example:
    """A model that serves: its kinematic rig, its motion at the wanted frames, its name and the hash of its file."""

    rig: KinematicRig
    motion: Motion
    name: str
    digest: str


def _example(path: Path, name: str, config: RigSetConfig, seen: dict[str, str]) -> Example:
    """What one file holds.

    Raises:
        DioramaError: it cannot be read, or does not serve; says why.
    """
    figure, motion = _animated(read_glb(path))  # checks the size before anything else is read
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    mark = fingerprint(figure)
    if mark in seen:
        raise UsageError(f"the same object as {seen[mark]}", name)
    seen[mark] = name
    rig = kinematic_parts(figure, motion, most=config.most_parts)
    reason = reject_reason(rig, motion)
    if reason:
        raise UsageError(reason, name)
    motion = replace(motion, root=motion.root * np.array([0, 1, 0], np.float32))  # objects stay in the middle
    return Example(rig, _at(motion, config.frames), name, digest)


def _filmed(example: Example, output: Path, config: RigSetConfig) -> list[Path]:
    """The shard of an example.

    Raises:
        UsageError: `output` holds another set.
        _UnfitError: it cannot be drawn.
    """
    plan = ShardPlan(output, f"rig-{example.digest[:16]}", 1)
    recipe = {"diorama": "rigs", "name": example.name, "sha256": example.digest, **asdict(config)}

    def sample(_: int) -> Sample:
        with _unfit():
            return _sample(example, config)

    return write_shards(plan, sample, recipe=recipe)


def _sample(example: Example, config: RigSetConfig) -> Sample:
    rig, motion = example.rig, example.motion
    elevation = float(np.random.default_rng(int(example.digest[:8], 16)).uniform(-5, 30))
    seen = film(rig.figure, motion, views=config.views, size=config.size, elevation=elevation)
    note = object_note(seen, rig.figure.parts) | _rig_note(example)
    return Sample(object_arrays(seen) | _rig_arrays(rig, motion), note)


def _animated(asset: Asset) -> tuple[Figure, Motion]:
    """The rigged figure of a file with the longest of its motions."""
    if not asset.figures:
        raise UsageError("no skin: nothing says how its surface moves", asset.name)
    if not asset.motions:
        raise UsageError("no animation", asset.name)
    return asset.figures[0], max(asset.motions.values(), key=lambda motion: motion.seconds)


def _at(motion: Motion, frames: int) -> Motion:
    """A motion at `frames` evenly spaced times over its length."""
    return resampled(motion, (frames - 1) / max((len(motion) - 1) / motion.fps, 1e-6))[:frames]


def _rig_arrays(rig: KinematicRig, motion: Motion) -> dict[str, np.ndarray]:
    skeleton = rig.figure.skeleton
    return {
        "part_parents": rig.part_parents,
        "joint_parts": rig.figure.joint_parts,
        "joint_parents": skeleton.parents,
        "joint_rest": skeleton.rest,
        "rotations": motion.rotations,
        "root": motion.root,
    }


def _rig_note(example: Example) -> dict[str, object]:
    return {
        "recipe": "rigs",
        "file": example.name,
        "sha256": example.digest,
        "fps": example.motion.fps,
        "merged": example.rig.merged,
        "joint_names": list(example.rig.figure.skeleton.names),
        "tags": [],
    }
