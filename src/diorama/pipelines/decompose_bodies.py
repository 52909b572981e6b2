"""A body for everybody in a clip: fitted to landmarks and masks, or taken from the work of an earlier run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.actor import Actor
from diorama.core.person import Track
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.observation import Observation, guessed_camera
from diorama.figures.solve import fit
from diorama.media.actors import read_actor, write_actor
from diorama.perception.base import SMALL_SIDE

LEAST_POINTS = 6
"""Landmarks that some frame must show of somebody who gets a body."""


def bodies(
    people: tuple[Track, ...],
    size: tuple[int, int],
    fps: float,
    folder: Path,
    masks: Callable[[Track], Bool[np.ndarray, "t h w"]],
    progress: Progress,
) -> tuple[Actor, ...]:
    """Fit a body to each person; who shows too little of one is left out, and said so.

    Args:
        people: everybody.
        size: of the clip, height and width.
        fps: of the clip.
        folder: where finished fits are kept and found again.
        masks: gives somebody's masks, as `decompose_people.outline_masks`.
        progress: told of people.
    """
    progress.begin("bodies", len(people))
    found = []
    for person in people:
        file = folder / f"actor{person.number}.safetensors"
        if file.is_file():
            found.append(read_actor(file))
        else:
            actor = _fitted(person, size, fps, masks(person), progress)
            if actor is not None:
                write_actor(file, actor)
                found.append(actor)
        progress.advance()
    return tuple(found)


def _fitted(
    person: Track, size: tuple[int, int], fps: float, masks: Bool[np.ndarray, "t h w"], progress: Progress
) -> Actor | None:
    scale = np.float32(masks.shape[1] / size[0])
    points, world = observed(person)
    points[..., :2] *= scale
    try:
        seen = Observation(points, "mediapipe33", guessed_camera(*masks.shape[1:]), float(fps), world, masks)
        found = fit(seen, load_cast())
    except UsageError as error:
        progress.note(f"person {person.number} gets no body: {error.what}")
        return None
    name, first = f"person-{person.number}", int(person.frames[0])
    return Actor(
        name,
        person.number,
        name,
        f"{name}-front",
        person,
        found.figure,
        found.motion,
        found.cameras.scaled(*size),
        np.arange(first, first + len(points), dtype=np.int64),
        found.error / scale,
        found.guessed,
        found.standing,
        found.shape,
    )


def observed(person: Track) -> tuple[Float32[np.ndarray, "t 33 3"], Float32[np.ndarray, "t 33 3"] | None]:
    """Landmarks, and those in space, of all frames from the first to the last; unknown in gaps."""
    first, count = int(person.frames[0]), int(person.frames[-1] - person.frames[0]) + 1
    points = np.full((count, 33, 3), np.nan, np.float32)
    points[..., 2] = 0
    points[person.frames - first] = person.landmarks
    if person.world is None:
        return points, None
    world = np.full((count, 33, 3), np.nan, np.float32)
    world[person.frames - first] = person.world
    return points, world


def small_size(height: int, width: int) -> tuple[int, int]:
    """The size at which outlines are looked at."""
    scale = min(1.0, SMALL_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
