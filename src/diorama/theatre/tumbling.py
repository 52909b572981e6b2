"""Moves over the floor, whose height is found from the body's lowest point."""

import numpy as np

from diorama.theatre.anatomy import SIDES, Curves
from diorama.theatre.easing import Curve, ease
from diorama.theatre.style import Style, stand


def cartwheel(t: Curve, style: Style) -> Curves:
    """A wheel over the hands to one side, again and again."""
    curves, out = stand(t, style), (1 if style.side == "left" else -1)
    rate = 0.55 * style.tempo
    whole = rate * np.maximum(t - 0.5, 0)
    over = np.floor(whole) + ease((whole - np.floor(whole)) / 0.92)
    ready = ease(t / 0.5)
    curves |= {
        "x": out * 2.7 * over,
        "roll": -out * 360 * over,
        "y": np.zeros(t.shape),
        "lean": np.zeros(t.shape),
        "twist": curves["twist"] * (1 - ready),
        "bend": style.carriage * (1 - ready),
        "nod": -12 * ready,
        "shake": curves["shake"] * (1 - ready),
    }
    spread = np.sin(np.pi * (over - np.floor(over))) ** 2
    for side in SIDES:
        curves |= {
            f"{side}_arm_out": style.open * (1 - ready) + (148 + 10 * spread) * ready,
            f"{side}_elbow": style.elbows * (1 - ready),
            f"{side}_arm_forward": 0 * t,
            f"{side}_grip": -25 * ready,
            f"{side}_leg_out": ready * (10 + 38 * spread * min(style.energy, 1.15)),
            f"{side}_knee": 4 + 8 * ready * (1 - spread),
            f"{side}_planted": 1 - ready,
        }
    return curves


def floor_roll(t: Curve, style: Style) -> Curves:
    """Forward rolls over the shoulders, tucked up."""
    curves = stand(t, style)
    rate = 0.5 * style.tempo
    down = ease(t / 0.7)
    over = _soft_start(t - 0.5, 0.35) * rate
    curves |= {
        "z": 1.15 * over,
        "pitch": 360 * over + 18 * down,
        "y": np.zeros(t.shape),
        "bend": style.carriage + 62 * down,
        "nod": 46 * down,
        "twist": curves["twist"] * (1 - down),
        "shake": curves["shake"] * (1 - down),
        "lean": curves["lean"] * (1 - down),
    }
    for side in SIDES:
        curves |= {
            f"{side}_arm_forward": 58 * down,
            f"{side}_arm_out": style.open * (1 - down) + 14 * down,
            f"{side}_elbow": style.elbows + 46 * down,
            f"{side}_grip": 30 * down,
            f"{side}_leg_forward": (104 + 10 * style.numbers[0]) * down,
            f"{side}_leg_out": 9 * down,
            f"{side}_knee": (112 + 18 * style.numbers[1]) * down,
            f"{side}_ankle": -12 * down,
            f"{side}_planted": 1 - ease(t / 0.45),
        }
    return curves


def _soft_start(t: Curve, over: float) -> Curve:
    """0 before 0, then rising ever faster up to slope 1 after `over` seconds."""
    s = np.clip(t / over, 0, 1)
    return np.where(t < over, over * (s**3 - s**4 / 2), t - over / 2)
