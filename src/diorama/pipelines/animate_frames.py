"""Frames of a scene with characters in the places of actors; all other pixels stay as they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.layers import Layer, LayeredVideo, Map, over
from diorama.core.parallel import ahead
from diorama.core.video import Frame, Pixels, Video
from diorama.figures.shade import matched
from diorama.figures.shadow import contact_shadow
from diorama.figures.show import posed, show_one
from diorama.pipelines.animate_cast import Part

RIM = 0.012
"""Part of the picture's height around a person that goes with it: soft edges, cloth. As wide as the scene is filled."""
AHEAD = 4
"""Frames that are read and drawn before they are needed."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A character in one frame, as the scene's camera would show it.

    Attributes:
        image: its colours.
        alpha: coverage, 0..1.
        left: how much of the light its shadow leaves of what is behind; None: it throws none.
    """

    image: UInt8[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    left: Float32[np.ndarray, "h w"] | None = None


def previews(part: Part, start: int, seed: int) -> Iterator[Drawn | None]:
    """The textured body in each frame of a clip from frame `start` on; None where the actor is not there.

    Args:
        part: who plays whom.
        start: the first frame wanted; earlier ones are not drawn.
        seed: of the grain, which is the same for a frame wherever a run begins.
    """
    first, count = int(part.actor.frames[0]), len(part.actor.frames)
    for _ in range(start, first):
        yield None
    skipped = max(start - first, 0)
    surfaces = posed(part.character.figure, part.motion[skipped:]) if skipped < count else iter(())
    for place, vertices in enumerate(surfaces, skipped):
        shown = show_one(part.character, vertices, part.cameras[place : place + 1], light=part.light)
        done = matched(shown, part.look, np.random.default_rng((seed, first + place)))
        yield Drawn(done.image, done.alpha)
    while True:
        yield None


def on_ground(drawn: Iterator[Drawn | None], part: Part, start: int) -> Iterator[Drawn | None]:
    """Characters with their shadows on the ground that the part stands on; as they come where it has none.

    Args:
        drawn: of each frame from `start` on.
        part: who plays whom.
        start: the first frame.
    """
    if part.ground is None:
        yield from drawn
        return
    first, count = int(part.actor.frames[0]), len(part.actor.frames)
    skipped = min(max(start - first, 0), count)
    surfaces = iter(posed(part.character.figure, part.motion[skipped:]) if skipped < count else ())
    place = skipped
    for one in drawn:
        if one is None:
            yield None
            continue
        left = contact_shadow(next(surfaces), part.ground, part.cameras[place : place + 1])
        place += 1
        yield replace(one, left=left)


def recast(
    source: Video, scene: LayeredVideo, drawn: Mapping[str, Iterator[Drawn | None]], parts: Sequence[Part]
) -> Iterator[Frame]:
    """The clip with characters in the places of actors.

    Args:
        source: the clip that the scene was taken from, from the same frame on as all others.
        scene: its layers.
        drawn: the character of each frame, by the name of the actor's layer.
        parts: who plays whom.
    """
    gone = {part.actor.layer for part in parts}
    fronts = {part.actor.occluder for part in parts if part.actor.occluder}
    names = [layer.name for layer in scene.layers]
    reach = 2 * max(2, round(RIM * scene.height)) + 1
    streams = [ahead(_gone(layer) if layer.name in gone else _read(layer), AHEAD) for layer in scene.layers]
    characters = {name: ahead(several, AHEAD) for name, several in drawn.items()}
    for frame, *pieces in zip(source, *streams, strict=True):
        figures = {name: next(several) for name, several in characters.items()}
        below: Pixels | None = None
        changed = np.zeros(frame.image.shape[:2], bool)
        for name, (image, alpha) in zip(names, pieces, strict=True):
            if name in gone | fronts and alpha is not None:
                changed |= _widened(alpha > 0, reach)
            if image is not None:
                below = image if alpha is None else over(image, alpha, below)
            elif figures[name] is not None:
                below, there = _laid(figures[name], below)
                changed |= there
        assert below is not None  # there is a scene
        image = cv2.copyTo(below, changed.view(np.uint8), frame.image.copy())
        yield Frame(image, frame.pts, frame.duration, frame.index)


def _read(layer: Layer) -> Iterator[tuple[Pixels, Map | None]]:
    for frame, alpha in layer.read():
        yield frame.image, alpha


def _gone(layer: Layer) -> Iterator[tuple[None, Map | None]]:
    """Of somebody who is not shown, only where it was."""
    for alpha in layer.alpha if layer.alpha is not None else ():
        yield None, alpha


def _laid(drawn: Drawn | None, below: Pixels | None) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """A character over what is behind it, and where it changes that."""
    assert drawn is not None
    assert below is not None
    deep, there = below.dtype == np.uint16, drawn.alpha > 0
    if drawn.left is not None:
        shaded = drawn.left < 1
        below = below.copy()
        below[shaded] = np.rint(below[shaded] * drawn.left[shaded][:, None])
        there |= shaded
    most = np.iinfo(below.dtype).max
    alpha: Map = np.rint(drawn.alpha * np.float32(most)).astype(below.dtype)
    image = drawn.image.astype(np.uint16) * np.uint16(257) if deep else drawn.image
    return over(image, alpha, below), there


def _widened(mask: Bool[np.ndarray, "h w"], reach: int) -> Bool[np.ndarray, "h w"]:
    return cv2.dilate(mask.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0
