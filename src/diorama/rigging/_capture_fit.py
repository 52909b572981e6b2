"""A pose by what its parts look like: Gauss-Newton with damping, on the moments of parts in all views at once.

Compared are, for each part and view, its size (the root of its area), its middle, and its spread and slant, all in
pixels. Damping after Levenberg (1944) and Marquardt (1963); parts that do not fit count less the less they do (Cauchy),
the more so the better all others fit.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from diorama.core.rotations import inverse, multiply, to_axis_angle
from diorama.rigging._capture_model import Drawn, Model, Moments, Pose, Slopes

NOISE = 1.0
"""Pixels by which a part's middle is off."""
LEAST = 6.0
"""Pixels below which a part says nothing in a view."""
STRANGE = 3.0
"""Sizes of the noise from which on a part counts less."""
BEND, TURN, SHIFT = 0.5, 0.5, 0.05
"""What is likely: radians from rest, radians from one frame to the next, sides of the box that the root is shifted."""
STEPS = 12
_SHARES = np.array([0.5, 1.0, 1.0, 0.5, 0.7, 0.5])
"""How much size, middle, spread and slant count."""
_DAMPING, _SOFTER, _HARDER, _LEAST_DAMPING, _FIRM = 1e-3, 0.3, 30.0, 1e-6, 1e-2
_FARTHEST = 0.6
"""Radians that a step may turn a joint."""
_DONE = 0.01
"""Share of the cost by which a last step falls."""
_DOUBT = 0.3
"""How much of what a part is off in the first frame makes it less sure."""

Residuals = Float64[np.ndarray, "v k 6"]


@dataclass(frozen=True, eq=False)
class Target:
    """What a pose should look like.

    Attributes:
        size: the root of the pixels of each part in each view.
        middle: of them.
        spread: their covariance: xx, xy, yy.
        seen: whether a part says anything in a view.
        offset: what the figure is off where its pose is right.
        trust: 1 where that is nothing, else less.
    """

    size: Float64[np.ndarray, "v k"]
    middle: Float64[np.ndarray, "v k 2"]
    spread: Float64[np.ndarray, "v k 3"]
    seen: Bool[np.ndarray, "v k"]
    offset: Residuals
    trust: Float64[np.ndarray, "v k"]

    @staticmethod
    def of(moments: Moments, offset: Residuals | None = None) -> "Target":
        """What part maps show (`Model.seen`)."""
        size, middle, spread = _shape(moments)
        off = np.zeros_like(moments) if offset is None else offset
        trust = 1 / np.sqrt(1 + _DOUBT * (off**2).sum(axis=-1))
        return Target(size, middle, spread, moments[..., 0] >= LEAST, off, trust)


@dataclass(frozen=True, eq=False)
class Fit:
    """A pose found, and how sure it is: half the second derivatives of its cost by what `Pose.stepped` takes."""

    pose: Pose
    sure: Float64[np.ndarray, "d d"]


def fitted(model: Model, target: Target, before: Pose) -> Fit:
    """The pose that looks most like a target, near the one of the frame before.

    Args:
        model: of the figure.
        target: what is seen.
        before: to begin from.
    """
    pose, damping, failed = before, _DAMPING, 0
    normal = _Normal.at(model, target, pose, before, model.drawn(pose))
    for _ in range(STEPS):
        step = _step(normal, damping)
        tried = pose.stepped(step)
        drawn = model.drawn(tried)
        price = normal.price(residuals(drawn.moments, target), _held(model, tried, before)[0])
        if not price < normal.cost:
            damping, failed = max(damping * _HARDER, _FIRM), failed + 1
            if failed == 2:
                break
            continue
        done = normal.cost - price < _DONE * normal.cost
        pose, damping, failed = tried, max(damping * _SOFTER, _LEAST_DAMPING), 0
        normal = _Normal.at(model, target, pose, before, drawn)
        if done:
            break
    return Fit(pose, normal.curve)


def residuals(moments: Moments, target: Target) -> Residuals:
    """How far what is drawn is from a target, in sizes of the noise; 0 where the target says nothing.

    Of a part that should be seen and is not, its size alone is off.
    """
    size, middle, spread = _shape(moments)
    found = np.concatenate(
        [
            (size - target.size)[..., None],
            middle - target.middle,
            (spread - target.spread) / _reach(target)[..., None],
        ],
        axis=-1,
    )
    found = found * (_SHARES / NOISE) - target.offset
    found[moments[..., 0] < LEAST, 1:] = 0
    found[~target.seen] = 0
    return found * target.trust[..., None]


def slopes_of(moments: Moments, changes: Slopes, target: Target) -> Slopes:
    """The derivatives of `residuals`."""
    area = np.maximum(moments[..., 0], 1.0)[..., None]
    size, middle, spread = _shape(moments)
    x, y = middle[..., 0, None], middle[..., 1, None]
    grown = changes[..., 0, :] / area
    dx, dy = changes[..., 1, :] / area - x * grown, changes[..., 2, :] / area - y * grown
    reach = _reach(target)[..., None]
    found = np.empty_like(changes)
    found[..., 0, :] = grown * area / (2 * np.maximum(size, 1.0))[..., None]
    found[..., 1, :], found[..., 2, :] = dx, dy
    about = spread[..., None] + np.stack([x * x, x * y, y * y], axis=-2)
    second = changes[..., 3:, :] / area[..., None] - about * grown[..., None, :]
    second -= np.stack([2 * x * dx, x * dy + y * dx, 2 * y * dy], axis=-2)
    found[..., 3:, :] = second / reach[..., None]
    found *= (_SHARES / NOISE)[:, None] * target.trust[..., None, None]
    found[moments[..., 0] < LEAST, 1:] = 0
    found[~target.seen] = 0
    return found


def offset_of(moments: Moments, target: Target) -> Residuals:
    """What a figure is off that is drawn in the right pose; nothing for parts that are not drawn there."""
    found = residuals(moments, target)
    both = target.seen & (moments[..., 0] >= LEAST)
    return np.where(both[..., None], found, 0)


def pixels_off(moments: Moments, target: Target) -> float:
    """How far the middles of parts are from where they are seen, mean over parts and views; not a number if none is."""
    size, middle, _ = _shape(moments)
    both = target.seen & (size**2 >= LEAST)
    if not both.any():
        return float("nan")
    return float(np.linalg.norm(middle - target.middle, axis=-1)[both].mean())


@dataclass(frozen=True, eq=False)
class _Normal:
    """The cost near a pose: its derivatives, and what parts count.

    Attributes:
        cost: at the pose.
        curve, slope: of it, halved.
        seen: parts that count, in each view.
        strange: squared residual of a part from which on it counts less.
    """

    cost: float
    curve: Float64[np.ndarray, "d d"]
    slope: Float64[np.ndarray, " d"]
    seen: Bool[np.ndarray, "v k"]
    strange: float

    @staticmethod
    def at(model: Model, target: Target, pose: Pose, before: Pose, drawn: Drawn) -> "_Normal":
        off = residuals(drawn.moments, target)
        squares = (off**2).sum(axis=-1)
        strange = max(STRANGE**2, 4 * float(np.median(squares[target.seen])))
        counts = np.where(target.seen, 1 / (1 + squares / strange), 0)
        rows = slopes_of(drawn.moments, model.slopes(drawn), target).reshape(-1, model.unknowns)
        weighted = rows * np.repeat(counts.ravel(), off.shape[-1])[:, None]
        held, slope, curve = _held(model, pose, before)
        curve, slope = rows.T @ weighted + np.diag(curve), weighted.T @ off.ravel() + slope
        cost = _price(squares, target.seen, strange) + held
        return _Normal(cost, curve, slope, target.seen, strange)

    def price(self, off: Residuals, held: float) -> float:
        """What a pose costs of which the residuals are known, and what it costs by itself."""
        return _price((off**2).sum(axis=-1), self.seen, self.strange) + held


def _price(squares: Float64[np.ndarray, "v k"], seen: Bool[np.ndarray, "v k"], strange: float) -> float:
    return strange * float(np.log1p(squares[seen] / strange).sum())


def _step(normal: _Normal, damping: float) -> Float64[np.ndarray, " d"]:
    system = normal.curve + damping * np.diag(np.diag(normal.curve))
    step = -np.linalg.solve(system, normal.slope)
    widest = float(np.linalg.norm(step[3:].reshape(-1, 3), axis=1).max())
    return step * min(1.0, _FARTHEST / max(widest, 1e-12))


def _held(model: Model, pose: Pose, before: Pose) -> tuple[float, Float64[np.ndarray, " d"], Float64[np.ndarray, " d"]]:
    """What a pose costs by itself, and half that cost's first and second derivatives; the root may turn as it likes."""
    bend = np.full((len(pose.quats), 1), 1 / BEND)
    bend[0] = 0
    from_rest = to_axis_angle(pose.quats) * bend
    turned = to_axis_angle(multiply(inverse(before.quats), pose.quats)) / TURN
    far = SHIFT * model.size
    shifted = (pose.root - before.root) / far
    cost = float((from_rest**2).sum() + (turned**2).sum() + (shifted**2).sum())
    slope = np.concatenate([shifted / far, (from_rest * bend + turned / TURN).ravel()])
    curve = np.concatenate([np.full(3, far**-2), np.repeat(bend**2 + TURN**-2, 3)])
    return cost, slope, curve


def _shape(
    moments: Moments,
) -> tuple[Float64[np.ndarray, "v k"], Float64[np.ndarray, "v k 2"], Float64[np.ndarray, "v k 3"]]:
    """Root of the area, middle and covariance of parts."""
    area = np.maximum(moments[..., :1], 1e-9)
    middle = moments[..., 1:3] / area
    x, y = middle[..., 0], middle[..., 1]
    spread = moments[..., 3:] / area - np.stack([x * x, x * y, y * y], axis=-1)
    return np.sqrt(moments[..., 0]), middle, spread


def _reach(target: Target) -> Float64[np.ndarray, "v k"]:
    """Pixels that a part spans; it makes covariances pixels."""
    return np.sqrt(np.maximum(target.spread[..., 0] + target.spread[..., 2], 1.0))
