"""Where an object is, in pictures of it on white, and how blurred they are."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

LEAST = 24.0
"""Levels of 255 that a blurred pixel must differ from white, at least somewhere near, to be of the object."""
NEAR = 11
"""Pixels across which the object's own colour is looked for: as far as blurs of 1.5 and 1 pixels reach (3 sigma)."""
BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Standard deviations that are tried, pixels."""
WHITE = 255.0

Picture = UInt8[np.ndarray, "h w 3"]
Silhouette = Bool[np.ndarray, "h w"]


def silhouette(picture: Picture) -> Silhouette:
    """Where an object on white is: pixels at least half as unlike white as the object is around them.

    Blur moves such an edge little; noise is smoothed away before. Pieces below a thousandth of the largest are specks.
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    unlike = WHITE - smooth.min(axis=2).astype(np.float32)
    around = cv2.dilate(unlike, np.ones((NEAR, NEAR), np.uint8))
    found = (unlike > 0.5 * around) & (around > LEAST)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.view(np.uint8))
    if count < 2:
        return found
    areas = stats[1:, cv2.CC_STAT_AREA]
    return found & np.concatenate([[False], areas * 1000 >= areas.max()])[labels]


def without_white(
    picture: Picture, inside: Silhouette, blur: float
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """The object's own colours, of a picture that was blurred over its edge, and its share in each pixel.

    Args:
        picture: on white.
        inside: where the object is, sharp.
        blur: standard deviation, pixels.
    """
    share = covered(inside, blur)
    own = (picture - WHITE * (1 - share[..., None])) / np.maximum(share, 0.25)[..., None]
    return np.clip(own, -20, 275).astype(np.float32), share


def covered(inside: Silhouette, blur: float) -> Float32[np.ndarray, "h w"]:
    """The share of the object in each pixel of a picture that was blurred."""
    sharp = inside.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(sharp, (0, 0), blur), np.float32) if blur > 0 else sharp


def blur_of(pictures: UInt8[np.ndarray, "n h w 3"], inside: Bool[np.ndarray, "n h w"]) -> float:
    """The blur of pictures, pixels: the one without which the object's rim has the colours of what it borders on.

    It is the first that is better than the next: of much blur so little is left of a rim that it looks alike again.
    """
    best = np.inf
    for number, blur in enumerate(BLURS):
        unlike = float(np.mean([_unlike(p, i, blur) for p, i in zip(pictures, inside, strict=True)]))
        if unlike >= best:
            return BLURS[number - 1]
        best = unlike
    return BLURS[-1]


def _unlike(picture: Picture, inside: Silhouette, blur: float) -> float:
    """How far the rim's colours are from those farther in, levels."""
    own, _ = without_white(picture, inside, blur)
    deep = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3)
    inner, rim = (deep > 3.5) & (deep < 6), inside & (deep < 1.5)
    if not inner.any() or not rim.any():
        return 0.0
    weight = inner.astype(np.float32)
    sums = cv2.boxFilter(own * weight[..., None], -1, (11, 11), normalize=False)
    count = cv2.boxFilter(weight, -1, (11, 11), normalize=False)
    rim &= count > 0
    means = sums[rim] / count[rim][:, None]
    return float(np.abs(own[rim].mean(axis=0) - means.mean(axis=0)).sum()) if rim.any() else 0.0
