"""Bodies of the SMPL family: synthetic ones of the right structure, as the user's files would hold them."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diorama.core.figure import Motion
from diorama.core.rotations import from_axis_angle
from diorama.errors import DioramaError, ModelError, UsageError
from diorama.figures.pose import animate
from diorama.figures.smpl import (
    SmplBody,
    figure_of,
    load_smpl,
    pose_offsets,
    pose_smpl,
    read_smpl,
    shaped,
    smpl_vertices,
)
from diorama.media.motion import read_amass, smpl_names, smpl_parents, smpl_skeleton

VERTICES = 60


def arrays(joints: int = 24, seed: int = 0) -> dict[str, Any]:
    """A cloud around the generic skeleton, with up to three influences a vertex."""
    rng = np.random.default_rng(seed)
    near = rng.integers(0, joints, (VERTICES, 3))
    weights = np.zeros((VERTICES, joints))
    np.add.at(weights, (np.arange(VERTICES)[:, None], near), rng.dirichlet([1, 1, 1], VERTICES))
    regressor = rng.random((joints, VERTICES)) * (rng.random((joints, VERTICES)) < 0.2) + 1e-3
    parents = smpl_parents(joints).astype(np.uint32)  # the root's parent becomes 2^32 - 1, as in the files
    return {
        "v_template": smpl_skeleton(joints).joints[near[:, 0]] + rng.normal(0, 0.05, (VERTICES, 3)),
        "shapedirs": rng.normal(0, 0.01, (VERTICES, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (VERTICES, 3, 9 * (joints - 1))),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights,
        "f": rng.integers(0, VERTICES, (40, 3)).astype(np.uint32),
        "kintree_table": np.stack([parents, np.arange(joints, dtype=np.uint32)]),
    }


def saved(folder: Path, content: dict[str, Any], suffix: str = ".npz") -> Path:
    path = folder / f"body{suffix}"
    if suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content, 2))
    return path


def body(folder: Path, joints: int = 24) -> SmplBody:
    return read_smpl(saved(folder, arrays(joints)))


def moved(of: SmplBody, size: float | int = 0.4, frames: int = 3) -> Motion:
    rng = np.random.default_rng(5)
    turns = from_axis_angle(rng.normal(0, size, (frames, len(of.names), 3)).astype(np.float32))
    root = size * rng.normal(size=(frames, 3)).astype(np.float32)
    return Motion(figure_of(of).skeleton, turns, root, 30.0)


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize("joints", [24, 52, 55])
def test_the_figure_is_the_file(tmp_path: Path, joints: int, suffix: str) -> None:
    content = arrays(joints)
    figure = load_smpl(saved(tmp_path, content, suffix))
    assert figure.skeleton.names == figure.parts == smpl_names(joints)
    assert figure.skeleton.parents.tolist() == smpl_parents(joints).tolist()
    assert np.allclose(figure.mesh.vertices, content["v_template"], atol=1e-6)
    assert np.allclose(figure.skeleton.joints, content["J_regressor"] @ content["v_template"], atol=1e-5)
    assert np.allclose(figure.dense_weights, content["weights"], atol=1e-4)
    assert np.array_equal(figure.mesh.faces, content["f"])
    assert np.array_equal(figure.joint_parts, np.arange(joints))


def test_pickles_may_hold_sparse_regressors(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    content = arrays()
    path = saved(tmp_path, content | {"J_regressor": sparse.csc_matrix(content["J_regressor"])}, ".pkl")
    assert np.allclose(read_smpl(path).joint_regressor, content["J_regressor"], atol=1e-6)


def test_shape_moves_the_template_by_its_directions(tmp_path: Path) -> None:
    content = arrays()
    path = saved(tmp_path, content)
    assert np.array_equal(load_smpl(path, betas=np.zeros(10)).mesh.vertices, load_smpl(path).mesh.vertices)
    figure = load_smpl(path, betas=[0, 2, -1.5])
    expected = content["v_template"] + content["shapedirs"][..., 1] * 2 - content["shapedirs"][..., 2] * 1.5
    assert np.allclose(figure.mesh.vertices, expected, atol=1e-5)
    assert np.allclose(figure.skeleton.joints, content["J_regressor"] @ expected, atol=1e-5)
    for wrong in (np.zeros(11), [np.nan], np.zeros((2, 2))):
        with pytest.raises((UsageError, TypeError)):
            shaped(read_smpl(path), wrong)


def test_the_identity_is_the_shaped_template(tmp_path: Path) -> None:
    of = shaped(body(tmp_path), [1.0, -1.0])
    still = moved(of, 0)
    assert pose_offsets(of, torch.from_numpy(still.rotations)).abs().max() < 1e-6
    assert np.allclose(pose_smpl(of, still).numpy(), of.template, atol=1e-5)


def test_without_pose_shapes_it_is_plain_skinning(tmp_path: Path) -> None:
    of = body(tmp_path)
    plain = replace(of, pose_dirs=np.zeros_like(of.pose_dirs))
    motion = moved(of)
    assert np.allclose(pose_smpl(plain, motion).numpy(), animate(figure_of(of), motion), atol=1e-5)
    assert np.abs(pose_smpl(of, motion).numpy() - animate(figure_of(of), motion)).max() > 1e-3


def test_pose_shapes_follow_equation_nine(tmp_path: Path) -> None:
    """One joint turned by a right angle about Z: R - I = [[-1, -1, 0], [1, -1, 0], [0, 0, 0]]."""
    of = body(tmp_path)
    turns = np.zeros((1, 24, 3), np.float32)
    turns[0, 4, 2] = np.pi / 2
    offsets = pose_offsets(of, torch.from_numpy(from_axis_angle(turns)))[0].numpy()
    p = of.pose_dirs[..., 27:36]
    assert np.allclose(offsets, -p[..., 0] - p[..., 1] + p[..., 3] - p[..., 4], atol=1e-5)
    turns[:] = 0
    turns[0, 0] = 1.0  # the root has none
    assert np.allclose(pose_offsets(of, torch.from_numpy(from_axis_angle(turns))).numpy(), 0, atol=1e-6)


def test_shape_as_a_tensor_is_the_shaped_body(tmp_path: Path) -> None:
    of = body(tmp_path)
    motion = moved(of)
    rotations, root = torch.from_numpy(motion.rotations), torch.from_numpy(motion.root)
    betas = torch.tensor([1.0, -2.0, 0.5])
    one = smpl_vertices(of, rotations, root, betas)
    assert torch.allclose(one, smpl_vertices(shaped(of, betas.numpy()), rotations, root), atol=1e-5)
    with pytest.raises(UsageError, match="11 betas"):
        smpl_vertices(of, rotations, root, torch.zeros(11))


def test_gradients_are_right(tmp_path: Path) -> None:
    of = body(tmp_path)
    small = replace(
        of,
        template=of.template[:5],
        shape_dirs=of.shape_dirs[:5, :, :2],
        pose_dirs=of.pose_dirs[:5],
        joint_regressor=np.ascontiguousarray(of.joint_regressor[:, :5]),
        weights=of.weights[:5],
    )
    generator = torch.Generator().manual_seed(0)
    rotations = torch.randn(1, 24, 4, dtype=torch.float64, generator=generator).requires_grad_()
    root, betas = torch.zeros(1, 3, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    inputs = (rotations, root.requires_grad_(), betas.requires_grad_())
    assert torch.autograd.gradcheck(lambda r, p, b: smpl_vertices(small, r, p, b), inputs, fast_mode=True)


def test_an_amass_sequence_moves_the_body(tmp_path: Path) -> None:
    """The pelvis goes where SMPL puts it: its place at rest plus the translation."""
    of = body(tmp_path, 52)
    path = tmp_path / "walk.npz"
    np.savez(path, poses=np.zeros((2, 156)), trans=np.ones((2, 3)), fps=30)
    motion = read_amass(path, up="y", skeleton=figure_of(of).skeleton)
    assert np.allclose(pose_smpl(of, motion).numpy(), of.template + 1, atol=1e-5)
    with pytest.raises(UsageError, match="52 joints for a body of 24"):
        pose_smpl(body(tmp_path), motion)


def test_weights_nearly_one_are_made_good(tmp_path: Path) -> None:
    content = arrays()
    assert np.allclose(read_smpl(saved(tmp_path, content | {"weights": content["weights"] * 1.005})).weights.sum(1), 1)


def cyclic() -> np.ndarray:
    table = arrays()["kintree_table"].copy()
    table[0, 1] = 4
    return table


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": arrays()["weights"] * 1.1}, "weights sum to 1.1"),
        ({"weights": arrays()["weights"] * -1}, "weights sum to -1"),
        ({"weights": np.ones((VERTICES, 23))}, r"weights has shape .* expected \(60, 24\)"),
        ({"kintree_table": cyclic()}, "cycle, or a child before its parent, at joint 1"),
        ({"kintree_table": np.zeros((2, 24), np.int64)}, "one root"),
        ({"kintree_table": np.zeros((2, 16), np.int64)}, "expected 2 rows of 24"),
        ({"v_template": np.full((VERTICES, 3), np.nan)}, "v_template holds NaN"),
        ({"J_regressor": np.full((24, VERTICES), 1e38)}, "absurdly large"),
        ({"v_template": np.zeros((50, 3))}, "shapedirs has shape"),
        ({"posedirs": np.zeros((VERTICES, 3, 93))}, "posedirs has shape"),
        ({"f": np.full((4, 3), VERTICES)}, "beyond the 60"),
        ({"f": np.full((4, 3), 2**32, np.uint64)}, "beyond the 60"),
        ({"f": np.zeros((4, 4), np.int64)}, "expected triangles"),
        ({"f": np.zeros((4, 3))}, "whole numbers"),
        ({"J_regressor": np.array("none")}, "expected an array of numbers"),
    ],
)
def test_broken_bodies(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        read_smpl(saved(tmp_path, arrays() | changes))
    assert caught.value.exit_code == 6


def test_other_files(tmp_path: Path) -> None:
    content = arrays()
    del content["posedirs"]
    with pytest.raises(ModelError, match="no posedirs in it"):
        read_smpl(saved(tmp_path, content))
    with pytest.raises(ModelError, match="J_regressor is dict"):
        read_smpl(saved(tmp_path, arrays() | {"J_regressor": {}}, ".pkl"))
    (tmp_path / "not.npz").write_bytes(b"PK")
    with pytest.raises(DioramaError):
        read_smpl(tmp_path / "not.npz")
