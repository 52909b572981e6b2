"""Motions drawn in every way that the tables compare: vertex codes, coloured bodies, skeletons, normals and depth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from diorama.core.camera import Cameras
from diorama.figures.canonical import SIDES, middle_of
from diorama.figures.codes import color_map, depth_map, normal_map
from diorama.figures.skeleton2d import LEFT_HAND, RIGHT_HAND, draw_coco
from diorama.geometry.raster import rasterize
from diorama.theatre.actor import Actor, canonical_camera
from diorama.theatre.clip import Clip
from diorama.train.recipes._takes import landmarks_in

FEET = (slice(17, 20), slice(20, 23))
"""Toes and heel of each foot among the points of COCO-WholeBody."""
ROOM = 0.1
"""Share of a person's height by which the square that shows it alone is wider."""
Frames = UInt8[np.ndarray, "t h w 3"]
Masks = Bool[np.ndarray, "t h w"]
Points = Float32[np.ndarray, "t 133 2"]


def body_pictures(clip: Clip, colorings: Sequence[UInt8[np.ndarray, "v 3"]]) -> list[Frames]:
    """The naked body of the first actor in each coloring of its vertices, black beside it; then its `shape_map`."""
    body, faces, view = _body(clip)
    rows = []
    for t, vertices in enumerate(body):
        camera = view[t : t + 1]
        found = rasterize(vertices, faces, camera)
        normals, depth = normal_map(found, vertices, faces, camera), depth_map(found)
        rows.append([*(color_map(found, faces, colors) for colors in colorings), shape_map(normals, depth)])
    return [np.stack(row) for row in zip(*rows, strict=True)]


def shape_map(normals: UInt8[np.ndarray, "h w 3"], depth: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Champ's maps in the three channels of codes: normal x and y (what is seen faces the camera: z follows), depth."""
    return np.concatenate([normals[..., :2], depth[..., None]], axis=-1)


def points_of(clip: Clip) -> Points:
    """The first actor's 133 points of COCO-WholeBody, pixels; not a number behind the camera."""
    body, _, view = _body(clip)
    return landmarks_in(view, np.stack(body))


def canonical_drawings(actor: Actor, size: int) -> tuple[Frames, Frames]:
    """Skeletons and `shape_map` of the canonical pictures: in place of their vertex codes."""
    mesh, drawn, shapes = actor.dressed.body.mesh, [], []
    for side in SIDES:
        camera = canonical_camera(actor.dressed, size, side)
        found = rasterize(mesh.vertices, mesh.faces, camera)
        normals = normal_map(found, mesh.vertices, mesh.faces, camera)
        drawn.append(middle_of(drawn_points(landmarks_in(camera, mesh.vertices[None]), size)[0]))
        shapes.append(middle_of(shape_map(normals, depth_map(found))))
    return np.stack(drawn), np.stack(shapes)


def drawn_points(points: Points, size: int) -> Frames:
    """Skeletons on black, as OpenPose and DWPose draw them."""
    return np.stack([draw_coco(one, size, size) for one in points])


def ends_of(points: Points, inside: Masks) -> Float64[np.ndarray, "t 4 4"]:
    """Boxes (left, top, right, bottom) of the hands and feet, pixels; not a number where nothing of one is seen.

    Each is a square about the middle of its points, a tenth of the person's height from side to side, at least 6.
    """
    parts = [points[:, part].mean(axis=1) for part in (LEFT_HAND, RIGHT_HAND, *FEET)]
    boxes = np.full((len(points), 4, 4), np.nan)
    for t, mask in enumerate(inside):
        rows = np.flatnonzero(mask.any(axis=1))
        radius = max(3.0, 0.05 * float(np.ptp(rows))) if len(rows) else 0.0
        for n, part in enumerate(parts):
            if radius and np.isfinite(part[t]).all() and _shows(mask, part[t], radius):
                boxes[t, n] = np.concatenate([part[t] - radius, part[t] + radius])
    return boxes


def zoomed(clip: Clip, masks: Masks, chosen: Sequence[int]) -> Clip:
    """The same clip through cameras that the person fills; frames that are not `chosen` stay as they are."""
    view = clip.views[0]
    Ks = view.Ks.copy()
    for t in chosen:
        if masks[t].any():
            left, top, side = _square(masks[t])
            turn = np.array([[1, 0, -left], [0, 1, -top], [0, 0, side / view.height]]) * (view.height / side)
            Ks[t] = turn @ Ks[t]
    return replace(clip, views=(replace(view, Ks=Ks),))


def _square(mask: Bool[np.ndarray, "h w"]) -> tuple[float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    side = (1 + ROOM) * (max(float(np.ptp(rows)), float(np.ptp(columns)), 7.0) + 1)
    return float(columns[[0, -1]].mean() + 0.5 - side / 2), float(rows[[0, -1]].mean() + 0.5 - side / 2), side


def _shows(mask: Bool[np.ndarray, "h w"], place: Float32[np.ndarray, "2"], radius: float) -> bool:
    x, y = place
    top, left = max(int(y - radius), 0), max(int(x - radius), 0)
    return bool(mask[top : max(int(y + radius), 0), left : max(int(x + radius), 0)].any())


def _body(clip: Clip) -> tuple[list[Float32[np.ndarray, "v 3"]], np.ndarray, Cameras]:
    layer = clip.layers[clip.of_role("actor")[0]]
    assert layer.body is not None  # actors have a body
    return [layer.body.at(t) for t in range(len(clip))], layer.body.faces, clip.views[0]
