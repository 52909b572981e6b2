"""The second look at a clip: each frame's layers, from the bodies, the masks and the completed scene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.parallel import ahead
from diorama.core.video import Frame, Pixels, Video
from diorama.figures.pose import animate
from diorama.figures.show import posed
from diorama.geometry.raster import interpolate, rasterize
from diorama.perception.background import Background, Keys
from diorama.perception.depth_small import learned_inverse_depth
from diorama.perception.nearness import nearness
from diorama.perception.peel import Around, Peeled, peel
from diorama.perception.peel_memory import Memory
from diorama.perception.people_log import read_masks
from diorama.perception.people_mask import SoftMask
from diorama.perception.shots import reduce, reduced_size
from diorama.perception.shrink import shrink
from diorama.perception.upsample import upsample
from diorama.pipelines.decompose_colors import BodyView, surface_look

SIDE = 640
"""Pixels of the longer side of the pictures in which layers are told apart."""
VIEWS = 48
"""Key frames that tell a person's colours."""
SEEN = 0.8
"""Coverage from which on a pixel surely shows the person."""
MAYBE = 0.1
"""Coverage from which on a pixel may be a person's."""
RIM = 0.012
"""Part of a person's height by which the hole in the scene is wider than the person."""
AHEAD = 3
"""Frames that are drawn and filled before they are told apart."""
STILLS = 3
"""Frames for which a map of depth serves: it is so coarse that hardly anything leaves its place in it."""
BEYOND = 0.002
"""Part of a person that may lie beyond the hole and stay in the scene."""
ROOM = 0.12
"""Part of it that is looked at around a person."""

Hole = Bool[np.ndarray, "h w"]
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
class LayerFrame:
    """One frame taken apart.

    Attributes:
        frame: as it was.
        scene: without people and what is before them.
        parts: coverage (0..255) of the person and of what is before it, by the person's number.
    """

    frame: Frame
    scene: Pixels
    parts: Mapping[int, tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]]


def bodies_of(actors: Sequence[Actor], keys: Keys, log: Path) -> list[Body]:
    """The actors with their colours, told by the key frames that show them."""
    sizes = reduced_size(*keys.shape, SIDE)
    chosen = {actor.number: _chosen(actor, keys) for actor in actors}
    views: dict[int, list[BodyView]] = {actor.number: [] for actor in actors}
    wanted = {int(keys.frames[key]) for several in chosen.values() for key in several}
    masks = {index: found for index, found in read_masks(log) if index in wanted}
    for actor in actors:
        small = actor.cameras.scaled(*sizes)
        poses = _posed_at(actor, [int(keys.frames[key]) - int(actor.frames[0]) for key in chosen[actor.number]])
        for key, vertices in zip(chosen[actor.number], poses, strict=True):
            frame = int(keys.frames[key])
            mask = masks.get(frame, {}).get(actor.number)
            if mask is not None:
                place = frame - int(actor.frames[0])
                soft = mask.whole(*sizes, scale=sizes[0] / keys.shape[0])
                image = shrink(keys.image(key), *sizes)
                views[actor.number].append(BodyView(image, soft, vertices, small[place : place + 1]))
    return [
        Body(actor, surface_look(views[actor.number], actor.figure), actor.cameras.scaled(*sizes))
        for actor in actors
        if views[actor.number]
    ]


def layers(video: Video, bodies: Sequence[Body], background: Background, log: Path) -> Iterator[LayerFrame]:
    """Take the frames of a clip apart, in order; bodies are drawn and holes filled a few frames ahead."""
    memories = {body.actor.number: Memory() for body in bodies}
    for looked in ahead(_looked_at(video, bodies, background, log), AHEAD):
        yield _layered(looked, background, memories)


def _looked_at(video: Video, bodies: Sequence[Body], background: Background, log: Path) -> "Iterator[_Looked]":
    masks = read_masks(log)
    waiting = next(masks, None)
    poses = {body.actor.number: body.poses() for body in bodies}
    depth = _Depth()
    for index, frame in enumerate(ahead(video)):
        seen: Mapping[int, SoftMask] = {}
        if waiting is not None and waiting[0] == index:
            seen, waiting = waiting[1], next(masks, None)
        here = [body for body in bodies if body.actor.frames[0] <= index <= body.actor.frames[-1]]
        people = [(body, next(poses[body.actor.number])) for body in here]
        small = reduce(frame.image, SIDE)
        inverse = depth.of(small, tuple(body.actor.number for body in here))
        yield _Looked.at(_Seen(frame, index, small, inverse), people, seen, background)


@dataclass
class _Depth:
    """Inverse depth of consecutive frames, read anew every `STILLS` frames and where other people are there (cuts)."""

    people: tuple[int, ...] = ()
    age: int = 0
    inverse: Float32[np.ndarray, "dh dw"] = field(default_factory=lambda: np.zeros((1, 1), np.float32))

    def of(self, small: UInt8[np.ndarray, "sh sw 3"], people: tuple[int, ...]) -> Float32[np.ndarray, "dh dw"]:
        """Of the next frame; nobody asks for it where nobody is."""
        if people and (people != self.people or self.age >= STILLS):
            self.inverse, self.age = learned_inverse_depth(small), 0
        self.people, self.age = people, self.age + 1
        return self.inverse


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame, its number, the same at reduced size, and its inverse depth."""

    frame: Frame
    index: int
    small: UInt8[np.ndarray, "sh sw 3"]
    inverse: Float32[np.ndarray, "dh dw"]


@dataclass(frozen=True, eq=False)
class _Looked:
    """A frame with the bodies drawn into it and the scene behind.

    Attributes:
        frame: as it is.
        small: at reduced size.
        inverse: its inverse depth, coarse and of any scale.
        drawn: the bodies.
        soft: masks of everybody, by number.
        tall: pixels of the tallest of them, full size.
        hole: what is filled.
        filled: the frame without it.
        borrowed: where it was truly seen.
    """

    frame: Frame
    small: UInt8[np.ndarray, "sh sw 3"]
    inverse: Float32[np.ndarray, "dh dw"]
    drawn: Sequence["_Drawn"]
    soft: Mapping[int, Map]
    tall: float
    hole: Hole
    filled: Pixels
    borrowed: Hole

    @staticmethod
    def at(
        seen: _Seen,
        people: Sequence[tuple[Body, Float32[np.ndarray, "v 3"]]],
        masks: Mapping[int, SoftMask],
        background: Background,
    ) -> "_Looked":
        """Draw the bodies and fill the scene behind them."""
        frame, index, small, inverse = seen.frame, seen.index, seen.small, seen.inverse
        image = frame.image
        size, scale = small.shape[:2], small.shape[0] / image.shape[0]
        soft = {number: mask.whole(*size, scale=scale) for number, mask in masks.items()}
        nobody = np.zeros(size, np.float32)
        drawn = [_Drawn.of(body, vertices, index, soft.get(body.actor.number, nobody)) for body, vertices in people]
        if not drawn:
            nothing = np.zeros(image.shape[:2], bool)
            return _Looked(frame, small, inverse, drawn, soft, 0.0, nothing, image, nothing)
        parts = [d.covered | (d.soft > MAYBE) for d in drawn] + [s > MAYBE for s in soft.values()]
        tall = max(d.tall for d in drawn) / scale
        hole = _widened(_enlarged(np.logical_or.reduce(parts), image.shape[:2]), tall)
        return _Looked(frame, small, inverse, drawn, soft, tall, hole, *background.behind(image, hole, frame.index))

    def with_hole(self, hole: Hole, background: Background) -> "_Looked":
        """The same with another hole."""
        filled, borrowed = background.behind(self.frame.image, hole, self.frame.index)
        return replace(self, hole=hole, filled=filled, borrowed=borrowed)

    def told_apart(self, memories: Mapping[int, Memory]) -> list[Peeled]:
        """Everybody's layers, at reduced size."""
        size = self.small.shape[:2]
        plate = shrink(self.filled, *size)
        known = cv2.resize((~self.hole | self.borrowed).view(np.uint8), size[::-1], interpolation=cv2.INTER_AREA) > 0
        views = [_View(self.small, self.inverse, plate, known, other) for other in _others(self.drawn, self.soft)]
        return [d.peel(view, memories[d.body.actor.number]) for d, view in zip(self.drawn, views, strict=True)]


def _layered(looked: _Looked, background: Background, memories: Mapping[int, Memory]) -> LayerFrame:
    image = looked.frame.image
    if not looked.drawn:
        return LayerFrame(looked.frame, image, {})
    peeled = looked.told_apart(memories)
    beyond = _beyond(looked.hole, peeled)
    if beyond is not None:  # of a thing that reaches out of the hole, the plate still shows the other half
        looked = looked.with_hole(looked.hole | beyond, background)
        peeled = looked.told_apart(memories)
    for one, found in zip(looked.drawn, peeled, strict=True):
        memories[one.body.actor.number].see(looked.small, found.person, found.occluder)
    parts = {d.body.actor.number: _full(p, image) for d, p in zip(looked.drawn, peeled, strict=True)}
    # what stands still before somebody belongs to the scene as well: beyond the hole it stays there
    solid = np.logical_or.reduce([(own > 0) | ((before > 0) & looked.hole) for own, before in parts.values()])
    gone = _widened(solid, looked.tall)
    if (solid & ~looked.hole).sum() > BEYOND * solid.sum():  # skirts reach beyond the body and the network's mask
        looked = looked.with_hole(looked.hole | gone, background)
    gone &= looked.hole
    return LayerFrame(looked.frame, np.where(gone[..., None], looked.filled, image), parts)


def _beyond(hole: Hole, peeled: Sequence[Peeled]) -> Hole | None:
    """Where things that are cut by the hole's edge may go on, full size; None where none is."""
    size = peeled[0].person.shape
    inner = cv2.resize(hole.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    edge = cv2.erode(inner, np.ones((7, 7), np.uint8)) == 0
    found = np.zeros(size, bool)
    for one in peeled:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(one.things.view(np.uint8))
        for piece in range(1, count):
            left, top, wide, high = (int(value) for value in stats[piece, :4])
            if (edge & (labels == piece)).any():
                room = max(wide, high)
                found[max(top - room, 0) : top + high + room, max(left - room, 0) : left + wide + room] = True
    return _enlarged(found, hole.shape) if found.any() else None


@dataclass(frozen=True, eq=False)
class _View:
    """A frame at reduced size, its depth, the scene behind, where that was truly seen, the masks of other people."""

    image: UInt8[np.ndarray, "h w 3"]
    inverse: Float32[np.ndarray, "dh dw"]
    plate: UInt8[np.ndarray, "h w 3"]
    known: Hole
    others: Map


@dataclass(frozen=True, eq=False)
class _Drawn:
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
    covered: Hole
    part: tuple[slice, slice]
    surface: Float32[np.ndarray, "ch cw 5"]
    outside: Float32[np.ndarray, "ch cw"]
    inside: Float32[np.ndarray, "ch cw"]
    tall: float

    @staticmethod
    def of(body: Body, vertices: Float32[np.ndarray, "v 3"], index: int, soft: Map) -> "_Drawn":
        """Draw it."""
        place = index - int(body.actor.frames[0])
        faces = body.actor.figure.mesh.faces
        found = rasterize(vertices, faces, body.small[place : place + 1])
        covered: Hole = found.face_ids >= 0
        part, tall = _part(covered | (soft > 0.5))
        inner = np.ascontiguousarray(covered[part])
        look = interpolate(found, faces, body.look)
        far, nearest = cv2.distanceTransformWithLabels(
            (~inner).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        flat = np.zeros((int(nearest.max()) + 1, 5), np.float32)
        flat[nearest[inner]] = np.column_stack([look[part][inner], found.depth[part][inner]])
        deep = cv2.distanceTransform(inner.view(np.uint8), cv2.DIST_L2, 5)
        return _Drawn(body, soft, covered, part, flat[nearest], np.asarray(far), np.asarray(deep), tall)

    def peel(self, view: _View, memory: Memory) -> Peeled:
        """The person and what is before it, over the whole reduced frame."""
        likely = memory.likely(view.image)
        maps = (view.image, view.plate, view.known, self.soft, view.others, likely)
        image, plate, known, soft, others, things = (np.ascontiguousarray(a[self.part]) for a in maps)
        colors, (loose, metres) = np.ascontiguousarray(self.surface[..., :3]), np.moveaxis(self.surface[..., 3:], -1, 0)
        seen = (self.inside > 0) & (soft > SEEN)
        ahead = nearness(view.inverse, self.soft.shape, self.part, metres=metres, seen=seen)
        body = (colors, self.outside, self.inside, self.tall)
        found = peel(Around(image, plate, known, soft, others, things, *body, ahead, loose))
        person, occluder = np.zeros_like(self.soft), np.zeros_like(self.soft)
        things = np.zeros(self.soft.shape, bool)
        person[self.part], occluder[self.part], things[self.part] = found.person, found.occluder, found.things
        return Peeled(person, occluder, things)


def _part(covered: Hole) -> tuple[tuple[slice, slice], float]:
    """What to look at around a person, and how tall it is; everything where nothing is seen of it."""
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows):
        return (slice(0, covered.shape[0]), slice(0, covered.shape[1])), float(covered.shape[0])
    tall = float(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    room = int(ROOM * tall) + 2
    down = slice(max(int(rows[0]) - room, 0), int(rows[-1]) + room + 1)
    return (down, slice(max(int(columns[0]) - room, 0), int(columns[-1]) + room + 1)), tall


def _others(drawn: Sequence[_Drawn], soft: Mapping[int, Map]) -> list[Map]:
    """For each person the masks of all others, the most of them."""
    found = []
    for one in drawn:
        rest = [mask for number, mask in soft.items() if number != one.body.actor.number]
        found.append(np.maximum.reduce(rest) if rest else np.zeros_like(one.soft))
    return found


def _enlarged(mask: Hole, size: tuple[int, int]) -> Hole:
    return cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _widened(mask: Hole, tall: float) -> Hole:
    """The mask and a rim for soft edges and shadows of cloth; by boxes, which are quick."""
    reach = 2 * max(2, round(RIM * tall)) + 1
    return cv2.dilate(mask.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0


def _full(peeled: Peeled, image: Pixels) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Coverage at full size, edges where the picture has them."""
    person, occluder = (_codes(upsample(part, image)) for part in (peeled.person, peeled.occluder))
    return np.minimum(person, 255 - occluder), occluder


def _codes(coverage: Map) -> UInt8[np.ndarray, "h w"]:
    """Coverage in steps of 255; what is nearly none, or nearly all, is."""
    return np.rint(np.clip((coverage - 0.06) / 0.88, 0, 1) * 255).astype(np.uint8)


def _chosen(actor: Actor, keys: Keys) -> list[int]:
    """Key frames of an actor's way, spread over it."""
    seen = set(actor.track.frames.tolist())
    within = [key for key, frame in enumerate(keys.frames.tolist()) if frame in seen]
    return within[:: max(1, -(-len(within) // VIEWS))]


def _posed_at(actor: Actor, places: Sequence[int]) -> Iterator[Float32[np.ndarray, "v 3"]]:
    for place in places:
        yield animate(actor.figure, actor.motion[place : place + 1])[0]
