"""Rates, smoothing, mirrors, and feet that stand."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.clean import (
    foot_contacts,
    mirrored,
    one_euro,
    one_euro_motion,
    planted,
    resampled,
    smoothed,
)
from diorama.figures.pose import joint_positions
from diorama.media.motion import smpl_skeleton


def swinging(frames: int = 48, noise: float = 0.0) -> Motion:
    skeleton = smpl_skeleton(24)
    time = np.arange(frames) / 24
    vectors = np.zeros((frames, 24, 3))
    vectors[:, 16, 2] = 0.8 * np.sin(2 * np.pi * time)
    vectors[:, 1, 0] = 0.3 * np.sin(2 * np.pi * time)
    vectors += np.random.default_rng(0).normal(0, 1, vectors.shape) * noise
    root = np.stack([0.2 * time, 0 * time, 0.5 * time], axis=1)
    return Motion(skeleton, from_axis_angle(vectors).astype(np.float32), root.astype(np.float32), 24.0)


def off(a: Motion, b: Motion) -> float:
    """Degrees between the rotations of two motions, on average."""
    dots = np.abs((a.rotations.astype(float) * b.rotations).sum(-1)).clip(0, 1)
    return float(np.degrees(2 * np.arccos(dots)).mean())


def test_another_rate_and_back() -> None:
    motion = swinging()
    twice = resampled(motion, 48.0)
    assert len(twice) == 2 * len(motion) - 1
    assert np.allclose(np.abs((twice.rotations[::2] * motion.rotations).sum(-1)), 1, atol=1e-6)
    assert off(resampled(twice, 24.0), motion) < 0.01
    assert len(resampled(motion[:1], 60.0)) == 1
    with pytest.raises(UsageError, match="0 frames"):
        resampled(motion, 0.0)


def test_smoothing_takes_noise_and_leaves_the_motion() -> None:
    true, noisy = swinging(), swinging(noise=0.05)
    assert off(smoothed(true), true) < 0.1
    assert off(smoothed(noisy), true) < 0.75 * off(noisy, true)
    for window, order in ((8, 3), (5, 5)):
        with pytest.raises(UsageError, match="window"):
            smoothed(true, window=window, order=order)
    assert len(smoothed(true[:3])) == 3


def test_one_euro_smooths_what_rests_and_follows_what_moves() -> None:
    rng = np.random.default_rng(1)
    still = rng.normal(0, 0.01, (200, 2))
    assert one_euro(still, 30.0)[50:].std() < 0.5 * still.std()
    ramp = np.linspace(0, 50, 100)[:, None]
    lag = np.abs(one_euro(ramp, 30.0, beta=1.0) - ramp)[50:].max()
    assert lag < np.abs(one_euro(ramp, 30.0, beta=0.0) - ramp)[50:].max() / 4
    assert off(one_euro_motion(swinging(noise=0.05)), swinging()) < off(swinging(noise=0.05), swinging())


def test_a_mirror_swaps_the_sides() -> None:
    motion = swinging()
    flipped = joint_positions(mirrored(motion))
    places, names = joint_positions(motion), motion.skeleton.names
    for name in names:
        twin = name.replace("left", "*").replace("right", "left").replace("*", "right")
        a, b = flipped[:, names.index(name)], places[:, names.index(twin)] * [-1, 1, 1]
        assert np.abs(a - b).max() < 1e-5, name
    assert off(mirrored(mirrored(motion)), motion) < 0.1


def sliding(skeleton: Skeleton, frames: int = 40) -> Motion:
    """Somebody who stands with bent knees while the hips drift: both feet slide."""
    vectors = np.zeros((frames, len(skeleton), 3))
    vectors[:, [1, 2], 0], vectors[:, [4, 5], 0] = -0.4, 0.8
    root = np.zeros((frames, 3))
    root[:, 0] = 0.05 * np.sin(np.linspace(0, 4, frames))
    motion = Motion(skeleton, from_axis_angle(vectors).astype(np.float32), root.astype(np.float32), 30.0)
    ankle = joint_positions(motion)[:, skeleton.index("left_ankle"), 1] - skeleton.joints[7, 1]
    root[:, 1] -= ankle
    return replace(motion, root=root.astype(np.float32))


def test_feet_that_stand_stand_still() -> None:
    motion = sliding(smpl_skeleton(24))
    assert foot_contacts(motion).all()
    before, after = (joint_positions(m)[:, 7] for m in (motion, planted(motion)))
    assert np.ptp(before, axis=0).max() > 0.04
    assert np.ptp(after, axis=0).max() < 0.002
    hips = joint_positions(planted(motion))[:, 0]
    assert np.abs(hips - joint_positions(motion)[:, 0]).max() < 1e-6


def test_feet_in_the_air_are_left_alone() -> None:
    motion = sliding(smpl_skeleton(24))
    flying = replace(motion, root=motion.root + np.array([0, 1, 0], np.float32))
    assert not foot_contacts(flying).any()
    assert off(planted(flying), flying) < 0.1
    half = np.zeros((40, 2), bool)
    half[:15] = True
    kept = planted(motion, contacts=half)
    assert off(kept[20:], motion[20:]) < 0.1
    steps = np.linalg.norm(np.diff(joint_positions(kept)[:, 7], axis=0), axis=1)
    assert steps.max() < 0.03  # no jump where the foot is let go


def standing(skeleton: Skeleton, sunk: float, frames: int = 40) -> Motion:
    """Somebody with straight legs whose hips sway, sunk into the ground."""
    root = np.zeros((frames, 3), np.float32)
    root[:, 0] = 0.02 * np.sin(np.linspace(0, 4, frames))
    root[:, 1] = -sunk
    return Motion(skeleton, np.tile(np.float32([1, 0, 0, 0]), (frames, len(skeleton), 1)), root, 30.0)


def test_standing_feet_are_brought_out_of_the_ground() -> None:
    skeleton = smpl_skeleton(24)
    motion = standing(skeleton, 0.04)
    places = joint_positions(planted(motion))
    assert places[:, [7, 8], 1].min() > skeleton.joints[7, 1] - 1e-3
    assert places[:, [10, 11], 1].min() > skeleton.joints[10, 1] - 1e-3
    assert np.ptp(places[:, 7], axis=0).max() < 0.005
    assert (places[:, [4, 5], 2] > joint_positions(motion)[:, [4, 5], 2]).all()  # knees bend forwards


def test_contacts_where_the_rest_has_its_hips_at_the_origin() -> None:
    skeleton = smpl_skeleton(24)
    rest = skeleton.rest.copy()
    rest[:, 1, 3] -= skeleton.joints[0, 1]
    centred = replace(skeleton, rest=rest)
    motion = standing(centred, -float(skeleton.joints[0, 1]))
    assert foot_contacts(motion).all()
    blinking = replace(motion, root=motion.root.copy())
    blinking.root[20] += np.float32([0, 0.2, 0])
    assert foot_contacts(blinking).all()  # one bad frame ends no stance


def test_straight_legs_in_the_air_are_left_alone() -> None:
    flying = standing(smpl_skeleton(24), -1.0)
    assert np.abs(planted(flying).rotations - flying.rotations).max() < 1e-6


def test_feet_and_rates_that_are_not_there() -> None:
    motion = standing(smpl_skeleton(24), 0.0)
    footless = replace(motion.skeleton, names=tuple(n.replace("ankle", "x") for n in motion.skeleton.names))
    with pytest.raises(UsageError, match="left_foot"):
        planted(replace(motion, skeleton=footless))
    with pytest.raises(UsageError, match="contacts of 3 frames"):
        planted(motion, contacts=np.ones((3, 2), bool))
    with pytest.raises(UsageError, match="cutoff"):
        one_euro(np.ones((3, 1)), 0.0)
    stream = np.ones((9, 1))
    stream[[0, 4]] = np.nan
    assert np.allclose(one_euro(stream, 30.0)[1:], 1)


def test_joints_without_a_role_are_mirrored_too() -> None:
    cast = load_cast()
    skeleton = cast.figure(cast.names[0]).skeleton
    turns = from_axis_angle(np.random.default_rng(0).normal(0, 0.2, (4, len(skeleton), 3))).astype(np.float32)
    motion = Motion(skeleton, turns, np.zeros((4, 3), np.float32), 24.0)
    flipped, places = joint_positions(mirrored(motion)), joint_positions(motion)
    left, right = skeleton.index("finger2-3.L"), skeleton.index("finger2-3.R")
    assert np.abs(flipped[:, left] - places[:, right] * [-1, 1, 1]).max() < 1e-3
