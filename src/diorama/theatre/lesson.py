"""A clip of one actor as a network that animates people learns from it: what is given, and what should come out.

Given are the bare scene, what stands before the actor, the actor's motion as vertex codes, its canonical pictures, and
a preview: the naked body in the colours of those pictures, in the pose of each frame. The frame should come out.
Everything is a picture, so the same `condition()` serves a real clip whose layers were estimated.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from diorama.figures.appearance import body_colors
from diorama.figures.canonical import SIDES, codes_of, middle_of
from diorama.figures.codes import color_map
from diorama.geometry.raster import rasterize
from diorama.theatre.actor import canonical_camera, canonical_picture
from diorama.theatre.clip import Clip
from diorama.theatre.dressing import Dressed


@dataclass(frozen=True, eq=False)
class Lesson:
    """Pictures of t frames, and of s = 2 sides (front, back) of the canonical figure.

    Attributes:
        image: the frames.
        scene: without the actor, things before it, and shadows.
        person: where the actor would be seen with nothing before it.
        occluder: where anything but the actor, the scene and the sky is seen in `image`.
        codes: vertex codes of the naked body, black beside it.
        preview: the naked body in the colours of the canonical pictures, black beside it.
        canonical: on white; the middle of the width, where the figure is.
        canonical_codes: vertex codes of the naked body in the canonical pictures.
    """

    image: UInt8[np.ndarray, "t h w 3"]
    scene: UInt8[np.ndarray, "t h w 3"]
    person: Bool[np.ndarray, "t h w"]
    occluder: Bool[np.ndarray, "t h w"]
    codes: UInt8[np.ndarray, "t h w 3"]
    preview: UInt8[np.ndarray, "t h w 3"]
    canonical: UInt8[np.ndarray, "s h w2 3"]
    canonical_codes: UInt8[np.ndarray, "s h w2 3"]


def lesson(clip: Clip) -> Lesson:
    """The lesson of a clip's first actor; whoever and whatever else is seen counts as occluder."""
    number = clip.of_role("actor")[0]
    layer, size = clip.layers[number], clip.views[0].height
    actor, scenes = clip.actors[0], clip.of_role("scene")
    assert layer.body is not None
    canonical, codes, colors = canonical_of(actor.dressed, size)
    frames = [clip.frame(t) for t in range(len(clip))]
    preview = [
        color_map(rasterize(layer.body.at(t), layer.body.faces, clip.views[0][t : t + 1]), layer.body.faces, colors)
        for t in range(len(clip))
    ]
    return Lesson(
        np.stack([f.image for f in frames]),
        np.stack([f.background for f in frames]),
        np.stack([f.layers[number].alpha for f in frames]),
        np.stack([~np.isin(f.owner, [*scenes, number, -1]) for f in frames]),
        np.stack([_told(f.layers[number].codes) for f in frames]),
        np.stack(preview),
        canonical,
        codes,
    )


def _told(codes: UInt8[np.ndarray, "h w 3"] | None) -> UInt8[np.ndarray, "h w 3"]:
    assert codes is not None  # actors have a body
    return codes


def canonical_of(
    dressed: Dressed, size: int
) -> tuple[UInt8[np.ndarray, "s h w 3"], UInt8[np.ndarray, "s h w 3"], UInt8[np.ndarray, "v 3"]]:
    """Canonical pictures of both sides, their vertex codes, and the body's vertices in the pictures' colours."""
    pictures, codes = [], []
    for side in SIDES:
        pictures.append(middle_of(canonical_picture(dressed, size, side)[0]))
        codes.append(codes_of(dressed.body.mesh, canonical_camera(dressed, size, side)))
    shown, told = np.stack(pictures), np.stack(codes)
    return shown, told, body_colors(shown, told, dressed.body.mesh)
