"""From an observation to numbers: what is trusted, how noisy it is, where feet stand, where outlines are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32

from diorama.core.camera import Cameras
from diorama.figures._solve_values import Feet, Outline, Seen
from diorama.figures.contour import contour_vertices, signed_distances
from diorama.figures.fit_body import FitBody, Frames, Rig, Shape
from diorama.figures.observation import Observation

FEET = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")
"""Points of a body that touch the ground; a rig for a fit has them after the points of the table."""
_FULL = 33
"""Points that count in full; of larger sets, most of them on one face, each counts less."""
_PIXELS = (0.004, 0.04)
"""Least and most noise that is believed, of the size of the body in the picture."""
_METRES = (0.02, 0.12)
_CALMEST, _THIRD = 25, 2.87
"""Percentile of points that are taken for calm, and the mean third difference of noise of 1 there."""
_STILL_SPEED = 0.35
"""Metres a second up to which a foot stands: fits tremble more than motions that were captured."""
_LOW = 0.08
"""Metres over the floor, or over the lower foot, up to which it does."""
_FIELD_SIDE, _DRAWN_SIDE = 192, 128
"""Pixels of the longer side of the masks' distances, and of the body drawn to find its outline."""
_CHUNK = 8


def seen_of(observation: Observation, known: tuple[bool, ...], pixel: float | None, metre: float | None) -> Seen:
    """What was seen, with a trust of 0 for landmarks that the body lacks, or that are only the body's (`FEET`).

    Args:
        observation: of a person.
        known: which landmarks the body has.
        pixel, metre: noise; measured where None.
    """
    count = observation.points.shape[1]
    trust = observation.confidence * np.array(known[:count])
    share = min(1.0, _FULL / max(sum(known[:count]), 1))
    pixels = np.where(trust[..., None] > 0, observation.points[..., :2], 0)
    world = world_trust = None
    metres = _METRES[0]
    if observation.world is not None:
        sound = (np.abs(observation.world) < 10).all(axis=-1) & np.array(known[:count])
        world_trust = np.where(sound, np.maximum(trust, 0.25), 0) * share
        metres = float(np.clip(_tremble(observation.world, sound), *_METRES)) if metre is None else metre
        world = np.where(sound[..., None], observation.world, 0)
    cameras = observation.all_cameras
    size = _size(pixels, trust)
    least, most = (share_of * size for share_of in _PIXELS)
    noise = float(np.clip(_tremble(pixels, trust > 0), least, most)) if pixel is None else pixel
    extra = len(known) - count
    return Seen(
        _widened(pixels, extra),
        _widened(trust * share, extra),
        None if world is None else _widened(world, extra),
        None if world_trust is None else _widened(world_trust, extra),
        cameras.viewmats.astype(np.float64),
        cameras.Ks.astype(np.float64),
        (float(noise), float(metres)),
        float(observation.fps),
    )


def feet_of(body: FitBody, rig: Rig, shape: Shape, frames: int, floor: bool) -> Feet | None:
    """Feet that do not stand yet; None for a body without them."""
    numbers = [i for i in range(len(rig.known) - len(FEET), len(rig.known)) if rig.known[i]]
    if not numbers:
        return None
    points = np.array(numbers)
    rest = rig.landmarks(shape, Frames(np.tile(np.eye(3), (1, len(rig.moving), 1, 1)), shape.rest[None]))
    return Feet(points, rest[0, points, 1] - float(body.vertices[:, 1].min()), np.zeros((frames, len(points))), floor)


def standing(feet: Feet, marks: Float64[np.ndarray, "t l 3"], fps: float) -> Float64[np.ndarray, "t f"]:
    """1 for points of feet that are slow and low, for two frames or more."""
    points = marks[:, feet.points]
    if len(points) < 2:
        return np.zeros(points.shape[:2])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1) * fps
    slow = np.concatenate([steps[:1], np.minimum(steps[1:], steps[:-1]), steps[-1:]]) < _STILL_SPEED
    height = points[..., 1] - feet.rest
    if not feet.floor:
        height = height - height.min(axis=1, keepdims=True)
    found = slow & (np.abs(height) < _LOW)
    after = np.concatenate([found[1:], found[-1:]])
    before = np.concatenate([found[:1], found[:-1]])
    return ((found & (before | after)) | (before & after)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Surface:
    """A body's surface in one shape.

    Attributes:
        rest: vertices at rest, metres.
        weights: of the rig's joints.
        faces: triangles.
    """

    rest: Float32[np.ndarray, "v 3"]
    weights: Float32[np.ndarray, "v j"]
    faces: Int32[np.ndarray, "f 3"]

    @staticmethod
    def of(body: FitBody, rig: Rig, weights: Float[np.ndarray, " k"]) -> "Surface":
        """The surface of a shape."""
        folded = np.zeros((len(body.vertices), len(rig.moving)), np.float32)
        np.add.at(folded.T, rig.home, body.weights.T)
        rest = body.vertices + np.tensordot(weights, body.vertex_dirs, 1)
        return Surface(rest.astype(np.float32), folded, body.faces)

    def posed(self, shape: Shape, frames: Frames) -> Float32[np.ndarray, "t v 3"]:
        """Its vertices, metres."""
        moves = np.concatenate([frames.turns, frames.shifts(shape)[..., None]], axis=-1).astype(np.float32)
        columns = moves.transpose(1, 0, 2, 3).reshape(len(moves[0]), -1)
        blended = (self.weights @ columns).reshape(len(self.rest), len(moves), 3, 4)
        found = np.einsum("vtac,vc->tva", blended[..., :3], self.rest)
        return np.ascontiguousarray(found + blended[..., 3].transpose(1, 0, 2))


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of masks.

    Attributes:
        fields: signed distances to them and their slopes in x and y, pixels of the fields; 0 where there is none.
        known: whether a mask has one.
        size: of the masks, rows and columns.
    """

    fields: Float32[np.ndarray, "t h w 3"]
    known: Bool[np.ndarray, " t"]
    size: tuple[int, int]

    @staticmethod
    def of(masks: Bool[np.ndarray, "t h w"]) -> "Edges":
        """The edges of masks, reduced."""
        step = max(-(-max(masks.shape[1:]) // _FIELD_SIDE), 1)
        far = signed_distances(np.ascontiguousarray(masks[:, ::step, ::step]))
        known = np.isfinite(far).all(axis=(1, 2))
        far = np.nan_to_num(far)
        slopes = [np.gradient(far, axis=axis) if far.shape[axis] > 1 else np.zeros_like(far) for axis in (2, 1)]
        return Edges(np.stack([far, *slopes], axis=-1), known, (masks.shape[1], masks.shape[2]))


def outline_of(
    surface: Surface,
    shape: Shape,
    frames: Frames,
    edges: Edges,
    cameras: Cameras,
    *,
    count: int,
    deviation: float,
) -> Outline:
    """Which vertices of a posed body should lie on the edges of masks.

    Args:
        surface, shape, frames: of the body.
        edges, cameras: of the frames.
        count: vertices a frame.
        deviation: of the edge, pixels.
    """
    height, width = edges.size
    drawn = min(_DRAWN_SIDE / max(height, width), 1.0)
    views = cameras.scaled(max(round(height * drawn), 1), max(round(width * drawn), 1))
    chosen, trust = np.zeros((len(cameras), count), np.int64), np.zeros((len(cameras), count))
    for first in range(0, len(cameras), _CHUNK):
        part = slice(first, first + _CHUNK)
        for t, vertices in enumerate(surface.posed(shape, Frames(frames.turns[part], frames.places[part])), first):
            if edges.known[t]:
                ring = contour_vertices(vertices, surface.faces, views[t : t + 1], count)
                chosen[t, : len(ring)], trust[t, : len(ring)] = ring, 1
    mass = surface.weights[chosen].astype(np.float64)
    arms = mass[..., None] * (surface.rest[chosen][:, :, None] - shape.rest)
    scale = edges.fields.shape[2] / width, edges.fields.shape[1] / height
    return Outline(arms, mass, edges.fields, scale, trust, deviation)


def _tremble(tracks: Float[np.ndarray, "t l d"], known: Bool[np.ndarray, "t l"]) -> float:
    """The noise of tracks an axis: third differences, of which calm points have hardly any but noise."""
    if len(tracks) < 4:
        return 0.0
    third = np.abs(np.diff(tracks, 3, axis=0)).mean(axis=-1)
    whole = known[3:] & known[2:-1] & known[1:-2] & known[:-3]
    usual = [np.median(third[:, point][whole[:, point]]) for point in np.flatnonzero(whole.any(axis=0))]
    return float(np.percentile(usual, _CALMEST) / _THIRD) if usual else 0.0


def _size(pixels: Float[np.ndarray, "t l 2"], trust: Float[np.ndarray, "t l"]) -> float:
    """The diagonal of the box around what is seen of the body, pixels, median."""
    sizes = [
        float(np.linalg.norm(np.ptp(points[sure], axis=0)))
        for points, sure in zip(pixels, trust > 0, strict=True)
        if sure.sum() > 1
    ]
    return max(float(np.median(sizes)), 1.0) if sizes else 1.0


def _widened(array: np.ndarray, extra: int) -> np.ndarray:
    """With `extra` landmarks of zeros at the end."""
    pads = [(0, 0)] * array.ndim
    pads[1] = (0, extra)
    return np.pad(array.astype(np.float64), pads)
