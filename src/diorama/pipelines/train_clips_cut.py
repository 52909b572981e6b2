"""Actors of a scene cut into what a network that animates people learns from: short pieces, a square around the person.

The same pictures as a lesson of the theatre (`diorama.theatre.lesson`), with layers, body and looks that were estimated
(mimo.md 2.1, the real clips of HUD-7K). The end of each actor's time is held out; its looks are told by other frames.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from diorama.core.actor import Actor
from diorama.core.layers import LayeredVideo, together
from diorama.core.video import Video
from diorama.errors import UsageError
from diorama.media.read import open_media
from diorama.media.store import read_manifest
from diorama.perception.shrink import eight_bits

if TYPE_CHECKING:
    from diorama.figures.texture import Character
    from diorama.pipelines.animate_roi import Roi
    from diorama.theatre.shards import Sample

HELD_OUT = 0.25
"""Last part of an actor's time that is not learned from."""
GAP = 0.5
"""Seconds before it that are left out too where there is room: they look nearly the same."""
SIGHTS = 16
"""Frames that tell what an actor looks like."""
GUESSED = 0.5
"""Part of a piece's frames that may show too little of the actor."""
SURE = 127
"""Coverage of 255 above which a pixel counts as covered."""


@dataclass(frozen=True)
class Cut:
    """What pieces are like.

    Attributes:
        size: pixels a side.
        frames: of a piece.
        fps: at about which they are taken.
        bodies: whether posed bodies and their cameras are kept too.
    """

    size: int = 256
    frames: int = 16
    fps: float = 10.0
    bodies: bool = False


@dataclass(frozen=True)
class Window:
    """Frames of an actor that give pieces: each takes every `step`-th, and no two take the same one.

    Attributes:
        first: place of the first frame among the actor's.
        step: how far apart the frames of a piece are.
        pieces: how many there are.
        held_out: whether they are kept from training.
    """

    first: int
    step: int
    pieces: int
    held_out: bool


@dataclass(frozen=True, eq=False)
class Filmed:
    """A scene with its clip.

    Attributes:
        name: what to call it.
        digest: tells it from other scenes.
        layered: its layers.
        clip: the frames as they were filmed.
    """

    name: str
    digest: str
    layered: LayeredVideo
    clip: Video

    @staticmethod
    def of(folder: Path, name: str, layered: LayeredVideo) -> "Filmed":
        """A scene on disk; of one without its clip, the layers over each other are the clip."""
        manifest = read_manifest(folder)
        digest = hashlib.blake2b((folder / "scene.json").read_bytes(), digest_size=8).hexdigest()
        clip = layered.composite()
        if manifest.source is not None:
            start = manifest.source_start
            clip = open_media(folder / manifest.source).video[start : start + manifest.frames]
        return Filmed(name, digest, layered, clip)


def windows(count: int, fps: float, cut: Cut) -> tuple[Window, ...]:
    """How `count` frames of an actor are divided; nothing where they are too few for a piece of each kind."""
    held = max(round(HELD_OUT * count), cut.frames)
    learned = count - held
    if learned < cut.frames:
        return ()
    gap = min(round(GAP * fps), learned // 8, learned - cut.frames)
    step = max(1, round(fps / cut.fps))
    return (*_covering(0, learned - gap, step, cut, held_out=False), *_covering(learned, count, step, cut))


def _covering(begin: int, end: int, step: int, cut: Cut, *, held_out: bool = True) -> Iterator[Window]:
    """Windows from `begin` to `end`, the last moved back to fit."""
    step = min(step, (end - begin) // cut.frames)
    length = step * cut.frames
    for start in np.linspace(begin, end - length, -(-(end - begin) // length)).round().astype(int).tolist():
        yield Window(start, step, 1 if held_out else step, held_out)


def seen_windows(actor: Actor, cut: Cut) -> tuple[Window, ...]:
    """The windows that show enough of an actor; nothing where one kind is missing."""
    found = []
    for window in windows(len(actor), actor.motion.fps, cut):
        span = slice(window.first, window.first + window.step * cut.frames)
        if actor.guessed[span].mean() <= GUESSED:
            found.append(window)
    kinds = {window.held_out for window in found}
    return tuple(found) if len(kinds) == 2 else ()


def pieces(stage: Filmed, actor: Actor, cut: Cut) -> Iterator["Sample"]:
    """The pieces of an actor, one after another, as samples of shards.

    Arrays as in `diorama.theatre.lesson.Lesson` ("t s s 3" and "t s s", canonical "2 s w 3"); with `Cut.bodies` also
    body "t v 3", viewmats "t 4 4" and Ks "t 3 3" of the square. The note says of whom, how fast, and whether held out.

    Raises:
        UsageError: no frame that is learned from shows the actor.
    """
    from diorama.theatre.shards import Sample

    chosen = seen_windows(actor, cut)
    last = max(w.first + w.step * cut.frames for w in chosen if not w.held_out)
    sight = _Sight.of(stage, actor, last, cut)
    for number, window in enumerate(chosen):
        frames = list(sight.frames(window.first, window.first + window.step * cut.frames))
        for phase in range(window.pieces):
            taken = frames[phase :: window.step]
            arrays = {name: np.stack([frame[name] for frame in taken]) for name in taken[0]}
            identity = f"{stage.digest} {actor.number} {number} {phase} {cut}"
            note = {"identity": identity, "held_out": window.held_out, "clip": stage.name, "actor": actor.name}
            yield Sample({**arrays, **sight.canonical}, {**note, "fps": actor.motion.fps / window.step})


@dataclass(frozen=True, eq=False)
class _Sight:
    """An actor with what all of its pieces share."""

    stage: Filmed
    actor: Actor
    character: "Character"
    roi: "Roi"
    colors: UInt8[np.ndarray, "v 3"]
    codes: UInt8[np.ndarray, "v 3"]
    canonical: dict[str, np.ndarray]
    cut: Cut

    @staticmethod
    def of(stage: Filmed, actor: Actor, last: int, cut: Cut) -> "_Sight":
        """With the looks that the actor's frames before number `last` of its own show."""
        from diorama.figures.appearance import body_colors
        from diorama.figures.canonical import canonical_pictures
        from diorama.figures.codes import position_colors
        from diorama.pipelines.animate_cast import character_of_actor, sights_of
        from diorama.pipelines.animate_roi import roi_of

        character = character_of_actor(actor, sights_of(stage.layered, _before(actor, last), SIGHTS))
        pictures, codes = canonical_pictures(character, cut.size)
        mesh = character.body.mesh
        canonical = {"canonical": pictures, "canonical_codes": codes}
        colors = body_colors(pictures, codes, mesh), position_colors(mesh)
        return _Sight(stage, actor, character, roi_of(actor.motion, actor.cameras), *colors, canonical, cut)

    def frames(self, begin: int, end: int) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of the actor's frames from `begin` to `end`."""
        from diorama.figures.show import posed

        first = int(self.actor.frames[0])
        span = slice(first + begin, first + end)
        surfaces = posed(self.character.body, self.actor.motion[begin:end])
        seen = zip(self.stage.clip[span], _layers(self.stage.layered[span], self.actor.layer), surfaces, strict=True)
        for place, (frame, layers, vertices) in enumerate(seen, begin):
            yield self._frame(place, eight_bits(frame.image), layers, vertices)

    def _frame(
        self, place: int, image: UInt8[np.ndarray, "h w 3"], layers: tuple[np.ndarray, ...], vertices: np.ndarray
    ) -> dict[str, np.ndarray]:
        from diorama.figures.codes import color_map
        from diorama.geometry.raster import rasterize
        from diorama.pipelines.animate_roi import crop

        size, faces = self.cut.size, self.character.body.mesh.faces
        camera = self.roi.camera(self.actor.cameras, place, size)
        fragments = rasterize(vertices, faces, camera)
        below, own, before = (crop(layer, self.roi, place, size) for layer in layers)
        occluder, shown = before > SURE, fragments.face_ids >= 0
        found = {
            "image": crop(image, self.roi, place, size),
            "scene": below,
            "person": (own > SURE) | (shown & occluder),
            "occluder": occluder,
            "codes": color_map(fragments, faces, self.codes),
            "preview": color_map(fragments, faces, self.colors),
        }
        if self.cut.bodies:
            cameras = {"viewmats": camera.viewmats[0].astype(np.float32), "Ks": camera.Ks[0].astype(np.float32)}
            found |= {"body": vertices.astype(np.float32), **cameras}
        return found


def _before(actor: Actor, last: int) -> Actor:
    """An actor that was seen only before number `last` of its own frames."""
    track = actor.track
    kept = track.frames < actor.frames[0] + last
    if not kept.any():
        raise UsageError("no frame to learn from shows the actor", actor.name)
    parts: dict[str, Any] = {name: getattr(track, name)[kept] for name in ("frames", "boxes", "scores", "landmarks")}
    world = None if track.world is None else track.world[kept]
    return replace(actor, track=replace(track, **parts, world=world))


def _layers(scene: LayeredVideo, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each frame: what is behind a layer "h w 3", how much the layer and what is before it cover "h w" (0..255)."""
    place = [layer.name for layer in scene.layers].index(name)
    for parts in zip(*(layer.read() for layer in scene.layers), strict=True):
        below = together(parts[:place])
        nothing = np.zeros(below.shape[:2], np.uint8)
        covers = [nothing if alpha is None else eight_bits(alpha) for _, alpha in parts[place:]]
        yield eight_bits(below), covers[0], np.max([nothing, *covers[1:]], axis=0)
