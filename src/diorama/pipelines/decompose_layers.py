"""The second look at a clip: each frame's layers, from the bodies, the masks and the completed scene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.actor import Actor
from diorama.core.parallel import ahead
from diorama.core.video import Frame, Pixels, Video
from diorama.figures.show import posed
from diorama.perception.background import Background, Keys
from diorama.perception.depth_small import learned_inverse_depth
from diorama.perception.peel import Peeled
from diorama.perception.peel_memory import Memory
from diorama.perception.people_log import read_masks
from diorama.perception.people_mask import SoftMask
from diorama.perception.shots import reduce, reduced_size
from diorama.perception.shrink import eight_bits, shrink
from diorama.perception.upsample import upsample
from diorama.pipelines.decompose_colors import BodyView, surface_look
from diorama.pipelines.decompose_drawn import Body, Drawn, View, cues_of

SIDE = 640
"""Pixels of the longer side of the pictures in which layers are told apart."""
VIEWS = 48
"""Key frames that tell a person's colours."""
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
NONE, ALL = 0.06, 0.94
"""Coverage up to which a pixel counts as free, and from which on as covered."""
SPARE = 2
"""Reduced pixels around coverage whose full-size pixels it may touch."""

Hole = Bool[np.ndarray, "h w"]
Map = Float32[np.ndarray, "h w"]


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
    looked = ahead(_looked_at(video, bodies, background, log), AHEAD)
    for told in ahead((_told(one, background, memories) for one in looked), AHEAD):
        yield _layered(*told, background)


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
    drawn: Sequence[Drawn]
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
        drawn = [Drawn.of(body, vertices, index, soft.get(body.actor.number, nobody)) for body, vertices in people]
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

    def behind(self) -> tuple[UInt8[np.ndarray, "sh sw 3"], Hole]:
        """The scene behind at reduced size, and where it was truly seen."""
        size = self.small.shape[:2]
        known = cv2.resize((~self.hole | self.borrowed).view(np.uint8), size[::-1], interpolation=cv2.INTER_AREA) > 0
        return shrink(self.filled, *size), known


def _told(
    looked: _Looked, background: Background, memories: Mapping[int, Memory]
) -> tuple[_Looked, Mapping[int, Peeled]]:
    """Everybody's layers at reduced size, and the frame as it was looked at then; `memories` learn from it."""
    if not looked.drawn:
        return looked, {}
    drawn, view = looked.drawn, View(looked.small, looked.inverse, *looked.behind(), looked.soft)
    arounds = [d.around(view, memories[d.number]) for d in drawn]
    cues = [cues_of(around) for around in arounds]
    peeled = [d.peel(around, cue) for d, around, cue in zip(drawn, arounds, cues, strict=True)]
    beyond = _beyond(looked.hole, peeled)
    if beyond is not None:  # of a thing that reaches out of the hole, the plate still shows the other half
        looked = looked.with_hole(looked.hole | beyond, background)
        behind = looked.behind()
        arounds = [d.behind(around, *behind) for d, around in zip(drawn, arounds, strict=True)]
        peeled = [d.peel(around, cue) for d, around, cue in zip(drawn, arounds, cues, strict=True)]
    for one, found in zip(drawn, peeled, strict=True):
        memories[one.number].see(looked.small, found.person, found.occluder)
    return looked, {one.number: found for one, found in zip(drawn, peeled, strict=True)}


def _layered(looked: _Looked, peeled: Mapping[int, Peeled], background: Background) -> LayerFrame:
    """The layers at full size."""
    image = looked.frame.image
    if not peeled:
        return LayerFrame(looked.frame, image, {})
    parts = {number: _full(found, image, looked.small) for number, found in peeled.items()}
    # what stands still before somebody belongs to the scene as well: beyond the hole it stays there
    solid = np.logical_or.reduce([(own > 0) | ((before > 0) & looked.hole) for own, before in parts.values()])
    gone = _widened(solid, looked.tall)
    outside = np.count_nonzero(solid & ~looked.hole)
    if outside > BEYOND * np.count_nonzero(solid):  # skirts reach beyond the body and the network's mask
        looked = looked.with_hole(looked.hole | gone, background)
    gone &= looked.hole
    return LayerFrame(looked.frame, _replaced(image, looked.filled, gone), parts)


def _replaced(image: Pixels, other: Pixels, where: Hole) -> Pixels:
    """A copy of `image` with the other's pixels there."""
    out, part = image.copy(), _around(where)
    out[part] = cv2.copyTo(other[part], where[part].view(np.uint8), out[part])
    return out


def _around(mask: Hole) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _beyond(hole: Hole, peeled: Sequence[Peeled]) -> Hole | None:
    """Where things that are cut by the hole's edge may go on, full size; None where none is."""
    if not any(one.things.any() for one in peeled):
        return None
    size = peeled[0].person.shape
    inner = cv2.resize(hole.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    edge = cv2.erode(inner, np.ones((7, 7), np.uint8)) == 0
    found = np.zeros(size, bool)
    for one in peeled:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(one.things.view(np.uint8))
        for piece in np.unique(labels[edge & one.things]):
            left, top, wide, high = (int(value) for value in stats[piece, :4])
            room = max(wide, high)
            found[max(top - room, 0) : top + high + room, max(left - room, 0) : left + wide + room] = True
    return _enlarged(found, hole.shape) if found.any() else None


def _enlarged(mask: Hole, size: tuple[int, int]) -> Hole:
    return cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _widened(mask: Hole, tall: float) -> Hole:
    """The mask and a rim for soft edges and shadows of cloth; by boxes, which are quick."""
    reach = 2 * max(2, round(RIM * tall)) + 1
    return cv2.dilate(mask.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0


def _full(
    peeled: Peeled, image: Pixels, small: UInt8[np.ndarray, "sh sw 3"]
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Coverage at full size, edges where the picture has them."""
    person, occluder = (_codes(part, image, small) for part in (peeled.person, peeled.occluder))
    return np.minimum(person, 255 - occluder), occluder


def _codes(
    coverage: Float32[np.ndarray, "sh sw"], image: Pixels, small: UInt8[np.ndarray, "sh sw 3"]
) -> UInt8[np.ndarray, "fh fw"]:
    """Coverage at full size in steps of 255; what is nearly none, or nearly all, is."""
    height, width = image.shape[:2]
    out = np.zeros((height, width), np.uint8)
    rows, columns = _around(coverage > NONE)
    down, across = _window(rows, coverage.shape[0], height), _window(columns, coverage.shape[1], width)
    part, full = (down[0], across[0]), (down[1], across[1])
    if out[full].size:
        fine = upsample(np.ascontiguousarray(coverage[part]), eight_bits(image[full]), small[part])
        share = np.clip((fine - np.float32(NONE)) / np.float32(ALL - NONE), 0, 1)
        out[full] = np.rint(np.multiply(share, 255, out=share), out=share)
    return out


def _window(span: slice, small: int, full: int) -> tuple[slice, slice]:
    """A span of a reduced side and a little more, and the same of the full side.

    It starts and ends where pixels of both sizes do: what is between is the same as if all were made larger.
    """
    if span.start == span.stop:
        return span, span
    step = small // gcd(small, full)
    first = max(span.start - SPARE, 0) // step * step
    last = min(-(-(span.stop + SPARE) // step) * step, small)
    return slice(first, last), slice(first * full // small, last * full // small)


def _chosen(actor: Actor, keys: Keys) -> list[int]:
    """Key frames of an actor's way, spread over it."""
    seen = set(actor.track.frames.tolist())
    within = [key for key, frame in enumerate(keys.frames.tolist()) if frame in seen]
    return within[:: max(1, -(-len(within) // VIEWS))]


def _posed_at(actor: Actor, places: Sequence[int]) -> Iterator[Float32[np.ndarray, "v 3"]]:
    if not places:
        return
    moments = replace(actor.motion, rotations=actor.motion.rotations[places], root=actor.motion.root[places])
    yield from posed(actor.figure, moments, chunk=1)
