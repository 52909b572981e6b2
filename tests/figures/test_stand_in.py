"""A body in another's place stands where the other stood."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.names import roles_of
from diorama.figures.pose import joint_positions
from diorama.figures.stand_in import in_place_of, in_view_of
from diorama.figures.surface import spread_over
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.style import random_style

CAST = load_cast()


def figure(tall: float) -> Figure:
    weights = np.zeros(len(CAST.components), np.float32)
    weights[0] = tall
    return CAST.figure(weights)


def test_the_same_body_moves_as_it_did() -> None:
    one = figure(0.0)
    motion = perform(Dance(("walk",), (1.0,), random_style(np.random.default_rng(0))), one, 10, 10.0)
    found = in_place_of(motion, one)
    assert np.abs(found.root - motion.root).max() < 1e-5
    assert np.array_equal(found.rotations, motion.rotations)


def test_feet_stay_on_the_ground_whoever_stands_on_them() -> None:
    small, large = figure(-1.5), figure(1.5)
    motion = perform(Dance(("walk",), (2.0,), random_style(np.random.default_rng(0))), small, 20, 10.0)
    found = in_place_of(motion, large)
    lowest = [joint_positions(one)[..., 1].min(axis=1) for one in (motion, found)]
    assert np.abs(lowest[0] - lowest[1]).max() < 0.03  # metres
    steps = np.abs(np.diff(found.root - motion.root, axis=0)).max()
    assert steps < 0.05


def test_another_skeleton_is_refused() -> None:
    one = figure(0.0)
    skeleton = replace(one.skeleton, names=tuple(f"x{name}" for name in one.skeleton.names))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (2, len(skeleton), 1))
    with pytest.raises(UsageError, match="another skeleton"):
        in_place_of(Motion(skeleton, turns, np.zeros((2, 3), np.float32), 25.0), one)


def test_values_spread_over_the_surface() -> None:
    mesh = figure(0.0).mesh
    rng = np.random.default_rng(0)
    known = rng.random(len(mesh.vertices)) < 0.3
    height = mesh.vertices[:, 1:2]
    found = spread_over(np.where(known[:, None], height, np.float32(99)), known.astype(np.float32), mesh.faces)
    assert np.abs(found - height).mean() < 0.05  # metres
    assert found.max() < 2.5  # nothing of what is not known comes in


def test_whose_feet_are_not_seen_keeps_its_head_in_place_and_its_size() -> None:
    small, large = figure(-1.5), figure(1.5)
    motion = perform(Dance(("walk",), (2.0,), random_style(np.random.default_rng(0))), small, 6, 10.0)
    eye = np.array([0.3, 1.5, 3.0])
    found = in_view_of(motion, large, np.tile(eye, (6, 1)))
    neck = roles_of(small.skeleton)["neck"][0]
    there, here = (joint_positions(one)[:, neck] - eye for one in (motion, found))
    apart = 1 - (there * here).sum(axis=1) / np.linalg.norm(there, axis=1) / np.linalg.norm(here, axis=1)
    assert apart.max() < 1e-5  # seen in the same direction
    assert np.linalg.norm(here, axis=1).min() > np.linalg.norm(there, axis=1).min()  # larger, so farther away
