"""Motion without data: moves one after another in a random style, on any body of the cast."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures.pose import animate
from diorama.theatre.anatomy import CURVES, SIDES, STANCE, Curves, motion_of
from diorama.theatre.easing import Curve, ease
from diorama.theatre.moves import FLOOR, MOVES
from diorama.theatre.style import Style, random_style

BLEND = 0.5
"""Seconds in which one move becomes the next."""


@dataclass(frozen=True)
class Dance:
    """What somebody does in a clip.

    Attributes:
        moves: names in `moves.MOVES`, in order.
        seconds: how long each lasts.
        style: how.
        start: seconds of the first move that have passed before the clip begins.
    """

    moves: tuple[str, ...]
    seconds: tuple[float, ...]
    style: Style
    start: float = 0.0

    def __post_init__(self) -> None:
        unknown = [move for move in self.moves if move not in MOVES]
        if unknown or not self.moves or len(self.moves) != len(self.seconds):
            given = (
                f"no move called {unknown[0]!r}" if unknown else f"{len(self.moves)} moves, {len(self.seconds)} times"
            )
            raise UsageError(given, "moves", f"choose among {', '.join(MOVES)}")
        if min(self.seconds) <= BLEND or not np.isfinite(self.seconds).all():
            raise UsageError(f"moves of {min(self.seconds)} seconds", "seconds", f"give each more than {BLEND}")


def random_dance(rng: np.random.Generator, seconds: float, moves: Sequence[str] | None = None) -> Dance:
    """What somebody does for some seconds.

    Args:
        rng: the only source of chance.
        seconds: of the clip.
        moves: what to choose from; every move by default.

    Raises:
        UsageError: no move.
    """
    names = list(MOVES) if moves is None else list(moves)
    if not names:
        raise UsageError("no moves to choose from", "moves", f"choose among {', '.join(MOVES)}")
    count = 1 if seconds < 2.5 or rng.random() < 0.6 else 2
    chosen = tuple(names[i] for i in rng.integers(len(names), size=count))
    first = max(seconds * float(rng.uniform(0.4, 0.6)), BLEND + 0.1) if count == 2 else max(seconds, BLEND + 0.1)
    lasts = (first,) if count == 1 else (first, max(seconds - first, BLEND + 0.1))
    start = float(rng.uniform(0, 1.2))
    return Dance(chosen, lasts, random_style(rng), 0.0 if chosen[0] == "kick" else start)  # a kick is over soon


def perform(dance: Dance, figure: Figure, frames: int, fps: float) -> Motion:
    """The motion of a dance for somebody of the cast, hips above the origin at its start.

    Args:
        dance: what to do; its last move goes on where the clip is longer.
        figure: whose legs set the size of steps, and whose surface meets the ground in rolls and wheels.
        frames: of the clip, 1 or more.
        fps: frames a second.
    """
    if frames < 1 or not fps > 0:
        raise UsageError(f"{frames} frames at {fps} a second", "perform", "give 1 frame or more, and a rate above 0")
    time = np.arange(frames) / fps
    curves, floor = _sequence(dance, time)
    curves = _from_origin(curves)
    motion = motion_of(figure.skeleton, curves, fps)
    return settled(figure, motion, floor) if floor.any() else motion


def settled(figure: Figure, motion: Motion, share: Curve) -> Motion:
    """Let the lowest point of the surface touch the ground.

    Args:
        figure: the body.
        motion: of its skeleton.
        share: by how much, 0 to 1, at each frame.
    """
    lowest = animate(figure, motion)[..., 1].min(axis=1)
    root = motion.root.copy()
    root[:, 1] -= (lowest * share).astype(np.float32)
    return replace(motion, root=root)


def _sequence(dance: Dance, time: Curve) -> tuple[Curves, Curve]:
    """The moves one after another, each led on from where the one before stands; and where the floor counts."""
    total, floor = _complete(MOVES[dance.moves[0]](time + dance.start, dance.style)), np.zeros(time.shape)
    floor += dance.moves[0] in FLOOR
    begun = 0.0
    for move, lasted in zip(dance.moves[1:], dance.seconds[:-1], strict=True):
        begun += lasted
        if begun >= time[-1]:
            break
        share = ease((time - begun) / BLEND + 0.5)
        here = int(np.searchsorted(time, begun))
        after = _complete(MOVES[move](np.maximum(time - begun + BLEND / 2, 0), dance.style))
        after = _led_on(after, total, here)
        total = {name: (1 - share) * total[name] + share * after[name] for name in CURVES}
        floor = (1 - share) * floor + share * (move in FLOOR)
    return total, floor


def _complete(curves: Curves) -> Curves:
    length = len(next(iter(curves.values())))
    return {name: curves.get(name, np.zeros(length)) for name in CURVES}


def _led_on(curves: Curves, before: Curves, here: int) -> Curves:
    """A move shifted and turned so that at frame `here` its hips are where those of the move before are."""
    turn = before["heading"][here] - curves["heading"][here]
    found = dict(curves, heading=curves["heading"] + turn)
    for name in ("pitch", "roll"):  # whole turns of a roll or wheel are not unwound
        found[name] = curves[name] + 360 * round((before[name][here] - curves[name][here]) / 360)
    start, shift = _ground(curves, here), _ground(before, here)
    x, z = _turned(curves["x"] - start[0], curves["z"] - start[1], turn)
    found |= {"x": x + shift[0], "z": z + shift[1]}
    for side in SIDES:
        rest = STANCE if side == "left" else -STANCE
        x, z = _turned(curves[f"{side}_foot_x"] + rest - start[0], curves[f"{side}_foot_z"] - start[1], turn)
        found |= {f"{side}_foot_x": x - rest + shift[0], f"{side}_foot_z": z + shift[1]}
    return found


def _ground(curves: Curves, frame: int) -> tuple[float, float]:
    return float(curves["x"][frame]), float(curves["z"][frame])


def _turned(x: Curve, z: Curve, degrees: float) -> tuple[Curve, Curve]:
    """Places on the ground turned about the origin; +Z turns towards +X."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return c * x + s * z, c * z - s * x


def _from_origin(curves: Curves) -> Curves:
    """Shifted so that the hips start above the origin."""
    x, z = _ground(curves, 0)
    shifts = {"x": x, "z": z} | {f"{side}_foot_{axis}": v for side in SIDES for axis, v in (("x", x), ("z", z))}
    return {name: curve - shifts.get(name, 0.0) for name, curve in curves.items()}
