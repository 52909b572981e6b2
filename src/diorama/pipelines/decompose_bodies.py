"""A body for everybody in a clip: fitted to landmarks and masks, or taken from the work of an earlier run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.actor import Actor
from diorama.core.figure import Motion, Skeleton
from diorama.core.person import LANDMARKS, Track
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.names import SIDES, roles_of
from diorama.figures.observation import Observation, guessed_camera
from diorama.figures.solve import fit
from diorama.media.actors import read_actor, write_actor

SEEN, SELDOM = 0.5, 0.4
"""Visibility of a landmark that counts, and share of the frames below which a limb is taken for unseen."""
LIMBS = {"upper_arm": ("elbow", "wrist"), "thigh": ("knee", "ankle")}
"""Limbs, and the landmarks that show them."""


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
        eased(found.motion, person, size),
        found.cameras.scaled(*size),
        np.arange(first, first + len(points), dtype=np.int64),
        found.error / scale,
        found.guessed,
        found.standing,
        found.shape,
    )


def eased(motion: Motion, person: Track, size: tuple[int, int]) -> Motion:
    """The motion with limbs that are hardly ever seen in their rest pose: they hang rather than come into view.

    Args:
        motion: of a body whose rest pose is at ease (an A-pose).
        person: with landmarks in pixels.
        size: of the picture, height and width.
    """
    x, y, sure = np.moveaxis(person.landmarks, -1, 0)
    seen = (sure > SEEN) & (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    roles, rotations = roles_of(motion.skeleton), motion.rotations.copy()
    for side in SIDES:
        for first, marks in LIMBS.items():
            places = [LANDMARKS.index(f"{side}_{mark}") for mark in marks]
            if f"{side}_{first}" in roles and seen[:, places].mean() < SELDOM:
                rotations[:, _below(motion.skeleton, roles[f"{side}_{first}"][0])] = (1, 0, 0, 0)
    return replace(motion, rotations=rotations)


def _below(skeleton: Skeleton, joint: int) -> list[int]:
    """A joint and all that hang on it."""
    found = [joint]
    for other, parent in enumerate(skeleton.parents):
        if parent in found:
            found.append(other)
    return found


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
