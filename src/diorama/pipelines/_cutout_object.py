"""Any subject before any background: GrabCut from what along the border is not found again, followed through a clip.

The prior is the distance of a pixel's colour from those at the picture's border (a few clusters, each with its own
spread), stronger towards the middle or within a box; GrabCut (Rother et al., SIGGRAPH 2004) decides from there. In the
next frame it starts from the last mask, moved along the optical flow.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.errors import UsageError
from diorama.perception.flow import dense_flow, pull
from diorama.perception.matting import refined, resized

WORK = 256
"""Pixels of the longer side on which the subject is looked for."""
TURNS, LATER = 3, 3
"""Of GrabCut in the first frame, and in others."""
RING = 0.05
"""Width of what counts as border, of the shorter side."""
CLUSTERS, COMMON = 8, 0.015
"""Of the border's colours, and their least share."""
VARIANCE = 16.0
"""Of a cluster's colours in Lab, levels squared, at least."""
STRANGE = 4.0
"""Distance from the border's colours, deviations, from which on a colour is rather not one of them."""
MIDDLE = 0.26
"""How far from the middle a subject may well be, of the picture's sides."""
MARGIN, BESIDE = 0.03, 0.35
"""By which a box is taken larger, of the sides of what is looked at; how much is looked at beside it, of its sides."""
LEAST, MOST = 0.001, 0.9
"""Shares of the picture, or of the box, between which a subject lies."""
FULL = 0.12
"""Share of a box that a subject fills, at least: else all of the box is where GrabCut begins."""
ALSO = 0.15
"""Of the largest piece of a subject that is followed, from which on another piece is its too: things pass before it."""
HOLE = 0.02
"""Side of a gap in the subject that is none, of the subject's longer side."""
MOVED, NEAR = 0.08, 0.15
"""How far the outline may change from frame to frame, and what is near it, of the picture's longer side."""

FRESH = 0.2
"""Share of the newest frame in the colours that are remembered."""
LOUDEST = 3.0
"""Logits that a colour counts at most."""
BINS = 16
"""Of each colour channel."""

Mask = Bool[np.ndarray, "h w"]
Small = UInt8[np.ndarray, "h w 3"]
Colors = Float32[np.ndarray, "b b b"]


@dataclass(frozen=True, eq=False)
class Held:
    """What is known of a subject.

    Attributes:
        small: the reduced picture.
        mask: where the subject is in it.
        front, back: how often each colour is the subject's, and that of what is near it, so far.
    """

    small: Small
    mask: Mask
    front: Colors
    back: Colors


def held(small: Small, mask: Mask, before: Held | None = None) -> Held:
    """A subject by its mask in a reduced picture; colours of `before` fade slowly."""
    near = _grown(mask, NEAR * max(small.shape)) & ~mask
    front, back = _colors(small, mask), _colors(small, near)
    if before is not None:
        front = (1 - FRESH) * before.front + FRESH * front
        back = (1 - FRESH) * before.back + FRESH * back
    return Held(small, mask, front.astype(np.float32), back.astype(np.float32))


def first_held(image: UInt8[np.ndarray, "fh fw 3"], box: tuple[float, float, float, float] | None) -> Held:
    """The subject of a picture.

    Args:
        image: RGB.
        box: around it, left, top, right, bottom, 0..1; None: it is somewhere in the middle.

    Raises:
        UsageError: nothing stands out from the background.
    """
    small = reduced(image)
    height, width = small.shape[:2]
    around, box = (np.s_[:, :], None) if box is None else _around(height, width, box)
    part = np.ascontiguousarray(small[around])
    height, width = part.shape[:2]
    outside, likely = _outside(height, width, box)
    strange = _strange(part, outside) * likely
    strange /= max(float(strange.max()), 1e-6)
    levels = np.rint(strange * 255).astype(np.uint8)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    labels = np.where(levels > level, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[outside] = cv2.GC_BGD
    found = _main(_cut(part, labels, TURNS), strange)
    if found is not None and box is None and (found & _grown(outside, 1)).any():
        found = _main(_cut(part, np.where(found, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8), 1), strange)
    if box is not None and (found is None or found.sum() < FULL * (~outside).sum()):
        found = _main(_cut(part, np.where(outside, cv2.GC_BGD, cv2.GC_PR_FGD).astype(np.uint8), TURNS), likely)
    share = 0.0 if found is None else found.sum() / max((~outside).sum(), 1)
    if found is None or not LEAST <= share <= (MOST if box is None else 1.0):
        fix = ("" if box else "say where the subject is by --box, or ") + "give its coverage by --mask"
        raise UsageError("no subject stands out from the background", "the picture", fix)
    whole = np.zeros(small.shape[:2], bool)
    whole[around] = found
    return held(small, whole)


def next_held(image: UInt8[np.ndarray, "fh fw 3"], last: Held) -> Held | None:
    """The subject one frame later; None where it is lost."""
    small = reduced(image)
    moved = pull(last.mask.astype(np.float32), dense_flow(small, last.small))
    size = max(small.shape)
    if not (moved > 0.5).any():
        return None
    near = _grown(moved > 0.5, MOVED * size)
    place = cv2.GaussianBlur(moved, (0, 0), MOVED * size / 3).clip(0.05, 0.95)
    front, back = (_looked_up(small, colors) + 1e-5 for colors in (last.front, last.back))
    said = np.log(place / (1 - place)) + np.log(front / back).clip(-LOUDEST, LOUDEST)
    guess = near & (said > 0)
    labels = np.where(guess, cv2.GC_PR_FGD, np.where(near, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    found = _main(_cut(small, labels, LATER), moved, ALSO)
    if found is None or not 0.7 < found.sum() / max(guess.sum(), 1) < 1.4:
        found = _main(guess, moved, ALSO)  # better what colours say than a cut that jumps
    return held(small, found, last) if found is not None and found.mean() >= LEAST / 4 else None


def soft(image: UInt8[np.ndarray, "fh fw 3"], held: Held) -> Float32[np.ndarray, "fh fw"]:
    """Coverage 0..1 with the edge that the picture shows."""
    height, width = image.shape[:2]
    rough = cv2.resize(held.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.nonzero(held.mask)
    tall = max(float(np.ptp(rows)), float(np.ptp(columns)), 4.0) * height / held.mask.shape[0]
    found = refined(image, rough, np.zeros_like(rough), tall)
    before, after = float((rough > 0.5).sum()), float((found > 0.5).sum())
    return found if 0.6 * before < after < 1.6 * before else rough


def reduced(image: UInt8[np.ndarray, "fh fw 3"]) -> Small:
    """The picture at the size on which subjects are looked for."""
    return resized(image, min(1.0, WORK / max(image.shape[:2])))


def _around(
    height: int, width: int, box: tuple[float, float, float, float]
) -> tuple[tuple[slice, slice], tuple[float, float, float, float]]:
    """The part of a picture around a box, and the box in it: what is far away may well look like the subject."""
    low, high = np.array(box[:2]) * (width, height), np.array(box[2:]) * (width, height)
    room = BESIDE * (high - low) + 2
    start = np.floor(np.maximum(low - room, 0)).astype(np.int64)
    stop = np.ceil(np.minimum(high + room, (width, height))).astype(np.int64)
    inner = np.concatenate([low - start, high - start]) / np.tile(stop - start, 2)
    left, top, right, bottom = (float(value) for value in inner)
    return (slice(int(start[1]), int(stop[1])), slice(int(start[0]), int(stop[0]))), (left, top, right, bottom)


def _outside(
    height: int, width: int, box: tuple[float, float, float, float] | None
) -> tuple[Mask, Float32[np.ndarray, "h w"]]:
    """What is surely background, and how likely the subject is where."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5)[:, None] / height
    if box is None:
        ring = max(2, round(RING * min(height, width)))
        outside = np.ones((height, width), bool)
        outside[ring:-ring, ring:-ring] = False
        return outside, np.exp(-(((x - 0.5) / MIDDLE) ** 2) - ((y - 0.5) / MIDDLE) ** 2).astype(np.float32)
    left, top, right, bottom = box
    outside = (x < left - MARGIN) | (x > right + MARGIN) | (y < top - MARGIN) | (y > bottom + MARGIN)
    across, down = (x - (left + right) / 2) / (right - left), (y - (top + bottom) / 2) / (bottom - top)
    return np.asarray(outside), np.exp(-(across**2) - down**2).astype(np.float32)


def _strange(small: Small, outside: Mask) -> Float32[np.ndarray, "h w"]:
    """How far each colour is from those of the background, 0..1."""
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    known = lab[outside]
    if len(known) < CLUSTERS:
        return np.ones(small.shape[:2], np.float32)
    cv2.setRNGSeed(0)
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, numbers, centers = cv2.kmeans(known, CLUSTERS, np.empty(0), rule, 2, cv2.KMEANS_PP_CENTERS)
    nearest = np.full(small.shape[:2], np.inf, np.float32)
    for number, center in enumerate(centers):
        own = known[numbers[:, 0] == number]
        if len(own) < max(4, COMMON * len(known)):
            continue
        inverse = np.linalg.inv(np.cov(own.T) + VARIANCE * np.eye(3)).astype(np.float32)
        off = lab - center
        nearest = np.minimum(nearest, np.sqrt(((off @ inverse) * off).sum(axis=-1)))
    return np.asarray(cv2.GaussianBlur(1 - np.exp(-nearest / STRANGE), (0, 0), 2), np.float32)


def _colors(small: Small, mask: Mask) -> Colors:
    """How often each colour, or one next to it, is in the mask; sums to 1, or 0 where the mask is empty."""
    counts = cv2.calcHist([small], [0, 1, 2], mask.astype(np.uint8), [BINS] * 3, [0, 256] * 3)
    spread = counts / max(float(counts.sum()), 1.0)
    for axis in range(3):
        spread = (np.roll(spread, 1, axis) + 2 * spread + np.roll(spread, -1, axis)) / 4
    return np.asarray(spread, np.float32)


def _looked_up(small: Small, colors: Colors) -> Float32[np.ndarray, "h w"]:
    place = small // (256 // BINS)
    return np.asarray(colors[place[..., 0], place[..., 1], place[..., 2]], np.float32)


def _cut(small: Small, labels: UInt8[np.ndarray, "h w"], turns: int) -> Mask:
    front = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not front.any() or front.all():
        return front
    cv2.setRNGSeed(0)
    inner, outer = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(picture, labels, (0, 0, 1, 1), outer, inner, turns, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _main(mask: Mask, likely: Float32[np.ndarray, "h w"], also: float = 1.0) -> Mask | None:
    """The piece that most likely is the subject, without small holes; None where there is none.

    Args:
        mask: pieces.
        likely: weight of each pixel, 0 or more.
        also: weight of other pieces that are kept, of that piece's.
    """
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    weights = np.bincount(numbers.ravel(), likely.ravel(), minlength=count)
    weights[0] = -1
    kept = weights >= also * weights.max()
    kept[0] = False
    piece = kept[numbers]
    if not piece.any():
        return None
    rows, columns = np.nonzero(piece)
    hole = (HOLE * (max(np.ptp(rows), np.ptp(columns)) + 1)) ** 2
    _, gaps, stats, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8), connectivity=4)
    tiny = stats[:, cv2.CC_STAT_AREA] <= max(hole, 4.0)
    tiny[0] = False
    return np.asarray(piece | tiny[gaps])


def _grown(mask: Mask, reach: float | int) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), _disc(reach)) > 0


def _disc(reach: float | int) -> UInt8[np.ndarray, "k k"]:
    side = 2 * max(1, round(reach)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
