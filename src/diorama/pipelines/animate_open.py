"""Scenes and characters as they are named on a command line."""

from dataclasses import replace
from pathlib import Path

from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.figures.texture import Character
from diorama.media.manifest import NAME
from diorama.media.read import OpenedVideo, open_media
from diorama.media.recipe import Input
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.pipelines.animate_cast import character_of_actor, sights_of
from diorama.pipelines.animate_motion import MARK
from diorama.pipelines.animate_still import is_still
from diorama.pipelines.character import character_of_photo
from diorama.pipelines.decompose import decompose
from diorama.pipelines.film import Stage

ALL_SIGHTS = 16
"""Frames of an actor from which a character is made."""


def scene_of(given: str | Path, output: str | Path, *, resume: bool = False, progress: Progress | None = None) -> Path:
    """The scene's folder: as given, or, of a clip, ``<output>_scene``, where the clip is taken apart if it was not yet.

    Pictures and colours are scenes of their own, and come back as they are.

    Raises:
        DioramaError: see `decompose`.
    """
    clip = Path(given)
    if is_still(given):
        return clip
    if (clip / NAME).is_file():
        return clip
    folder = Path(output).with_name(f"{Path(output).stem}_scene")
    if (folder / NAME).is_file():
        made = read_manifest(folder).provenance
        if made is None or Input.of(clip) not in made.inputs:
            raise UsageError("it is the scene of another clip", folder, "name another output, or remove the folder")
    else:
        decompose(clip, folder, resume=resume, progress=progress)
    return folder


def path_of(who: str) -> Path:
    """The file or folder that a character comes from."""
    return Path(who.rpartition(MARK)[0] if MARK in who else who)


def character_of(who: str, progress: Progress) -> Character:
    """The character called `who`: a photo, or scene#actor.

    Raises:
        DioramaError: no such file, scene or actor; nobody in the photo.
    """
    if MARK not in who or Path(who).is_file():
        return character_of_photo(who, progress=progress).character
    folder, name = path_of(who), who.rpartition(MARK)[2]
    layered, actors = read_scene(folder), {actor.name: actor for actor in read_actors(folder, verify=False)}
    if name not in actors:
        raise UsageError(f"no actor {name!r}", folder, f"the scene has {', '.join(actors) or 'nobody'}")
    return character_of_actor(actors[name], sights_of(layered, actors[name], ALL_SIGHTS))


def stage_of(folder: Path) -> Stage:
    """The stage of a scene: the clip itself with its sound, or where the scene holds none, the scene put together."""
    layers, manifest = read_scene(folder), read_manifest(folder)
    if manifest.source is None:
        return Stage(layers, OpenedVideo(layers.composite(), folder))
    sound, start = folder / manifest.source, manifest.source_start
    opened = open_media(sound)
    return Stage(layers, replace(opened, video=opened.video[start : start + manifest.frames]), sound)
