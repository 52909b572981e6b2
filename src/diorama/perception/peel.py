"""Around a person, pixel by pixel: the person, what is before it, or the scene behind (MIMO's layers, section 3.1).

Three answers compete for each pixel. The person: the colour is one that the body has near this place, as the whole clip
shows it, mixed with the scene where it is blurred. The scene: the colour is that of the completed background. Something
else, such as a ball: neither. Each answer's cost is smoothed along the picture's edges before the least one is taken
("cost volume filtering", Hosni et al. 2013). What stands still before the person looks like the background itself; it
is found where the body should be seen and is not, and where a map of depth says that it is nearer than the person while
it overlaps the body; such maps are coarse, so colours say where it ends.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from diorama.perception._peel_kernels import continued, cost_volume, look_up, planes, tally, unlike_body

__all__ = ["Around", "Cues", "Peeled", "continued", "lab_of", "peel", "seen"]

MOST = 10.0
"""Squared deviations beyond which a colour is simply another one."""
OBJECT, HELD = 5.0, 1.0
"""Cost of something of any colour, and what is added where the network takes it for the person: patterns of cloth."""
KNOWN = 4.0
"""By how much it is less where the things of earlier frames look like it."""
TRUST = 4.0
"""What the soft mask of a network counts, against colours."""
NEARER = 3.0
"""What is added to the person's cost where something is surely nearer than the person."""
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
AHEAD, SURE = 1.1, 1.3
"""Inverse depth over the person's, from which on something may be before it, and surely is."""
BEHIND = 0.9
"""The same from which on what stands still where the body should be is not behind it."""
TELLS = 3.0
"""What colours count at most against depth, in logarithms of odds; depth counts up to 3.9."""
HIDES, AMISS = 0.03, 0.35
"""Part of the body that something nearer must hide, and what it must hide over what of the person lies beside the body:
maps of depth err, and so does the fit."""
UNEXPLAINED = 0.5
"""Pixels of the person beyond the body, over those of the body without person, from which on the fit is off."""
RARE = 4.0
"""How much more often than around it the colours of what stands before a person must be seen there."""
OFTEN = 1e-3
"""Share of a colour below which it is held to be chance."""
CONVEX = 1.3
"""Area of a thing's convex hull over its own, up to which it is filled."""
WHOLE = 0.75
"""Coverage of a thing's pixels, at least."""
SPECK = 0.004
"""Part of the body's pixels below which a piece is no object."""

WEIGHTS = tuple(np.float32(value) for value in (MOST, TRUST, NEARER, OBJECT, HELD, KNOWN))
BYTES = (np.arange(256, dtype=np.float32) / 255).reshape(1, 256)
"""What the bytes of a picture mean."""

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
        ahead: inverse depth over the person's or the ground's, above 1 nearer (`nearness`); 1 where nobody can tell.
        loose: by how many of its usual deviations the colour in `body` changes from frame to frame: patterns of cloth.
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
    ahead: Map
    loose: Map


@dataclass(frozen=True, eq=False)
class Peeled:
    """Coverage of a person and of what is before it, 0..1; and the part of the latter that is not of the scene."""

    person: Map
    occluder: Map
    things: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Cues:
    """What of the surroundings does not depend on the scene behind, for a second look with another one.

    Attributes:
        smooth: the filter along the picture's edges.
        ahead: how surely something is nearer than the person, 0..1.
        near: what lies so near the body that it may be the person's.
        image: the picture in CIE Lab.
        shifts: steps by which the body may be off.
        body: its colours in deviations, with a rim as wide as the farthest step.
    """

    smooth: cv2.ximgproc.GuidedFilter
    ahead: Map
    near: Bool[np.ndarray, "h w"]
    image: Float32[np.ndarray, "h w 3"]
    shifts: Int64[np.ndarray, "k 2"]
    body: Float32[np.ndarray, "3 bh bw"]

    @staticmethod
    def of(around: Around) -> "Cues":
        """All of it; neither `plate` nor `known` is looked at."""
        smooth = cv2.ximgproc.createGuidedFilter(around.image, SMOOTH, EDGE**2)
        near = (around.outside < 2 * REACH * around.tall) | (around.soft > 0.5)
        reach = max(2, round(REACH * around.tall))
        return Cues(
            smooth,
            _ahead(around, smooth),
            near,
            lab_of(around.image),
            _shifts(reach),
            planes(around.body, _deviations(LIGHTNESS, HUE), reach),
        )


def peel(around: Around, cues: Cues | None = None) -> Peeled:
    """The person and its occluders; nothing where the network sees nobody, since nothing is known to hide anybody.

    Args:
        around: what is known.
        cues: `Cues.of` the same surroundings, perhaps with another scene behind; found here by default.
    """
    if not seen(around):
        nothing = np.zeros_like(around.soft)
        return Peeled(nothing, nothing, nothing > 0)
    cues = cues or Cues.of(around)
    near = cues.near
    person, scene, thing = cv2.split(cues.smooth.filter(_costs(around, cues)))
    beside, below = np.minimum(scene, thing), np.minimum(person, scene)
    things = _objects((thing < below) & (near | (around.outside < FAR * around.tall)), around)
    standing = _standing((scene < person) & (scene <= thing) & near & ~things, around)
    standing |= _before((beside < person) & (cues.ahead > 0.5), around)
    # coverage: how much better the answer is than the best other one
    own = np.where(near & ~standing & ~things, _share(person, beside), 0)
    things &= ~standing
    before = standing.astype(np.float32)
    if things.any():
        before = np.maximum(np.where(things, np.maximum(_share(thing, below), WHOLE), 0), standing)
    return Peeled(_whole(own).astype(np.float32), before.astype(np.float32), things)


def seen(around: Around) -> bool:
    """Whether the network sees the person at all."""
    return bool(around.soft.max() >= 0.5)


def lab_of(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """CIE Lab of an sRGB picture, a little blurred against noise."""
    smooth = cv2.GaussianBlur(image, (0, 0), 0.8)
    return np.asarray(cv2.cvtColor(cv2.LUT(smooth, BYTES), cv2.COLOR_RGB2Lab), np.float32)


def _costs(around: Around, cues: Cues) -> Float32[np.ndarray, "h w 3"]:
    """Of person, scene and something else, squared deviations."""
    plate, scale, rim = lab_of(around.plate), _deviations(LIGHTNESS, HUE), 0
    unlike = np.full(around.soft.shape, MOST, np.float32)
    image, behind = planes(cues.image, scale, rim), planes(plate, scale, rim)
    unlike_body(image, behind, cues.body, cues.near, cues.shifts, np.float32(LEAST_BODY), unlike)
    maps = (around.soft, around.others, around.likely, cues.ahead, around.loose)
    scale = _deviations(SCENE_LIGHTNESS, SCENE_HUE)
    return np.asarray(cost_volume(unlike, cues.image, plate, scale, around.known, maps, WEIGHTS))


def _deviations(lightness: float, hue: float) -> Float32[np.ndarray, "3"]:
    return np.array([1 / lightness, 1 / hue, 1 / hue], np.float32)


def _shifts(reach: int) -> Int64[np.ndarray, "k 2"]:
    """Steps within a circle, nearest first; every second pixel near the middle, every fourth farther out."""
    y, x = (a.ravel() for a in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    far = y * y + x * x
    step = np.where(far <= 16, 2, 4)
    kept = (far <= reach * reach) & (y % step == 0) & (x % step == 0)
    return np.stack([y, x], axis=1)[kept][np.argsort(far[kept], kind="stable")].astype(np.int64)


def _ahead(around: Around, smooth: cv2.ximgproc.GuidedFilter) -> Map:
    """How surely something is nearer than the person, 0..1: by depth, and by the colours of what depth is sure of."""
    ahead = np.clip((around.ahead - AHEAD) / (SURE - AHEAD), 0.02, 0.98).astype(np.float32)
    free = around.soft < 0.3
    near, rest = free & (ahead > 0.95), (free & (ahead < 0.05)) | (around.soft > 0.9)
    odds = np.log(ahead / (1 - ahead))
    if near.any() and rest.any():
        odds += look_up(np.clip(np.log(_oftener(around.image, near, rest)), -TELLS, TELLS), around.image)
    return np.asarray(1 / (1 + np.exp(-smooth.filter(odds))), np.float32)


def _oftener(
    image: UInt8[np.ndarray, "h w 3"], here: Bool[np.ndarray, "h w"], there: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "n"]:
    """How many times as often as there each colour is seen here; neither may be empty."""
    shares = []
    for where in (here, there):
        counts = tally(image, where)
        shares.append(counts / np.float32(counts.sum()) + OFTEN)
    return np.asarray((shares[0] / shares[1]).astype(np.float32))


def _share(cost: Map, other: Map) -> Map:
    return np.asarray(1 / (1 + np.exp(np.clip(2 * (cost - other), -30, 30))), np.float32)


def _objects(found: Bool[np.ndarray, "h w"], around: Around) -> Bool[np.ndarray, "h w"]:
    """Pieces that are large enough and overlap the person: others are none of its occluders."""
    opened = cv2.morphologyEx(found.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return _rounded(_pieces(opened > 0, (around.inside > 0) | (around.soft > 0.5), _least(around)))


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
    within &= around.ahead > BEHIND
    return _proven(_pieces(within, within & _deep(around), _least(around)), around)


def _proven(found: Bool[np.ndarray, "h w"], around: Around) -> Bool[np.ndarray, "h w"]:
    """The pieces that are not what is all around, seen because the body lies beside where the person is."""
    free = (around.soft < 0.3) & (around.outside > 2) & (around.ahead < AHEAD)
    if not found.any() or not free.any():
        return found
    oftener = look_up(_oftener(around.image, found, free), around.image)
    strange, reach = (around.soft > 0.5) & (around.outside > 1), round(2 * REACH * around.tall)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=4)
    kept = np.zeros(count, bool)
    for piece in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[piece])
        box = slice(max(top - reach, 0), top + high + reach), slice(max(left - reach, 0), left + wide + reach)
        fits = np.count_nonzero(strange[box]) <= UNEXPLAINED * area
        kept[piece] = fits and np.median(oftener[labels == piece]) >= RARE
    return np.asarray(kept[labels])


def _before(ahead: Bool[np.ndarray, "h w"], around: Around) -> Bool[np.ndarray, "h w"]:
    """What is nearer than the person and hides a good part of the body."""
    found = ahead & (around.outside < FAR * around.tall) & (around.others < 0.5)
    hidden = found & (around.inside > 0) & (around.soft < 0.6)
    if not hidden.any():
        return np.zeros_like(found)
    labels, areas = _connected(found)
    count = len(areas)
    body, beside = np.count_nonzero(around.inside > 0), np.count_nonzero((around.soft > 0.5) & (around.outside > 1))
    kept = np.bincount(labels[hidden], minlength=count) >= max(HIDES * body, AMISS * beside, 1)
    kept &= np.bincount(labels[hidden & _deep(around)], minlength=count) > 0
    return np.asarray(kept[labels]) & found


def _deep(around: Around) -> Bool[np.ndarray, "h w"]:
    return np.asarray(around.inside > max(2.0, DEEP * around.tall))


def _least(around: Around) -> float:
    """Pixels below which a piece is none."""
    return SPECK * max(float((around.inside > 0).sum()), 1.0)


def _pieces(found: Bool[np.ndarray, "h w"], seeds: Bool[np.ndarray, "h w"], least: float) -> Bool[np.ndarray, "h w"]:
    """Connected pieces of at least so many pixels that hold a seed."""
    if not found.any():
        return found
    labels, areas = _connected(found)
    kept = areas >= least
    kept &= np.bincount(labels[seeds & found], minlength=len(areas)) > 0
    kept[0] = False
    return np.asarray(kept[labels])


def _connected(mask: Bool[np.ndarray, "h w"]) -> tuple[Int32[np.ndarray, "h w"], Int32[np.ndarray, " n"]]:
    """Numbers of a mask's pieces, from 1; and pixels of each number."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    return np.asarray(labels), stats[:, cv2.CC_STAT_AREA]


def _whole(soft: Map) -> Map:
    """Without specks that hang on nothing: pieces of a twentieth of the largest stay."""
    labels, areas = _connected(soft > 0.5)
    if len(areas) < 2:
        return np.zeros_like(soft)
    kept = np.concatenate([[False], areas[1:] >= areas[1:].max() / 20])
    near = cv2.dilate(kept[labels].view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(near, soft, 0)
