"""Views of an object to its surface, and to the part of each vertex."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Int64

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.pipelines.part_views import PartViews
from diorama.pipelines.rig_refine import Refine
from diorama.rigging.decode import decode
from diorama.rigging.hull import Silhouettes, visual_hull
from diorama.rigging.lift import lifted, votes
from diorama.rigging.paint import painted
from diorama.rigging.silhouette import silhouette
from diorama.rigging.surface import Surface

ELEVATIONS = tuple(range(-5, 35, 5))
"""Degrees that are tried where the elevation of views is not known; those of the embedded network's training."""
ROUGH, ROUGH_CELLS = 64, 40
"""Pixels and cells of such a trial."""
FITS = 0.6
"""Overlap of a mesh with the silhouettes from which on it is believed to be what they show."""
FILLS, NOTHING = 0.5, 0.15
"""Overlap of a hull with the silhouettes it is made of, below which they hardly, and surely do not, fit together."""
TURNS = 24
"""Directions that are tried for a mesh."""


@dataclass(frozen=True, eq=False)
class Scale:
    """How the axes of views become those of a rig: ``x' = scale * turn @ x + shift``."""

    scale: float
    turn: Float64[np.ndarray, "3 3"]
    shift: Float64[np.ndarray, "3"]

    def points(self, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
        """Moved points."""
        return (self.scale * points @ self.turn.T + self.shift).astype(np.float32)

    def cameras(self, cameras: Cameras) -> Cameras:
        """Cameras that see moved points where they saw them before."""
        turns = cameras.viewmats[:, :3, :3] @ self.turn.T
        shifts = self.scale * cameras.viewmats[:, :3, 3] - turns @ self.shift
        moved = np.tile(np.eye(4), (len(cameras), 1, 1))
        moved[:, :3, :3], moved[:, :3, 3] = turns, shifts
        return replace(cameras, viewmats=moved)


def told_apart(views: PartViews, refine: Refine | None = None) -> tuple[Int16[np.ndarray, "v t h w"], int]:
    """The part of each pixel, and how many parts there are.

    Args:
        views: pictures in colours of parts, or with numbers of parts, which are believed as they are.
        refine: moves the borders of parts that are told by colours.

    Raises:
        UsageError: no parts in the pictures, or nothing that is sure.
    """
    if views.labels is not None:
        count = int(views.labels.max()) + 1
        if count < 1:
            raise UsageError("part numbers without an object", "labels", "255 means beside the object")
        return views.labels, count
    if views.colored is None:
        raise UsageError("pictures without parts", "rig", "give part maps, a skeleton, or let the generator make them")
    found = decode(views.colored, views.inside)
    labels = found.labels if refine is None else refine(views.colored, found.labels)
    return labels, len(found.colors)


def silhouettes_of(views: PartViews, labels: Int16[np.ndarray, "v t h w"] | None) -> Bool[np.ndarray, "v t h w"]:
    """Where the object is, from what says it best."""
    if views.inside is not None:
        return views.inside
    if labels is not None:
        return labels >= 0
    pictures = views.images if views.images is not None else views.colored
    assert pictures is not None
    flat = pictures.reshape(-1, *pictures.shape[2:])
    return np.stack([silhouette(picture) for picture in flat]).reshape(pictures.shape[:4])


def seen_depth(views: PartViews) -> Float32[np.ndarray, "v h w"] | None:
    """The depth of the first frame, where it is more than the generator's guess: its hull is as near to the truth."""
    return None if views.depth is None or views.guessed else views.depth[:, 0]


def checked_hull(
    inside: Bool[np.ndarray, "v h w"],
    cameras: Cameras,
    radius: float,
    cells: int,
    *,
    depth: Float32[np.ndarray, "v h w"] | None = None,
) -> tuple[Mesh, tuple[str, ...]]:
    """`hull_of`, and what is to be known of it: views that show nothing, or that do not fit each other.

    Raises:
        UsageError: as `hull_of`, and for views that have next to nothing in common.
    """
    mesh = hull_of(inside, cameras, radius, cells, depth=depth)
    shown = inside.any(axis=(1, 2))
    seen = replace(cameras, viewmats=cameras.viewmats[shown], Ks=cameras.Ks[shown])
    step = max(1, inside.shape[1] // (2 * ROUGH))
    small = np.ascontiguousarray(inside[shown, ::step, ::step])
    share = overlap(mesh, small, seen.scaled(*small.shape[1:]))
    fix = "one object in all of them, from the azimuths that are told?"
    if share < NOTHING:
        raise UsageError(f"the views have a surface in common that fills {share:.0%} of them", "the views", fix)
    notes = [f"nothing is seen in view {view}: it is left out" for view in np.flatnonzero(~shown)]
    if share < FILLS:
        notes.append(f"the surface fills {share:.0%} of the views only: {fix}")
    return mesh, tuple(notes)


def hull_of(
    inside: Bool[np.ndarray, "v h w"],
    cameras: Cameras,
    radius: float,
    cells: int,
    *,
    depth: Float32[np.ndarray, "v h w"] | None = None,
) -> Mesh:
    """The surface of what silhouettes and depth show; views that show nothing are left out.

    Raises:
        UsageError: fewer than two views show anything, or they have nothing in common.
    """
    shown = np.flatnonzero(inside.any(axis=(1, 2)))
    if len(shown) < 2:
        fix = "give two views or more that show it in the first frame"
        raise UsageError(f"an object in {len(shown)} of {len(inside)} views", "rig", fix)
    seen = replace(cameras, viewmats=cameras.viewmats[shown], Ks=cameras.Ks[shown])
    reach = np.full(3, 1.3 * radius, np.float32)
    deep = None if depth is None else depth[shown]
    return visual_hull(Silhouettes(inside[shown], seen), -reach, reach, cells=cells, depth=deep)


def overlap(mesh: Mesh, inside: Bool[np.ndarray, "v h w"], cameras: Cameras) -> float:
    """How well a mesh fills silhouettes, mean intersection over union."""
    found = []
    for view, shown in enumerate(inside):
        drawn = rasterize(mesh.vertices, mesh.faces, cameras[view : view + 1]).face_ids >= 0
        found.append((drawn & shown).sum() / max((drawn | shown).sum(), 1))
    return float(np.mean(found))


def best_elevation(inside: Bool[np.ndarray, "v h w"], azimuths: Float32[np.ndarray, " v"], radius: float) -> float:
    """The elevation at which the silhouettes agree best; the first of `ELEVATIONS` beside 0 where none agree."""
    step = max(1, inside.shape[1] // ROUGH)
    small = np.ascontiguousarray(inside[:, ::step, ::step])
    scores = {}
    for elevation in ELEVATIONS:
        cameras = around(azimuths, float(elevation), radius, len(small[0]))
        try:
            scores[elevation] = overlap(hull_of(small, cameras, radius, ROUGH_CELLS), small, cameras)
        except UsageError:
            continue
    return float(max(scores, key=lambda e: scores[e])) if scores else 0.0


def colored_by(mesh: Mesh, views: PartViews, cameras: Cameras) -> Mesh:
    """The mesh with the colours of the first frame, where the views have any."""
    if views.images is None:
        return mesh
    surface = Surface.of(mesh.vertices, mesh.faces)
    return replace(mesh, colors=painted(surface, mesh.vertices, mesh.faces, views.images[:, 0], cameras))


def labelled(
    mesh: Mesh, labels: Int16[np.ndarray, "v h w"], cameras: Cameras, count: int
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " k"]]:
    """The part of each vertex, from 0 without gaps, and the numbers those parts had.

    Raises:
        UsageError: no part is seen on the surface.
    """
    surface = Surface.of(mesh.vertices, mesh.faces)
    own = lifted(surface, votes(mesh.vertices, mesh.faces, labels, cameras, count))[surface.of_vertex]
    used, numbers = np.unique(own, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), used.astype(np.int64)


def standing(mesh: Mesh, height: float) -> Scale:
    """To a figure of this height that stands on the ground over the origin."""
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    scale = height / max(float((high - low)[1]), 1e-9)
    middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return Scale(scale, np.eye(3), -scale * middle)


def laid_into(mesh: Mesh, inside: Bool[np.ndarray, "v h w"], cameras: Cameras, radius: float, told: Progress) -> Scale:
    """How the axes of views become those of a mesh of the same object: by turning about Y, scale and shift.

    Raises:
        UsageError: the mesh fits the silhouettes nowhere.
    """
    step = max(1, inside.shape[1] // (2 * ROUGH))
    small = np.ascontiguousarray(inside[:, ::step, ::step])
    rough = cameras.scaled(*small.shape[1:])
    shape = hull_of(small, rough, radius, ROUGH_CELLS)
    best: tuple[float, Scale] | None = None
    for turn in np.arange(TURNS) * (2 * np.pi / TURNS):
        way = _onto(mesh, shape, float(turn))
        score = overlap(mesh, small, way.cameras(rough))
        if best is None or score > best[0]:
            best = score, way
    assert best is not None
    if best[0] < FITS:
        fix = "give a mesh of what the pictures show, upright along Y, or leave --mesh out"
        raise UsageError(f"the mesh overlaps the views by {best[0]:.0%} at best", "--mesh", fix)
    told.note(f"the mesh overlaps the views by {best[0]:.0%}")
    return best[1]


def _onto(mesh: Mesh, shape: Mesh, angle: float) -> Scale:
    """Views turned about Y, then scaled and shifted so that what they show has the mesh's box."""
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned = shape.vertices.astype(np.float64) @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    start, end = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    scale = float(np.linalg.norm(end - start)) / max(float(np.linalg.norm(high - low)), 1e-9)
    return Scale(scale, turn, (start + end) / 2 - scale * (low + high) / 2)


def used_only(labels: Int16[np.ndarray, "v t h w"], used: Sequence[int]) -> Int16[np.ndarray, "v t h w"]:
    """Labels renumbered as the parts of a surface are; parts without surface become none."""
    table = np.full(int(labels.max()) + 2, -1, np.int16)
    table[np.asarray(used)] = np.arange(len(used), dtype=np.int16)
    return table[labels]
