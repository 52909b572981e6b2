"""Colours of creatures: patterns over the whole body that do not follow its parts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, UInt8

Noise = Callable[[Float[np.ndarray, "v 3"]], Float[np.ndarray, " v"]]


def coat(rng: np.random.Generator, vertices: Float32[np.ndarray, "v 3"]) -> UInt8[np.ndarray, "v 3"]:
    """RGB of each vertex from its place at rest: spots, stripes, two tones or clouds in a palette drawn by chance."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    places = (vertices - low) / max(float((high - low).max()), 1e-6)
    first, second, third = _palette(rng)
    rough = _noise(rng, 14.0)(places)
    kind = int(rng.integers(4))
    if kind == 0:
        share = _step(_noise(rng, float(rng.uniform(9, 22)))(places), float(rng.uniform(-0.2, 0.5)))
    elif kind == 1:
        way = rng.normal(size=3)
        wave = places @ (way / np.linalg.norm(way)) * float(rng.uniform(5, 14)) + 0.35 * _noise(rng, 5.0)(places)
        share = _step(np.sin(2 * np.pi * wave), float(rng.uniform(-0.4, 0.4)))
    elif kind == 2:
        share = _step(places[:, 1] - np.median(places[:, 1]) + 0.12 * _noise(rng, 5.0)(places), 0.0, 12.0)
    else:
        share = 0.5 + 0.5 * _noise(rng, float(rng.uniform(4, 8)))(places)
    speckle = _step(_noise(rng, 30.0)(places), float(rng.uniform(0.6, 1.6)))[:, None]
    colors = (1 - share[:, None]) * first + share[:, None] * second
    colors = (1 - speckle) * colors + speckle * third
    return np.rint(np.clip(colors * (1 + 0.08 * rough[:, None]), 0, 255)).astype(np.uint8)


def _palette(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Three colours that differ."""
    while True:
        found = rng.uniform(20, 245, (3, 3))
        found += (0.0 if rng.random() < 0.3 else 0.45) * (found.mean(axis=1, keepdims=True) - found)  # fewer neon coats
        gaps = [np.linalg.norm(found[i] - found[j]) for i, j in ((0, 1), (1, 2), (0, 2))]
        if min(gaps) > 60:
            return found


def _noise(rng: np.random.Generator, scale: float) -> Noise:
    """A sum of waves in all directions, between about -1 and 1."""
    ways = rng.normal(size=(7, 3))
    ways *= scale * rng.uniform(0.6, 1.4, (7, 1)) / np.linalg.norm(ways, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, 7)
    return lambda places: np.sin(places @ ways.T + phases).sum(axis=1) / 2.6


def _step(values: Float[np.ndarray, " v"], edge: float, steep: float = 9.0) -> Float[np.ndarray, " v"]:
    return 1 / (1 + np.exp(-np.clip(steep * (values - edge), -30, 30)))
