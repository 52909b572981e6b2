"""Part maps to parts: which part each pixel shows, without a palette or their number (SP4D 1.5, our own way).

A generator paints each part in the colour of its place, blurred and with noise. Pixels whose surroundings are alike are
sure of their colour; such colours, of all views and frames, gather around those of the parts ("persistence-based
clustering", Chazal et al., JACM 2013). All others take, of the parts that are next to them, the one nearest in colour:
a mixture of two parts' colours may be a third one's.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64, UInt8, UInt32

from diorama.core.extras import need
from diorama.errors import UsageError
from diorama.rigging._decode_kernels import alike_mean, climb, even, nearest_in_color
from diorama.rigging.silhouette import blur_of, silhouette, without_white

TOLERANCES = (28.0, 10.0)
"""Levels of 255 within which neighbours are averaged, first and then."""
STEP, EVEN = 2, 5.0
"""Pixels, and levels below which a channel may change over them where a colour is sure."""
SOLID = 0.4
"""The object's share in a pixel from which on its colour is relied on."""
CELL = 1.5
"""Levels of 255 a side of the cells in which colours are counted."""
PROMINENCE = 0.85
"""A colour is one of its own where less than this share of its density lies between it and a denser one."""
LEAST = 60
"""Pixels of all views and frames together below which a colour is none."""
NEAR = 7
"""Pixels within which parts are next to a pixel."""
LOOKED_AT = 8
"""Pictures by which the blur is told."""
MOST_FLAT, PAPER = 96, 250
"""Colours up to which maps are taken for flat ones, of which each is a part; and levels from which all is paper."""
SMALL, LARGE = 256, 384
"""Pixels a side below which pictures are enlarged to about as many more: these filters are made for such."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Which part each pixel shows.

    Attributes:
        labels: number of the part, -1 beside the object; of the same shape as the pictures.
        colors: RGB of the parts, in the order of their numbers; the part with most pixels first.
    """

    labels: Int16[np.ndarray, "v t h w"]
    colors: UInt8[np.ndarray, "k 3"]


def decode(
    colored: UInt8[np.ndarray, "v t h w 3"],
    inside: Bool[np.ndarray, "v t h w"] | None = None,
    *,
    blur: float | int | None = None,
) -> Parts:
    """Tell the parts of all views and frames apart.

    Args:
        colored: part maps on white.
        inside: where the object is; told from the part maps by default.
        blur: of the part maps, standard deviation in pixels; measured by default.

    Raises:
        UsageError: there is no object, or no colour that is sure.
    """
    if (exact := _flat(colored, inside)) is not None:
        return exact
    side = max(colored.shape[2:4])
    if side < SMALL:
        return _enlarged(colored, inside, blur, -(-LARGE // side))
    pictures = colored.reshape(-1, *colored.shape[2:])
    alphas = np.stack([silhouette(p) for p in pictures]) if inside is None else inside.reshape(pictures.shape[:3])
    if not alphas.any():
        raise UsageError("part maps without an object", "decode", "give pictures of one object on white")
    if blur is None:
        shown = np.flatnonzero(alphas.any(axis=(1, 2)))
        some = shown[:: max(1, len(shown) // LOOKED_AT)]
        blur = blur_of(pictures[some], alphas[some])
    with ThreadPoolExecutor() as pool:
        looks = list(pool.map(partial(_look, blur=blur), pictures, alphas))
        sure = np.concatenate([smooth[core] for _, smooth, core in looks])
        found, colors = clusters(sure)
        if not len(colors):
            raise UsageError("part maps without an even colour", "decode", "give larger or less noisy ones")
        pieces = np.split(found, np.cumsum([np.count_nonzero(core) for _, _, core in looks])[:-1])
        jobs = zip(alphas, looks, pieces, strict=True)
        labels = list(pool.map(lambda job: _labelled(job[0], job[1], job[2], colors), jobs))
    return Parts(np.stack(labels).reshape(colored.shape[:4]), np.rint(colors).clip(0, 255).astype(np.uint8))


def _flat(colored: UInt8[np.ndarray, "v t h w 3"], inside: Bool[np.ndarray, "v t h w"] | None) -> Parts | None:
    """The parts of maps that no blur or noise has touched, each of its very colour; None for others."""
    paper = colored.min(axis=-1) >= PAPER
    there = ~paper if inside is None else inside & ~paper
    if not there.any():
        return None
    if any(len(np.unique(_packed(picture))) > MOST_FLAT for picture in colored[:, 0]):
        return None
    kinds, own, counts = np.unique(_packed(colored[there]), return_inverse=True, return_counts=True)
    if len(kinds) > MOST_FLAT:
        return None
    order = np.argsort(-counts, kind="stable")
    labels = np.full(there.shape, -1, np.int16)
    labels[there] = np.argsort(order)[own]
    if inside is not None:  # where a silhouette reaches beyond the colours
        for place in np.argwhere((inside & paper).any(axis=(2, 3))):
            labels[tuple(place)] = _spread(labels[tuple(place)], inside[tuple(place)])
    colors = np.stack([kinds >> 16, kinds >> 8 & 255, kinds & 255], axis=1)[order]
    return Parts(labels, colors.astype(np.uint8))


def _packed(colors: UInt8[np.ndarray, "*n 3"]) -> UInt32[np.ndarray, "*n"]:
    """Colours as one number each."""
    red, green, blue = np.moveaxis(colors, -1, 0).astype(np.uint32)
    return red << 16 | green << 8 | blue


def _enlarged(
    colored: UInt8[np.ndarray, "v t h w 3"],
    inside: Bool[np.ndarray, "v t h w"] | None,
    blur: float | int | None,
    times: int,
) -> Parts:
    """The parts of pictures that many times as large, in the middles of the pixels as they are."""
    height, width = colored.shape[2] * times, colored.shape[3] * times
    flat = colored.reshape(-1, *colored.shape[2:])
    large = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in flat])
    there = None if inside is None else inside.repeat(times, axis=2).repeat(times, axis=3)
    found = decode(
        large.reshape(*colored.shape[:2], height, width, 3), there, blur=None if blur is None else times * blur
    )
    return Parts(np.ascontiguousarray(found.labels[..., times // 2 :: times, times // 2 :: times]), found.colors)


_Look = tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]


def _look(picture: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"], blur: float) -> _Look:
    """A picture's colours without white, the same without noise, and where they are sure."""
    own, share = without_white(picture, inside, blur)
    weight = np.where(inside, share**2, np.float32(0)).astype(np.float32)
    smooth = own
    for tolerance in TOLERANCES:
        guide, smooth = smooth, np.zeros_like(own)
        alike_mean(guide, weight, tolerance, 2, smooth)
    core = np.zeros(inside.shape, bool)
    even(smooth, inside & (share > SOLID), STEP, EVEN, core)
    return own, smooth, core


def _labelled(
    inside: Bool[np.ndarray, "h w"], look: _Look, found: Int64[np.ndarray, " n"], colors: Float32[np.ndarray, "k 3"]
) -> Int16[np.ndarray, "h w"]:
    own, _, core = look
    labels = np.full(inside.shape, -1, np.int16)
    labels[core] = found
    if not (labels >= 0).any():
        return labels
    soft = np.zeros_like(own)
    alike_mean(own, inside.astype(np.float32), 1e3, 1, soft)  # everything is alike: a plain mean within the object
    near = np.empty_like(labels)
    nearest_in_color(soft, inside, labels, colors, NEAR, near)
    return _spread(near, inside)


def _spread(labels: Int16[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> Int16[np.ndarray, "h w"]:
    """Labels where there are none yet: those of the nearest pixels that have one; none without any."""
    known = labels >= 0
    if not known.any():
        return labels
    _, places = cv2.distanceTransformWithLabels((~known).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_place = np.zeros(int(places.max()) + 1, np.int16)
    by_place[places[known]] = labels[known]
    return np.where(inside, by_place[places], np.int16(-1))


def clusters(colors: Float32[np.ndarray, "n 3"]) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, "k 3"]]:
    """Colours that many others gather around, the commonest first, and whose each colour is (-1: nobody's)."""
    ndimage = need("scipy.ndimage")
    side = int(256 / CELL) + 2
    cells = np.clip((colors / CELL).astype(np.int64) + 1, 0, side - 1)
    flat = (cells[:, 0] * side + cells[:, 1]) * side + cells[:, 2]
    counts = np.bincount(flat, minlength=side**3).reshape(side, side, side).astype(np.float32)
    density = ndimage.gaussian_filter(counts, 1.0, truncate=3).ravel()
    order = np.flatnonzero(density > 1e-3)
    order = order[np.argsort(-density[order], kind="stable")]
    labels, parents = np.full(side**3, -1, np.int64), np.zeros(len(order) + 1, np.int64)
    peaks = climb(order, density, side, np.float32(PROMINENCE), labels, parents, np.zeros(len(order) + 1, np.float32))
    for peak in range(peaks):  # merged into earlier, that is higher, peaks only
        parents[peak] = parents[parents[peak]]
    own = np.where(labels[flat] >= 0, parents[labels[flat]], -1)
    sizes = np.bincount(own[own >= 0], minlength=max(peaks, 1))
    kept = np.flatnonzero(sizes >= LEAST)
    kept = kept[np.argsort(-sizes[kept], kind="stable")]
    numbers = np.full(max(peaks, 1) + 1, -1, np.int64)
    numbers[kept] = np.arange(len(kept))
    found = numbers[own]
    middles = [np.median(colors[found == part], axis=0) for part in range(len(kept))]
    return found, np.array(middles, np.float32).reshape(-1, 3)
