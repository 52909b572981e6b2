"""Scenes and characters as they are named on a command line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diorama.core.progress import Progress
from diorama.errors import ModelError, UsageError
from diorama.figures.texture import Character
from diorama.media.manifest import NAME
from diorama.media.read import OpenedVideo, open_media
from diorama.media.recipe import Input
from diorama.media.safe import local_path, regular_file
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.pipelines.animate_cast import character_of_actor, sights_of
from diorama.pipelines.animate_config import NAMED, PlayConfig
from diorama.pipelines.animate_motion import MARK, check_motion
from diorama.pipelines.animate_still import is_color, is_still
from diorama.pipelines.character import character_of_photo
from diorama.pipelines.decompose import decompose
from diorama.pipelines.film import Stage
from diorama.theatre.moves import MOVES

ALL_SIGHTS = 16
"""Frames of an actor from which a character is made."""


def scene_of(
    given: str | Path,
    output: str | Path,
    *,
    resume: bool = False,
    anew: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The scene's folder: as given, or, of a clip, ``<output>_scene``, where the clip is taken apart if it was not yet.

    Pictures and colours are scenes of their own, and come back as they are. `resume` goes on where that was stopped,
    `anew` throws away what is unfinished.

    Raises:
        DioramaError: see `decompose`.
    """
    if is_still(given):
        return Path(given)
    clip = local_path(given)
    if (clip / NAME).is_file():
        return clip
    folder = Path(output).with_name(f"{Path(output).stem}_scene")
    if folder.exists() and not (folder / NAME).is_file():
        raise UsageError("no scene, where one is to be made", folder, "name another output, or remove the folder")
    if (folder / NAME).is_file():
        made = read_manifest(folder).provenance
        if made is None or Input.of(clip) not in made.inputs:
            raise UsageError("it is the scene of another clip", folder, "name another output, or remove the folder")
    else:
        decompose(clip, folder, resume=resume, overwrite=anew, progress=progress)
    return folder


def path_of(who: str) -> Path:
    """The file or folder that a character comes from."""
    return Path(who.rpartition(MARK)[0] if MARK in who and not Path(who).exists() else who)


def check_character(who: str) -> None:
    """Refuse a character that is not there before anything else is done; photos are not looked at.

    Raises:
        DioramaError: as `character_of`, but for what a photo shows.
    """
    path = path_of(who)
    if (path / NAME).is_file():
        names, name = [actor.name for actor in read_manifest(path).actors], who.rpartition(MARK)[2]
        if path == Path(who):
            fix = f"say whom: {', '.join(f'{who}{MARK}{one}' for one in names)}" if names else "it has nobody"
            raise UsageError("a scene, where somebody is expected", who, fix)
        if name not in names:
            raise UsageError(f"no actor {name!r}", path, f"the scene has {', '.join(names) or 'nobody'}")
    elif path == Path(who):
        regular_file(who)
    else:
        read_manifest(path)  # says that it is no scene


def check_characters(given: Sequence[str]) -> list[Path]:
    """Refuse characters, as a command line names them, that are not there; returns where they come from.

    Raises:
        DioramaError: none is given; or as `check_character`.
    """
    if not given:
        raise UsageError("no character", "--character", "give a photo, or an actor as scene#person-1")
    found = []
    for one in given:
        who = one if one and path_of(one).exists() else one.partition("=")[2] or one
        check_character(who)
        found.append(path_of(who))
    return found


def check_play(config: PlayConfig) -> None:
    """Refuse a motion or networks that are not there before anything else is done.

    Raises:
        DioramaError: as `animate_motion.check_motion`.
        UsageError: networks for the engine that has none.
        ModelError: no such networks.
    """
    if config.motion:
        check_motion(config.motion)
    if config.model and config.engine == "preview":
        raise UsageError("networks, which the preview does not use", "--model", "add --engine diffusion")
    if config.model not in ("", NAMED) and not Path(config.model).exists():
        fix = f"name what was trained or downloaded; diorama models get mimo -o {config.model}"
        raise ModelError("no such model", config.model, fix)


def files_named(*options: str) -> list[Path]:
    """The files and folders among what options name: a stopped run must not go on with others."""
    paths = [path_of(option) for option in options if option and option not in MOVES and not is_color(option)]
    return [path for path in paths if path.exists()]


def character_of(who: str, progress: Progress) -> Character:
    """The character called `who`: a photo, or scene#actor.

    Raises:
        DioramaError: no such file, scene or actor; nobody in the photo.
    """
    check_character(who)
    folder, name = path_of(who), who.rpartition(MARK)[2]
    if folder == Path(who):
        return character_of_photo(who, progress=progress).character
    layered, actors = read_scene(folder), {actor.name: actor for actor in read_actors(folder, verify=False)}
    return character_of_actor(actors[name], sights_of(layered, actors[name], ALL_SIGHTS))


def stage_of(folder: Path) -> Stage:
    """The stage of a scene: the clip itself with its sound, or where the scene holds none, the scene put together."""
    layers, manifest = read_scene(folder), read_manifest(folder)
    if manifest.source is None:
        return Stage(layers, OpenedVideo(layers.composite(), folder))
    sound, start = folder / manifest.source, manifest.source_start
    opened = open_media(sound)
    return Stage(layers, replace(opened, video=opened.video[start : start + manifest.frames]), sound)
