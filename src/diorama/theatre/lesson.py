"""A clip of one actor as a network that animates people learns from it: what is given, and what should come out.

Given are the bare scene, what stands before the actor, the actor's motion as vertex codes, its canonical pictures, and
a preview: the naked body in the colours of those pictures, in the pose of each frame. The frame should come out.
Everything is a picture, so the same `condition()` serves a real clip whose layers were estimated.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.mesh import vertex_normals
from diorama.figures.codes import color_map, position_colors
from diorama.geometry.raster import rasterize
from diorama.theatre.actor import canonical_camera, canonical_picture
from diorama.theatre.clip import Clip
from diorama.theatre.dressing import Dressed

SIDES: tuple[Literal["front", "back"], ...] = ("front", "back")
HIDDEN = 0.02
"""Metres behind the nearest surface from which on a vertex counts as hidden by it."""


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
        canonical: on white.
        canonical_codes: vertex codes of the naked body in the canonical pictures.
    """

    image: UInt8[np.ndarray, "t h w 3"]
    scene: UInt8[np.ndarray, "t h w 3"]
    person: Bool[np.ndarray, "t h w"]
    occluder: Bool[np.ndarray, "t h w"]
    codes: UInt8[np.ndarray, "t h w 3"]
    preview: UInt8[np.ndarray, "t h w 3"]
    canonical: UInt8[np.ndarray, "s h w 3"]
    canonical_codes: UInt8[np.ndarray, "s h w 3"]


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
    pictures, codes, taken, shown = [], [], [], []
    for side in SIDES:
        image, _ = canonical_picture(dressed, size, side)
        camera = canonical_camera(dressed, size, side)
        pictures.append(image)
        codes.append(color_map(rasterize(mesh.vertices, mesh.faces, camera), mesh.faces, position_colors(mesh)))
        colors, weight = sampled(image, mesh.vertices, mesh.faces, camera)
        taken.append(colors)
        shown.append(weight)
    weights = np.stack(shown)[..., None] + 1e-3  # what neither picture shows is the mean of both
    colors = (np.stack(taken) * weights).sum(axis=0) / weights.sum(axis=0)
    return np.stack(pictures), np.stack(codes), np.rint(colors).astype(np.uint8)


def sampled(
    image: UInt8[np.ndarray, "h w 3"], vertices: Float32[np.ndarray, "v 3"], faces: np.ndarray, camera: Cameras
) -> tuple[Float32[np.ndarray, "v 3"], Float32[np.ndarray, " v"]]:
    """The colour of a picture at each vertex, and how squarely the camera sees it (0 for hidden ones)."""
    at = vertices @ camera.viewmats[0, :3, :3].T + camera.viewmats[0, :3, 3]
    pixels = at @ camera.Ks[0].T
    x, y = (np.clip(np.floor(pixels[:, i] / pixels[:, 2]), 0, image.shape[1 - i] - 1).astype(int) for i in (0, 1))
    depth = rasterize(vertices, faces, camera).depth[y, x]
    towards = camera.centers[0] - vertices
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    facing = (vertex_normals(vertices, faces) * towards).sum(axis=1)
    weight = np.where(at[:, 2] < depth + HIDDEN, np.clip(facing, 0, 1), 0).astype(np.float32)
    return image[y, x].astype(np.float32), weight
