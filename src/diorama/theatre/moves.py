"""What people do, as anatomical curves (`anatomy`): each move is a function of time and of somebody's style."""

from collections.abc import Callable

import numpy as np

from diorama.theatre.anatomy import SIDES, STANCE, Curves
from diorama.theatre.easing import Curve, drift, ease, keys, periods, pulse, wave
from diorama.theatre.gaits import run, walk
from diorama.theatre.style import Style, other, stand
from diorama.theatre.tumbling import cartwheel, floor_roll

JUMP_PERIOD, SQUAT_PERIOD = 1.7, 2.6
SIT_TIME, SEAT = 1.3, 0.56
"""Seconds until seated, and the hips' height above the ankles then, legs."""
KICK_TIME = 0.85
"""When the foot meets the ball."""


def greet(t: Curve, style: Style) -> Curves:
    """Wave with one hand."""
    curves, side = stand(t, style), style.side
    up = ease((t - 0.1) / 0.7)
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
