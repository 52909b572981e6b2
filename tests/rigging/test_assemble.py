"""Rigs from labels: laws of what can be posed (sp4d.md section 7, 16-21)."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError
from diorama.figures.pose import animate
from diorama.rigging.assemble import Rig, rigged
from diorama.theatre.menagerie import random_creature


@pytest.fixture(scope="module")
def creature() -> Figure:
    return random_creature(np.random.default_rng(2), "quadruped").figure


@pytest.fixture(scope="module")
def rig(creature: Figure) -> Rig:
    return rigged(creature.mesh, _labels(creature), names=creature.parts)


def _labels(figure: Figure) -> np.ndarray:
    return figure.joint_parts[figure.dense_weights.argmax(axis=1)].astype(np.int64)


def _motion(figure: Figure, turns: dict[int, tuple[float, float, float]], shift: tuple[float, float, float]) -> Motion:
    rotations = np.zeros((1, len(figure.skeleton), 4), np.float32)
    rotations[..., 0] = 1
    for joint, turn in turns.items():
        rotations[0, joint] = from_axis_angle(np.array([turn]))[0]
    return Motion(figure.skeleton, rotations, np.array([shift], np.float32), 1.0)


def test_the_rest_pose_is_the_mesh_and_joints_are_named_as_parts(creature: Figure, rig: Rig) -> None:
    assert rig.figure.mesh is creature.mesh
    assert set(rig.figure.parts) <= set(creature.parts)
    assert rig.figure.skeleton.names == rig.figure.parts
    (rest,) = animate(rig.figure, _motion(rig.figure, {}, (0, 0, 0)))
    size = float(np.ptp(creature.mesh.vertices, axis=0).max())
    assert np.abs(rest - creature.mesh.vertices).max() <= 1e-6 * size
    named = np.array(rig.figure.parts)[rig.labels]
    assert (named == np.array(creature.parts)[_labels(creature)]).all()


def test_the_root_moves_all_and_a_leaf_only_what_it_weighs_on(rig: Rig) -> None:
    vertices, skeleton = rig.figure.mesh.vertices, rig.figure.skeleton
    (moved,) = animate(rig.figure, _motion(rig.figure, {}, (0.1, 0.2, -0.3)))
    assert np.allclose(moved - vertices, [0.1, 0.2, -0.3], atol=1e-6)
    leaf = next(j for j in reversed(range(len(skeleton))) if j not in skeleton.parents)
    (bent,) = animate(rig.figure, _motion(rig.figure, {leaf: (0.0, 0.0, 0.7)}, (0, 0, 0)))
    free = rig.figure.dense_weights[:, leaf] == 0
    assert free.any()
    assert np.abs(bent - vertices)[free].max() < 1e-6
    assert np.abs(bent - vertices)[~free].max() > 0.01


def test_a_larger_mesh_elsewhere_gets_the_same_rig(creature: Figure, rig: Rig) -> None:
    mesh = replace(creature.mesh, vertices=(creature.mesh.vertices * 3 + np.array([1, -2, 5])).astype(np.float32))
    other = rigged(mesh, _labels(creature), names=creature.parts)
    assert other.figure.parts == rig.figure.parts
    assert np.array_equal(other.figure.skeleton.parents, rig.figure.skeleton.parents)
    assert np.allclose(other.figure.skeleton.joints, rig.figure.skeleton.joints * 3 + [1, -2, 5], atol=1e-3)
    assert np.abs(other.figure.dense_weights - rig.figure.dense_weights).max() < 1e-3


def test_the_same_labels_by_other_numbers_give_the_same_rig(creature: Figure, rig: Rig) -> None:
    turned = rigged(creature.mesh, 40 - _labels(creature))
    assert len(turned.figure.parts) == len(rig.figure.parts)
    assert turned.figure.parts[0].startswith("part")
    assert {tuple(np.round(j, 5)) for j in turned.figure.skeleton.joints} == {
        tuple(np.round(j, 5)) for j in rig.figure.skeleton.joints
    }


def test_seams_do_not_tear(creature: Figure) -> None:
    mesh = creature.mesh
    torn = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3))
    found = rigged(torn, _labels(creature)[mesh.faces].ravel())
    bent = animate(found.figure, _motion(found.figure, {3: (0.5, 0.2, 0.0)}, (0, 0, 0)))[0]
    order = np.argsort(mesh.faces.ravel(), kind="stable")
    same = mesh.faces.ravel()[order]
    apart = np.abs(np.diff(bent[order], axis=0))[same[1:] == same[:-1]]
    assert apart.max() < 1e-6


def test_what_does_not_fit_is_refused(creature: Figure) -> None:
    labels = _labels(creature)
    with pytest.raises(UsageError, match="labels for"):
        rigged(creature.mesh, labels[1:])
    with pytest.raises(UsageError, match="no name for part"):
        rigged(creature.mesh, labels, names=("only",))
    with pytest.raises(UsageError, match="part 99 has no surface"):
        rigged(creature.mesh, labels, root=99)
