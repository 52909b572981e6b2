"""Creatures and things that move, grown by chance: bodies with rigs, colours and motion for learning parts (SP4D)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.theatre.menagerie.animals import biped, hand, quadruped
from diorama.theatre.menagerie.bones import Bone
from diorama.theatre.menagerie.gaits import moved
from diorama.theatre.menagerie.growth import grown
from diorama.theatre.menagerie.growths import fish_or_snake, insect, plant
from diorama.theatre.menagerie.machines import furniture, robot

_MAKERS: dict[str, Callable[[np.random.Generator], tuple[Bone, ...]]] = {
    "biped": biped,
    "quadruped": quadruped,
    "hand": hand,
    "robot": robot,
    "plant": plant,
    "fish_or_snake": fish_or_snake,
    "insect": insect,
    "furniture": furniture,
}
FAMILIES = tuple(_MAKERS)
RIGID = ("robot", "furniture")
BLENDS = {"hand": 0.012, "insect": 0.01, "plant": 0.01, "fish_or_snake": 0.014}
"""Metres over which bones flow into each other, where it is not 0.02."""


@dataclass(frozen=True, eq=False)
class Creature:
    """Somebody or something of a family.

    Attributes:
        family: one of `FAMILIES`.
        figure: 1 metre at its longest side, standing on y = 0, looking along +Z; a part for each bone.
        bones: what it was grown from, before it was scaled, with the limits of its hinges.
    """

    family: str
    figure: Figure
    bones: tuple[Bone, ...]


def random_creature(rng: np.random.Generator, family: str | None = None) -> Creature:
    """A creature of a family, any by default.

    Raises:
        UsageError: no such family.
    """
    chosen = FAMILIES[int(rng.integers(len(FAMILIES)))] if family is None else family
    if chosen not in _MAKERS:
        raise UsageError(f"no family called {chosen!r}", "family", f"choose one of {', '.join(FAMILIES)}")
    bones = _MAKERS[chosen](rng)
    figure = grown(rng, bones, rigid=chosen in RIGID, blend=BLENDS.get(chosen, 0.02))
    return Creature(chosen, figure, bones)


def random_motion(
    rng: np.random.Generator, creature: Creature, *, frames: int = 24, fps: float = 12.0, extreme: bool = False
) -> Motion:
    """A motion of a creature in the rhythm of its family, or with far poses; every hinge stays within its limits.

    Raises:
        UsageError: no frames or no rate.
    """
    if frames < 1 or not fps > 0:
        raise UsageError(f"{frames} frames at {fps} a second", "random_motion", "give 1 or more, and a rate above 0")
    return moved(rng, creature.figure.skeleton, creature.bones, frames, fps, extreme=extreme)


__all__ = ["FAMILIES", "RIGID", "Creature", "random_creature", "random_motion"]
