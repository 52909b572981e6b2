"""Colours of the stage, RGB from 0 to 255, drawn at random."""

import numpy as np

from diorama.theatre.textures import Rgb


def pale(rng: np.random.Generator) -> Rgb:
    """Of painted walls."""
    return rng.uniform(120, 225) * (1 + rng.normal(0, 0.08, 3))


def earthy(rng: np.random.Generator) -> Rgb:
    """Of wood, clay and stone floors."""
    return np.array([1.15, 0.95, 0.75]) ** rng.uniform(-0.5, 1.5) * rng.uniform(60, 180)


def grey(rng: np.random.Generator) -> Rgb:
    """Of rocks and roads."""
    return rng.uniform(80, 170) * (1 + rng.normal(0, 0.04, 3))


def green(rng: np.random.Generator) -> Rgb:
    """Of leaves."""
    return np.array([rng.uniform(60, 125), rng.uniform(95, 150), rng.uniform(40, 80)])


def paint(rng: np.random.Generator) -> Rgb:
    """Of anything that is painted."""
    return rng.uniform(30, 235, 3)
