"""Walking and running: feet that stand still while they stand, the arms against the legs.

Stance lasts for 0.62 of a walking and 0.36 of a running period, and the hips are highest over the standing foot when
walking, as textbooks of gait have it.
"""

from dataclasses import dataclass

import numpy as np

from diorama.theatre.anatomy import SIDES, Curves, Side
from diorama.theatre.easing import Curve, ease, periods
from diorama.theatre.style import Style, stand

FOOT = 0.19
"""From ankle to ball of the foot, legs."""
WALK_STANCE, RUN_STANCE = 0.62, 0.36
"""Shares of a period in which a foot stands."""


@dataclass(frozen=True)
class Gait:
    """A way of going.

    Attributes:
        rate: periods (of two steps) a second.
        stride: length of a period, legs.
        stance: share of a period in which a foot stands.
        lift: height of a foot in the air, legs.
        sink, bob: how far the hips are below their height at rest, and how much they rise and fall, legs.
        elbow, swing: of the arms, degrees.
        toe_off: pitch of a foot that leaves the ground, degrees.
    """

    rate: float
    stride: float
    stance: float
    lift: float
    sink: float
    bob: float
    elbow: float
    swing: float
    toe_off: float


def walk(t: Curve, style: Style) -> Curves:
    """A walk along +Z; `t` in seconds."""
    rate, stride = 0.95 * style.tempo, 1.35 * style.stride
    return _gone(t, style, Gait(rate, stride, WALK_STANCE, 0.1, 0.045, 0.022, elbow=0.0, swing=24.0, toe_off=38.0))


def run(t: Curve, style: Style) -> Curves:
    """A run along +Z, with both feet in the air between steps; `t` in seconds."""
    rate, stride = 1.35 * style.tempo, 2.1 * style.stride
    return _gone(t, style, Gait(rate, stride, RUN_STANCE, 0.36, 0.1, 0.05, elbow=75.0, swing=38.0, toe_off=60.0))


def _gone(t: Curve, style: Style, gait: Gait) -> Curves:
    running = gait.stance < 0.5
    curves = stand(t, style)
    left = periods(t, gait.rate, style.phase)[1]
    beat = 2 * np.pi * (left - gait.stance / 2)
    curves |= {
        "x": (0.01 if running else 0.028) * np.cos(beat),
        "z": gait.stride * gait.rate * t,
        "y": -gait.sink + (-gait.bob if running else gait.bob) * np.cos(2 * beat),
        "heading": -6 * style.energy * np.cos(2 * np.pi * left),
        "twist": curves["twist"] * 0.3 + 12 * style.energy * np.cos(2 * np.pi * left),
        "bend": style.carriage + (9 if running else 2) + 1.5 * np.cos(2 * beat),
        "shake": curves["shake"] * 0.6 - 5 * style.energy * np.cos(2 * np.pi * left),
        "roll": -2.5 * np.cos(beat),
        "lean": 2.5 * np.cos(beat),
    }
    for i, side in enumerate(SIDES):
        number, share = periods(t, gait.rate, style.phase + 0.5 * i)
        opposite = -np.cos(2 * np.pi * share)  # the arm is back when the foot of its side comes down
        curves |= {
            f"{side}_arm_forward": gait.swing * style.energy * opposite + (6 if running else 2),
            f"{side}_elbow": style.elbows + gait.elbow + (0.35 * gait.swing) * (1 + opposite),
            f"{side}_arm_twist": np.full(t.shape, 12.0 if running else 4.0),
            f"{side}_grip": np.full(t.shape, 45.0 if running else 10.0),
            f"{side}_foot_heading": -curves["heading"] + (4 if side == "left" else -4),
            f"{side}_foot_x": np.full(t.shape, -0.05 if side == "left" else 0.05),
        }
        curves |= _step(side, gait, number - style.phase - 0.5 * i, share)
    return curves


def _step(side: Side, gait: Gait, begun: Curve, share: Curve) -> Curves:
    """A foot's place over gait periods: down on the heel, still, off on the toes, and through the air.

    Args:
        side: which foot.
        gait: how it goes.
        begun: when the foot's period began, periods.
        share: how much of it has passed.
    """
    stance = gait.stance
    swung = np.clip((share - stance) / (1 - stance), 0, 1)
    z = gait.stride * (begun + stance / 2 + ease(swung))
    roll_off = gait.toe_off * ease((share - 0.6 * stance) / (0.4 * stance)) * (1 - ease(swung / 0.8))
    heel = np.where(share < stance, -16 * (1 - ease(share / (0.2 * stance))), -16 * ease((swung - 0.45) / 0.55))
    up = np.radians(roll_off)
    arc = np.sin(np.pi * ease(swung)) ** 2 * gait.lift
    return {
        f"{side}_foot_z": z + FOOT * (1 - np.cos(up)),
        f"{side}_foot_y": arc + FOOT * np.sin(up) + 0.06 * np.sin(np.radians(-heel)),
        f"{side}_foot_pitch": roll_off + heel,
        f"{side}_toes": 0.8 * np.where(share < stance, roll_off, roll_off * (1 - ease(swung / 0.4))),
    }
