"""From anatomical curves (degrees of bending, where the feet are) to a motion of the cast's skeleton.

A curve is a number over time; one that is not given is 0, and all at 0 is a person who stands straight with hanging
arms. Lengths are in legs (thigh plus shin), so that a child makes a child's steps. Angles are in degrees. For the
limbs "forward" swings them to the front, "out" away from the body, "turn" about the body's own vertical.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import (
    between,
    from_axis_angle,
    from_matrix,
    inverse,
    multiply,
    normalize,
    slerp,
    to_matrix,
)
from diorama.errors import UsageError

Curves = dict[str, Float[np.ndarray, " t"]]
Quats = Float[np.ndarray, "*n 4"]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

TRUNK = ("x", "y", "z", "heading", "pitch", "roll", "bend", "lean", "twist", "nod", "tilt", "shake")
"""Curves of the trunk: the hips' shift (legs) and turns, then the spine's, then the head's."""
LIMBS = (
    *("arm_forward", "arm_out", "arm_turn", "arm_twist", "elbow", "wrist", "grip"),
    *("leg_forward", "leg_out", "leg_twist", "knee", "ankle", "toes"),
    *("foot_x", "foot_y", "foot_z", "foot_pitch", "foot_heading", "planted"),
)
"""Curves of each side, after "left_" or "right_". Where "planted" is 1 the foot is where "foot_..." say, in the world;
where it is 0 the leg's angles hold."""
CURVES = (*TRUNK, *(f"{side}_{name}" for side in SIDES for name in LIMBS))

SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
NECK = ("neck01", "neck02", "head")
DOWN = np.array([0.0, -1.0, 0.0])
STANCE = 0.17
"""How far the ankles are from the middle where the feet's curves are 0, legs."""
LIFT_FROM, LIFT_SHARE = 30.0, 0.33
"""Above so many degrees the collar bone takes its share of the arm's elevation."""


def leg_length(skeleton: Skeleton) -> float:
    """Thigh plus shin of the cast's skeleton, metres."""
    hip, knee, ankle = (_place(skeleton, f"{name}.L") for name in ("upperleg01", "lowerleg01", "foot"))
    return float(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))


def motion_of(skeleton: Skeleton, curves: Curves, fps: float) -> Motion:
    """The motion that anatomical curves describe.

    Args:
        skeleton: one of the cast's.
        curves: of one length, named as in `CURVES`.
        fps: frames a second.

    Raises:
        UsageError: no curve, one of unknown name or another length, or another skeleton.
    """
    body = _Body(skeleton, curves)
    local: dict[str, Quats] = {"root": body.hips}
    spread(local, SPINE, body.turn("bend", "twist", "lean"))
    spread(local, NECK, body.turn("nod", "shake", "tilt"))
    for side in SIDES:
        local |= _arm(body, side) | _leg(body, side)
    frames = body.frames
    turns = np.tile(np.array([1.0, 0, 0, 0]), (frames, len(skeleton), 1))
    for name, quats in local.items():
        joint = skeleton.index(name)
        frame = skeleton.rest[joint, :3, :3].astype(np.float64)
        turns[:, joint] = quats if np.allclose(frame, np.eye(3), atol=1e-5) else _in_frame(frame, quats)
    return Motion(skeleton, normalize(turns).astype(np.float32), body.shift.astype(np.float32), float(fps))


def spread(local: dict[str, Quats], chain: tuple[str, ...], vectors: Float[np.ndarray, "t 3"]) -> None:
    """Share a turn evenly among the joints of a chain."""
    for name in chain:
        local[name] = from_axis_angle(vectors / len(chain))


class _Body:
    """What the limbs need to know: curves by name, the hips, the skeleton's lengths."""

    def __init__(self, skeleton: Skeleton, curves: Curves) -> None:
        lengths = {len(curve) for curve in curves.values()}
        unknown = sorted(set(curves) - set(CURVES))
        if len(lengths) != 1 or unknown:
            given = f"no curve called {unknown[0]!r}" if unknown else f"curves of {sorted(lengths)} frames"
            raise UsageError(given, "curves", f"curves of one length among {', '.join(CURVES[:6])}, ...")
        missing = {"root", *SPINE, *NECK, "upperarm01.L", "upperleg01.L"} - set(skeleton.names)
        if missing:
            raise UsageError(f"the skeleton has no {sorted(missing)[0]!r}", "skeleton", "move the cast, then retarget")
        self.skeleton, self.curves, self.frames = skeleton, curves, lengths.pop()
        self.leg = leg_length(skeleton)
        self.hips = multiply(multiply(about("y", self["heading"]), about("x", self["pitch"])), about("z", self["roll"]))
        self.shift = np.stack([self["x"], self["y"], self["z"]], axis=1) * self.leg

    def __getitem__(self, name: str) -> Float[np.ndarray, " t"]:
        return self.curves.get(name, np.zeros(self.frames))

    def turn(self, x: str, y: str, z: str) -> Float[np.ndarray, "t 3"]:
        """Three curves as a rotation vector."""
        return np.radians(np.stack([self[x], self[y], self[z]], axis=1))


def about(axis: Literal["x", "y", "z"], degrees: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 4"]:
    """Rotations about one axis of the model."""
    half = np.radians(degrees) / 2
    quats = np.zeros((len(half), 4))
    quats[:, 0], quats[:, 1 + "xyz".index(axis)] = np.cos(half), np.sin(half)
    return quats


def _arm(body: _Body, side: Side) -> dict[str, Quats]:
    out, end = (1.0, ".L") if side == "left" else (-1.0, ".R")
    skeleton = body.skeleton
    upper = _direction(skeleton, f"upperarm01{end}", f"lowerarm01{end}")
    fore = _direction(skeleton, f"lowerarm01{end}", f"wrist{end}")
    align, align_fore = between(upper, DOWN)[None], between(fore, DOWN)[None]
    swing = multiply(about("y", out * body[f"{side}_arm_turn"]), about("x", -body[f"{side}_arm_forward"]))
    place = multiply(swing, about("z", out * body[f"{side}_arm_out"]))
    arm = multiply(place, about("y", out * body[f"{side}_arm_twist"]))
    lifted = _collar(place, out)
    bend = multiply(about("x", -body[f"{side}_elbow"]), align_fore)
    hand = multiply(about("x", -body[f"{side}_wrist"]), align_fore)
    found: dict[str, Quats] = {
        f"clavicle{end}": lifted,
        f"upperarm01{end}": multiply(inverse(lifted), multiply(arm, align)),
        f"lowerarm01{end}": multiply(inverse(align), bend),
        f"wrist{end}": multiply(inverse(align_fore), hand),
    }
    return found | _fingers(body, side, end)


def _collar(place: Float[np.ndarray, "t 4"], out: float) -> Float[np.ndarray, "t 4"]:
    """The collar bone's share of an arm's elevation, mostly upwards and a little to the front or back."""
    along = np.einsum("tij,j->ti", to_matrix(place), DOWN)
    raised = np.degrees(np.arccos(np.clip(-along[:, 1], -1, 1)))
    lift = LIFT_SHARE * 0.6 * np.maximum(raised - LIFT_FROM, 0)
    front = LIFT_SHARE * 25 * along[:, 2]
    return multiply(about("y", -out * front), about("z", out * lift))


def _fingers(body: _Body, side: Side, end: str) -> dict[str, Quats]:
    """Fingers curl about the line across the palm's knuckles; the thumb half as far."""
    skeleton = body.skeleton
    first, last = _place(skeleton, f"finger2-1{end}"), _place(skeleton, f"finger5-1{end}")
    ahead = _direction(skeleton, f"finger3-1{end}", f"finger3-3{end}")
    across = (first - last) / np.linalg.norm(first - last)
    inwards = np.array([-1.0 if side == "left" else 1.0, -1.0, 0.0])  # where the palm looks in the A-pose
    axis = across if np.cross(across, ahead) @ inwards > 0 else -across
    curl = np.radians(20 + body[f"{side}_grip"])[:, None] * axis
    found: dict[str, Quats] = {}
    for finger in range(1, 6):
        for bone in range(1, 4):
            found[f"finger{finger}-{bone}{end}"] = from_axis_angle(curl * (0.35 if finger == 1 else 0.8))
    return found


def _leg(body: _Body, side: Side) -> dict[str, Quats]:
    out, end = (1.0, ".L") if side == "left" else (-1.0, ".R")
    skeleton = body.skeleton
    thigh = between(_direction(skeleton, f"upperleg01{end}", f"lowerleg01{end}"), DOWN)[None]
    shin = between(_direction(skeleton, f"lowerleg01{end}", f"foot{end}"), DOWN)[None]
    forward, away, knee = body[f"{side}_leg_forward"], body[f"{side}_leg_out"], body[f"{side}_knee"]
    free = _leg_of(forward, away, body[f"{side}_leg_twist"], out)
    foot = multiply(inverse(shin), about("x", -body[f"{side}_ankle"]))
    local = (multiply(free, thigh), multiply(multiply(inverse(thigh), about("x", knee)), shin), foot)
    planted = body[f"{side}_planted"].clip(0, 1)
    if planted.any():
        held = _planted_leg(body, side, out, end, thigh, shin)
        local = tuple(slerp(a, b, planted) for a, b in zip(local, held, strict=True))  # type: ignore[assignment]
    names = f"upperleg01{end}", f"lowerleg01{end}", f"foot{end}"
    found: dict[str, Quats] = dict(zip(names, local, strict=True))
    return found | {f"toes{end}": about("x", -body[f"{side}_toes"])}


def _leg_of(
    forward: Float[np.ndarray, " t"],
    away: Float[np.ndarray, " t"],
    twist: Float[np.ndarray, " t"],
    out: float,
) -> Float[np.ndarray, "t 4"]:
    """A thigh that swings to the front, then outwards."""
    return multiply(multiply(about("z", out * away), about("x", -forward)), about("y", out * twist))


def _planted_leg(
    body: _Body, side: Side, out: float, end: str, thigh: Float[np.ndarray, "1 4"], shin: Float[np.ndarray, "1 4"]
) -> tuple[Quats, Quats, Quats]:
    """Thigh, shin and foot that bring the ankle where the curves want it: the law of cosines in the leg's plane.

    The leg swings to the front by f, then out by o; with knee angle k the ankle lies behind the thigh's line by b.
    """
    skeleton = body.skeleton
    hip, ankle = _place(skeleton, f"upperleg01{end}"), _place(skeleton, f"foot{end}")
    upper = float(np.linalg.norm(hip - _place(skeleton, f"lowerleg01{end}")))
    lower = float(np.linalg.norm(ankle - _place(skeleton, f"lowerleg01{end}")))
    stance = np.array([out * STANCE * body.leg, ankle[1], ankle[2]])
    wanted = stance + body.leg * np.stack([body[f"{side}_foot_{axis}"] for axis in "xyz"], axis=1)
    root = _place(skeleton, "root")
    turn = to_matrix(body.hips)
    from_hip = wanted - (root + body.shift + np.einsum("tij,j->ti", turn, hip - root))
    d = np.einsum("tji,tj->ti", turn, from_hip)
    length = np.clip(np.linalg.norm(d, axis=1), 0.35 * (upper + lower), 0.9995 * (upper + lower))
    d = d * (length / np.maximum(np.linalg.norm(d, axis=1), 1e-9))[:, None]
    knee = np.pi - np.arccos(np.clip((upper**2 + lower**2 - length**2) / (2 * upper * lower), -1, 1))
    behind = np.arctan2(lower * np.sin(knee), upper + lower * np.cos(knee))
    forward = np.degrees(behind + np.arcsin(np.clip(d[:, 2] / length, -1, 1)))
    away = out * np.degrees(np.arctan2(d[:, 0], np.maximum(-d[:, 1], 1e-6)))
    knee = np.degrees(knee)
    leg = _leg_of(forward, away, np.zeros_like(away), out)
    whole = multiply(body.hips, multiply(leg, about("x", knee)))
    heading = about("y", body["heading"] + body[f"{side}_foot_heading"])
    foot = multiply(heading, about("x", body[f"{side}_foot_pitch"]))
    return (
        multiply(leg, thigh),
        multiply(multiply(inverse(thigh), about("x", knee)), shin),
        multiply(inverse(multiply(whole, shin)), foot),
    )


def _in_frame(frame: Float[np.ndarray, "3 3"], quats: Quats) -> Quats:
    """A turn about the model's axes as one about a joint's own."""
    return from_matrix(frame.T @ to_matrix(quats) @ frame)


def _place(skeleton: Skeleton, name: str) -> Float[np.ndarray, "3"]:
    return skeleton.joints[skeleton.index(name)].astype(np.float64)


def _direction(skeleton: Skeleton, start: str, end: str) -> Float[np.ndarray, "3"]:
    along = _place(skeleton, end) - _place(skeleton, start)
    return along / np.linalg.norm(along)
