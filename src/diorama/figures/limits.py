"""How far people bend: a soft prior on poses.

The table is measured, by ``tools/measure_limits.py``, on the theatre's own choreographies: all moves in 24 styles on
bodies of all ages. It holds each role's turn against its parent, from the cast's rest pose (an A-pose), as a rotation
vector; left and right are mirror images. Nobody leaves the range without a price, and inside it the usual costs least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from diorama.errors import UsageError
from diorama.figures.names import FINGERS, SIDES

_BENDS = {
    "spine": ((10, 0, 0), (16, 6, 2), (-6, -20, -10), (69, 20, 11)),
    "neck": ((0, 0, 0), (10, 5, 0), (-16, -13, 0), (31, 13, 0)),
    "head": ((0, 0, 0), (5, 3, 0), (-8, -6, 0), (15, 7, 0)),
    "shoulder": ((0, -2, 5), (0, 3, 7), (-1, -8, 0), (0, 5, 25)),
    "upper_arm": ((-19, 4, -15), (34, 11, 34), (-150, -23, -48), (43, 52, 90)),
    "forearm": ((12, -6, 9), (25, 19, 4), (-62, -60, 3), (46, 18, 19)),
    "hand": ((0, 0, 0), (4, 2, 1), (-18, -11, -5), (18, 11, 5)),
    "thigh": ((-30, -3, 0), (33, 4, 7), (-114, -22, -10), (11, 2, 47)),
    "shin": ((40, 4, 0), (33, 3, 1), (-9, 0, -4), (121, 12, 2)),
    "foot": ((-5, 2, 3), (14, 7, 4), (-40, -21, -17), (37, 35, 11)),
    "toes": ((-1, 0, 0), (6, 0, 0), (-48, 0, 0), (10, 0, 0)),
    "thumb": ((4, -4, -7), (2, 3, 5), (-1, -11, -20), (9, 1, 1)),
    "finger": ((8, -9, -17), (6, 6, 12), (-2, -25, -46), (22, 2, 3)),
}
"""Mean, deviation, least and most of the left side, degrees about the cast's x, y and z."""

ACCELERATION = 9.3
"""Deviation of the joints' acceleration along an axis in the same choreographies, m/s^2."""
_SPINS = {
    "hips": 200,
    "spine": 237,
    "neck": 146,
    "head": 73,
    "shoulder": 136,
    "upper_arm": 647,
    "forearm": 383,
    "hand": 92,
    "thigh": 1084,
    "shin": 1622,
    "foot": 982,
    "toes": 671,
    "thumb": 14,
    "finger": 32,
}
"""Deviations of angular accelerations about an axis in the same choreographies, degrees/s^2."""
_LEAST_SPIN = 400.0
"""Added to them: life is wilder."""
_SLACK = 15.0
"""Degrees added to every deviation and beyond each end of a range: life is wider than the theatre."""
_STEEP = np.radians(5.0)
"""Radians beyond the range that cost as much as a deviation of one."""


@dataclass(frozen=True, eq=False)
class Limits:
    """The prior of some roles, radians.

    Attributes:
        mean, deviation: of rotation vectors.
        low, high: where turns begin to be unlikely.
    """

    mean: Float64[np.ndarray, "r 3"]
    deviation: Float64[np.ndarray, "r 3"]
    low: Float64[np.ndarray, "r 3"]
    high: Float64[np.ndarray, "r 3"]

    def residuals(
        self, bends: Float64[np.ndarray, "t r 3"]
    ) -> tuple[Float64[np.ndarray, "t r 3"], Float64[np.ndarray, "t r 3"]]:
        """How far from the usual, and how far beyond the range, in deviations; the prior is half their squares.

        Args:
            bends: rotation vectors of the roles in the cast's axes, radians.
        """
        beyond = np.maximum(bends - self.high, 0) - np.maximum(self.low - bends, 0)
        return (bends - self.mean) / self.deviation, beyond / _STEEP

    def rates(
        self, bends: Float64[np.ndarray, "t r 3"]
    ) -> tuple[Float64[np.ndarray, "#t r 3"], Float64[np.ndarray, "t r 3"]]:
        """How fast `residuals` change with the bends."""
        return 1 / self.deviation[None], ((bends > self.high) | (bends < self.low)) / _STEEP


def limits_of(roles: Sequence[str]) -> Limits:
    """The limits of roles of `names.ROLES` other than "hips", which may turn as they like.

    Raises:
        UsageError: another name.
    """
    rows = np.radians(np.array([_row(role) for role in roles]).reshape(-1, 4, 3))
    mean, deviation, low, high = rows.transpose(1, 0, 2)
    slack = np.radians(_SLACK)
    return Limits(mean, np.hypot(deviation, slack), low - slack, high + slack)


def spins_of(roles: Sequence[str]) -> Float64[np.ndarray, " r"]:
    """Deviations of the roles' angular accelerations about an axis, radians a second squared."""
    return np.radians(np.array([np.hypot(_SPINS[_plain(role)], _LEAST_SPIN) for role in roles]))


def _row(role: str) -> Float64[np.ndarray, "4 3"]:
    """Mean, deviation, least and most, degrees."""
    plain = _plain(role)
    if plain not in _BENDS:
        raise UsageError(f"no limits for {role!r}", "limits_of", f"known: {', '.join(_BENDS)}")
    mean, deviation, low, high = np.array(_BENDS[plain], np.float64)
    if role.partition("_")[0] != "right":
        return np.stack([mean, deviation, low, high])
    flip = np.array([1, -1, -1])
    return np.stack([mean * flip, deviation, *np.sort(np.stack([low, high]) * flip, axis=0)])


def _plain(role: str) -> str:
    """A role without its side; fingers but the thumb are alike."""
    side, _, rest = role.partition("_")
    plain = rest if side in SIDES else role
    finger = plain.partition("_")[0]
    return plain if finger not in FINGERS else "thumb" if finger == "thumb" else "finger"
