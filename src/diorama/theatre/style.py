"""How somebody moves, and how somebody stands who does nothing."""

from dataclasses import dataclass

import numpy as np

from diorama.theatre.anatomy import SIDES, Curves, Side
from diorama.theatre.easing import Curve, drift, wave


@dataclass(frozen=True)
class Style:
    """How somebody moves.

    Attributes:
        tempo: speed, 1 is usual.
        energy: size of the movements, 1 is usual.
        stride: length of steps, 1 is usual.
        carriage: forward bend of the trunk, degrees.
        open: how far the arms hang off the body, degrees.
        elbows: how far they are bent at ease, degrees.
        side: which hand waves, which foot kicks, where to turn.
        phase: where in its period a gait begins, periods.
        numbers: twelve more numbers in [0, 1) that moves use as they like.
    """

    tempo: float
    energy: float
    stride: float
    carriage: float
    open: float
    elbows: float
    side: Side
    phase: float
    numbers: tuple[float, ...]


def random_style(rng: np.random.Generator) -> Style:
    """A style; its numbers alone give more than 2**300 different ones."""
    return Style(
        tempo=float(rng.uniform(0.8, 1.25)),
        energy=float(rng.uniform(0.7, 1.3)),
        stride=float(rng.uniform(0.8, 1.15)),
        carriage=float(rng.normal(2, 3)),
        open=float(rng.uniform(6, 16)),
        elbows=float(rng.uniform(8, 28)),
        side="left" if rng.random() < 0.5 else "right",
        phase=float(rng.random()),
        numbers=tuple(rng.random(12).tolist()),
    )


def other(side: Side) -> Side:
    """The other side."""
    return "right" if side == "left" else "left"


def stand(t: Curve, style: Style) -> Curves:
    """At ease: breathing, weight from foot to foot, the head looking about."""
    n = style.numbers
    curves: Curves = {
        "x": 0.025 * drift(t, n[0:3]),
        "y": np.full(t.shape, -0.012),
        "bend": style.carriage + 1.5 * wave(t, 0.3, n[3]),
        "lean": 2.0 * drift(t, n[3:6]),
        "twist": 5 * drift(t, n[6:9]),
        "shake": 14 * drift(t, n[9:12]),
        "nod": -0.5 * style.carriage + 4 * drift(t, n[1:4]),
    }
    for i, side in enumerate(SIDES):
        curves |= {
            f"{side}_arm_out": style.open + 2 * drift(t, n[i : i + 3]),
            f"{side}_arm_forward": 4 * drift(t, n[i + 4 : i + 7]),
            f"{side}_elbow": style.elbows + 4 * drift(t, n[i + 5 : i + 8]),
            f"{side}_planted": np.ones(t.shape),
        }
    return curves
