"""Bones become kinematic parts: what moves as one is one part."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError
from diorama.theatre.rigs import fingerprint, kinematic_parts, reject_reason

SIDES, RINGS = 24, 60


def tube(heights: tuple[float, ...], names: tuple[str, ...]) -> Figure:
    """A tube along Y, 6 m tall, with a chain of joints at these heights; each ring follows the last joint below it."""
    angles, rows = np.linspace(0, 2 * np.pi, SIDES, endpoint=False), np.linspace(0, 6, RINGS)
    ring = np.stack([0.4 * np.cos(angles), np.zeros(SIDES), 0.4 * np.sin(angles)], axis=1)
    vertices = np.concatenate([ring + np.array([0, y, 0]) for y in rows]).astype(np.float32)
    grid = np.arange(RINGS * SIDES).reshape(RINGS, SIDES)
    a, b = grid[:-1], grid[1:]
    quads = [(a, b, np.roll(b, -1, 1)), (a, np.roll(b, -1, 1), np.roll(a, -1, 1))]
    faces = np.concatenate([np.stack([q.ravel() for q in quad], axis=1) for quad in quads]).astype(np.int32)
    rest = np.tile(np.eye(4, dtype=np.float32), (len(heights), 1, 1))
    rest[:, 1, 3] = heights
    skeleton = Skeleton(names, np.arange(-1, len(heights) - 1, dtype=np.int32), rest)
    joints = (np.searchsorted(heights, vertices[:, 1], side="right") - 1).clip(0).astype(np.int32)[:, None]
    weights = np.ones_like(joints, np.float32)
    return Figure(skeleton, Mesh(vertices, faces), joints, weights, ("all",), np.zeros(len(heights), np.int32))


def swing(figure: Figure, degrees: tuple[float, ...], frames: int = 12) -> Motion:
    """Each joint swings about Z by its own angle."""
    turns = np.zeros((frames, len(degrees), 3), np.float32)
    turns[..., 2] = np.sin(np.linspace(0, 2 * np.pi, frames))[:, None] * np.radians(degrees)
    return Motion(figure.skeleton, from_axis_angle(turns), np.zeros((frames, 3), np.float32), 24.0)


HEIGHTS, NAMES = (0.0, 1.5, 3.0, 4.5), ("a", "b", "c", "d")


def test_moving_bones_are_parts_and_still_ones_join_their_parents() -> None:
    figure = tube(HEIGHTS, NAMES)
    rig = kinematic_parts(figure, swing(figure, (0, 30, 2, 30)))
    assert rig.figure.parts == ("a", "b", "d")
    assert rig.part_parents.tolist() == [-1, 0, 1]
    assert rig.merged == {"a": "a", "b": "b", "c": "b", "d": "d"}


def test_merging_again_changes_nothing() -> None:
    figure = tube(HEIGHTS, NAMES)
    motion = swing(figure, (0, 30, 2, 30))
    once = kinematic_parts(figure, motion)
    twice = kinematic_parts(once.figure, motion)
    assert twice.figure.parts == once.figure.parts
    assert np.array_equal(twice.figure.joint_parts, once.figure.joint_parts)


def test_bones_without_surface_and_twist_bones_join() -> None:
    figure = tube((0.0, 1.5, 1.51, 3.0, 3.2, 6.5), ("a", "bare", "b", "twist", "c", "end"))
    rig = kinematic_parts(figure, swing(figure, (0, 30, 30, 30, 30, 30)))
    assert rig.figure.parts == ("a", "b", "c")
    assert rig.merged == {"a": "a", "bare": "a", "b": "b", "twist": "b", "c": "c", "end": "c"}


def test_the_number_of_parts_is_bounded_by_merging_the_least_different() -> None:
    figure = tube(HEIGHTS, NAMES)
    rig = kinematic_parts(figure, swing(figure, (0, 40, 10, 40)), most=3)
    assert rig.figure.parts == ("a", "b", "d")


def test_bad_examples_are_rejected_with_a_reason() -> None:
    figure = tube(HEIGHTS, NAMES)
    motion = swing(figure, (0, 15, 15, 15))
    assert reject_reason(kinematic_parts(figure, motion), motion) is None
    still = swing(figure, (0, 0, 0, 0))
    assert "parts" in (reject_reason(kinematic_parts(figure, still), still) or "")
    small = replace(kinematic_parts(figure, motion), figure=replace(figure, mesh=coarse(figure.mesh)))
    assert "faces" in (reject_reason(small, motion) or "")
    with pytest.raises(UsageError, match="joints"):
        kinematic_parts(tube((0.0, 3.0), ("a", "b")), motion)


def coarse(mesh: Mesh) -> Mesh:
    return replace(mesh, faces=mesh.faces[:100])


def test_copies_share_a_fingerprint() -> None:
    figure = tube(HEIGHTS, NAMES)
    larger = replace(figure, mesh=replace(figure.mesh, vertices=figure.mesh.vertices * 3))
    assert fingerprint(figure) == fingerprint(larger)
    assert fingerprint(figure) != fingerprint(tube((0.0, 3.0), ("a", "b")))
