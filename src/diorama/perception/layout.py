"""The coarse shape of the scene: ground, side walls, ceiling and where they end, as planes of inverse depth.

The inverse depth of any plane is linear in the picture and zero at its horizon, so every plane here is a ramp from the
vanishing point. Unknown quantities are kept as spread: a ramp whose horizon is uncertain is rounded off.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from diorama.perception.cues import Map, coordinates
from diorama.perception.lines import Vanishing

UNKNOWN_HORIZON = (-0.05, 0.45)  # y and its spread where neither lines nor sky show it
KNOWN_SPREAD = 0.03
WALL = 1.25  # half width of the scene in heights of the camera: rooms 1-2, corridors 0.6-1, streets 2-4
OPEN, LINED = 0.5, 0.9  # strength of walls without and with a vanishing point
CEILING = (0.07, 0.86)  # ... of the ceiling
SKY_SHARE = 0.08  # of the picture: from here on the sky is trusted


@dataclass(frozen=True)
class Layout:
    """The scene's coarse shape, in picture units (see cues).

    Attributes:
        x, y: the point where the view recedes to; y is the horizon.
        spread: of the horizon.
        lines: 0..1, trust in the vanishing point.
        open: 0..1, trust in the sky.
        left, right, ceiling: strength of each plane, 0..1.
        turn: -1..1, which side is nearer by texture.
    """

    x: float
    y: float
    spread: float
    lines: float
    open: float
    left: float
    right: float
    ceiling: float
    turn: float

    @property
    def sure(self) -> float:
        """0..1, whether the horizon is known."""
        return float(np.clip((0.14 - self.spread) / 0.08, 0, 1))

    @property
    def limit(self) -> float:
        """y above which there can be no ground."""
        return self.y - 0.03 - 0.6 * self.spread - (1 - self.sure)


def find_layout(point: Vanishing, sky: Bool[np.ndarray, "h w"], turn: float) -> Layout:
    """Weigh lines, sky and texture against each other."""
    x, y = coordinates(*sky.shape)
    trust = point.confidence
    clear = float(np.clip(sky.mean() / SKY_SHARE, 0, 1))
    horizon, spread = UNKNOWN_HORIZON
    if clear > 0:
        horizon = clear * _skyline(sky, y) + (1 - clear) * horizon
        spread = clear * KNOWN_SPREAD + (1 - clear) * spread
    horizon = trust * point.y + (1 - trust) * horizon
    center = trust * point.x
    walls = OPEN * (1 - trust) + LINED * trust
    upper = y < horizon
    left = walls * _closed(sky, upper & (x < center - 0.12), clear)
    right = walls * _closed(sky, upper & (x > center + 0.12), clear)
    ceiling = (1 - clear) * (CEILING[0] + CEILING[1] * trust)
    spread = trust * KNOWN_SPREAD + (1 - trust) * spread
    turn *= (1 - clear) * (1 - trust)
    return Layout(center, horizon, spread, trust, clear, left, right, ceiling, turn)


def _skyline(sky: Bool[np.ndarray, "h w"], y: Map) -> float:
    """Where the sky ends where it reaches lowest: the horizon, or a little above it."""
    seen = sky.any(0)
    last = len(sky) - 1 - sky[::-1].argmax(0)
    return float(np.clip(np.percentile(y[last[seen], 0], 80), -0.25, 0.2))


def _closed(sky: Bool[np.ndarray, "h w"], part: Bool[np.ndarray, "h w"], clear: float) -> float:
    """How much of a part of the picture is not sky."""
    return 1 - clear * float(sky[part].mean()) if part.sum() > 40 else 1 - clear


def ramp(distance: Float64[np.ndarray, "*n"], spread: float) -> Float64[np.ndarray, "*n"]:
    """max(distance, 0), rounded off over `spread`."""
    return (distance + np.sqrt(distance * distance + spread * spread)) / 2


def ground_plane(layout: Layout, y: Float64[np.ndarray, "*n"]) -> Float64[np.ndarray, "*n"]:
    """Inverse depth of the ground at height y of the picture, in units of 1 / (focal length x camera height)."""
    return ramp(y - layout.y, layout.spread)


def planes(layout: Layout, x: Map, y: Map) -> Map:
    """Inverse depth of the nearest of ground, walls and ceiling, in the units of `ground_plane`."""
    turn = 1.05 * abs(layout.turn) * (np.sign(layout.turn) * x + 0.5)
    floor = ground_plane(layout, y) + turn
    wall = np.maximum(layout.left * ramp(layout.x - x, 0.05), layout.right * ramp(x - layout.x, 0.05)) / WALL
    ceiling = layout.ceiling * ramp(layout.y - y, layout.spread)
    return np.maximum(np.maximum(floor, wall), ceiling)
