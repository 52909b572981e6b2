"""A person's body drawn into a frame, and what is known around it before its layers are told apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.figures.show import posed
from diorama.geometry.raster import Fragments, interpolate, rasterize
from diorama.perception.nearness import nearness
from diorama.perception.peel import Around, Cues, Peeled, continued, peel, seen
from diorama.perception.peel_memory import Memory

SEEN = 0.8
"""Coverage from which on a pixel surely shows the person."""
ROOM = 0.12
"""Part of a person's height that is looked at around it."""

Mask = Bool[np.ndarray, "h w"]
Map = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Body:
    """A person with the look of its surface (`surface_look`), and the posed surface of one frame after the other."""

    actor: Actor
    look: Float32[np.ndarray, "v 4"]
    small: Cameras

    def poses(self) -> Iterator[Float32[np.ndarray, "v 3"]]:
        """The surface in each frame of the actor."""
        return posed(self.actor.figure, self.actor.motion)


@dataclass(frozen=True, eq=False)
class View:
    """A frame at reduced size.

    Attributes:
        image: the frame.
        inverse: its inverse depth, coarse and of any scale.
        plate: the scene behind.
        known: where that was truly seen.
        soft: masks of everybody, by number.
    """

    image: UInt8[np.ndarray, "h w 3"]
    inverse: Float32[np.ndarray, "dh dw"]
    plate: UInt8[np.ndarray, "h w 3"]
    known: Mask
    soft: Mapping[int, Map]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A body drawn into the reduced frame, in its own part of it.

    Attributes:
        body: who.
        soft: its mask.
        covered: where the body is.
        part: rows and columns of the frame that are looked at.
        surface: of the body there, continued beyond it: colours, how loose they are, metres to the camera.
        outside, inside: distances to its outline there.
        tall: pixels of its height.
    """

    body: Body
    soft: Map
    covered: Mask
    part: tuple[slice, slice]
    surface: Float32[np.ndarray, "ch cw 5"]
    outside: Float32[np.ndarray, "ch cw"]
    inside: Float32[np.ndarray, "ch cw"]
    tall: float

    @staticmethod
    def of(body: Body, vertices: Float32[np.ndarray, "v 3"], index: int, soft: Map) -> "Drawn":
        """Draw it."""
        place = index - int(body.actor.frames[0])
        faces = body.actor.figure.mesh.faces
        found = rasterize(vertices, faces, body.small[place : place + 1])
        covered: Mask = found.face_ids >= 0
        part, tall = _part(covered | (soft > 0.5))
        inner = np.ascontiguousarray(covered[part])
        here = Fragments(found.face_ids[part], found.barycentrics[part], found.depth[part])
        look = interpolate(here, faces, body.look)
        far, nearest = cv2.distanceTransformWithLabels(
            (~inner).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        deep = cv2.distanceTransform(inner.view(np.uint8), cv2.DIST_L2, 5)
        surface = continued(look, here.depth, inner, nearest)
        return Drawn(body, soft, covered, part, surface, np.asarray(far), np.asarray(deep), tall)

    @property
    def number(self) -> int:
        """Whose body it is."""
        return self.body.actor.number

    def around(self, view: View, memory: Memory) -> Around:
        """What is known of the person's surroundings."""
        image, plate, known, soft = (self._cut(a) for a in (view.image, view.plate, view.known, self.soft))
        rest = [self._cut(mask) for number, mask in view.soft.items() if number != self.number]
        others = np.maximum.reduce(rest) if rest else np.zeros_like(soft)
        colors, loose, metres = (np.ascontiguousarray(self.surface[..., c]) for c in (slice(3), 3, 4))
        sure = (self.inside > 0) & (soft > SEEN)
        ahead = nearness(view.inverse, self.soft.shape, self.part, metres=metres, seen=sure)
        body = (colors, self.outside, self.inside, self.tall)
        return Around(image, plate, known, soft, others, memory.likely(view.image, self.part), *body, ahead, loose)

    def behind(self, around: Around, plate: UInt8[np.ndarray, "h w 3"], known: Mask) -> Around:
        """The same surroundings with another scene behind, of the whole reduced frame."""
        return replace(around, plate=self._cut(plate), known=self._cut(known))

    def peel(self, around: Around, cues: Cues | None) -> Peeled:
        """The person and what is before it, over the whole reduced frame."""
        found = peel(around, cues)
        person, occluder = np.zeros_like(self.soft), np.zeros_like(self.soft)
        things = np.zeros(self.soft.shape, bool)
        person[self.part], occluder[self.part], things[self.part] = found.person, found.occluder, found.things
        return Peeled(person, occluder, things)

    def _cut(self, values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values[self.part])


def cues_of(around: Around) -> Cues | None:
    """What serves for a second look too; None where nobody is seen."""
    return Cues.of(around) if seen(around) else None


def _part(covered: Mask) -> tuple[tuple[slice, slice], float]:
    """What to look at around a person, and how tall it is; everything where nothing is seen of it."""
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows):
        return (slice(0, covered.shape[0]), slice(0, covered.shape[1])), float(covered.shape[0])
    tall = float(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    room = int(ROOM * tall) + 2
    down = slice(max(int(rows[0]) - room, 0), int(rows[-1]) + room + 1)
    return (down, slice(max(int(columns[0]) - room, 0), int(columns[-1]) + room + 1)), tall
