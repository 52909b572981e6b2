"""SMPL sequences of tools that read bodies off videos: layouts, axes, and files that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.rotations import from_axis_angle, from_matrix, multiply, normalize, to_matrix
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.motion.hmr import read_hmr
from diorama.media.motion.smpl_joints import PELVIS, smpl_names, smpl_skeleton

FRAMES = 4


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "person.npz"
    np.savez(path, **arrays)
    return path


def poses(joints: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.4, (FRAMES, joints, 3))


def wham() -> dict[str, Any]:
    path = np.random.default_rng(1).normal(size=(FRAMES, 3))
    return {
        "pose": poses(24).reshape(FRAMES, 72),
        "trans": path + np.array([0, 0, 4]),
        "pose_world": poses(24).reshape(FRAMES, 72),
        "trans_world": path,
        "betas": np.ones((FRAMES, 10)),
        "verts": np.zeros((FRAMES, 5, 3)),
    }


def test_wham_is_read_in_both_views(tmp_path: Path) -> None:
    given = wham()
    path = saved(tmp_path, **given)
    world, seen = read_hmr(path, fps=30, view="world"), read_hmr(path, fps=30)
    turns = from_axis_angle(given["pose_world"].reshape(FRAMES, 24, 3))
    assert np.allclose(world.motion.rotations, turns, atol=1e-6)
    assert np.allclose(world.motion.root + smpl_skeleton(24).joints[0], given["trans_world"] + PELVIS, atol=1e-5)
    assert np.allclose(world.betas, 1)
    assert world.Ks is None
    upright = to_matrix(seen.motion.rotations[:, 0].astype(np.float64))
    assert np.allclose(upright, np.diag([1.0, -1, -1]) @ to_matrix(turns[:, 0]), atol=1e-5)
    pelvis = (given["trans"] + PELVIS) * [1, -1, -1]
    assert np.allclose(seen.motion.root + smpl_skeleton(24).joints[0], pelvis, atol=1e-5)


def test_matrices_of_4d_humans_are_read(tmp_path: Path) -> None:
    turns = from_axis_angle(poses(24))
    matrices = to_matrix(turns).astype(np.float32)
    path = saved(tmp_path, global_orient=matrices[:, :1], body_pose=matrices[:, 1:], camera=np.ones((FRAMES, 3)))
    found = read_hmr(path, fps=25.0).motion
    root = normalize(multiply(from_matrix(np.diag([1.0, -1, -1])[None]), turns[:, 0]))
    assert np.allclose(np.abs((found.rotations[:, 0] * root).sum(axis=-1)), 1, atol=1e-5)
    assert np.allclose(np.abs((found.rotations[:, 1:] * turns[:, 1:]).sum(axis=-1)), 1, atol=1e-5)
    assert found.fps == 25.0


@pytest.mark.parametrize("mark", ["_", ".", "/"])
def test_gvhmr_is_read_with_its_camera(tmp_path: Path, mark: str) -> None:
    parts = {
        "global_orient": poses(1)[:, 0],
        "body_pose": poses(21).reshape(FRAMES, 63),
        "transl": np.ones((FRAMES, 3)),
    }
    arrays = {f"smpl_params_incam{mark}{name}": value for name, value in parts.items()}
    found = read_hmr(saved(tmp_path, **arrays, K_fullimg=np.tile(np.eye(3), (FRAMES, 1, 1))), fps=30)
    assert found.motion.skeleton.names == smpl_names(52)
    assert np.allclose(found.motion.rotations[:, 22:], [1, 0, 0, 0])
    assert found.Ks is not None
    assert found.Ks.shape == (FRAMES, 3, 3)
    with pytest.raises(MediaError, match="world"):
        read_hmr(saved(tmp_path, **arrays), fps=30, view="world")


@pytest.mark.parametrize(
    "change",
    [
        {"pose": np.zeros((FRAMES, 71))},
        {"pose": np.zeros((FRAMES, 66 + 60))},
        {"pose": np.full((FRAMES, 72), np.nan)},
        {"pose": np.zeros(72)},
        {"pose": np.zeros((0, 72))},
        {"pose": np.array([["a"] * 72] * FRAMES)},
        {"pose": np.zeros((FRAMES, 24, 3, 3))},
        {"trans": np.zeros((FRAMES + 1, 3))},
        {"trans": np.zeros((FRAMES, 2))},
        {"trans": np.full((FRAMES, 3), 1e9)},
        {"betas": np.array([["x"]])},
        {"K_fullimg": np.zeros((2, 3, 3))},
        {"K_fullimg": np.zeros((FRAMES, 3))},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(MediaError):
        read_hmr(saved(tmp_path, **(wham() | change)), fps=30)


def test_other_files_and_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_hmr(saved(tmp_path, **wham()), fps=0)
    with pytest.raises(UsageError):
        read_hmr(saved(tmp_path, **wham()), fps=30, skeleton=smpl_skeleton(52))
    with pytest.raises(MediaError, match="no poses"):
        read_hmr(saved(tmp_path, verts=np.zeros(3)), fps=30)
    objects = tmp_path / "objects.npz"
    np.savez(objects, pose=np.array([{"a": 1}], dtype=object), trans=np.zeros((1, 3)))
    with pytest.raises(MediaError):
        read_hmr(objects, fps=30)
    (tmp_path / "cut.npz").write_bytes(saved(tmp_path, **wham()).read_bytes()[:500])
    with pytest.raises(DioramaError):
        read_hmr(tmp_path / "cut.npz", fps=30)
