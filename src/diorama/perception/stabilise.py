"""Depth made steady in time and clean at edges, with the settings released with SVG (specs: S2VG 1.1).

Each map is averaged with its neighbours in time, which flow brings to the same place, wherever the neighbour shows the
same thing; then a guided filter, guided by the map before averaging, puts the edges back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, no_type_check

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from diorama.core.parallel import bands
from diorama.perception.base import Tracked

Small = UInt8[np.ndarray, "sh sw 3"]
InverseDepth = Float32[np.ndarray, "dh dw"]
Flow = Float32[np.ndarray, "sh sw 2"]
FlowBetween = Callable[[Small, Small], Flow]
"""(here, there) -> for each pixel of `here`, where it is in `there` minus where it is here (x, y, pixels)."""


@dataclass(frozen=True)
class Steadiness:
    """How strongly to smooth; the defaults are the released ones.

    Attributes:
        colour: a neighbour's pixel counts only where no channel differs by more than this, of 255.
        jump: ... and where its depth differs by at most this share of the current map's range.
        neighbour: weight of each neighbour before renormalising; the current map has twice as much.
        radius: of the guided filter, pixels of the map; 0 switches it off.
        epsilon: of the guided filter, squared units of the map (which spans 0..1 over a shot).
        guide: "map" guides by the map before averaging, as released, which brings back part of the flicker along
            with the edges; "average" guides by the averaged map, which is steadier.
    """

    colour: int = 20
    jump: float = 0.5
    neighbour: float = 0.25
    radius: int = 30
    epsilon: float = 1e-4
    guide: Literal["map", "average"] = "map"


def stabilise(
    shot: Iterable[tuple[Tracked, InverseDepth]], flow: FlowBetween, settings: Steadiness | None = None
) -> Iterator[InverseDepth]:
    """Smooth the maps of one shot in time and at edges; looks one frame ahead and holds three.

    Args:
        shot: the frames of one shot, in order, with their inverse depth in [0, 1], all of one size.
        flow: see `FlowBetween`; used from each frame to the next (the way back is in `Tracked.flow`, and is
            computed too where that is None within a shot).
        settings: strength, None for the released one.

    Yields:
        Float32[np.ndarray, "dh dw"]: one map a frame in [0, 1].
    """
    chosen = settings or Steadiness()
    before: tuple[Tracked, InverseDepth] | None = None
    here: tuple[Tracked, InverseDepth] | None = None
    for after in shot:
        if here is not None:
            yield _steady(before, here, after, flow, chosen)
        before, here = here, after
    if here is not None:
        yield _steady(before, here, None, flow, chosen)


def _steady(
    before: tuple[Tracked, InverseDepth] | None,
    here: tuple[Tracked, InverseDepth],
    after: tuple[Tracked, InverseDepth] | None,
    flow: FlowBetween,
    settings: Steadiness,
) -> InverseDepth:
    tracked, inverse_depth = here
    seen = []
    if before is not None:
        known = tracked.flow
        back = known if known is not None else flow(tracked.small, before[0].small)
        seen.append((before, back))
    if after is not None:
        seen.append((after, flow(tracked.small, after[0].small)))
    total = average(tracked.small, inverse_depth, [(t.small, d, f) for (t, d), f in seen], settings)
    return edges(total, inverse_depth if settings.guide == "map" else total, settings)


def average(
    small: Small, inverse_depth: InverseDepth, neighbours: list[tuple[Small, InverseDepth, Flow]], settings: Steadiness
) -> InverseDepth:
    """The map averaged with its neighbours in time, nearest samples, only where the three tests hold.

    A sample is dropped where it falls outside the picture (the released test is a warped weight below 0.999, which for
    nearest samples is the same), where the colour differs, or where the depth jumps; see `Steadiness`.
    """
    own = np.float32(2 * settings.neighbour)
    total, weight = own * inverse_depth, np.full(inverse_depth.shape, own, np.float32)
    limit = np.float32(settings.jump * float(inverse_depth.max() - inverse_depth.min()))
    for other_small, other_map, motion in neighbours:

        def band(
            first: int, last: int, there: Small = other_small, values: InverseDepth = other_map, motion: Flow = motion
        ) -> None:
            tests = (settings.colour, limit, np.float32(settings.neighbour))
            _add_rows((small, there, motion), (inverse_depth, values), tests, (total, weight), (first, last))

        bands(inverse_depth.shape[0], band)
    return total / weight


@njit(nogil=True, cache=True)
@no_type_check
def _add_rows(pictures, maps, tests, sums, rows):
    """Add the neighbour's samples that pass to (total, weight), for rows ``first..last`` of the map."""
    small, there, motion = pictures
    inverse_depth, values = maps
    colour, limit, share = tests
    total, weight = sums
    height, width = inverse_depth.shape
    small_height, small_width = small.shape[:2]
    down, across = np.float32(small_height / height), np.float32(small_width / width)
    up, wide = np.float32(1) / down, np.float32(1) / across
    half = np.float32(0.5)
    columns = np.empty(width, np.int64)
    for x in range(width):
        columns[x] = min(int((x + half) * across), small_width - 1)
    for y in range(rows[0], rows[1]):
        sy = min(int((y + half) * down), small_height - 1)
        for x in range(width):
            sx = columns[x]
            to_x = int(np.floor(x + motion[sy, sx, 0] * wide + half))
            to_y = int(np.floor(y + motion[sy, sx, 1] * up + half))
            if to_x < 0 or to_y < 0 or to_x >= width or to_y >= height:
                continue
            value = values[to_y, to_x]
            if abs(value - inverse_depth[y, x]) > limit:
                continue
            tx, ty = columns[to_x], min(int((to_y + half) * down), small_height - 1)
            same = True
            for channel in range(3):
                # numba's int() of uint8 is unsigned, and differences would wrap
                same &= abs(np.int64(there[ty, tx, channel]) - np.int64(small[sy, sx, channel])) <= colour
            if same:
                total[y, x] += share * value
                weight[y, x] += share


def edges(inverse_depth: InverseDepth, guide: InverseDepth, settings: Steadiness) -> InverseDepth:
    """Guided filter of `inverse_depth` by `guide`, clamped to [0, 1]."""
    if settings.radius == 0:
        return inverse_depth
    filtered = cv2.ximgproc.guidedFilter(guide, inverse_depth, settings.radius, settings.epsilon)
    return np.clip(filtered, 0, 1, out=filtered)
