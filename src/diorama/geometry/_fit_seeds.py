"""Where fitting begins: Gaussians unprojected from the pictures, following nodes.

Those of the middle time come first; what the pictures of other times and views show and the drawn scene does not yet
cover is added from there, brought back to rest along its nodes, and present mostly around its time.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.rotations import to_matrix
from diorama.errors import UsageError
from diorama.geometry._fit_nodes import Nodes, links_of, marks_of
from diorama.geometry._fit_tracks import Reference, grid, nearest, tracks
from diorama.geometry.splat import splat

_WIDTH = 0.6
"""Standard deviation over the distance of neighbours."""
_OPACITY = 0.9
_COVERED = 0.6
"""Alpha from which a pixel is covered."""
_NEARER = 0.87
"""True over drawn depth below which something is missing before what is drawn."""
_MOVING = 3.0
"""Pixels from its place beyond which something moves."""
_FADING = 1.8
"""Standard deviations at which what is seen for some time is a frame after it; it is there by 0.2 then."""
ALWAYS, AROUND = 8.0, 0.7
"""Widths of presence over the duration: of the middle time's Gaussians, and of others."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a view shows at a time.

    Attributes:
        image: RGB.
        camera: one view.
        time: its number.
        present: how long what is added is there, seconds (a standard deviation).
        depth: metres along z; None where it is not known, and taken from what is drawn.
    """

    image: UInt8[np.ndarray, "h w 3"]
    camera: Cameras
    time: int
    present: float
    depth: Float32[np.ndarray, "h w"] | None


def seed(moving: MovingGaussians, nodes: Nodes, ref: Reference, shot: Snapshot, spacing: int) -> MovingGaussians:
    """Add what a snapshot shows and the Gaussians do not: one for each square of `spacing` pixels.

    Args:
        moving: with the nodes' motion; no Gaussians at first.
    """
    found = splat(moving.at(float(ref.times[shot.time])), shot.camera)
    depth = _behind(found.depth, found.alpha >= _COVERED) if shot.depth is None else shot.depth
    missing = found.alpha < _COVERED
    if shot.depth is not None:
        missing |= shot.depth < _NEARER * found.depth
    height, width = depth.shape
    pixels = grid(height, width, spacing)
    at = nearest(pixels, (height, width))
    keep = missing[at] & np.isfinite(depth[at]) & (depth[at] > 0)
    pixels, at = pixels[keep], tuple(axis[keep] for axis in at)
    if not len(pixels):
        return moving
    z = depth[at]
    world = shot.camera.unproject(pixels[None], z[None].astype(np.float64))[0]
    places, seen, presence = _followed(ref, shot, pixels, world)
    links, weights = links_of(nodes, ref, places, seen)
    unit = (z / shot.camera.Ks[0, 0, 0]).astype(np.float32)
    colors = _means(shot.image, spacing)[nearest(pixels / spacing, (-(-height // spacing), -(-width // spacing)))]
    added = Gaussians(
        _at_rest(moving, world, links, weights, float(ref.times[shot.time])).astype(np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (len(z), 1)),
        np.repeat(_WIDTH * spacing * unit[:, None], 3, axis=1),
        np.full(len(z), _OPACITY, np.float32),
        colors,
    )
    return joined(moving, added, links, weights, presence)


def _followed(
    ref: Reference,
    shot: Snapshot,
    pixels: Float[np.ndarray, "g 2"],
    world: Float[np.ndarray, "g 3"],
) -> tuple[Float[np.ndarray, "g t 3"], Bool[np.ndarray, "g t"], Float32[np.ndarray, "g 2"]]:
    """Tracks of what a snapshot shows, when they are seen, and the presence that they can be trusted for.

    What moves is taken to be there as long as it was seen, what stands still until something behind it is seen in its
    place. Beside the reference view there are no tracks, only places at the snapshot's time.
    """
    here, count = shot.time, len(ref.depth)
    if shot.depth is None or not np.array_equal(shot.camera.viewmats, ref.cameras[here].viewmats):
        steady = world @ ref.steady[here, :3, :3].T + ref.steady[here, :3, 3]
        seen = np.zeros((len(pixels), count), bool)
        seen[:, here] = True
        places, gone = np.repeat(steady[:, None], count, axis=1), ~seen & False
    else:
        places, seen = tracks(ref, pixels, here)
        marks = marks_of(ref, places)
        moving = np.linalg.norm(marks - marks[:, here, None], axis=-1).max(axis=1) > _MOVING
        gone = ~seen & moving[:, None]
    for time in range(count):
        gone[:, time] |= ref.through(places[:, time], time)
    gone[:, here] = False
    first = np.where(gone, np.arange(count), -1)[:, :here].max(axis=1, initial=-1) + 1
    last = np.where(gone, np.arange(count), count)[:, here:].min(axis=1, initial=count) - 1
    frame = float(np.diff(ref.times).mean()) if count > 1 else 1.0
    half = (ref.times[last] - ref.times[first]) / 2
    limited = np.stack([ref.times[first] + half, (half + frame) / _FADING], axis=1)
    free = np.array([ref.times[here], shot.present])
    return places, seen, np.where(gone.any(axis=1, keepdims=True), limited, free).astype(np.float32)


def units_of(moving: MovingGaussians, spacing: int) -> Float32[np.ndarray, " g"]:
    """Metres that a pixel covers at each Gaussian that was just added."""
    return moving.rest.scales[:, 0] / np.float32(_WIDTH * spacing)


def joined(
    moving: MovingGaussians,
    added: Gaussians,
    links: Int32[np.ndarray, "g k"],
    weights: Float32[np.ndarray, "g k"],
    presence: Float32[np.ndarray, "g 2"],
) -> MovingGaussians:
    """More Gaussians that follow the same nodes.

    Raises:
        UsageError: those that are there are without presence.
    """
    if moving.presence is None:
        raise UsageError("Gaussians without presence", "joined", "give a time and a width for each")
    names = ("means", "quats", "scales", "opacities", "colors")
    rest = Gaussians(*(np.concatenate([getattr(moving.rest, n), getattr(added, n)]) for n in names))
    return replace(
        moving,
        rest=rest,
        links=np.concatenate([moving.links, links]),
        weights=np.concatenate([moving.weights, weights]),
        presence=np.concatenate([moving.presence, presence]),
    )


def _at_rest(
    moving: MovingGaussians,
    world: Float[np.ndarray, "g 3"],
    links: Int32[np.ndarray, "g k"],
    weights: Float32[np.ndarray, "g k"],
    time: float,
) -> Float[np.ndarray, "g 3"]:
    """Where Gaussians rest that are at these places at a time; undoes `MovingGaussians.at`."""
    shifts, turns = moving.nodes_at(time)
    matrices = to_matrix(turns.astype(np.float64))
    fixed = moving.nodes + shifts - np.einsum("nij,nj->ni", matrices, moving.nodes)
    turn = np.einsum("gk,gkij->gij", weights, matrices[links])
    return np.linalg.solve(turn, (world - np.einsum("gk,gkc->gc", weights, fixed[links]))[..., None])[..., 0]


def _means(image: UInt8[np.ndarray, "h w 3"], step: int) -> Float32[np.ndarray, "y x 3"]:
    """Colours of squares of pixels, 0 to 1."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % step), (0, -width % step), (0, 0)), mode="edge").astype(np.float32) / 255
    return padded.reshape(padded.shape[0] // step, step, -1, step, 3).mean(axis=(1, 3))


def _behind(depth: Float32[np.ndarray, "h w"], covered: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Depth with its gaps filled from the farther of what is left and right of them: what stands before hides."""
    out = np.where(covered, depth, np.nan).astype(np.float32)
    columns = np.arange(depth.shape[1])
    left = np.maximum.accumulate(np.where(covered, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(covered, columns, depth.shape[1])[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(len(depth))[:, None]
    from_left = np.where(left >= 0, out[rows, np.maximum(left, 0)], 0)
    from_right = np.where(right < depth.shape[1], out[rows, np.minimum(right, depth.shape[1] - 1)], 0)
    filled = np.maximum(from_left, from_right)
    return np.where(covered, depth, np.where(filled > 0, filled, np.nan)).astype(np.float32)
