"""What a pose costs, and how the cost changes: residuals and their exact derivatives, for Gauss-Newton steps.

All terms are half squares in deviations, so that their sum is a negative log likelihood up to the weights. Distances
to what was seen go through the function of Geman and McClure (1987), ``r^2 c^2 / (r^2 + c^2)``, under which a point
that is far off pulls no more; its weight in a step is the function's slope (iteratively reweighted least squares).

Unknowns of a frame are a small turn of each role, in its joints' own axes, and a shift of the root. A turn of joint j
about its axis a, in the world, moves what hangs on it by ``a x (S - M c_j)``, where S and M sum the terms
``R_k B_k + m_k c_k`` and ``m_k`` of `fit_body` over the joints k below j.
"""

import numpy as np
from jaxtyping import Float, Float64

from diorama.core.rotations import from_axis_angle, inverse, multiply, normalize, to_axis_angle, to_matrix
from diorama.figures._solve_kernels import add_squares, move_points, project_changes, turn_changes
from diorama.figures._solve_values import NEAR, Feet, Outline, Pose, Problem, Seen
from diorama.figures.fit_body import Frames, Rig, Shape
from diorama.figures.limits import ACCELERATION, spins_of

Array = Float64[np.ndarray, "..."]

_STILL, _SUNK = 0.004, 0.01
"""Deviations of a standing foot's steps and of its height, metres."""
_JUMP = 5.0
"""Deviations of height from which somebody is thought to jump."""
_CALM, _TAIL = 0.3, 2.0
"""Scale of usual accelerations in deviations of all, and degrees of freedom of their distribution."""
_INSIDE = 0.4
"""How much a pixel inside a mask's edge counts against one outside: there may be clothes."""


class Normal:
    """The normal equations of frames, filled term by term.

    Attributes:
        price: of each frame.
        slope: "t d", with respect to `Pose.stepped`, then the shape.
        blocks: "t d d".
        near: "t-1 d d", between a frame and the next.
        far: the diagonals of blocks between a frame and the one after the next, "t-2 d".
    """

    def __init__(self, frames: int, unknowns: int) -> None:
        self.price = np.zeros(frames)
        self.slope = np.zeros((frames, unknowns))
        self.blocks = np.zeros((frames, unknowns, unknowns))
        self.near = np.zeros((max(frames - 1, 0), unknowns, unknowns))
        self.far = np.zeros((max(frames - 2, 0), unknowns))

    def add(self, residual: Array, weight: Array, change: Array | None) -> None:
        """Residuals "t n", their weights, and how they change, "t n d"; the price is counted apart."""
        if change is not None:
            add_squares(np.ascontiguousarray(change), weight, residual, self.blocks, self.slope)


def linearised(problem: Problem, shape: Shape, pose: Pose, *, slopes: bool = True, shaping: bool = False) -> Normal:
    """The cost of poses and, with `slopes`, how it changes; with `shaping` also in the shape's coefficients."""
    rig = problem.rig
    size = 3 * len(rig.roles) + 3 + (len(rig.dirs.rest) if shaping else 0)
    normal = Normal(len(pose), size)
    frames = rig.frames(shape, pose.quats, pose.root)
    marks = rig.landmarks(shape, frames)
    change = None
    if slopes:
        change = moved_points(rig, frames, shape.arms[None], rig.mass[None])
        if shaping:
            change = np.concatenate([change, _shaped_points(rig, frames)], axis=-1)
    _points(problem, normal, marks, change)
    _world(problem, normal, marks, change)
    _limits(problem, normal, pose, slopes)
    if problem.feet is not None:
        _feet(problem, problem.feet, normal, marks, change)
    if problem.outline is not None:
        _outline(problem, problem.outline, normal, frames, slopes)
    if problem.smooth and len(pose) > 2:
        _smooth(problem, normal, pose, slopes)
    return normal


def moved_points(
    rig: Rig, frames: Frames, arms: Float64[np.ndarray, "#t n j 3"], mass: Float64[np.ndarray, "#t n j"]
) -> Float64[np.ndarray, "t n 3 d"]:
    """How points of a body move with turns of its roles and shifts of its root."""
    count = len(frames.places), arms.shape[1], 3, 3 * len(rig.roles) + 3
    found = np.empty(count)
    parents, roles = np.zeros(len(rig.moving), np.int64), rig.shared.argmax(axis=1)
    for before, level in zip(rig.levels[:-1], rig.levels[1:], strict=True):
        parents[level.joints] = before.joints[level.parents]
    move_points(frames.turns, frames.places, arms, mass, parents, roles, found)
    return found


def _shaped_points(rig: Rig, frames: Frames) -> Float64[np.ndarray, "t l 3 k"]:
    """How landmarks move with the shape, the root joint held."""
    dirs = rig.dirs
    places = np.zeros((len(frames.places), len(dirs.rest), len(rig.moving), 3))
    for before, level in zip(rig.levels[:-1], rig.levels[1:], strict=True):
        parents = before.joints[level.parents]
        steps = np.einsum("tnab,knb->tkna", frames.turns[:, parents], dirs.offsets[:, level.joints])
        places[:, :, level.joints] = places[:, :, parents] + steps
    turned = np.einsum("tjab,kljb->tlak", frames.turns, dirs.arms, optimize=True)
    return turned + np.einsum("lj,tkja->tlak", rig.mass, places, optimize=True)


def robust(squares: Array, scale: float) -> tuple[Array, Array]:
    """Half of ``r^2 c^2 / (r^2 + c^2)`` for squared distances, and the weight of a residual under it."""
    share = scale**2 / (squares + scale**2)
    return 0.5 * squares * share, share**2


def _projected(seen: Seen, points: Array, change: Array | None) -> tuple[Array, Array | None]:
    """Pixels of world points, and how they change."""
    views = seen.projections
    flat = points @ views[:, :, :3].transpose(0, 2, 1) + views[:, None, :, 3]
    z = np.maximum(flat[..., 2:], NEAR)
    pixels = flat[..., :2] / z
    if change is None:
        return pixels, None
    moved = np.empty((*pixels.shape, change.shape[-1]))
    project_changes(views, change, pixels, z[..., 0], moved)
    return pixels, moved


def _add_distances(
    normal: Normal, apart: Array, change: Array | None, trust: Array, *, deviation: float, scale: float
) -> None:
    """Distances of points, "t n c", under the robust function."""
    price, weight = robust((apart / deviation) ** 2 @ np.ones(apart.shape[-1]), scale)
    normal.price += (trust * price).sum(axis=1)
    if change is not None:
        frames, axes = len(apart), apart.shape[-1]
        weights = np.repeat(trust * weight / deviation**2, axes, axis=1)
        normal.add(apart.reshape(frames, -1), weights, change.reshape(frames, -1, change.shape[-1]))


def _points(problem: Problem, normal: Normal, marks: Array, change: Array | None) -> None:
    seen = problem.seen
    pixels, moved = _projected(seen, marks, change)
    trust = problem.weights.points * seen.trust
    _add_distances(normal, pixels - seen.pixels, moved, trust, deviation=seen.deviations[0], scale=problem.robust)


def _world(problem: Problem, normal: Normal, marks: Array, change: Array | None) -> None:
    """Both sets about their means, as the middle of the hips is as noisy as any point."""
    seen = problem.seen
    if seen.world is None or seen.world_trust is None:
        return
    turn = seen.viewmats[:, None, :3, :3]
    share = (seen.world_trust / np.maximum(seen.world_trust.sum(axis=1, keepdims=True), 1e-6))[..., None]
    apart = (turn @ marks[..., None])[..., 0] - seen.world
    apart = apart - (share * apart).sum(axis=1, keepdims=True)
    if change is not None:
        turned = np.empty_like(change)
        turn_changes(turn[:, 0], share[..., 0], change, turned)
        change = turned
    trust = problem.weights.world * seen.world_trust
    _add_distances(normal, apart, change, trust, deviation=seen.deviations[1], scale=problem.robust)


def _limits(problem: Problem, normal: Normal, pose: Pose, slopes: bool) -> None:
    rig, limits, weight = problem.rig, problem.limits, problem.weights.limits
    before, after = (quats[1:] for quats in rig.to_cast)
    vectors = to_axis_angle(pose.quats[:, 1:]) * rig.lengths[1:, None]
    bends = to_axis_angle(normalize(multiply(multiply(before, from_axis_angle(vectors)), after)))
    usual, beyond = limits.residuals(bends)
    normal.price += 0.5 * weight * ((usual**2).sum(axis=(1, 2)) + (beyond**2).sum(axis=(1, 2)))
    if not slopes:
        return
    turn = rig.lengths[1:, None, None] * (left_out(bends) @ to_matrix(inverse(after)))
    rates, own = limits.rates(bends), 3 * np.arange(1, len(rig.roles))[:, None] + np.arange(3)
    for residual, rate in zip((usual, beyond), rates, strict=True):
        change = rate[..., None] * turn
        across = change.swapaxes(-1, -2)
        normal.blocks[:, own[:, :, None], own[:, None, :]] += weight * across @ change
        normal.slope[:, own] += weight * (across @ residual[..., None])[..., 0]


def left_out(vectors: Array) -> Array:
    """How a rotation vector changes with a small turn after it: the inverse right Jacobian of SO(3)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    safe = np.maximum(angle, 1e-4)
    half = safe / 2
    factor = np.where(angle < 1e-3, 1 / 12, (1 - half / np.tan(half)) / safe**2)
    skew = np.zeros((*vectors.shape, 3))
    x, y, z = np.moveaxis(vectors, -1, 0)
    skew[..., 0, 1], skew[..., 0, 2], skew[..., 1, 2] = -z, y, -x
    skew = skew - skew.swapaxes(-1, -2)
    return np.eye(3) + 0.5 * skew + factor * (skew @ skew)


def _feet(problem: Problem, feet: Feet, normal: Normal, marks: Array, change: Array | None) -> None:
    points, weight = marks[:, feet.points], problem.weights.feet
    moves = None if change is None else change[:, feet.points]
    frames = len(points)
    if problem.smooth and frames > 1:
        both = weight * feet.standing[1:] * feet.standing[:-1] / _STILL**2
        apart = points[1:] - points[:-1]
        normal.price[1:] += 0.5 * (both * (apart**2).sum(axis=-1)).sum(axis=1)
        if moves is not None:
            flat = moves.reshape(frames, -1, moves.shape[-1])
            weights = np.repeat(both, 3, axis=1)[..., None]
            residual = apart.reshape(frames - 1, -1)[..., None]
            for sign, here in ((-1, slice(None, -1)), (1, slice(1, None))):
                weighted = (weights * flat[here]).transpose(0, 2, 1)
                normal.blocks[here] += weighted @ flat[here]
                normal.slope[here] += sign * (weighted @ residual)[..., 0]
            normal.near -= (weights * flat[:-1]).transpose(0, 2, 1) @ flat[1:]
    if feet.floor:
        height = (points[..., 1] - feet.rest) / _SUNK
        price, slope = robust(height**2, _JUMP)
        low = (height < 0) & (feet.standing == 0)
        normal.price += weight * (feet.standing * price + 0.5 * low * height**2).sum(axis=1)
        if moves is not None:
            normal.add(height, weight * (feet.standing * slope + low), moves[:, :, 1] / _SUNK)


def _outline(problem: Problem, outline: Outline, normal: Normal, frames: Frames, slopes: bool) -> None:
    """Distances of outline vertices from the mask's edge."""
    count, vertices = outline.arms.shape[:2]
    turns = frames.turns.transpose(0, 1, 3, 2).reshape(count, -1, 3)
    points = outline.arms.reshape(count, vertices, -1) @ turns + outline.mass @ frames.places
    change = moved_points(problem.rig, frames, outline.arms, outline.mass) if slopes else None
    pixels, moved = _projected(problem.seen, points, change)
    height, width = outline.fields.shape[1:3]
    x, y = pixels[..., 0] * outline.scale[0] - 0.5, pixels[..., 1] * outline.scale[1] - 0.5
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    values = _sampled(outline.fields, x.clip(0, width - 1.001), y.clip(0, height - 1.001))
    gain = np.where(values[..., 0] > 0, 1.0, _INSIDE) / (outline.scale[0] * outline.deviation)
    residual = gain * values[..., 0]
    price, weight = robust(residual**2, 3.0)
    trust = problem.weights.outline * outline.trust * inside
    normal.price += (trust * price).sum(axis=1)
    if moved is not None:
        slope = gain[..., None] * values[..., 1:] * np.array(outline.scale)
        along = (slope[..., None, :] @ moved)[..., 0, :]
        size = normal.slope.shape[1]
        normal.add(residual, trust * weight, np.pad(along, ((0, 0), (0, 0), (0, size - along.shape[-1]))))


def _sampled(fields: Float[np.ndarray, "t h w 3"], x: Array, y: Array) -> Array:
    """Fields between the centres of pixels, by their four neighbours."""
    column, row = np.maximum(x.astype(int), 0), np.maximum(y.astype(int), 0)
    right, down = np.minimum(column + 1, fields.shape[2] - 1), np.minimum(row + 1, fields.shape[1] - 1)
    a, b = (x - column)[..., None], (y - row)[..., None]
    t = np.arange(len(fields))[:, None]
    upper = (1 - a) * fields[t, row, column] + a * fields[t, row, right]
    lower = (1 - a) * fields[t, down, column] + a * fields[t, down, right]
    return (1 - b) * upper + b * lower


def _smooth(problem: Problem, normal: Normal, pose: Pose, slopes: bool) -> None:
    """Second differences of turns and of the root; their derivatives take steps between frames for small.

    Accelerations have long tails, as people mostly stand or glide and now and then kick. A normal distribution leads
    to its answer from farther away.
    """
    rig, pace = problem.rig, problem.seen.fps**2
    steps = to_axis_angle(normalize(multiply(inverse(pose.quats[:-1]), pose.quats[1:]))) * rig.lengths[:, None]
    bent = np.diff(steps, axis=0) * (pace / spins_of(rig.roles)[:, None])
    shifted = np.diff(pose.root, 2, axis=0) * (pace / ACCELERATION)
    residual = np.concatenate([bent.reshape(len(bent), -1), shifted], axis=1)
    squares = (residual.reshape(len(residual), -1, 3) ** 2).sum(axis=-1)
    weight = problem.weights.smooth
    price, trust = _tailed(squares) if problem.tailed else (0.5 * squares, np.ones_like(squares))
    normal.price[1:-1] += weight * price.sum(axis=1)
    if not slopes:
        return
    trust = weight * np.repeat(trust, 3, axis=1)
    turned = rig.lengths[:, None] * (pace / spins_of(rig.roles)[:, None]) * np.ones(3)
    rate = np.concatenate([turned.ravel(), np.full(3, pace / ACCELERATION)])
    diagonal, curve = np.arange(len(rate)), trust * rate**2
    for factor, here in ((1, slice(None, -2)), (-2, slice(1, -1)), (1, slice(2, None))):
        normal.blocks[here, diagonal, diagonal] += factor**2 * curve
        normal.slope[here, : len(rate)] += factor * rate * trust * residual
    for here in (slice(None, -1), slice(1, None)):
        normal.near[here, diagonal, diagonal] -= 2 * curve
    normal.far[:, : len(rate)] += curve


def _tailed(squares: Array) -> tuple[Array, Array]:
    """Price and weight of three numbers of Student's t distribution, by the sum of their squares."""
    spread = _TAIL * _CALM**2
    return 0.5 * (_TAIL + 3) * np.log1p(squares / spread), (_TAIL + 3) / (spread + squares)
