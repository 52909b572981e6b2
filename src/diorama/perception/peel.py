"""Around a person, pixel by pixel: the person, what is before it, or the scene behind (MIMO's layers, section 3.1).

Three answers compete for each pixel. The person: the colour is one that the body has near this place, as the whole clip
shows it, mixed with the scene where it is blurred. The scene: the colour is that of the completed background. Something
else, such as a ball: neither. Each answer's cost is smoothed along the picture's edges before the least one is taken
("cost volume filtering", Hosni et al. 2013). What stands still before the person looks like the background itself; it
is found where the body should be seen and is not.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from diorama.perception._peel_kernels import unlike_body

MOST = 10.0
"""Squared deviations beyond which a colour is simply another one."""
OBJECT, HELD = 5.0, 1.0
"""Cost of something of any colour, and what is added where the network takes it for the person: patterns of cloth."""
KNOWN = 4.0
"""By how much it is less where the things of earlier frames look like it."""
TRUST = 4.0
"""What the soft mask of a network counts, against colours."""
LEAST_BODY = 0.7
"""Share of the body in a mixed colour, from which on it counts as the person's."""
LIGHTNESS, HUE = 18.0, 9.0
"""Deviations of a surface's colour as it turns in the light: lightness 0..100, and a and b of CIE Lab."""
SCENE_LIGHTNESS, SCENE_HUE = 10.0, 6.0
"""The same of a background that was seen elsewhere or at other times."""
SMOOTH, EDGE = 4, 14.0
"""Radius (pixels) and colour step (of 255) of the filter along edges."""
REACH = 0.045
"""Part of a person's height by which a fitted body may be off."""
FAR = 0.2
"""Part of it beyond the body to which a thing that overlaps it may reach."""
DEEP = 0.02
"""Part of it by which the scene must reach into the body's outline to stand before it."""
CONVEX = 1.3
"""Area of a thing's convex hull over its own, up to which it is filled."""
WHOLE = 0.75
"""Coverage of a thing's pixels, at least."""
SPECK = 0.004
"""Part of the body's pixels below which a piece is no object."""

Map = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Around:
    """What is known of the surroundings of one person in one frame, at reduced size.

    Attributes:
        image: the frame.
        plate: the completed scene behind.
        known: where the plate was truly seen.
        soft: the network's mask of the person, 0..1.
        others: the same of other people, the most of them.
        likely: how much a pixel looks like a thing that was before the person in earlier frames, 0..1.
        body: colour (CIE Lab) that the fitted body shows, continued beyond its outline.
        outside: pixels to the outline for those beyond it, 0 within.
        inside: pixels to the outline for those within, 0 beyond.
        tall: pixels of the person's height.
    """

    image: UInt8[np.ndarray, "h w 3"]
    plate: UInt8[np.ndarray, "h w 3"]
    known: Bool[np.ndarray, "h w"]
    soft: Map
    others: Map
    likely: Map
    body: Float32[np.ndarray, "h w 3"]
    outside: Map
    inside: Map
    tall: float | int


@dataclass(frozen=True, eq=False)
class Peeled:
    """Coverage of a person and of what is before it, 0..1."""

    person: Map
    occluder: Map


def peel(around: Around) -> Peeled:
    """The person and its occluders."""
    person, scene, thing = _costs(around)
    near = _near(around)
    costs = [_smooth(around.image, cost) for cost in (person, scene, thing)]
    best = np.argmin(costs, axis=0)
    things = _objects((best == 2) & (near | (around.outside < FAR * around.tall)), around)
    standing = _standing((best == 1) & near & ~things, around)
    # coverage: how much better the answer is than the best other one
    soft_person = _share(costs[0], np.minimum(costs[1], costs[2]))
    own = np.where(near & ~standing & ~things, soft_person, 0)
    share = np.maximum(_share(costs[2], np.minimum(costs[0], costs[1])), WHOLE)
    before = np.maximum(np.where(things, share, 0), standing)
    return Peeled(_whole(own, around).astype(np.float32), before.astype(np.float32))


def lab_of(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """CIE Lab of an sRGB picture, a little blurred against noise."""
    smooth = cv2.GaussianBlur(image, (0, 0), 0.8)
    return np.asarray(cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def _costs(around: Around) -> tuple[Map, Map, Map]:
    """Of person, scene and something else, squared deviations."""
    image, plate = lab_of(around.image), lab_of(around.plate)
    scale = np.array([1 / LIGHTNESS, 1 / HUE, 1 / HUE], np.float32)
    unlike = np.full(around.soft.shape, MOST, np.float32)
    shifts, least = _shifts(max(2, round(REACH * around.tall))), np.float32(LEAST_BODY)
    unlike_body(image * scale, plate * scale, around.body * scale, _near(around), shifts, least, unlike)
    unlike = np.minimum(unlike, MOST)
    scale = np.array([1 / SCENE_LIGHTNESS, 1 / SCENE_HUE, 1 / SCENE_HUE], np.float32)
    off = (((image - plate) * scale) ** 2).sum(axis=-1)
    off = np.where(around.known, np.minimum(off, MOST), MOST / 2)
    other = 2 * MOST * (around.others > np.maximum(around.soft, 0.5))
    person = unlike + TRUST * (1 - around.soft) + other
    scene = off + TRUST * around.soft
    thing = OBJECT + HELD * around.soft - KNOWN * around.likely + other
    return person.astype(np.float32), scene.astype(np.float32), thing.astype(np.float32)


def _near(around: Around) -> Bool[np.ndarray, "h w"]:
    return (around.outside < 2 * REACH * around.tall) | (around.soft > 0.5)


def _shifts(reach: int) -> Int64[np.ndarray, "k 2"]:
    """Steps within a circle, nearest first; every second pixel near the middle, every fourth farther out."""
    y, x = (a.ravel() for a in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    far = y * y + x * x
    step = np.where(far <= 16, 2, 4)
    kept = (far <= reach * reach) & (y % step == 0) & (x % step == 0)
    return np.stack([y, x], axis=1)[kept][np.argsort(far[kept], kind="stable")].astype(np.int64)


def _smooth(image: UInt8[np.ndarray, "h w 3"], cost: Map) -> Map:
    return np.asarray(cv2.ximgproc.guidedFilter(image, cost, SMOOTH, EDGE**2), np.float32)


def _share(cost: Map, other: Map) -> Map:
    return np.asarray(1 / (1 + np.exp(np.clip(2 * (cost - other), -30, 30))), np.float32)


def _objects(found: Bool[np.ndarray, "h w"], around: Around) -> Bool[np.ndarray, "h w"]:
    """Pieces that are large enough and overlap the person: others are none of its occluders."""
    least = SPECK * max(float((around.inside > 0).sum()), 1.0)
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return _rounded(_pieces(opened > 0, (around.inside > 0) | (around.soft > 0.5), least))


def _rounded(things: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pieces that are nearly convex become so: balls and boxes have no dents."""
    out = things.astype(np.uint8)
    for outline in cv2.findContours(out, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        hull, filled = cv2.convexHull(outline), np.zeros_like(out)
        cv2.fillPoly(filled, [hull], 1)
        if filled.sum() <= CONVEX * max(cv2.contourArea(outline), 1):
            out |= filled
    return out > 0


def _standing(scene: Bool[np.ndarray, "h w"], around: Around) -> Bool[np.ndarray, "h w"]:
    """Parts of the scene where the body should be: they stand before it. The fit's error is no proof."""
    within = scene & (around.inside > 0) & around.known & (around.soft < 0.6) & (around.others < 0.5)
    deep = within & (around.inside > max(2.0, DEEP * around.tall))
    return _pieces(within, deep, SPECK * max(float((around.inside > 0).sum()), 1.0))


def _pieces(found: Bool[np.ndarray, "h w"], seeds: Bool[np.ndarray, "h w"], least: float) -> Bool[np.ndarray, "h w"]:
    """Connected pieces of at least so many pixels that hold a seed."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept &= np.bincount(labels[seeds], minlength=count) > 0
    kept[0] = False
    return np.asarray(kept[labels])


def _whole(soft: Map, around: Around) -> Map:
    """Without specks that hang on nothing: pieces of a twentieth of the largest stay."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((soft > 0.5).astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros_like(soft)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[False], areas >= areas.max() / 20])
    near = cv2.dilate(kept[labels].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(near, soft, 0)
