"""Kinematics and skinning: the laws of a posed figure."""

import numpy as np
import pytest
import torch

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.rotations import from_axis_angle, normalize, to_matrix
from diorama.figures.pose import Bones, Skin, animate, global_transforms, joint_positions, skin_vertices


def arm(seed: int = 0) -> Figure:
    """A root, a chain of three with turned rest frames, and a side branch; vertices around them."""
    rng = np.random.default_rng(seed)
    parents = np.array([-1, 0, 1, 2, 0], np.int32)
    rest = np.tile(np.eye(4, dtype=np.float32), (5, 1, 1))
    rest[:, :3, :3] = to_matrix(normalize(rng.normal(size=(5, 4)).astype(np.float32)))
    rest[:, :3, 3] = [[0, 1, 0], [0.3, 1, 0], [0.6, 1, 0], [0.9, 1, 0], [0, 1.5, 0]]
    vertices = rng.normal(size=(40, 3)).astype(np.float32)
    faces = rng.integers(0, 40, (20, 3)).astype(np.int32)
    joints = np.stack([rng.permutation(5)[:2] for _ in range(40)]).astype(np.int32)
    weights = rng.random((40, 1)).astype(np.float32)
    skeleton = Skeleton(("root", "a", "b", "c", "head"), parents, rest)
    skin = np.hstack([weights, 1 - weights])
    return Figure(skeleton, Mesh(vertices, faces), joints, skin, ("body",), np.zeros(5, np.int32))


def motion(figure: Figure, turns: np.ndarray, root: np.ndarray | None = None) -> Motion:
    """A motion of rotation vectors "t j 3"."""
    rotations = from_axis_angle(turns.astype(np.float32))
    path = np.zeros((len(turns), 3), np.float32) if root is None else root.astype(np.float32)
    return Motion(figure.skeleton, rotations, path, 24.0)


def test_identity_rotations_are_the_rest_pose() -> None:
    figure = arm()
    still = motion(figure, np.zeros((3, 5, 3)))
    assert np.allclose(animate(figure, still), figure.mesh.vertices, atol=1e-5)
    assert np.allclose(joint_positions(still), figure.skeleton.joints, atol=1e-6)


def test_rigid_motion_moves_all() -> None:
    figure = arm()
    turns = np.zeros((1, 5, 3))
    turns[0, 0] = (0.3, -0.8, 0.5)
    shift = np.array([[1.0, 2, 3]])
    moved = animate(figure, motion(figure, turns, shift))[0]
    pivot, frame = figure.skeleton.joints[0], figure.skeleton.rest[0, :3, :3]
    turn = frame @ to_matrix(from_axis_angle(turns[0, 0])) @ frame.T
    assert np.allclose(moved, (figure.mesh.vertices - pivot) @ turn.T + pivot + shift, atol=1e-4)


def test_turning_a_leaf_leaves_the_rest() -> None:
    figure = arm()
    turns = np.zeros((1, 5, 3))
    turns[0, 3] = (1, 1, 0)
    moved = np.abs(animate(figure, motion(figure, turns))[0] - figure.mesh.vertices).max(axis=1)
    bound = figure.dense_weights[:, 3] > 0
    assert moved[~bound].max() < 1e-5
    assert (moved[bound] > 1e-3).mean() > 0.9


def test_bones_keep_their_lengths() -> None:
    figure = arm()
    turns = np.random.default_rng(1).normal(size=(6, 5, 3))
    joints, parents = joint_positions(motion(figure, turns)), figure.skeleton.parents[1:]
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1)
    rest = figure.skeleton.joints
    assert np.allclose(lengths, np.linalg.norm(rest[1:] - rest[parents], axis=-1), atol=1e-5)


def test_frames_do_not_depend_on_each_other() -> None:
    figure = arm()
    turns = np.random.default_rng(2).normal(size=(4, 5, 3))
    together = animate(figure, motion(figure, turns))
    for i in range(4):
        assert np.allclose(together[i], animate(figure, motion(figure, turns[i : i + 1]))[0], atol=1e-5)


def test_gradients_are_right() -> None:
    skin = Skin.of(arm(), dtype=torch.float64)
    rotations = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    root = torch.zeros(2, 3, dtype=torch.float64)

    def posed(r: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return skin_vertices(skin, global_transforms(skin.bones, r, p))[:, :4]

    assert torch.autograd.gradcheck(posed, (rotations.requires_grad_(), root.requires_grad_()))


@pytest.mark.parametrize("count", [1, 7])
def test_joint_order_does_not_matter(count: int) -> None:
    figure = arm()
    order = np.array([0, 4, 1, 2, 3])
    back = np.argsort(order)
    skeleton = figure.skeleton
    parents = np.where(skeleton.parents[order] < 0, -1, back[skeleton.parents[order]]).astype(np.int32)
    other = Skeleton(tuple(skeleton.names[i] for i in order), parents, skeleton.rest[order])
    turns = torch.randn(count, 5, 4, generator=torch.Generator().manual_seed(1))
    root = torch.zeros(count, 3)
    one = global_transforms(Bones.of(skeleton), turns, root)
    two = global_transforms(Bones.of(other), turns[:, order], root)
    assert torch.allclose(one[:, order], two, atol=1e-5)
