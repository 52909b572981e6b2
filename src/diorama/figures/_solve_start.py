"""Where a fit begins: from points in space directly, else from the best of several headings, led through time."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from diorama.core.figure import Figure
from diorama.core.rotations import from_axis_angle, from_matrix, inverse, multiply, normalize, slerp
from diorama.errors import UsageError
from diorama.figures._solve_energy import linearised
from diorama.figures._solve_newton import descend
from diorama.figures._solve_values import Pose, Problem, Seen
from diorama.figures.fit_body import Rig, Shape
from diorama.figures.names import COCO_WHOLEBODY, LANDMARKS_33, Points
from diorama.figures.retarget import fit_keypoints

HEADINGS = 8
"""Directions that a body without points in space is tried in."""
_STEPS = 8
_UP = np.diag([1.0, -1.0, -1.0])
"""Camera axes to Y up."""
_LEAST = 4
"""Points that place a root."""


def tables(table: str) -> Points:
    """The points of a table by what they are."""
    if table == "mediapipe33":
        return LANDMARKS_33
    most = 17 if table == "coco17" else 133
    return {name: numbers for name, numbers in COCO_WHOLEBODY.items() if max(numbers) < most}


def start_in_space(
    world: Float32[np.ndarray, "t l 3"], table: str, figure: Figure, problem: Problem, shape: Shape
) -> Pose:
    """The pose of points in space, and the root where it shows in the picture.

    Raises:
        UsageError: a hip, shoulder or limb is never seen.
    """
    rig = problem.rig
    motion = fit_keypoints(world.astype(np.float64) @ _UP, tables(table), figure.skeleton, problem.seen.fps)
    quats = np.empty((len(world), len(rig.roles), 4))
    for r, chain in enumerate(rig.chains):
        whole = motion.rotations[:, chain[0]].astype(np.float64)
        for joint in chain[1:]:
            whole = normalize(multiply(whole, motion.rotations[:, joint].astype(np.float64)))
        rest = np.tile([1.0, 0, 0, 0], (len(whole), 1))
        quats[:, r] = slerp(rest, whole, 1 / len(chain))
    turn = from_matrix(problem.seen.viewmats[:, :3, :3].transpose(0, 2, 1) @ _UP)
    quats[:, 0] = normalize(multiply(turn, quats[:, 0]))
    return Pose(quats, placed(rig, shape, quats, problem.seen))


def start_flat(problem: Problem, shape: Shape, frames: Int64[np.ndarray, " n"], count: int) -> Pose:
    """The pose of points in the picture alone: tried from all sides at some frames, the best way through time kept.

    Args:
        problem: of all `count` frames.
        shape: of the rig.
        frames: where to try: frames with enough points, some apart.
        count: of all frames; those between are led from one to the next.
    """
    seen = problem.seen.at(frames)
    tries = [_tried(problem, shape, seen, 2 * np.pi * k / HEADINGS) for k in range(HEADINGS)]
    prices, quats, root = (np.stack(parts, axis=1) for parts in zip(*tries, strict=True))
    chosen = _way(prices, quats, frames / seen.fps)
    rows = np.arange(len(frames))
    return _led(frames, Pose(quats[rows, chosen], root[rows, chosen]), count)


def placed(rig: Rig, shape: Shape, quats: Float64[np.ndarray, "t r 4"], seen: Seen) -> Float64[np.ndarray, "t 3"]:
    """Where the root must be for a posed body to show where it does: linear least squares a frame, gaps led over."""
    marks = rig.landmarks(shape, rig.frames(shape, quats, np.zeros((len(quats), 3))))
    apart = marks @ seen.viewmats[:, :3, :3].transpose(0, 2, 1)
    trust = np.sqrt(seen.trust)
    rays = np.concatenate([seen.pixels, np.ones((*trust.shape, 1))], axis=-1) @ np.linalg.inv(seen.Ks).transpose(
        0, 2, 1
    )
    rows = np.zeros((*trust.shape, 2, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays[..., :2]
    left = (rows * trust[..., None, None]).reshape(len(quats), -1, 3)
    right = ((rays[..., :2] * apart[..., 2:] - apart[..., :2]) * trust[..., None]).reshape(len(quats), -1)
    normal = left.transpose(0, 2, 1) @ left + 1e-9 * np.eye(3)
    found = np.linalg.solve(normal, left.transpose(0, 2, 1) @ right[..., None])[..., 0]
    known = ((trust > 0).sum(axis=1) >= _LEAST) & (found[:, 2] > 0)
    if not known.any():
        raise UsageError("no frame shows enough of the body to place it", "fit", "give a clip that shows the body")
    time = np.arange(len(found))
    world = np.einsum("tji,tj->ti", seen.viewmats[:, :3, :3], found - seen.viewmats[:, :3, 3])
    return np.stack([np.interp(time, time[known], world[known, i]) for i in range(3)], axis=1)


def _tried(
    problem: Problem, shape: Shape, seen: Seen, heading: float
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "n r 4"], Float64[np.ndarray, "n 3"]]:
    """Costs, turns and roots of single frames that began at one heading."""
    quats = usual(problem, len(seen))
    quats[:, 0] = from_axis_angle(np.array([0, heading, 0]))
    alone = replace(problem, seen=seen, smooth=False, robust=3 * problem.robust)
    pose = descend(alone, shape, Pose(quats, placed(problem.rig, shape, quats, seen)), _STEPS)
    return linearised(alone, shape, pose, slopes=False).price, pose.quats, pose.root


def usual(problem: Problem, frames: int) -> Float64[np.ndarray, "t r 4"]:
    """How people mostly stand, as shares of the chains' joints, upright and looking along +Z."""
    before, after = problem.rig.to_cast
    whole = from_axis_angle(np.concatenate([np.zeros((1, 3)), problem.limits.mean]))
    own = normalize(multiply(multiply(inverse(before), whole), inverse(after)))
    rest = np.tile([1.0, 0, 0, 0], (len(own), 1))
    return np.repeat(slerp(rest, own, 1 / problem.rig.lengths)[None], frames, axis=0)


def _way(
    prices: Float64[np.ndarray, "n k"], quats: Float64[np.ndarray, "n k r 4"], time: Float64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """The cheapest way through the tries, turning costing as much as it is fast (Viterbi 1967)."""
    total, back = prices[0], []
    for n in range(1, len(prices)):
        near = np.abs(np.einsum("arq,brq->abr", quats[n - 1], quats[n]).clip(-1, 1))
        angles = 2 * np.arccos(near)
        pace = max(float(time[n] - time[n - 1]), 1e-3)
        moves = (angles[..., 0] ** 2 * 4 + (angles[..., 1:] ** 2).mean(axis=-1) * 4) / (pace + 0.1)
        ways = total[:, None] + moves
        back.append(ways.argmin(axis=0))
        total = ways.min(axis=0) + prices[n]
    chosen = [int(total.argmin())]
    for row in reversed(back):
        chosen.append(int(row[chosen[-1]]))
    return np.array(chosen[::-1])


def _led(frames: Int64[np.ndarray, " n"], pose: Pose, count: int) -> Pose:
    """Turns and roots of all frames, between those that are known along the shortest arcs."""
    time = np.arange(count)
    after = np.searchsorted(frames, time).clip(1 if len(frames) > 1 else 0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(frames[after] - frames[before], 1)
    share = ((time - frames[before]) / gap).clip(0, 1)
    quats = slerp(pose.quats[before], pose.quats[after], np.repeat(share[:, None], pose.quats.shape[1], axis=1))
    return Pose(quats, np.stack([np.interp(time, frames, pose.root[:, i]) for i in range(3)], axis=1))


def spread_frames(good: Bool[np.ndarray, " t"], most: int) -> Int64[np.ndarray, " n"]:
    """At most so many of the good frames, evenly among them; of all frames where none is good."""
    numbers = np.flatnonzero(good) if good.any() else np.arange(len(good))
    return numbers[np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)]
