"""What a single picture tells of how near things are, one pure function a cue; none of them is learned.

Picture units: origin at the centre, x right, y down, the longer side is 1.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from diorama.perception.regions import Per, Regions

Map = Float64[np.ndarray, "h w"]
Picture = UInt8[np.ndarray, "h w 3"]

ALIKE = 8.0  # Lab levels: colours this far apart count as two surfaces
SEEDED = 0.12  # share of the lower border that must look alike for a region to be ground


def coordinates(height: int, width: int) -> tuple[Map, Map]:
    """x and y of every pixel's centre in picture units."""
    rows, cols = np.indices((height, width), np.float64)
    scale = max(height, width)
    return (cols + 0.5 - width / 2) / scale, (rows + 0.5 - height / 2) / scale


def sky(image: Picture, regions: Regions) -> Bool[np.ndarray, "h w"]:
    """The sky: bright, even, from white to blue, joined to the upper border, brighter than the picture.

    Only a clear blue may reach far down or show through gaps; smooth walls and floors would be mistaken for it.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    even = regions.mean((edges < 25).astype(np.float64))
    red, green, blue = (regions.mean(image[..., c]) for c in range(3))
    light = (red + green + blue) / 3
    height, width = grey.shape
    tint = (blue > red - 6) & (blue > green - 10) & (green > red - 8)
    clear = (blue > red + 40) & (blue > green + 20) & (green > red + 10)
    low = (regions.low + 0.5 - height / 2) / max(height, width) > 0.12
    fits = tint & (even > np.where(clear, 0.5, 0.65)) & (light > 95) & (light > 1.02 * grey.mean()) & (clear | ~low)
    seeds = fits & (regions.top > 0.04 * width)
    if not seeds.any():
        return np.zeros(grey.shape, bool)
    fits &= light > 0.72 * light[seeds].max()
    whole = joined(fits[regions.labels], row=0, least=0.04 * width)
    gaps = (fits & clear)[regions.labels] if (seeds & clear).any() else np.zeros_like(whole)
    return whole | gaps


def joined(mask: Bool[np.ndarray, "h w"], *, row: int, least: float = 1) -> Bool[np.ndarray, "h w"]:
    """The parts of a mask that have at least `least` pixels in the given row."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    kept = np.bincount(labels[row], minlength=count) >= least
    kept[0] = False
    return np.asarray(kept[labels])


def recession(image: Picture) -> float:
    """Which way the picture recedes, by texture: +1 nearer to the right, -1 to the left, 0 not at all or not clearly.

    Distance turns coarse texture into fine, whatever its contrast. The logarithm of the ratio of coarse to fine edge
    energy must grow in the same direction in four bands of the picture.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    fits = [_trend(_energy(lab, coarse) - _energy(lab, fine)) for coarse, fine in ((3.0, 1.0), (4.0, 1.5))]
    fit = (fits[0] + fits[1]) / 2
    overall = float(fit.mean())
    way = float(np.sign(overall))
    together = np.clip((abs(overall) - 0.45) / 0.25, 0, 1) * np.clip((way * fit).min() / 0.3, 0, 1)
    return float(way * together)


def _energy(lab: Float32[np.ndarray, "h w 3"], sigma: float) -> Float32[np.ndarray, "4 8"]:
    """Logarithm of mean edge strength at one scale, in 4 x 8 blocks."""
    smooth = cv2.GaussianBlur(lab, (0, 0), sigma)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.sqrt((across * across + down * down).sum(2))
    strength = np.minimum(strength, np.percentile(strength, 97))
    blocks = cv2.resize(strength.astype(np.float32), (8, 4), interpolation=cv2.INTER_AREA)
    return np.asarray(np.log(blocks + 0.3), np.float32)


def _trend(blocks: Float32[np.ndarray, "4 8"]) -> Float64[np.ndarray, "4"]:
    """Correlation with x of each row of blocks."""
    x = np.linspace(-1, 1, blocks.shape[1])
    values = blocks - blocks.mean(1, keepdims=True)
    return np.asarray(values @ x / np.sqrt((x @ x) * ((values * values).sum(1) + 1e-2)), np.float64)


def likeness(regions: Regions) -> Float64[np.ndarray, "n n"]:
    """How alike the colours of any two regions are, 0..1."""
    distance = np.linalg.norm(regions.colour[:, None] - regions.colour[None], axis=2)
    return np.asarray(np.exp(-((distance / ALIKE) ** 2) / 2))


def figure(regions: Regions, alike: Float64[np.ndarray, "n n"]) -> Per:
    """How much each region is a figure before a ground, 0..1: its colours keep away from the picture's border.

    After the boundary connectivity of Zhu et al. (CVPR 2014), with likeness of colour in place of geodesic distance.
    """
    border = alike @ (regions.sides + regions.top + regions.bottom / 2)
    connected = border / np.sqrt(alike @ regions.area)
    return np.asarray(np.exp(-(connected**2) / 0.8))


def ground(regions: Regions, alike: Float64[np.ndarray, "n n"], above: Map, limit: float) -> Map:
    """How much each pixel is ground, 0..1: below the horizon, and coloured like what lies along the lower border.

    Args:
        above: y of each pixel.
        limit: y above which there can be no ground.
    """
    below = np.clip((regions.mean((above > limit).astype(np.float64)) - 0.6) / 0.3, 0, 1)
    width = regions.labels.shape[1]
    seen = alike @ (below * np.minimum(regions.bottom, 0.3 * width) / width)
    likely = (below * np.clip(seen / SEEDED, 0, 1))[regions.labels] * (above > limit)
    likely = likely * joined(likely > 0.25, row=-1)
    return np.asarray(cv2.GaussianBlur(likely, (0, 0), 1.0))


def contact(is_ground: Map, y: Map) -> tuple[Map, Map]:
    """For each pixel, where what it shows stands on the ground: the nearest ground below it in its column.

    Returns:
        y of the contact (the lower border where no ground is seen below), and how surely ground is seen there, 0..1.
    """
    at, seen = np.empty_like(y), np.empty_like(y)
    current, surest = np.full(y.shape[1], y[-1, 0]), np.zeros(y.shape[1])
    for row in range(len(y) - 1, -1, -1):
        current = np.where(is_ground[row] > 0.5, y[row], current)
        surest = np.maximum(surest, is_ground[row])
        at[row], seen[row] = current, surest
    return at, seen


def warmth(image: Picture) -> Map:
    """Red is seen nearer than blue and green (chromostereopsis), and haze is blue: about -1..1."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    return (lab[..., 1].astype(np.float64) - 128) / 40


def middle(x: Map, y: Map) -> Map:
    """Where a picture's subject usually is, 0..1: near the centre."""
    return np.asarray(np.exp(-((x / 0.24) ** 2) / 2 - ((y / 0.14) ** 2) / 2))
