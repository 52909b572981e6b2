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
from diorama.rigging.eyes import near_of, thinned
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


def shown_by(
    inside: Bool[np.ndarray, "v h w"], cameras: Cameras
) -> tuple[Silhouettes, Int64[np.ndarray, " v2"], tuple[str, ...]]:
    """Silhouettes of the views that show anything, the numbers of these views, and what is to be known of others.

    Raises:
        UsageError: fewer than two views show anything.
    """
    full = inside.any(axis=(1, 2))
    shown = np.flatnonzero(full)
    if len(shown) < 2:
        fix = "give two views or more that show it in the first frame"
        raise UsageError(f"an object in {len(shown)} of {len(inside)} views", "rig", fix)
    notes = tuple(f"nothing is seen in view {view}: it is left out" for view in np.flatnonzero(~full))
    seen = replace(cameras, viewmats=cameras.viewmats[shown], Ks=cameras.Ks[shown])
    return Silhouettes(inside[shown], seen), shown, notes


def roughly(silhouettes: Silhouettes, pixels: int) -> Silhouettes:
    """Silhouettes of about so many pixels a side; what is too thin for them is in none of them.

    Raises:
        UsageError: fewer than two views still show anything.
    """
    every = max(1, silhouettes.inside.shape[1] // pixels)
    return shown_by(*thinned(silhouettes.inside, silhouettes.cameras, every))[0]


def checked_hull(
    inside: Bool[np.ndarray, "v h w"],
    cameras: Cameras,
    radius: float,
    cells: int,
    *,
    depth: Float32[np.ndarray, "v h w"] | None = None,
) -> tuple[Mesh, tuple[str, ...]]:
    """The surface of what silhouettes and depth show, and what is to be known of it.

    That is: views that show nothing, which are left out, or that do not fit each other.

    Raises:
        UsageError: fewer than two views show anything, or they have nothing or next to nothing in common.
    """
    silhouettes, views, notes = shown_by(inside, cameras)
    mesh = hull_of(silhouettes, radius, cells, depth=None if depth is None else depth[views])
    share = overlap(mesh, roughly(silhouettes, 2 * ROUGH))
    fix = "one object in all of them, from the azimuths that are told?"
    if share < NOTHING:
        raise UsageError(f"the views have a surface in common that fills {share:.0%} of them", "the views", fix)
    if share < FILLS:
        notes += (f"the surface fills {share:.0%} of the views only: {fix}",)
    return mesh, notes


def hull_of(
    silhouettes: Silhouettes, radius: float, cells: int, *, depth: Float32[np.ndarray, "v h w"] | None = None
) -> Mesh:
    """The surface of what silhouettes and depth show of a ball around the origin.

    Raises:
        UsageError: they have nothing in common.
    """
    reach = np.full(3, 1.3 * radius, np.float32)
    return visual_hull(silhouettes, -reach, reach, cells=cells, depth=depth)


def overlap(mesh: Mesh, silhouettes: Silhouettes) -> float:
    """How well a mesh fills silhouettes, mean intersection over union."""
    found = []
    for view, shown in enumerate(silhouettes.inside):
        camera = silhouettes.cameras[view : view + 1]
        drawn = rasterize(mesh.vertices, mesh.faces, camera, near=near_of(mesh.vertices, camera)).face_ids >= 0
        found.append((drawn & shown).sum() / max((drawn | shown).sum(), 1))
    return float(np.mean(found))


def best_elevation(inside: Bool[np.ndarray, "v h w"], azimuths: Float32[np.ndarray, " v"], radius: float) -> float:
    """The elevation of `ELEVATIONS` at which the silhouettes agree best; 0 where they agree at none."""
    scores = {}
    for elevation in ELEVATIONS:
        cameras = around(azimuths, float(elevation), radius, inside.shape[1])
        try:
            small = roughly(shown_by(inside, cameras)[0], ROUGH)
            scores[elevation] = overlap(hull_of(small, radius, ROUGH_CELLS), small)
        except UsageError:
            continue
    return float(max(scores, key=lambda e: scores[e])) if scores else 0.0


def colored_by(mesh: Mesh, views: PartViews, cameras: Cameras, surface: Surface | None = None) -> Mesh:
    """The mesh with the colours of the first frame, where the views have any; its surface may be made already."""
    if views.images is None:
        return mesh
    surface = Surface.of(mesh.vertices, mesh.faces) if surface is None else surface
    return replace(mesh, colors=painted(surface, mesh.vertices, mesh.faces, views.images[:, 0], cameras))


def labelled(
    mesh: Mesh, labels: Int16[np.ndarray, "v h w"], cameras: Cameras, count: int, *, surface: Surface | None = None
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " k"]]:
    """The part of each vertex, from 0 without gaps, and the numbers those parts had.

    Args:
        mesh: as the views show it.
        labels: parts of the pixels, -1 for none.
        cameras: of the views.
        count: how many parts there are.
        surface: of the mesh, where it is made already.

    Raises:
        UsageError: no part is seen on the surface.
    """
    surface = Surface.of(mesh.vertices, mesh.faces) if surface is None else surface
    own = lifted(surface, votes(mesh.vertices, mesh.faces, labels, cameras, count))[surface.of_vertex]
    used, numbers = np.unique(own, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), used.astype(np.int64)


def standing(mesh: Mesh, height: float) -> Scale:
    """To a figure of this height that stands on the ground over the origin."""
    low, high = mesh.vertices.min(axis=0).astype(np.float64), mesh.vertices.max(axis=0).astype(np.float64)
    scale = height / max(float((high - low)[1]), 1e-9)
    middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return Scale(scale, np.eye(3), -scale * middle)


def laid_into(
    mesh: Mesh, inside: Bool[np.ndarray, "v h w"], cameras: Cameras, radius: float, told: Progress
) -> tuple[Scale, tuple[str, ...]]:
    """How the axes of views become those of a mesh of the same object: by turning about Y, scale and shift.

    Views that show nothing are left out, which is told.

    Raises:
        UsageError: fewer than two views show anything, or the mesh fits the silhouettes nowhere.
    """
    silhouettes, _, notes = shown_by(inside, cameras)
    rough = roughly(silhouettes, 2 * ROUGH)
    shape = hull_of(rough, radius, ROUGH_CELLS)
    best: tuple[float, Scale] | None = None
    for turn in np.arange(TURNS) * (2 * np.pi / TURNS):
        way = _onto(mesh, shape, float(turn))
        score = overlap(mesh, replace(rough, cameras=way.cameras(rough.cameras)))
        if best is None or score > best[0]:
            best = score, way
    assert best is not None
    if best[0] < FITS:
        fix = "give a mesh of what the pictures show, upright along Y, or leave --mesh out"
        raise UsageError(f"the mesh overlaps the views by {best[0]:.0%} at best", "--mesh", fix)
    told.note(f"the mesh overlaps the views by {best[0]:.0%}")
    return best[1], notes


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
