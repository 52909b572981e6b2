"""Gauss-Newton steps with damping (Levenberg 1944, Marquardt 1963), over frames that hold each other or stand alone.

Frames hold their two neighbours on each side, so the normal equations are five blocks wide: they are eliminated frame
by frame, in time and memory linear in the number of frames.
"""

import numpy as np
from jaxtyping import Float64

from diorama.figures._solve_energy import Normal, linearised
from diorama.figures._solve_kernels import eliminate
from diorama.figures._solve_values import Pose, Problem
from diorama.figures.fit_body import Shape

_DAMPING = (1e-3, 1e-7, 1e8)
"""At first, at least, at most; of the diagonal."""
_SOFTER, _HARDER = 0.2, 8.0
_DIFFERENT = 4
"""Frames that say different things of a shape."""
_TINY = 1e-6
_DONE = 3e-4
"""Part of the cost by which a last step falls."""


def descend(problem: Problem, shape: Shape, pose: Pose, steps: int) -> Pose:
    """Poses of less cost.

    Args:
        problem: of the frames; they hold each other where it is smooth.
        shape: of the body, held.
        pose: to begin from.
        steps: at most.
    """
    damping = np.full(len(pose), _DAMPING[0])
    normal = linearised(problem, shape, pose)
    for _ in range(steps):
        step = _held_together(normal, damping) if problem.smooth else _alone(normal, damping)
        tried = pose.stepped(step)
        price = linearised(problem, shape, tried, slopes=False).price
        better = np.full(len(pose), price.sum() < normal.price.sum()) if problem.smooth else price < normal.price
        better &= np.isfinite(price)
        damping = np.clip(damping * np.where(better, _SOFTER, _HARDER), *_DAMPING[1:])
        if not better.any():
            continue
        before = normal.price.sum()
        mixed = better[:, None]
        pose = Pose(np.where(mixed[..., None], tried.quats, pose.quats), np.where(mixed, tried.root, pose.root))
        normal = linearised(problem, shape, pose)
        if before - normal.price.sum() < _DONE * before:
            break
    return pose


def descend_shape(
    problem: Problem, weights: Float64[np.ndarray, " k"], pose: Pose, steps: int
) -> tuple[Float64[np.ndarray, " k"], Pose]:
    """The shape, and poses of frames that stand alone, of less cost.

    A coefficient costs half its square, times the frames over `_DIFFERENT`: what a detector takes for a shoulder is off
    in the same way in every frame, so that many frames say little more of the shape than few.

    Args:
        problem: of the frames.
        weights: the shape to begin from.
        pose: to begin from.
        steps: at most.
    """
    damping, rig, firm = _DAMPING[0], problem.rig, max(len(pose) / _DIFFERENT, 1.0)
    normal = linearised(problem, rig.shape(weights), pose, shaping=True)
    for _ in range(steps):
        step, change = _with_shape(normal, weights, damping, firm)
        tried, tried_weights = pose.stepped(step), weights + change
        price = linearised(problem, rig.shape(tried_weights), tried, slopes=False).price.sum()
        before = normal.price.sum() + 0.5 * firm * weights @ weights
        after = price + 0.5 * firm * tried_weights @ tried_weights
        if not after < before:
            damping = min(damping * _HARDER, _DAMPING[2])
            continue
        damping = max(damping * _SOFTER, _DAMPING[1])
        weights, pose = tried_weights, tried
        normal = linearised(problem, rig.shape(weights), pose, shaping=True)
        if before - after < _DONE * before:
            break
    return weights, pose


def _damped(blocks: Float64[np.ndarray, "t d d"], damping: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, "t d d"]:
    found = blocks.copy()
    diagonal = np.arange(blocks.shape[1])
    found[:, diagonal, diagonal] += damping[:, None] * blocks[:, diagonal, diagonal] + _TINY
    return found


def _alone(normal: Normal, damping: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, "t d"]:
    return -np.linalg.solve(_damped(normal.blocks, damping), normal.slope[..., None])[..., 0]


def _with_shape(
    normal: Normal, weights: Float64[np.ndarray, " k"], damping: float, firm: float
) -> tuple[Float64[np.ndarray, "t d"], Float64[np.ndarray, " k"]]:
    """A step of all frames and of the shape they share: frames are eliminated first (Schur complement)."""
    size = normal.slope.shape[1] - len(weights)
    blocks = _damped(normal.blocks, np.full(len(normal.blocks), damping))
    across, slope = blocks[:, :size, size:], normal.slope[:, :size, None]
    solved = np.linalg.solve(blocks[:, :size, :size], np.concatenate([across, slope], axis=-1))
    left = blocks[:, size:, size:].sum(axis=0) + firm * np.eye(len(weights))
    left -= (across.transpose(0, 2, 1) @ solved[..., :-1]).sum(axis=0)
    right = (
        normal.slope[:, size:].sum(axis=0)
        + firm * weights
        - (across.transpose(0, 2, 1) @ solved[..., -1:]).sum(axis=0)[:, 0]
    )
    change = -np.linalg.solve(left, right)
    return -(solved[..., -1] + solved[..., :-1] @ change), change


def _held_together(normal: Normal, damping: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, "t d"]:
    return -solve_five_wide(_damped(normal.blocks, damping), normal.near, normal.far, normal.slope)


def solve_five_wide(
    blocks: Float64[np.ndarray, "t d d"],
    near: Float64[np.ndarray, "u d d"],
    far: Float64[np.ndarray, "w d"],
    right: Float64[np.ndarray, "t d"],
) -> Float64[np.ndarray, "t d"]:
    """The solution of a symmetric system of blocks.

    Args:
        blocks: on the diagonal.
        near: beside it, between t and t + 1.
        far: diagonals of those two beside it, between t and t + 2.
        right: the right side.
    """
    found = np.empty(right.shape)
    eliminate(blocks.copy(), near.copy(), far, right.copy(), found)
    return found
