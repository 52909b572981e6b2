"""Creatures of every family: sound surfaces, rigs that serve as examples, motion within limits."""

from functools import cache

import numpy as np
import pytest

from diorama.core.rotations import to_axis_angle
from diorama.errors import UsageError
from diorama.figures.pose import animate
from diorama.theatre.menagerie import FAMILIES, RIGID, Creature, random_creature, random_motion
from diorama.theatre.menagerie.solids import surface_nets
from diorama.theatre.rigs import kinematic_parts, reject_reason

SEEDS = range(5)


@cache
def creature(family: str, seed: int) -> Creature:
    return random_creature(np.random.default_rng(seed), family)


def odd_edges(faces: np.ndarray) -> np.ndarray:
    """Edges that are not shared by two faces, once each way."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    order = pairs[:, 0] < pairs[:, 1]
    low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
    keys, inverse = np.unique(low * (faces.max() + 1) + high, return_inverse=True)
    ways = np.bincount(inverse, np.where(order, 1, -1), len(keys))
    return (np.bincount(inverse, minlength=len(keys)) != 2) | (ways != 0)


def test_a_ball_from_its_distances() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"), axis=-1)
    vertices, faces = surface_nets(np.linalg.norm(grid - 11.3, axis=-1) - 7)
    assert np.abs(np.linalg.norm(vertices - 11.3, axis=1) - 7).max() < 0.2
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(4 / 3 * np.pi * 7**3, rel=0.03)
    assert not odd_edges(faces).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_surfaces_are_closed_and_look_outwards(family: str) -> None:
    for seed in SEEDS:
        mesh = creature(family, seed).figure.mesh
        assert 500 <= len(mesh.faces) <= 20_000
        assert not odd_edges(mesh.faces).any()
        a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
        assert (np.cross(a, b) * c).sum() > 0
        size = np.ptp(mesh.vertices, axis=0)
        assert size.max() == pytest.approx(1, abs=1e-4)
        assert mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-5)
        assert mesh.colors is not None
        assert mesh.colors.std(axis=0).max() > 5


@pytest.mark.parametrize("family", FAMILIES)
def test_most_creatures_serve_as_examples(family: str) -> None:
    good = 0
    for seed in SEEDS:
        here = creature(family, seed)
        motion = random_motion(np.random.default_rng(seed), here)
        rig = kinematic_parts(here.figure, motion)
        good += reject_reason(rig, motion) is None
    assert good >= 4


@pytest.mark.parametrize("family", FAMILIES)
def test_motion_is_smooth_and_within_limits(family: str) -> None:
    here = creature(family, 1)
    for extreme in (False, True):
        motion = random_motion(np.random.default_rng(3), here, frames=48, fps=24.0, extreme=extreme)
        steps = np.abs((motion.rotations[1:] * motion.rotations[:-1]).sum(-1)).clip(0, 1)
        assert np.degrees(2 * np.arccos(steps)).max() < 45
        for number, bone in enumerate(here.bones):
            if len(bone.hinges) == 1:
                hinge = bone.hinges[0]
                turn = np.degrees(to_axis_angle(motion.rotations[:, number].astype(float)) @ np.array(hinge.axis))
                assert turn.min() >= hinge.low - 0.1
                assert turn.max() <= hinge.high + 0.1
            if not bone.hinges:
                assert (motion.rotations[:, number] == [1, 0, 0, 0]).all()
    assert np.isfinite(animate(here.figure, motion)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_creatures_are_functions_of_the_seed(family: str) -> None:
    one, same, other = (random_creature(np.random.default_rng(s), family).figure for s in (2, 2, 3))
    assert np.array_equal(one.mesh.vertices, same.mesh.vertices)
    assert np.array_equal(one.mesh.colors, same.mesh.colors)
    assert not np.array_equal(one.mesh.vertices, other.mesh.vertices)


def test_colours_do_not_give_the_parts_away() -> None:
    """Across the border of two parts colours change no more than within one, on average."""
    for family in FAMILIES:
        figure = creature(family, 0).figure
        if family in RIGID:
            continue
        assert figure.mesh.colors is not None
        part = figure.skin_joints[:, 0]
        a, b = figure.mesh.faces[:, 0], figure.mesh.faces[:, 1]
        change = np.abs(figure.mesh.colors[a].astype(float) - figure.mesh.colors[b]).mean(axis=1)
        border = part[a] != part[b]
        assert change[border].mean() < 1.6 * change[~border].mean() + 1


def test_unknown_families() -> None:
    with pytest.raises(UsageError, match="dragon"):
        random_creature(np.random.default_rng(0), "dragon")
    with pytest.raises(UsageError, match="0 frames"):
        random_motion(np.random.default_rng(0), creature("hand", 0), frames=0)
