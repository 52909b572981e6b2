"""All cues of a single picture, fused into one map of inverse depth, with what a small network sees in it.

Cues and network err in different places: the cues know ground, sky and vanishing points in any picture, the network
knows things and people, best in pictures like those it was trained on. One trained to the least absolute error answers
with the middle of what may be: a flat answer says that it does not know. So its answer counts as far as it is decided,
and where it is not, what stands out in it still raises the cues' answer. All in roots of inverse depth, in which
neither the nearest things nor the far half of a picture weigh all.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.perception import cues
from diorama.perception.depth_small import learned_inverse_depth
from diorama.perception.layout import Layout, find_layout, ground_plane, planes
from diorama.perception.lines import find_segments, vanishing_point
from diorama.perception.regions import Regions, find_regions
from diorama.perception.shrink import shrink

SIDE = 160  # pixels: longer side of the maps in which cues are weighed
LIFT = 0.5  # how far things rise from the planes towards their contact
REACH = 1.2  # picture units: over this height above its contact, a surface is less and less sure to be the same thing
SUBJECT, FIGURE, WARM = 0.12, 0.02, 0.025  # weights of the weak cues
DOUBTFUL, DECIDED = 0.17, 0.22  # spread of the network's roots: below it is not believed, above it is alone
RELIEF = 0.35  # weight of what stands out in a doubtful answer
AROUND, SOLID = 0.15, 0.2  # of the longer side: from what it stands out; root from which on it can
NEAR = 0.75  # inverse depth of the ground at the lower border; what is nearer shares the rest

InverseDepth = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Still:
    """What one picture tells.

    Attributes:
        inverse_depth: 0 sky .. 1, at most `SIDE` pixels on the longer side.
        layout: the scene's coarse shape.
    """

    inverse_depth: InverseDepth
    layout: Layout


def read_still(small: UInt8[np.ndarray, "sh sw 3"]) -> Still:
    """Inverse depth from one picture alone, by its cues and by the network."""
    still = read_cues(small)
    return replace(still, inverse_depth=blend(still.inverse_depth, learned_inverse_depth(small)))


def blend(seen: InverseDepth, learned: Float32[np.ndarray, "lh lw"]) -> InverseDepth:
    """The answer of the cues and that of the network (any size, the same aspect), on the grid of the cues."""
    height, width = seen.shape
    root = cv2.resize(np.sqrt(learned), (width, height), interpolation=cv2.INTER_LINEAR)
    share = float(np.clip((root.std() - DOUBTFUL) / (DECIDED - DOUBTFUL), 0, 1))
    base = np.sqrt(seen)
    relief = RELIEF * (root - cv2.GaussianBlur(root, (0, 0), AROUND * max(height, width)))
    relief *= np.minimum(base / SOLID, 1)  # the sky of the cues stays sky
    mean = np.clip((1 - share) * (base + relief) + share * root, 0, 1)
    return np.asarray(mean * mean, np.float32)


def read_cues(small: UInt8[np.ndarray, "sh sw 3"]) -> Still:
    """Inverse depth from the cues of one picture; see the functions of `cues` for what is looked at."""
    image = analysis_size(small)
    regions = find_regions(image)
    sky = cues.sky(image, regions)
    point = vanishing_point(find_segments(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)))
    layout = find_layout(point, sky, cues.recession(image))
    return Still(_fuse(image, regions, sky * layout.open, layout), layout)


def analysis_size(small: UInt8[np.ndarray, "sh sw 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture at the size at which cues are weighed."""
    height, width = small.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    return shrink(small, max(1, round(height * scale)), max(1, round(width * scale)))


def _fuse(image: UInt8[np.ndarray, "h w 3"], regions: Regions, sky: np.ndarray, layout: Layout) -> InverseDepth:
    x, y = cues.coordinates(*image.shape[:2])
    alike = cues.likeness(regions)
    figure = cues.figure(regions, alike)[regions.labels]
    is_ground = cues.ground(regions, alike, y, layout.limit)
    base = planes(layout, x, y)
    base += SUBJECT * (1 - layout.lines) * (1 - abs(layout.turn)) * cues.middle(x, y)
    foot, weight = _standing(regions, is_ground, figure, y, layout)
    lifted = base + LIFT * weight * np.maximum(ground_plane(layout, foot) - base, 0)
    lifted += FIGURE * figure * (1 - is_ground) + WARM * cues.warmth(image)
    return (to_unit(lifted, layout, image.shape[:2]) * (1 - sky)).astype(np.float32)


def _standing(
    regions: Regions, is_ground: cues.Map, figure: cues.Map, y: cues.Map, layout: Layout
) -> tuple[cues.Map, cues.Map]:
    """Where each pixel's surface stands on the ground, and how much to believe it.

    A narrow region is one thing and has one contact; a wide one is a wall, which stands on the ground in every column.
    With a clear vanishing point walls are planes already, and only figures rise.
    """
    labels, width = regions.labels, y.shape[1]
    at, seen = cues.contact(is_ground, y)
    wide = np.clip((regions.width / width - 0.25) / 0.25, 0, 1)[labels]
    foot = regions.mean(at)[labels] * (1 - wide) + at * wide
    seen = regions.mean(seen)[labels]
    top = y[np.minimum(regions.high, len(y) - 1), 0]
    upright = (np.clip((layout.y - top) / 0.06, 0, 1) * layout.open)[labels]
    walls = 0.5 * layout.lines * max(layout.left, layout.right)
    narrow = np.maximum(seen, np.maximum(0.3 + 0.7 * figure, upright)) * (1 - walls * (1 - figure))
    certain = np.maximum(figure, upright)
    fading = np.exp(-np.maximum(foot - y, 0) / REACH) * (1 - certain) + certain
    return foot, (1 - is_ground) * fading * (seen * wide * (1 - walls) + (1 - wide) * narrow)


def to_unit(values: cues.Map, layout: Layout, size: tuple[int, int]) -> cues.Map:
    """From units of the ground plane to 0..1: the ground at the lower border becomes `NEAR`.

    Fixed by the layout alone, so the scale does not move with what is in the picture; nearer values are bent below 1.
    """
    half = size[0] / max(size) / 2
    ends = ground_plane(layout, np.array([-half, half]))
    scaled = NEAR * np.maximum(values - ends[0], 0) / max(float(ends[1] - ends[0]), 1e-6)
    over = np.maximum(scaled - NEAR, 0) / (1 - NEAR)
    return np.minimum(scaled, NEAR) + (1 - NEAR) * over / (1 + over)
