"""Measure how people of the theatre bend: prints the table of `diorama.figures.limits` and the speeds beside it.

    python tools/measure_limits.py

Every move is danced in many styles by people of all ages; each role's turn from rest is taken as a rotation vector in
degrees, right sides mirrored onto left ones.
"""

import logging

import numpy as np

from diorama.core.figure import Motion
from diorama.core.rotations import inverse, multiply, normalize, to_axis_angle
from diorama.figures.cast import load_cast
from diorama.figures.names import roles_of
from diorama.figures.pose import joint_positions
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.moves import MOVES
from diorama.theatre.style import random_style

SEEDS = 24
FPS = 12.0


def main() -> None:
    """Print mean, deviation, least and most of every role's turn, and the deviation of accelerations."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cast, turns, accelerations = load_cast(), {}, []
    spins: dict[str, list[np.ndarray]] = {}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        figure = cast.figure(cast.random(rng))
        for move in MOVES:
            motion = perform(Dance((move,), (4.0,), random_style(rng)), figure, 48, FPS)
            for role, vectors in _turns(motion).items():
                turns.setdefault(role, []).append(to_axis_angle(vectors).reshape(-1, 3))
                spins.setdefault(role, []).append(_spins(vectors))
            accelerations.append(np.diff(joint_positions(motion), 2, axis=0).ravel() * FPS**2)
    turns.pop("hips")
    for role, parts in turns.items():
        vectors = np.degrees(np.concatenate(parts))
        low, high = np.percentile(vectors, [0.2, 99.8], axis=0)
        rows = [tuple(int(v) for v in np.rint(row)) for row in (vectors.mean(0), vectors.std(0), low, high)]
        logging.info("    %r: (%s),", role, ", ".join(str(row) for row in rows))
    for role, parts in spins.items():
        logging.info("    %r: %d,", role, round(float(np.degrees(np.concatenate(parts).std()))))
    logging.info("acceleration, metres a second squared an axis: %.2f", np.concatenate(accelerations).std())


def _turns(motion: Motion) -> dict[str, np.ndarray]:
    """Turns of each role as quaternions, a row a side, right sides mirrored onto left ones."""
    found: dict[str, list[np.ndarray]] = {}
    for role, chain in roles_of(motion.skeleton).items():
        whole = motion.rotations[:, chain[0]].astype(np.float64)
        for joint in chain[1:]:
            whole = multiply(whole, motion.rotations[:, joint].astype(np.float64))
        side, _, plain = role.partition("_")
        if side == "right":
            whole = whole * np.array([1, 1, -1, -1])
        found.setdefault(plain if side in ("left", "right") else role, []).append(normalize(whole))
    return {role: np.stack(parts) for role, parts in found.items()}


def _spins(quats: np.ndarray) -> np.ndarray:
    """Angular accelerations, radians a second squared."""
    steps = to_axis_angle(normalize(multiply(inverse(quats[:, :-1]), quats[:, 1:])))
    return (np.diff(steps, axis=1) * FPS**2).reshape(-1, 3)


if __name__ == "__main__":
    main()
