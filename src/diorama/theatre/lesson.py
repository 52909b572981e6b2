"""A clip of one actor as a network that animates people learns from it: what is given, and what should come out.

Given are the bare scene, what stands before the actor, the actor's motion as vertex codes, its canonical pictures, and
a preview: the naked body in the colours of those pictures, in the pose of each frame. The frame should come out.
Everything is a picture, so the same `condition()` serves a real clip whose layers were estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch.nn import functional

from diorama.figures.appearance import appearance_at, appearance_volume
from diorama.figures.codes import color_map, position_colors
from diorama.geometry.raster import rasterize
from diorama.theatre.actor import canonical_camera, canonical_picture
from diorama.theatre.clip import Clip
from diorama.theatre.dressing import Dressed

EDGE, STEP = 3 / 16, 16
"""Share of a canonical picture's width that is cut off on each side, in steps that networks can halve."""
SIDES: tuple[Literal["front", "back"], ...] = ("front", "back")


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
    mesh = dressed.body.mesh
    told = position_colors(mesh)
    pictures, codes = [], []
    edge = int(EDGE * size) // STEP * STEP
    for side in SIDES:
        seen = rasterize(mesh.vertices, mesh.faces, canonical_camera(dressed, size, side))
        pictures.append(canonical_picture(dressed, size, side)[0][:, edge : size - edge])
        codes.append(color_map(seen, mesh.faces, told)[:, edge : size - edge])
    volume = appearance_volume(_channels(pictures), _channels(codes), _within(np.stack(codes)))
    colors = appearance_at(volume, torch.from_numpy(told.T[None].astype(np.float32) / 255))[0]
    return np.stack(pictures), np.stack(codes), (colors.T * 255).round().to(torch.uint8).numpy()


def _channels(pictures: Sequence[UInt8[np.ndarray, "h w _"]]) -> Float[torch.Tensor, "1 3 s h w"]:
    return torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2)[None].float() / 255


def _within(codes: UInt8[np.ndarray, "s h w 3"]) -> Float[torch.Tensor, "1 1 s h w"]:
    """1 in the body, 0 beside it and at its border, where a picture shows what is behind it too."""
    beside = torch.from_numpy(~codes.any(axis=-1))[None, None].float()
    return 1 - functional.max_pool3d(beside, (1, 3, 3), stride=1, padding=(0, 1, 1))
