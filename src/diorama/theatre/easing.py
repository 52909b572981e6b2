"""Curves over time: eased keys, waves and steps, all without corners."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

Curve = Float[np.ndarray, " t"]


def ease(share: Curve) -> Curve:
    """0 before 0, 1 after 1, and a smooth rise between (quintic: no jump in speed or acceleration)."""
    s = np.clip(share, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s * s)


def keys(time: Curve, *pairs: tuple[float, float]) -> Curve:
    """A curve through (time, value) pairs in order, at rest at each of them; held before the first and after the last.

    Args:
        time: seconds.
        pairs: at least one, by rising time.
    """
    value = np.full(time.shape, float(pairs[0][1]))
    for (start, before), (end, after) in pairwise(pairs):
        value += (after - before) * ease((time - start) / max(end - start, 1e-6))
    return value


def pulse(time: Curve, start: float, full: float, fade: float, end: float) -> Curve:
    """0, a rise from `start` to 1 at `full`, held to `fade`, and back to 0 at `end`."""
    return keys(time, (start, 0.0), (full, 1.0), (fade, 1.0), (end, 0.0))


def wave(time: Curve, rate: float, phase: float = 0.0) -> Curve:
    """A sine of `rate` periods a second; `phase` in periods."""
    return np.sin(2 * np.pi * (rate * time + phase))


def drift(time: Curve, numbers: Sequence[float]) -> Curve:
    """Slow aimless swaying between about -1 and 1, from three numbers in [0, 1)."""
    rates = (0.31, 0.53, 0.87)
    waves = [wave(time, rate * (0.8 + 0.4 * n), n * 7.3) for rate, n in zip(rates, numbers, strict=True)]
    return np.sum(waves, axis=0) / 2


def periods(time: Curve, rate: float, phase: float) -> tuple[Curve, Curve]:
    """Which period it is, counted from 0 at phase 0, and how much of it has passed."""
    whole = rate * time + phase
    number = np.floor(whole)
    return number, whole - number
