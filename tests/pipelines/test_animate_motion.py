"""Motion from elsewhere begins where the actor stands and looks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.person import Track
from diorama.core.rotations import from_axis_angle, multiply
from diorama.errors import DioramaError
from diorama.figures.cast import load_cast
from diorama.figures.names import roles_of
from diorama.figures.pose import joint_positions
from diorama.media.motion import write_bvh
from diorama.pipelines.animate_motion import motion_for, placed_like
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.style import random_style

FIGURE = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
FRAMES, FPS = 12, 12.0


def dance(move: str, frames: int = FRAMES) -> Motion:
    return perform(Dance((move,), (2.0,), random_style(np.random.default_rng(1))), FIGURE, frames, FPS)


def somewhere(motion: Motion, turn: float) -> Motion:
    """The motion turned about Y and moved away."""
    quats = multiply(from_axis_angle(np.array([[0, turn, 0]])), motion.rotations[:, 0].astype(np.float64))
    rotations = motion.rotations.copy()
    rotations[:, 0] = quats
    return replace(motion, rotations=rotations, root=motion.root + np.array([1.5, -0.8, -4], np.float32))


def actor() -> Actor:
    motion, frames = somewhere(dance("stand"), 0.9), np.arange(FRAMES, dtype=np.int64)
    views = np.repeat(np.diag([1.0, -1, -1, 1])[None], FRAMES, axis=0)
    Ks = np.repeat(np.array([[[100.0, 0, 48], [0, 100, 48], [0, 0, 1]]]), FRAMES, axis=0)
    boxes = np.tile(np.array([1, 1, 9, 9], np.float32), (FRAMES, 1))
    track = Track(1, frames, boxes, np.ones(FRAMES, np.float32), np.full((FRAMES, 33, 3), 0.5, np.float32))
    told = np.zeros(FRAMES, np.float32), np.zeros(FRAMES, bool), np.zeros((FRAMES, 2), bool)
    cameras, shape = Cameras(views, Ks, 96, 96), np.zeros(3, np.float32)
    return Actor("person-1", 1, "person-1", None, track, FIGURE, motion, cameras, frames, *told, shape)


def looks(motion: Motion) -> np.ndarray:
    """From the left to the right hip in the first frame, on the ground."""
    joints = joint_positions(motion[:1])[0]
    left, right = (joints[FIGURE.skeleton.index(f"upperleg01.{side}")] for side in "LR")
    across = (right - left)[[0, 2]]
    return across / np.linalg.norm(across)


def lowest(motion: Motion) -> np.ndarray:
    joints, roles = joint_positions(motion[:1])[0], roles_of(motion.skeleton)
    feet = joints[[roles[f"{side}_foot"][0] for side in ("left", "right")]].mean(axis=0)
    return np.array([feet[0], joints[:, 1].min(), feet[2]])


@pytest.mark.parametrize("turn", [0.0, 2.5, -1.2])
def test_a_motion_is_put_in_place(turn: float) -> None:
    there = somewhere(dance("stand"), turn)
    found = placed_like(dance("walk"), there)
    assert looks(found) @ looks(there) > 0.999
    assert np.abs(lowest(found) - lowest(there)).max() < 1e-3
    own = np.linalg.norm(np.diff(dance("walk").root, axis=0), axis=1)
    assert np.linalg.norm(np.diff(found.root, axis=0), axis=1) == pytest.approx(own, abs=1e-4)


def test_dances_and_files(tmp_path: Path) -> None:
    one = actor()
    for given in ("walk", "jump"):
        found = motion_for(given, one, FIGURE, 0)
        assert len(found) == FRAMES
        assert looks(found) @ looks(one.motion) > 0.99
    write_bvh(tmp_path / "wave.bvh", dance("wave", 5))
    found = motion_for(str(tmp_path / "wave.bvh"), one, FIGURE, 0)
    assert len(found) == FRAMES  # a short one runs there and back
    steps = np.abs(np.diff(joint_positions(found), axis=0)).max()
    assert steps < 0.5  # metres


@pytest.mark.parametrize("given", ["waltz", "nowhere.bvh", "clip.xyz"])
def test_what_is_no_motion_is_refused(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.xyz").write_bytes(b"0")
    with pytest.raises(DioramaError):
        motion_for(given, actor(), FIGURE, 0)
