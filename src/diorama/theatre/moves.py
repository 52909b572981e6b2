"""What people do, as anatomical curves (`anatomy`): each move is a function of time and of somebody's style.

No recorded data: gaits follow the textbook (stance for 0.62 of a walking and 0.36 of a running period, the arms
against the legs, the hips highest over the standing foot), feet stand still while they stand.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diorama.theatre.anatomy import SIDES, STANCE, Curves, Side
from diorama.theatre.easing import Curve, drift, ease, keys, periods, pulse, wave

FOOT = 0.19
"""From ankle to ball of the foot, legs."""
WALK_STANCE, RUN_STANCE = 0.62, 0.36
JUMP_PERIOD, SQUAT_PERIOD = 1.7, 2.6
SIT_TIME, SEAT = 1.3, 0.56
"""Seconds until seated, and the hips' height above the ankles then, legs."""
KICK_TIME = 0.85
"""When the foot meets the ball."""


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


def walk(t: Curve, style: Style) -> Curves:
    """A walk along +Z."""
    rate, stride = 0.95 * style.tempo, 1.35 * style.stride
    return _gait(t, style, rate, stride, WALK_STANCE, lift=0.1, bob=0.022, elbow=0.0, swing=24.0, toe_off=38.0)


def run(t: Curve, style: Style) -> Curves:
    """A run along +Z, with both feet in the air between steps."""
    rate, stride = 1.35 * style.tempo, 2.1 * style.stride
    return _gait(t, style, rate, stride, RUN_STANCE, lift=0.36, bob=0.05, elbow=75.0, swing=38.0, toe_off=60.0)


def _gait(
    t: Curve,
    style: Style,
    rate: float,
    stride: float,
    stance: float,
    *,
    lift: float,
    bob: float,
    elbow: float,
    swing: float,
    toe_off: float,
) -> Curves:
    running = stance < 0.5
    curves = stand(t, style)
    left = periods(t, rate, style.phase)[1]
    beat = 2 * np.pi * (left - stance / 2)
    sink = 0.1 if running else 0.045
    curves |= {
        "x": (0.01 if running else 0.028) * np.cos(beat),
        "z": stride * rate * t,
        "y": -sink + (-bob if running else bob) * np.cos(2 * beat),
        "heading": -6 * style.energy * np.cos(2 * np.pi * left),
        "twist": curves["twist"] * 0.3 + 12 * style.energy * np.cos(2 * np.pi * left),
        "bend": style.carriage + (9 if running else 2) + 1.5 * np.cos(2 * beat),
        "shake": curves["shake"] * 0.6 - 5 * style.energy * np.cos(2 * np.pi * left),
        "roll": -2.5 * np.cos(beat),
        "lean": 2.5 * np.cos(beat),
    }
    for i, side in enumerate(SIDES):
        number, share = periods(t, rate, style.phase + 0.5 * i)
        opposite = -np.cos(2 * np.pi * share)  # the arm is back when the foot of its side comes down
        curves |= {
            f"{side}_arm_forward": swing * style.energy * opposite + (6 if running else 2),
            f"{side}_elbow": style.elbows + elbow + (0.35 * swing) * (1 + opposite),
            f"{side}_arm_twist": np.full(t.shape, 12.0 if running else 4.0),
            f"{side}_grip": np.full(t.shape, 45.0 if running else 10.0),
            f"{side}_foot_heading": -curves["heading"] + (4 if side == "left" else -4),
            f"{side}_foot_x": np.full(t.shape, -0.05 if side == "left" else 0.05),
        }
        curves |= _step(side, number, share, stride, stance, lift, toe_off, style.phase + 0.5 * i)
    return curves


def _step(
    side: Side, number: Curve, share: Curve, stride: float, stance: float, lift: float, toe_off: float, phase: float
) -> Curves:
    """A foot's place over gait periods: down on the heel, still, off on the toes, and through the air."""
    swung = np.clip((share - stance) / (1 - stance), 0, 1)
    z = stride * (number + stance / 2 - phase + ease(swung))
    roll_off = toe_off * ease((share - 0.6 * stance) / (0.4 * stance)) * (1 - ease(swung / 0.8))
    heel = np.where(share < stance, -16 * (1 - ease(share / (0.2 * stance))), -16 * ease((swung - 0.45) / 0.55))
    up = np.radians(roll_off)
    arc = np.sin(np.pi * ease(swung)) ** 2 * lift
    return {
        f"{side}_foot_z": z + FOOT * (1 - np.cos(up)),
        f"{side}_foot_y": arc + FOOT * np.sin(up) + 0.06 * np.sin(np.radians(-heel)),
        f"{side}_foot_pitch": roll_off + heel,
        f"{side}_toes": 0.8 * np.where(share < stance, roll_off, roll_off * (1 - ease(swung / 0.4))),
    }


def greet(t: Curve, style: Style) -> Curves:
    """Wave with one hand."""
    curves, side = stand(t, style), style.side
    up = pulse(t, 0.1, 0.8, 60.0, 61.0)
    sway = wave(t, 1.7 * style.tempo, style.phase)
    high = 78 + 34 * style.numbers[0]
    curves |= {
        f"{side}_arm_out": curves[f"{side}_arm_out"] * (1 - up) + up * (high + 6 * sway),
        f"{side}_arm_forward": curves[f"{side}_arm_forward"] + up * 15,
        f"{side}_elbow": curves[f"{side}_elbow"] * (1 - up) + up * (60 + 24 * style.energy * sway),
        f"{side}_arm_twist": up * (76 + 12 * sway),
        f"{side}_grip": -20 * up,
        "lean": curves["lean"] + up * (-4 if side == "left" else 4),
        "shake": curves["shake"] * (1 - 0.7 * up),
    }
    return curves


def jump(t: Curve, style: Style) -> Curves:
    """Jumps on the spot: crouch, fly on a parabola, land."""
    curves = stand(t, style)
    _, share = periods(t, style.tempo / JUMP_PERIOD, 0.0)
    s = share * JUMP_PERIOD
    height = 0.32 * style.energy
    flight = 2 * np.sqrt(2 * height / 11.5)  # 9.81 m/s^2 over a leg of 0.85 m
    off, land = 0.62, 0.62 + flight
    u = np.clip((s - off) / flight, 0, 1)
    fly = 4 * height * u * (1 - u)
    crouch = pulse(s, 0.05, 0.45, 0.46, off) + 0.75 * pulse(s, land - 0.02, land + 0.16, land + 0.18, land + 0.55)
    air = ((s > off) & (s < land)).astype(float)
    tuck = np.sin(np.pi * u) ** 2 * air
    raised = keys(s, (0.0, 0.0), (0.38, -35.0), (off + 0.16, 140.0), (land, 105.0), (land + 0.45, 0.0))
    curves |= {
        "y": -0.02 - 0.3 * crouch + fly,
        "z": -0.07 * crouch,
        "pitch": 22 * crouch,
        "bend": style.carriage + 24 * crouch,
        "nod": -20 * crouch,
    }
    for side in SIDES:
        curves |= {
            f"{side}_arm_forward": raised * min(style.energy, 1.1),
            f"{side}_elbow": style.elbows + 25 * crouch,
            f"{side}_foot_y": fly * (1 + 0.4 * tuck),
            f"{side}_foot_pitch": 45 * pulse(s, off - 0.12, off + 0.06, off + 0.1, land - 0.02) + 10 * tuck,
            f"{side}_toes": -10 * tuck,
        }
    return curves


def squat(t: Curve, style: Style) -> Curves:
    """Down on bent knees and up again, the arms to the front."""
    curves = stand(t, style)
    _, share = periods(t, style.tempo / SQUAT_PERIOD, 0.0)
    down = pulse(share * SQUAT_PERIOD, 0.1, 1.1, 1.3, 2.4)
    depth = min(0.5 * style.energy, 0.58)
    curves |= {
        "y": -0.012 - depth * down,
        "z": -0.16 * down,
        "pitch": 28 * down,
        "bend": style.carriage + 16 * down,
        "nod": -24 * down,
    }
    for i, side in enumerate(SIDES):
        curves |= {
            f"{side}_arm_forward": 84 * down,
            f"{side}_arm_out": style.open * (1 - 0.4 * down),
            f"{side}_elbow": style.elbows * (1 - 0.6 * down),
            f"{side}_foot_x": np.full(t.shape, 0.05 - 0.1 * i),
            f"{side}_foot_heading": np.full(t.shape, 14.0 - 28.0 * i),
        }
    return curves


def turn(t: Curve, style: Style) -> Curves:
    """About on the spot, foot by foot."""
    curves = stand(t, style)
    sign, rate = (1 if style.side == "left" else -1), 1.0 * style.tempo
    step = 42 + 30 * style.numbers[0]
    heading = sign * step * rate * t
    curves |= {"heading": heading, "shake": sign * 14 * ease(t / 0.5), "y": -0.03 + 0.01 * wave(t, 2 * rate)}
    for i, side in enumerate(SIDES):
        number, share = periods(t, rate, 0.25 + 0.5 * i)
        at = sign * step * (number + ease((share - 0.55) / 0.45) + 0.3 - 0.25 - 0.5 * i)
        angle = np.radians(at)
        across = STANCE if side == "left" else -STANCE  # the ankle's place beside the middle, which turns with it
        curves |= {
            f"{side}_foot_heading": at - heading,
            f"{side}_foot_x": across * (np.cos(angle) - 1),
            f"{side}_foot_z": -across * np.sin(angle),
            f"{side}_foot_y": 0.07 * np.sin(np.pi * np.clip((share - 0.55) / 0.45, 0, 1)) ** 2,
            f"{side}_arm_out": np.full(t.shape, style.open + 6 * style.energy),
        }
    return curves


def dance(t: Curve, style: Style) -> Curves:
    """To a beat: hips and knees on it, arms in figures of their own, steps aside."""
    curves, n = stand(t, style), style.numbers
    beat, size = 0.95 * style.tempo, style.energy
    side_step = 0.14 * (0.4 + n[0]) * wave(t, beat / 2, n[1])
    bounce = np.cos(4 * np.pi * (beat * t + n[1]))
    curves |= {
        "x": side_step,
        "y": -0.085 * size + 0.03 * size * bounce,
        "roll": 7 * size * wave(t, beat, n[2]),
        "heading": (10 + 22 * n[3]) * wave(t, beat / 2, n[4]),
        "twist": 16 * size * wave(t, beat, n[4] + 0.2),
        "lean": 9 * size * wave(t, beat, n[2] + 0.5),
        "bend": style.carriage + 7 + 6 * wave(t, beat, n[5]),
        "nod": 9 * bounce,
        "shake": 16 * wave(t, beat / 2, n[6]),
    }
    for i, side in enumerate(SIDES):
        a, b, c = n[(3 * i + 5) % 12], n[(3 * i + 6) % 12], n[(3 * i + 7) % 12]
        lifted = 0.09 * np.maximum(wave(t, beat / 2, n[1] + 0.25 + 0.5 * i), 0) ** 2
        curves |= {
            f"{side}_arm_forward": 35 + 55 * a * wave(t, beat * (1 if b < 0.6 else 0.5), a + 0.5 * i),
            f"{side}_arm_out": 28 + 60 * b + (14 + 40 * c) * size * wave(t, beat / 2, b),
            f"{side}_arm_twist": 45 * (a - 0.6) + 18 * wave(t, beat, c),
            f"{side}_elbow": 62 + 42 * size * wave(t, beat, c + 0.25),
            f"{side}_wrist": 22 * wave(t, beat, a),
            f"{side}_grip": 25 + 25 * wave(t, beat / 2, c),
            f"{side}_foot_y": lifted,
            f"{side}_foot_pitch": 160 * lifted,
            f"{side}_foot_x": (0.05 if side == "left" else -0.05) + 0.7 * side_step,
            f"{side}_foot_heading": (12 if side == "left" else -12) - curves["heading"],
        }
    return curves


def sit(t: Curve, style: Style) -> Curves:
    """Down onto a seat behind, and talk with the hands there."""
    curves, n = stand(t, style), style.numbers
    over = SIT_TIME / style.tempo
    down = ease(t / over)
    forward = pulse(t, 0.0, 0.6 * over, 0.6 * over, 1.15 * over)
    curves |= {
        "y": -(1 - SEAT) * down,
        "z": -0.52 * down,
        "pitch": -8 * down + 36 * forward,
        "bend": style.carriage + 6 * down + 14 * forward,
        "nod": curves["nod"] - 12 * forward,
    }
    for i, side in enumerate(SIDES):
        talk = down * (8 + 16 * n[i]) * drift(t * 2.2 * style.tempo, n[2 + 3 * i : 5 + 3 * i])
        curves |= {
            f"{side}_arm_forward": 34 * down + 18 * forward + talk,
            f"{side}_elbow": style.elbows + 50 * down + talk,
            f"{side}_arm_twist": 22 * down + 0.6 * talk,
            f"{side}_foot_x": np.full(t.shape, 0.02 - 0.04 * i),
            f"{side}_foot_z": np.full(t.shape, 0.03 * n[6 + i]),
        }
    return curves


def kick(t: Curve, style: Style) -> Curves:
    """A step back with one foot and a kick to the front; the foot meets the ball after `KICK_TIME` / tempo seconds."""
    curves, side = stand(t, style), style.side
    s = t * style.tempo
    out = 1 if side == "left" else -1
    back, far = 0.42 * min(style.energy, 1.15), 0.72 * min(style.energy, 1.15)
    z = keys(s, (0.1, 0.0), (0.55, -back), (KICK_TIME + 0.15, far), (1.6, 0.0))
    high = keys(s, (0.1, 0.0), (0.55, 0.2), (KICK_TIME - 0.06, 0.05), (KICK_TIME + 0.2, 0.42), (1.6, 0.0))
    swing = keys(s, (0.1, 0.0), (0.55, -1.0), (KICK_TIME + 0.15, 1.0), (1.6, 0.0))
    busy = pulse(s, 0.1, 0.5, 1.1, 1.65)
    against = other(side)
    curves |= {
        "x": -out * 0.1 * busy,
        "y": -0.02 - 0.045 * busy,
        "pitch": -9 * swing,
        "bend": style.carriage + 10 * busy - 4 * swing,
        "heading": -out * 12 * swing,
        "twist": out * 20 * swing,
        "nod": 14 * busy,
        f"{side}_foot_z": z,
        f"{side}_foot_y": high,
        f"{side}_foot_x": -out * 0.03 * busy,
        f"{side}_foot_pitch": keys(
            s, (0.1, 0.0), (0.55, 55.0), (KICK_TIME, 30.0), (KICK_TIME + 0.2, -12.0), (1.6, 0.0)
        ),
        f"{side}_arm_forward": -34 * swing,
        f"{side}_arm_out": style.open + 26 * busy,
        f"{against}_arm_forward": 46 * swing,
        f"{against}_arm_out": style.open + 40 * busy,
        f"{against}_foot_heading": out * 12 * swing,
    }
    return curves


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


Move = Callable[[Curve, Style], Curves]
MOVES: dict[str, Move] = {
    "stand": stand,
    "walk": walk,
    "run": run,
    "wave": greet,
    "jump": jump,
    "squat": squat,
    "turn": turn,
    "dance": dance,
    "sit": sit,
    "kick": kick,
    "cartwheel": cartwheel,
    "floor_roll": floor_roll,
}
FLOOR = ("cartwheel", "floor_roll")
"""Moves whose height is found from the body's lowest point."""
EXTREME = ("cartwheel", "floor_roll", "jump", "kick")
