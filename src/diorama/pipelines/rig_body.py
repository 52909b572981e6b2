"""A person of a picture or a scene as a rigged model: the fitted body in its looks, with the pose or motion it had."""

from dataclasses import replace

import numpy as np

from diorama.core.figure import Figure, Motion
from diorama.core.progress import Progress
from diorama.figures.atlas import atlas
from diorama.figures.texture import Character
from diorama.media.store import read_actors
from diorama.pipelines.animate_open import character_of, path_of
from diorama.pipelines.character import character_of_photo


def dressed_figure(character: Character) -> Figure:
    """The body with its clothes on, its texels as a texture."""
    figure = character.figure
    texture, uvs, uv_faces = atlas(character.texels, character.colors)
    mesh = replace(figure.mesh, uvs=uvs, uv_faces=uv_faces, texture=texture, colors=None)
    return replace(figure, mesh=mesh)


def body_of_photo(path: str, person: int | None, mask: str, progress: Progress) -> tuple[Figure, Motion]:
    """The person of a picture, and the pose it has there.

    Raises:
        DioramaError: nobody is found, or the picture cannot be read.
    """
    subject = character_of_photo(path, person=person, mask=mask, progress=progress)
    return dressed_figure(subject.character), on_ground(subject.fit.motion)


def body_of_scene(who: str, progress: Progress) -> tuple[Figure, Motion]:
    """An actor of a scene that ``diorama decompose`` made (``scene#person-1``), and what it did there.

    Raises:
        DioramaError: no such scene or actor.
    """
    character = character_of(who, progress)
    actors = {actor.name: actor for actor in read_actors(path_of(who), verify=False)}
    return dressed_figure(character), on_ground(actors[who.rpartition("#")[2]].motion)


def on_ground(motion: Motion) -> Motion:
    """A motion about the origin: a camera's world begins anywhere."""
    shift = motion.root[0] * np.array([1, 0, 1], np.float32)
    return replace(motion, root=(motion.root - shift).astype(np.float32))
