"""A subject before a plain background: where the colour differs from what lies along the picture's border."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

RING = 0.02
"""Width of what counts as border, of the shorter side."""
ALIKE, NOISE = 0.72, 7.0
"""Share of the border that must be background, and its deviation at most, levels of 255."""
LEAST, MOST = 4.0, 22.0
"""Levels, at least and at most, up to which a colour is the background's; between them four deviations."""
SURE = 2.5
"""From how many times that on a colour is surely not."""
TINY = 0.0004
"""Share of the picture below which a subject is none."""
ASKED = 0.008
"""Reach of soft edges, of the picture's longer side."""
EXACT = 0.5
"""Mean distance, of the tolerance, up to which a closed gap shows the background."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A background of nearly one colour, that may run from one side to the other.

    Attributes:
        colors: RGB of the background behind every pixel.
        tolerance: distance of colours, levels, within which a pixel is background.
    """

    colors: Float32[np.ndarray, "h w 3"]
    tolerance: float

    @property
    def name(self) -> str:
        """What it looks like, in words."""
        mean = self.colors.mean(axis=(0, 1))
        if mean.min() > 235:
            return "white"
        if mean.max() < 25:
            return "black"
        red, green, blue = (round(float(value)) for value in mean)
        return "grey" if np.ptp(mean) < 12 else f"rgb({red}, {green}, {blue})"


def backdrop_of(image: UInt8[np.ndarray, "h w 3"]) -> Backdrop | None:
    """The plain background of a picture, None where its border is not plain."""
    height, width = image.shape[:2]
    ring = _ring(height, width)
    rows, columns = np.nonzero(ring)
    taken = np.linspace(0, len(rows) - 1, min(len(rows), 20_000)).astype(np.int64)
    terms = _terms(height, width)[rows[taken], columns[taken]]
    colors = image[rows[taken], columns[taken]].astype(np.float32)
    kept = np.abs(colors - np.median(colors, axis=0)).max(axis=1) < 3 * MOST
    for _ in range(4):
        if kept.sum() < ALIKE * len(taken):
            return None
        found = np.linalg.lstsq(terms[kept], colors[kept], rcond=None)[0]
        off = np.linalg.norm(colors - terms @ found, axis=1)
        spread = 1.4826 * float(np.median(off[kept]))
        tolerance = min(max(4 * spread, LEAST), MOST)
        kept = off < tolerance
    if spread > NOISE or kept.sum() < ALIKE * len(taken):
        return None
    behind = (_terms(height, width) @ found).clip(0, 255).astype(np.float32)
    return Backdrop(behind, tolerance)


def keyed(image: UInt8[np.ndarray, "h w 3"], backdrop: Backdrop) -> Float32[np.ndarray, "h w"] | None:
    """Coverage 0..1 of whatever stands before the background; None where nothing does.

    Along its edge a pixel mixes the background and the nearest colour that surely is not; the share is its place on
    the line between them.
    """
    off = image.astype(np.float32) - backdrop.colors
    far = np.linalg.norm(off, axis=-1)
    solid = far > SURE * backdrop.tolerance
    if solid.sum() < max(4, TINY * solid.size):
        return None
    behind, inner = _behind(far, backdrop.tolerance), _inner(far, solid)
    near, where = cv2.distanceTransformWithLabels(
        (~inner).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros((int(where.max()) + 1, 3), np.float32)
    owner[where[inner]] = off[inner]
    own = owner[where]
    share = (off * own).sum(axis=-1) / np.maximum((own * own).sum(axis=-1), 1)
    edge = cv2.dilate(behind.view(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
    reach = max(4.5, ASKED * max(far.shape))
    soft = np.where(edge & (near <= reach), share.clip(0, 1), 1)
    soft = np.where(behind & (near > reach), 0, soft)
    return np.where(far < 0.5 * backdrop.tolerance, np.where(behind, 0, soft), soft).astype(np.float32)


def _inner(far: Float32[np.ndarray, "h w"], solid: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that show nothing of the background: two within the outline; of thin parts those that differ most."""
    inner = cv2.erode(solid.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    near = cv2.dilate(inner.view(np.uint8), np.ones((9, 9), np.uint8)) > 0
    most = cv2.dilate(far, np.ones((5, 5), np.uint8))
    return np.asarray(inner | (solid & ~near & (far >= 0.98 * most)))


def _behind(far: Float32[np.ndarray, "h w"], tolerance: float) -> Bool[np.ndarray, "h w"]:
    """Where the background is seen: what hangs together with the border, and closed gaps of just its colour."""
    alike = far < tolerance
    count, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    sizes = np.bincount(labels.ravel(), minlength=count)
    means = np.bincount(labels.ravel(), far.ravel(), minlength=count) / np.maximum(sizes, 1)
    open_to = np.zeros(count, bool)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    open_to[edges] = True
    typical = means[open_to & (np.arange(count) > 0)]
    least = max(EXACT * tolerance, 1.2 * float(typical.min()) if len(typical) else 0.0)
    gaps = (means < least) & (sizes > TINY * far.size)
    shown = open_to | gaps
    shown[0] = False
    return np.asarray(shown[labels])


def _ring(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    reach = max(1, round(RING * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[reach:-reach, reach:-reach] = False
    return ring


def _terms(height: int, width: int) -> Float32[np.ndarray, "h w 4"]:
    """What the background's colour is a sum of: one, across, down, and darker corners."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return np.stack([np.ones_like(x), x, y, x * x + y * y], axis=-1).astype(np.float32)
