"""Creatures that no tuning has seen, and what is true of them: their surface, tree and joints in the first frame."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh
from diorama.figures.pose import animate, joint_positions
from diorama.theatre.menagerie import FAMILIES, random_creature, random_motion
from diorama.theatre.turntable import Turntable, film

SEED = 96_000
"""Creatures from here on are used for nothing but this."""
RARE = 1_000
"""What numbers of creatures in rare poses are further."""
FPS = 12.0


@dataclass(frozen=True, eq=False)
class Known:
    """A creature whose rig is known, in the axes of its turntable.

    Attributes:
        family: of the menagerie.
        extreme: whether its poses are rare and far.
        figure, motion: as made.
        table: its pictures.
        mesh: its surface in the first frame.
        labels: the part of each vertex, by the joint that moves it most.
        parents: of the parts that have surface, the part that each hangs on; -1 for the root, -2 without surface.
        joints: of the parts.
        places: its vertices in every frame.
    """

    family: str
    extreme: bool
    figure: Figure
    motion: Motion
    table: Turntable
    mesh: Mesh
    labels: Int64[np.ndarray, " n"]
    parents: Int32[np.ndarray, " k"]
    joints: Float64[np.ndarray, "k 3"]
    places: Float32[np.ndarray, "t n 3"]

    @property
    def radius(self) -> float:
        """Of the ball that the cameras hold."""
        return float(np.linalg.norm(self.places, axis=-1).max())


def known(
    number: int, *, views: int = 12, frames: int = 4, size: int = 384, elevation: float = 10.0, extreme: bool = False
) -> Known:
    """The creature of a number, families in turn; in rare, far poses if `extreme`, which are other creatures."""
    family = FAMILIES[number % len(FAMILIES)]
    number += RARE * extreme
    rng = np.random.default_rng(SEED + number)
    creature = random_creature(rng, family)
    figure = creature.figure
    motion = random_motion(rng, creature, frames=frames, fps=FPS, extreme=extreme)
    table = film(figure, motion, views=views, size=size, elevation=elevation)
    places = animate(figure, motion)
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    scale = max(float((high - low).max()), 1e-9)
    moved = ((places - (low + high) / 2) / scale).astype(np.float32)
    joints = (joint_positions(motion)[0].astype(np.float64) - (low + high) / 2) / scale
    mesh = Mesh(np.ascontiguousarray(moved[0]), figure.mesh.faces, colors=figure.mesh.colors)
    labels = figure.joint_parts[figure.dense_weights.argmax(axis=1)].astype(np.int64)
    parents, places_of = _contracted(figure, labels, joints)
    return Known(family, extreme, figure, motion, table, mesh, labels, parents, places_of, moved)


def _contracted(
    figure: Figure, labels: Int64[np.ndarray, " n"], joints: Float64[np.ndarray, "j 3"]
) -> tuple[Int32[np.ndarray, " k"], Float64[np.ndarray, "k 3"]]:
    """The tree of the parts that have surface: others are left out, what hangs on them hangs on what they hang on."""
    skeleton, count = figure.skeleton, len(figure.parts)
    has = np.bincount(labels, minlength=count) > 0
    parents, places = np.full(count, -2, np.int32), np.zeros((count, 3))
    root = -1
    for joint in range(len(skeleton)):
        part = int(figure.joint_parts[joint])
        if not has[part] or parents[part] != -2:
            continue
        above = int(skeleton.parents[joint])
        while above >= 0 and (not has[figure.joint_parts[above]] or figure.joint_parts[above] == part):
            above = int(skeleton.parents[above])
        parents[part] = int(figure.joint_parts[above]) if above >= 0 else root
        places[part] = joints[joint]
        if root < 0 and above < 0:
            root = part
    return parents, places


def edges_of(parents: Int32[np.ndarray, " k"]) -> set[frozenset[int]]:
    """Pairs of parts that hang on each other."""
    return {frozenset((part, int(parent))) for part, parent in enumerate(parents) if parent >= 0}
