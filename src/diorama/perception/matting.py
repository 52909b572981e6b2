"""Where a person's outline runs in a picture, from the picture itself.

The landmark network sees 256 x 256 pixels and forgets buns, skirts and ears. Along its mask three voices are heard: the
network's, that of the whole picture's colours (GrabCut; Rother et al., SIGGRAPH 2004), and that of the colours nearby
(a normal distribution each for person and background around every pixel, learned by turns with the mask), which knows
white shoes on a white floor from a white wall. The edge is then made as soft as the picture shows it (the fast guided
filter, He and Sun 2015).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

WORK = 512
"""Pixels of the longer side on which the mask is refined."""
TURNS = 3
"""Of learning colours and deciding pixels."""
NEAR = (0.03, 0.08)
"""Reach of what is near, of the person's longer side: fine and coarse."""
INNER, OUTER = 0.01, 0.03
"""How far inside and outside of the network's outline pixels are asked, of the person's longer side."""
HOLE = 0.015
"""Sides of the picture up to which a gap in the person is none."""
NOISE = 0.02
"""Deviation of colours, of their range, that any surface has."""
LOUDEST, CUT = 4.0, 2.0
"""Logits that the colours near a pixel have at most, and those of the cut by the whole picture's colours."""
EDGE, FLAT = 0.006, 1e-3
"""Reach of the softening filter, of the person's longer side, and variance of colours below which it averages."""


def refined(
    photo: UInt8[np.ndarray, "h w 3"],
    rough: Float32[np.ndarray, "h w"],
    others: Float32[np.ndarray, "h w"],
    tall: float,
) -> Float32[np.ndarray, "h w"]:
    """A person's coverage with its outline where the picture has one.

    Args:
        photo: RGB.
        rough: the network's mask, 0..1.
        others: that of other people; where it is above `rough`, it is not the person.
        tall: the person's longer side, pixels.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, WORK / max(height, width))
    small, vote, strange = (resized(values, scale) for values in (photo, rough, others))
    tall = tall * scale
    strange = (strange > 0.5) & (vote < 0.5)
    sure = _shrunk(vote > 0.9, INNER * tall) & ~strange
    asked = _grown(vote > 0.1, OUTER * tall) & ~sure & ~strange
    colors = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    held = vote.clip(0.03, 0.97)
    told = np.where(_cut(small, vote, sure, asked), CUT, -CUT) + np.log(held / (1 - held))
    share = np.where(asked, vote, sure).astype(np.float32)
    everything = [_blurred(_moments(colors, np.ones_like(vote)), near * tall) for near in NEAR]
    for _ in range(TURNS):
        said = np.where(asked, told, np.where(sure, LOUDEST, -LOUDEST)).astype(np.float32)
        for near, total in zip(NEAR, everything, strict=True):
            person = _blurred(_moments(colors, share), near * tall)
            said[asked] += _likelier(colors[asked], person[asked], (total - person)[asked]) / len(NEAR)
        share = np.where(asked, 1 / (1 + np.exp(-cv2.blur(said, (3, 3)))), sure).astype(np.float32)
    soft = _softened(_whole_parts(share, sure), small, photo, max(2, round(EDGE * tall)))
    far = cv2.resize((asked | sure).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) == 0
    return np.where(far, 0, soft).astype(np.float32)


def _cut(
    small: UInt8[np.ndarray, "h w 3"],
    vote: Float32[np.ndarray, "h w"],
    sure: Bool[np.ndarray, "h w"],
    asked: Bool[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """What GrabCut takes for the person, by the colours of the whole picture."""
    guess = np.where(vote > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    labels = np.where(sure, cv2.GC_FGD, np.where(asked, guess, cv2.GC_BGD)).astype(np.uint8)
    person, rest = (labels == label for label in (cv2.GC_FGD, cv2.GC_BGD))
    if person.any() and rest.any():
        cv2.setRNGSeed(0)
        inner, outer = np.zeros((1, 65)), np.zeros((1, 65))
        picture = np.ascontiguousarray(small[..., ::-1])
        cv2.grabCut(picture, labels, (0, 0, 1, 1), outer, inner, 2, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _shrunk(mask: Bool[np.ndarray, "h w"], reach: float) -> Bool[np.ndarray, "h w"]:
    return cv2.erode(mask.view(np.uint8), _disc(reach)) > 0


def _grown(mask: Bool[np.ndarray, "h w"], reach: float) -> Bool[np.ndarray, "h w"]:
    return cv2.dilate(mask.view(np.uint8), _disc(reach)) > 0


def _disc(reach: float) -> UInt8[np.ndarray, "k k"]:
    side = 2 * max(1, round(reach)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def _moments(colors: Float32[np.ndarray, "h w 3"], share: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 10"]:
    """Weight, weighted colours, and their products."""
    products = [colors[..., i] * colors[..., j] for i, j in _PAIRS]
    stacked = np.stack([np.ones_like(share), *np.moveaxis(colors, -1, 0), *products], axis=-1)
    return (stacked * share[..., None]).astype(np.float32)


def _blurred(values: Float32[np.ndarray, "h w c"], deviation: float) -> Float32[np.ndarray, "h w c"]:
    """Means over a surrounding like a normal distribution's: three boxes."""
    side = 2 * max(1, round(deviation)) + 1
    for _ in range(3):
        values = cv2.boxFilter(values, -1, (side, side))
    return np.asarray(values, np.float32)


def _likelier(
    colors: Float32[np.ndarray, "n 3"], person: Float32[np.ndarray, "n 10"], rest: Float32[np.ndarray, "n 10"]
) -> Float32[np.ndarray, " n"]:
    """By how much a pixel is the person's rather than the rest's, logits; 0 where one of them is not near."""
    said = _likelihood(colors, person) - _likelihood(colors, rest)
    near = np.minimum(np.minimum(person[:, 0], rest[:, 0]).clip(0) / 0.05, 1)
    return (said.clip(-LOUDEST, LOUDEST) * near).astype(np.float32)


def _likelihood(colors: Float32[np.ndarray, "n 3"], moments: Float32[np.ndarray, "n 10"]) -> Float32[np.ndarray, " n"]:
    """Logarithm of a colour's density under the normal distribution of what is near."""
    moments = moments / np.maximum(moments[:, :1], 1e-6)
    inverse, size = _inverse(_spread(moments, NOISE**2))
    off = (colors - moments[:, 1:4])[..., None]
    return (-0.5 * (off.swapaxes(1, 2) @ inverse @ off)[:, 0, 0] - 0.5 * np.log(size)).astype(np.float32)


def _spread(moments: Float32[np.ndarray, "*n 10"], least: float) -> Float32[np.ndarray, "*n 3 3"]:
    """Covariances of colours from their moments of weight 1, with a least variance."""
    found = np.empty((*moments.shape[:-1], 3, 3), np.float32)
    for place, (i, j) in enumerate(_PAIRS):
        found[..., i, j] = found[..., j, i] = moments[..., 4 + place] - moments[..., 1 + i] * moments[..., 1 + j]
    return found + least * np.eye(3, dtype=np.float32)


def _inverse(
    matrices: Float32[np.ndarray, "*n 3 3"],
) -> tuple[Float32[np.ndarray, "*n 3 3"], Float32[np.ndarray, "*n"]]:
    """Inverses of symmetric matrices, and determinants."""
    a, b, c = (matrices[..., i, :] for i in range(3))
    turned = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-1)
    size = np.maximum((a * turned[..., 0]).sum(axis=-1), 1e-12)
    return turned / size[..., None, None], size


def _whole_parts(share: Float32[np.ndarray, "h w"], sure: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """The mask without pieces that do not hang together with what is sure, and without holes of a few pixels."""
    _, labels = cv2.connectedComponents((share > 0.5).astype(np.uint8))
    kept = np.zeros(int(labels.max()) + 1, bool)
    kept[labels[sure]] = True
    kept[0] = False
    found = np.where(_grown(kept[labels], 2.0), share, 0).astype(np.float32)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((found <= 0.5).astype(np.uint8), connectivity=4)
    tiny = stats[:, cv2.CC_STAT_AREA] < (HOLE * max(share.shape)) ** 2
    tiny[0] = False
    return np.where(tiny[labels], 1, found).astype(np.float32)


def _softened(
    share: Float32[np.ndarray, "sh sw"],
    small: UInt8[np.ndarray, "sh sw 3"],
    photo: UInt8[np.ndarray, "h w 3"],
    reach: int,
) -> Float32[np.ndarray, "h w"]:
    """The mask at the photo's size, as soft as its edges: locally a linear function of the colours."""
    side = 2 * reach + 1
    moments = cv2.boxFilter(_moments(small / np.float32(255), np.ones_like(share)), -1, (side, side))
    mean = cv2.blur(share, (side, side))
    joint = cv2.blur(small / np.float32(255) * share[..., None], (side, side)) - moments[..., 1:4] * mean[..., None]
    slope = (_inverse(_spread(moments, FLAT))[0] @ joint[..., None])[..., 0]
    start = mean - (slope * moments[..., 1:4]).sum(axis=-1)
    plane = cv2.blur(np.concatenate([slope, start[..., None]], axis=-1), (side, side))
    plane = cv2.resize(plane, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_LINEAR)
    found = (plane[..., :3] * (photo / np.float32(255))).sum(axis=-1) + plane[..., 3]
    return np.clip(1.4 * found - 0.2, 0, 1).astype(np.float32)


def resized(values: np.ndarray, scale: float) -> np.ndarray:
    """A picture or map made smaller by area or larger by cubics; as it is at 1."""
    size = tuple(max(1, round(length * scale)) for length in (values.shape[1], values.shape[0]))
    if size == (values.shape[1], values.shape[0]):
        return np.ascontiguousarray(values)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(values, size, interpolation=way), values.dtype)
