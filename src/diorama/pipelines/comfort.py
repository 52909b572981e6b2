"""Is the stereo picture comfortable to look at? Measured frame by frame, summarised against published limits.

Screen parallax is where the right eye's copy of a point is drawn relative to the left eye's, in percent of
the picture width: positive in front of the screen, zero on it, negative behind.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32

LEVELS = (1, 5, 50, 95, 99)
EYES_METRES = 0.065
_SAMPLES = 12_000
_TOUCHING = 0.1  # percent of width in front of the screen that counts as on it
_VIOLATED = 0.1  # share of the border that makes a frame's window violation worth telling


@dataclass(frozen=True)
class Limit:
    """A published comfort limit.

    Attributes:
        name: what it is called here.
        source: who states it.
        front, behind: largest parallax in front of and behind the screen, in `unit`.
        unit: ``degrees`` of visual angle or ``percent`` of the picture width.
        usual: whether it is about most of the picture most of the time, rather than about extremes.
    """

    name: str
    source: str
    front: float
    behind: float
    unit: str
    usual: bool = False


_REVIEW = "Lambooij et al. 2009, Visual Discomfort and Visual Fatigue of Stereoscopic Displays"
_BROADCAST = "BSkyB guidelines for stereoscopic programmes, for screens of 46 to 70 inches"
LIMITS = (
    Limit("one degree", _REVIEW, 1.0, 1.0, "degrees"),
    Limit("main subject", _BROADCAST, 1.0, 2.0, "percent", usual=True),
    Limit("short moments", _BROADCAST, 2.5, 4.0, "percent"),
)


@dataclass(frozen=True)
class Viewing:
    """How large the picture is to the viewer.

    Attributes:
        hfov_degrees: horizontal angle that the picture fills; 31 is a 16:9 picture from 3.2 times its height,
            the design distance of 1080-line television (ITU-R BT.2022). 3 % of the width is then just under 1
            degree.
    """

    hfov_degrees: float = 31.0

    def degrees(self, percent: float) -> float:
        """Parallax in percent of the width, at the middle of the picture, as visual angle with the same sign."""
        return math.degrees(2 * math.atan(percent / 100 * math.tan(math.radians(self.hfov_degrees) / 2)))

    def percent(self, degrees: float) -> float:
        """The inverse of `degrees`."""
        return 100 * math.tan(math.radians(degrees) / 2) / math.tan(math.radians(self.hfov_degrees) / 2)


@dataclass(frozen=True)
class FrameComfort:
    """What one frame asks of the eyes.

    Attributes:
        index: number of the frame in the output, from 0.
        seconds: when it is shown.
        shot: number of its shot, from 0.
        percentiles: of the screen parallax at `LEVELS`, percent of the picture width, positive in front.
        window_violation: share (0..1) of the left and right border whose content is in front of the screen,
            where the picture's edge cuts it off although it seems to be nearer than the edge.
        convergence: what was placed on the screen, 0 (farthest) to 1 (nearest) of the shot's inverse depth.
    """

    index: int
    seconds: float
    shot: int
    percentiles: tuple[float, float, float, float, float]
    window_violation: float
    convergence: float


def measure(
    disparity: Float32[np.ndarray, "h w"],
    *,
    index: int,
    seconds: float,
    shot: int,
    convergence: float,
    width: int | None = None,
) -> FrameComfort:
    """Measure one frame from a regular subset of its pixels (about 12 000; under 0.5 ms).

    Args:
        disparity: screen parallax of each pixel, finite, positive in front of the screen: the whole shift
            between the eyes, after convergence, in pixels of a picture `width` wide. Its own resolution may
            be lower.
        index, seconds, shot, convergence: kept in the result.
        width: of the picture that `disparity` counts pixels of; its own width by default.
    """
    height, columns = disparity.shape
    to_percent = 100 / (width or columns)
    step = max(1, math.isqrt(height * columns // _SAMPLES))
    inner = np.sort(disparity[step // 2 :: step, step // 2 :: step], axis=None)
    at = [round(level / 100 * (inner.size - 1)) for level in LEVELS]
    strip = max(1, columns // 200)
    rows = slice(None, None, max(1, height // 256))
    border = np.concatenate([disparity[rows, :strip], disparity[rows, -strip:]], axis=1)
    p1, p5, p50, p95, p99 = (float(inner[i]) * to_percent for i in at)
    violation = float(np.mean(border * to_percent > _TOUCHING))
    return FrameComfort(index, seconds, shot, (p1, p5, p50, p95, p99), violation, convergence)


def worst(records: Sequence[FrameComfort]) -> FrameComfort:
    """One record for several frames of a shot: the extremes of each, the mean of the middle."""
    table: Float[np.ndarray, "n 5"] = np.array([record.percentiles for record in records])
    low, middle, high = table[:, :2].min(axis=0), table[:, 2].mean(), table[:, 3:].max(axis=0)
    p1, p5, p50, p95, p99 = (float(value) for value in (*low, middle, *high))
    violation = max(record.window_violation for record in records)
    return replace(records[0], percentiles=(p1, p5, p50, p95, p99), window_violation=violation)


def summarise(records: Sequence[FrameComfort], viewing: Viewing = Viewing()) -> dict[str, object]:
    """The comfort report of a clip, ready for JSON.

    Over several frames the low percentiles are the lowest and the high ones the highest of the frames, so
    that a short excess is not averaged away; the middle one is the median of medians.
    """
    shots = [list(group) for group in _by_shot(records)]
    return {
        "frames": len(records),
        "viewing": {**asdict(viewing), "one_degree_percent": round(viewing.percent(1.0), 3)},
        "convention": "parallax: positive in front of the screen; percent of picture width",
        "overall": _extent(records, viewing),
        "shots": [_shot(group, viewing) for group in shots],
        "cut_jumps_degrees": [round(viewing.degrees(_jump(a, b)), 3) for a, b in pairwise(shots)],
        "window_violations": _violations(records),
        "widest_screen_metres": _widest_screen(records),
        **_verdict(records, viewing),
    }


def _by_shot(records: Sequence[FrameComfort]) -> list[list[FrameComfort]]:
    groups: dict[int, list[FrameComfort]] = {}
    for record in records:
        groups.setdefault(record.shot, []).append(record)
    return list(groups.values())


def _shot(group: Sequence[FrameComfort], viewing: Viewing) -> dict[str, object]:
    return {
        "shot": group[0].shot,
        "first_frame": group[0].index,
        "frames": len(group),
        "start_seconds": round(group[0].seconds, 3),
        "convergence": round(float(np.median([record.convergence for record in group])), 4),
        "window_violation": round(float(np.mean([record.window_violation for record in group])), 4),
        **_extent(group, viewing),
    }


def _envelope(records: Sequence[FrameComfort]) -> list[float]:
    if not records:
        return [0.0] * len(LEVELS)
    table: Float[np.ndarray, "n 5"] = np.array([record.percentiles for record in records])
    p1, p5 = table[:, :2].min(axis=0)
    p95, p99 = table[:, 3:].max(axis=0)
    return [float(value) for value in (p1, p5, np.median(table[:, 2]), p95, p99)]


def _extent(records: Sequence[FrameComfort], viewing: Viewing) -> dict[str, object]:
    values = _envelope(records)
    names = [f"p{level}" for level in LEVELS]
    return {
        "percent": {name: round(value, 4) for name, value in zip(names, values, strict=True)},
        "degrees": {name: round(viewing.degrees(value), 4) for name, value in zip(names, values, strict=True)},
        "depth_budget_percent": round(values[-1] - values[0], 4),
    }


def _jump(before: Sequence[FrameComfort], after: Sequence[FrameComfort]) -> float:
    return after[0].percentiles[2] - before[-1].percentiles[2]


def _violations(records: Sequence[FrameComfort]) -> dict[str, object]:
    shares = [record.window_violation for record in records]
    over = [record for record in records if record.window_violation > _VIOLATED]
    return {
        "frames": len(over),
        "worst_share": round(max(shares, default=0.0), 4),
        "worst_second": round(max(records, key=lambda r: r.window_violation).seconds, 3) if over else None,
        "counted_above_share": _VIOLATED,
    }


def _widest_screen(records: Sequence[FrameComfort]) -> float | None:
    """Width of the screen in metres on which the farthest point is as far apart as the eyes; None: any."""
    behind = -_envelope(records)[0]
    return round(EYES_METRES / (behind / 100), 2) if behind > 0.01 else None


def _verdict(records: Sequence[FrameComfort], viewing: Viewing) -> dict[str, object]:
    """``too strong`` where some frame leaves one degree, ``strong`` where another limit is left, or
    ``comfortable``.

    The limit for the main subject is held against the inner 90 % of the picture in the median frame, the
    others against the inner 98 % of the worst frame.
    """
    extreme = _envelope(records)
    usual = np.median([record.percentiles for record in records], axis=0) if records else np.zeros(len(LEVELS))
    pairs = [(float(usual[1]), float(usual[3])) if limit.usual else (extreme[0], extreme[4]) for limit in LIMITS]
    checks = [_check(limit, pair, viewing) for limit, pair in zip(LIMITS, pairs, strict=True)]
    kept = [bool(check["kept"]) for check in checks]
    verdict = "too strong" if not kept[0] else "strong" if not all(kept) else "comfortable"
    return {"verdict": verdict, "limits": checks}


def _check(limit: Limit, extent: tuple[float, float], viewing: Viewing) -> dict[str, object]:
    low, high = (viewing.degrees(value) if limit.unit == "degrees" else value for value in extent)
    return {
        **asdict(limit),
        "measured_front": round(max(0.0, high), 3),
        "measured_behind": round(max(0.0, -low), 3),
        "kept": high <= limit.front and -low <= limit.behind,
    }
