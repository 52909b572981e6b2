"""A folder of ordinary clips as training data: each is taken apart, and its people are cut into pieces (mimo.md 2.1).

What is made lies in a folder of its own: the scenes, and a shard of pieces for each of their people. What is there
already is not made again; a clip that shows nobody is left out, and said so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diorama.core.progress import Progress, Silent
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.lock import RunLock
from diorama.media.manifest import NAME
from diorama.media.recipe import Input
from diorama.media.safe import VIDEO_SUFFIXES
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.pipelines.train_clips_cut import Cut, Filmed, pieces, seen_windows

SHARDS = "*-[0-9][0-9][0-9][0-9][0-9].tar"
LEAST_SIDE = 48.0
"""Pixels of the square around a person, at least: smaller people teach blur."""
BAD = (MediaError, DamagedMediaError, LimitError, UsageError)
"""What may be wrong with one clip without ending the run."""


@dataclass(frozen=True)
class Prepared:
    """Training data.

    Attributes:
        folder: of the shards.
        clips: names of the clips that are in it.
        left_out: those that are not, with the reason.
    """

    folder: Path
    clips: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def prepare(folder: str | Path, work: str | Path, cut: Cut = Cut(), *, progress: Progress | None = None) -> Prepared:
    """Take all clips of a folder apart and cut their people into pieces; goes on where an earlier run stopped.

    Args:
        folder: with videos and scenes that `decompose` made, or one of these; one that holds shards is taken as it is.
        work: where scenes and shards are kept.
        cut: what pieces are like.
        progress: told of clips, stages, and what is left out.

    Raises:
        UsageError: no such folder, nothing in it, or nobody in any of its clips.
    """
    progress, source, target = progress or Silent(), Path(folder), Path(work)
    if source.is_dir() and any(source.glob(SHARDS)):
        return Prepared(source, ())
    found = _found(source)
    target.mkdir(parents=True, exist_ok=True)
    with RunLock(target):
        names: dict[str, list[str]] = {}
        left_out = []
        for number, place in enumerate(found, 1):
            progress.note(f"clip {number} of {len(found)}: {place.name}")
            try:
                names[place.name] = list(
                    _shards(_scene(place, target / "scenes", progress), place, target, cut, progress)
                )
            except BAD as error:
                left_out.append(f"{place.name}: {error}")
                progress.note(f"left out {left_out[-1]}")
        kept = {name for several in names.values() for name in several}
        if not kept:
            fix = "add clips of 2 seconds or more that show a person"
            raise UsageError(f"{len(found)} clips, and nobody to learn from in any", source, fix)
        for path in target.glob(SHARDS):  # of clips that are no longer in the folder
            if path.name.rpartition("-")[0] not in kept:
                path.unlink()
    return Prepared(target, tuple(names), tuple(left_out))


def _found(source: Path) -> list[Path]:
    """The scenes of a folder, then those of its clips that none of them is of."""
    if not source.exists():
        raise UsageError("no such folder", source, "name a folder of clips with --data")
    if (source / NAME).is_file() or source.is_file():
        return [source]
    entries = sorted(source.iterdir())
    scenes = [path for path in entries if (path / NAME).is_file()]
    clips = [path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not scenes and not clips:
        kinds = ", ".join(sorted(VIDEO_SUFFIXES)[:4])
        raise UsageError("neither clips nor scenes in the folder", source, f"put videos there ({kinds}, ...)")
    known = {one for scene in scenes for one in _inputs(scene)}
    return [*scenes, *(clip for clip in clips if not known or Input.of(clip) not in known)]


def _inputs(scene: Path) -> tuple[Input, ...]:
    try:
        made = read_manifest(scene).provenance
    except MediaError:  # told when it is its turn
        return ()
    return () if made is None else made.inputs


def _scene(place: Path, scenes: Path, progress: Progress) -> Path:
    """The scene of a clip, made where it is not there."""
    if (place / NAME).is_file():
        return place
    scenes.mkdir(exist_ok=True)
    target = scenes / f"{_plain(place.stem)}-{Input.of(place).sha256[:12]}"
    if not (target / NAME).is_file():
        from diorama.pipelines.decompose import decompose

        try:
            decompose(place, target, resume=True, progress=progress)
        except UsageError:  # what is unfinished is of another version
            decompose(place, target, progress=progress)
    return target


def _shards(scene: Path, place: Path, target: Path, cut: Cut, progress: Progress) -> Iterator[str]:
    """Writes what is missing of a scene's shards; yields their names without number and suffix."""
    from diorama.pipelines.animate_roi import roi_of
    from diorama.theatre.shards import ShardPlan, write_shards

    actors = read_actors(scene)
    if not actors:
        raise UsageError("nobody was found", scene.name, "remove it from the folder, or take it apart with --boxes")
    stage, reasons, found = Filmed.of(scene, place.name, read_scene(scene, verify=False)), [], False
    for actor in actors:
        chosen = seen_windows(actor, cut)
        side = float(roi_of(actor.motion, actor.cameras).sides.mean())
        if not chosen or side < LEAST_SIDE:
            least = f"{2 * cut.frames} frames of {LEAST_SIDE:g} pixels"
            reasons.append(f"{actor.name}: {len(actor)} frames of {side:.0f} pixels, {least} are needed")
            continue
        count = sum(window.pieces for window in chosen)
        name = f"{_plain(place.stem)}-{stage.digest}-{actor.number}-{cut.size}x{cut.frames}{'b' if cut.bodies else ''}"
        made = pieces(stage, actor, cut)
        try:
            # one shard, in order, so that each frame is read once
            plan, recipe = ShardPlan(target, name, count, count), {"cut": str(cut), "scene": stage.digest}
            write_shards(plan, lambda _, made=made: next(made), recipe=recipe, progress=progress)  # type: ignore[misc]
        except UsageError as error:
            reasons.append(str(error))
            continue
        found = True
        yield name
    if not found:
        raise UsageError("; ".join(reasons), scene.name)
    for reason in reasons:
        progress.note(f"{place.name}: left out {reason}")


def _plain(stem: str) -> str:
    """A name that fits into a file's on any system."""
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "clip"
