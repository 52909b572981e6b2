"""Actors stand where they are told, and their canonical picture knows nothing of the clip."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.theatre.actor import Actor, canonical_picture
from diorama.theatre.dressing import dress
from diorama.theatre.wardrobe import random_outfit


def actor(turn: float = 0.0) -> Actor:
    cast = load_cast()
    dressed = dress(cast, cast.figure(cast.names[3]), random_outfit(np.random.default_rng(1)), size=64)
    skeleton = dressed.body.skeleton
    turns = np.zeros((2, len(skeleton), 3), np.float32)
    turns[1, skeleton.index("upperarm01.L"), 2] = turn
    motion = Motion(skeleton, from_axis_angle(turns), np.zeros((2, 3), np.float32), 24.0)
    return Actor("one", dressed, motion, (0.5, -2.0), np.pi / 2)


def test_actors_stand_and_look_where_they_are_told() -> None:
    one = actor()
    names, joints = one.motion.skeleton.names, one.joints()[0]
    left, right = joints[names.index("upperarm01.L")], joints[names.index("upperarm01.R")]
    across = left - right  # looking along +X, the left hand is at -Z
    assert across[2] < -0.1
    assert abs(across[0]) < 0.05
    assert np.allclose((left + right)[[0, 2]] / 2, (0.5, -2.0), atol=0.15)
    layer = one.layer()
    assert layer.surface.positions.shape[0] == 2
    assert np.abs(layer.surface.positions[0, :, 1].min()) < 0.02
    assert layer.body is not None
    assert layer.codes is not None
    assert len(layer.codes) == layer.body.positions.shape[1]


def test_the_canonical_picture_does_not_depend_on_the_pose() -> None:
    still, waving = actor(), actor(1.2)
    for side in ("front", "back"):
        one, alpha = canonical_picture(still.dressed, 64, side)
        assert np.array_equal(one, canonical_picture(waving.dressed, 64, side)[0])
        assert (one[~alpha] == 255).all()
        assert 0.05 < alpha.mean() < 0.6
        rows = np.flatnonzero(alpha.any(axis=1))
        assert np.ptp(rows) > 0.8 * 64
    front, back = (canonical_picture(still.dressed, 64, side)[1] for side in ("front", "back"))
    assert (front == back[:, ::-1]).mean() > 0.97


def test_motions_of_another_skeleton_are_refused() -> None:
    one = actor()
    skeleton = replace(one.motion.skeleton, names=tuple(f"x{n}" for n in one.motion.skeleton.names))
    with pytest.raises(UsageError, match="skeleton"):
        replace(one, motion=replace(one.motion, skeleton=skeleton))
