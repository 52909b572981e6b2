"""Skeletons that users give, part counts they want, colours from pictures, and a motion that shows every joint."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.figures.pose import animate
from diorama.geometry.orbit import around
from diorama.rigging import bones
from diorama.rigging.bones import bound, laid_in, outside
from diorama.rigging.count import with_count
from diorama.rigging.draft import draft_of
from diorama.rigging.paint import painted
from diorama.rigging.surface import Surface
from diorama.rigging.swing import range_of_motion


def _tube(length: float = 2.0, rings: int = 33, around_: int = 12) -> Mesh:
    """A closed tube along Y from the ground up."""
    y = np.linspace(0, length, rings)
    angle = np.arange(around_) * 2 * np.pi / around_
    ring = np.stack([0.1 * np.cos(angle), np.zeros(around_), 0.1 * np.sin(angle)], axis=1)
    vertices = (ring[None] + y[:, None, None] * [0, 1, 0]).reshape(-1, 3)
    vertices = np.concatenate([vertices, [[0, 0, 0], [0, length, 0]]]).astype(np.float32)
    faces = []
    for r in range(rings - 1):
        for a in range(around_):
            i, j = r * around_ + a, r * around_ + (a + 1) % around_
            faces += [[i, i + around_, j], [j, i + around_, j + around_]]
    low, top = len(vertices) - 2, (rings - 1) * around_
    for a in range(around_):
        b = (a + 1) % around_
        faces += [[low, a, b], [low + 1, top + b, top + a]]
    return Mesh(vertices, np.array(faces, np.int32))


def _chain(places: list[float]) -> Skeleton:
    rest = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    rest[:, 1, 3] = places
    names = tuple(f"bone{i}" for i in range(len(places)))
    return Skeleton(names, np.arange(-1, len(places) - 1, dtype=np.int32), rest)


def test_a_given_skeleton_keeps_its_joints_and_moves_what_is_nearest() -> None:
    mesh, skeleton = _tube(), _chain([0.2, 1.0, 1.8])
    rig = bound(mesh, skeleton, softness=0.2)
    assert rig.figure.skeleton is skeleton
    assert np.array_equal(rig.figure.mesh.vertices, mesh.vertices)
    height = mesh.vertices[:, 1]
    assert (rig.labels[height < 0.95] == 0).all()
    assert (rig.labels[(height > 1.05) & (height < 1.75)] == 1).all()
    assert np.allclose(rig.figure.skin_weights.sum(axis=1), 1, atol=1e-6)


def test_a_skeleton_of_another_size_is_laid_into_the_mesh_and_one_within_stays() -> None:
    mesh = _tube()
    inside = _chain([0.2, 1.0, 1.8])
    assert laid_in(inside, mesh) is inside
    laid = laid_in(_chain([100.0, 140.0, 180.0]), mesh)
    assert laid.joints[:, 1].min() >= 0
    assert laid.joints[:, 1].max() <= 2
    assert np.isclose(np.ptp(laid.joints[:, 1]), 0.94 * 2, atol=1e-5)


def test_joints_outside_the_surface_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = _tube()
    assert outside(_chain([0.2, 1.0, 1.8]), mesh) == 0
    assert outside(_chain([-0.2, 1.0, 2.2, 2.4]), mesh) == 0.75
    assert outside(_chain([-0.09, 1.0, 2.09]), mesh) == 0, "close beside it"
    leaky = replace(mesh, faces=mesh.faces[:-3])
    assert outside(_chain([0.2, 1.0, 1.8]), leaky) == 0, "a hole is no matter"
    inside_out = replace(mesh, faces=mesh.faces[:, ::-1].copy())
    assert outside(_chain([0.2, 1.0, 3.0, 4.0]), inside_out) == 0.5
    monkeypatch.setattr(bones, "MOST_FACES", 10)
    assert outside(_chain([5.0, 6.0]), mesh) == 0, "not looked at"


def test_skeletons_that_cannot_serve() -> None:
    with pytest.raises(UsageError, match="one joint"):
        bound(_tube(), _chain([0.2]))
    far = _chain([0.2, 1.0])
    far = replace(far, rest=far.rest + np.pad(np.full((2, 3, 1), 50, np.float32), ((0, 0), (0, 1), (3, 0))))
    with pytest.raises(UsageError, match="beside the mesh"):
        bound(_tube(), far)
    for axis in range(3):
        aside = _chain([0.2, 1.8])
        aside.rest[:, axis, 3] += 50
        with pytest.raises(UsageError, match="beside the mesh"):
            bound(_tube(), aside)


@pytest.mark.parametrize("height", [0.0, 1e-7, 0.1])
def test_a_skeleton_that_lies_flat_is_scaled_to_the_longest_side(height: float) -> None:
    row = _chain([0.0, 0.0, height, height])
    row.rest[:, 2, 3] = [0, 10, 20, 30]
    lying = replace(_tube(), vertices=np.ascontiguousarray(_tube().vertices[:, [0, 2, 1]]))
    laid = laid_in(row, lying)
    assert np.ptp(laid.joints[:, 2]) == pytest.approx(0.94 * 2, abs=1e-4)
    assert set(bound(lying, laid).labels) == {0, 1, 2}
    upright = laid_in(row, _tube())
    assert np.abs(upright.joints).max() < 3
    with pytest.raises(UsageError, match="beside the mesh"):
        bound(_tube(), upright)


def test_parts_are_merged_and_split_to_the_count_that_is_wanted() -> None:
    mesh = _tube()
    draft = draft_of(mesh, np.minimum(mesh.vertices[:, 1] * 2, 3.99).astype(np.int64))
    assert len(draft) == 4
    for count in (1, 2, 3, 4, 6):
        changed = with_count(draft, count)
        assert len(changed) == count == len(set(changed.names))
        assert np.bincount(changed.labels, minlength=count).min() > 0
    with pytest.raises(UsageError):
        with_count(draft, 0)


def test_every_joint_but_the_root_swings_and_the_first_frame_rests() -> None:
    skeleton = _chain([0.2, 1.0, 1.8])
    motion = range_of_motion(skeleton, fps=20)
    assert (motion.rotations[0] == [1, 0, 0, 0]).all()
    turned = np.abs(motion.rotations[..., 1:]).max(axis=(0, 2))
    assert turned[0] == 0
    assert (turned[1:] > 0.2).all()
    figure = bound(_tube(), skeleton).figure
    assert np.abs(animate(figure, motion[:1])[0] - figure.mesh.vertices).max() < 1e-5
    with pytest.raises(UsageError, match="axes"):
        range_of_motion(skeleton, axes="w")


def test_colours_come_from_the_pictures_that_show_a_place() -> None:
    mesh = _tube()
    mesh = replace(mesh, vertices=mesh.vertices - np.array([0, 1, 0], np.float32))
    cameras = around(np.array([0, 180], np.float32), 0.0, 1.05, 64)
    images = np.full((2, 64, 64, 3), 255, np.uint8)
    images[0, :, 24:40], images[1, :, 24:40] = (200, 10, 10), (10, 10, 200)
    colors = painted(Surface.of(mesh.vertices, mesh.faces), mesh.vertices, mesh.faces, images, cameras)
    front, back = mesh.vertices[:, 2] > 0.08, mesh.vertices[:, 2] < -0.08
    assert colors[front, 0].min() > 120
    assert colors[back, 2].min() > 120
    assert colors[front, 2].max() < 90
    with pytest.raises(UsageError, match="for each"):
        painted(Surface.of(mesh.vertices, mesh.faces), mesh.vertices, mesh.faces, images[:1], cameras)
