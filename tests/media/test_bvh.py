"""BVH there and back, what other programs write, and broken files."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_euler, normalize, to_matrix
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.figures.pose import joint_positions
from diorama.media.motion import read_bvh, smpl_skeleton, write_bvh

ARM = """HIERARCHY
ROOT hips
{
  OFFSET 0 90 0
  CHANNELS 6 Zrotation Yposition Xrotation Xposition Zposition Yrotation
  JOINT Left Arm {
    OFFSET 0 70 0
    CHANNELS 1 Yrotation
    End Site
    {
      OFFSET 0 10 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
10 90 20 5 -5 30 40
-10 91 0 6 0 0 400
"""


def saved(folder: Path, text: str | bytes) -> Path:
    path = folder / "clip.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def wild(skeleton: Skeleton, frames: int = 9) -> Motion:
    rng = np.random.default_rng(0)
    turns = normalize(rng.normal(size=(frames, len(skeleton), 4)).astype(np.float32))
    return Motion(skeleton, turns, rng.normal(size=(frames, 3)).astype(np.float32), 30.0)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two sets of quaternions, whose sign is free."""
    return float(np.minimum(np.abs(a - b).max(axis=-1), np.abs(a + b).max(axis=-1)).max())


@pytest.mark.parametrize("joints", [24, 55])
def test_there_and_back(tmp_path: Path, joints: int) -> None:
    motion = wild(smpl_skeleton(joints))
    write_bvh(tmp_path / "a.bvh", motion)
    back = read_bvh(tmp_path / "a.bvh")
    order = [back.skeleton.index(name) for name in motion.skeleton.names]
    assert sorted(order) == list(range(joints))
    assert np.allclose(back.skeleton.joints[order], motion.skeleton.joints, atol=1e-6)
    assert apart(back.rotations[:, order], motion.rotations) < 1e-4
    assert np.allclose(back.root, motion.root, atol=1e-4)
    assert back.fps == 30


def test_turned_rest_frames_keep_every_joint_in_its_place(tmp_path: Path) -> None:
    skeleton = smpl_skeleton(24)
    rest = skeleton.rest.copy()
    rest[:, :3, :3] = to_matrix(normalize(np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32)))
    motion = wild(Skeleton(skeleton.names, skeleton.parents, rest))
    write_bvh(tmp_path / "a.bvh", motion)
    back = read_bvh(tmp_path / "a.bvh")
    order = [back.skeleton.index(name) for name in skeleton.names]
    assert np.allclose(joint_positions(back)[:, order], joint_positions(motion), atol=1e-4)


@pytest.mark.parametrize("short", [0.0, 1e-5, 1e-2])
def test_poles_of_the_angles_do_no_harm(tmp_path: Path, short: float) -> None:
    degrees = np.random.default_rng(3).uniform(-180, 180, (9, 24, 3))
    degrees[..., 1] = 90 - short
    skeleton = smpl_skeleton(24)
    motion = Motion(skeleton, from_euler("ZXY", degrees).astype(np.float32), np.zeros((9, 3), np.float32), 60.0)
    write_bvh(tmp_path / "a.bvh", motion)
    back = read_bvh(tmp_path / "a.bvh")
    order = [back.skeleton.index(name) for name in skeleton.names]
    assert apart(back.rotations[:, order], motion.rotations) < 1e-5


def test_channels_of_any_order_and_number(tmp_path: Path) -> None:
    motion = read_bvh(saved(tmp_path, ARM))
    assert motion.skeleton.names == ("hips", "Left Arm")
    assert motion.fps == 30
    assert np.allclose(motion.root, [[0.05, 0, -0.05], [0.06, 0.01, 0]], atol=1e-6)
    assert apart(motion.rotations[0, 0], from_euler("ZXY", np.array([10.0, 20, 30]))) < 1e-6
    assert apart(motion.rotations[:, 1], from_euler("YXZ", np.array([[40.0, 0, 0], [40.0, 0, 0]]))) < 1e-6


@pytest.mark.parametrize(("unit", "given"), [(1, 1.0), (100, 0.01), (1000, 0.001)])
def test_the_unit_is_guessed_from_the_size(tmp_path: Path, unit: int, given: float) -> None:
    text = ARM.replace("90", str(0.9 * unit)).replace("70", str(0.7 * unit)).replace("0 10 0", f"0 {0.1 * unit} 0")
    guessed, told = read_bvh(saved(tmp_path, text)), read_bvh(saved(tmp_path, text), scale=given)
    assert np.allclose(guessed.skeleton.joints, told.skeleton.joints)
    assert np.allclose(guessed.skeleton.joints[:, 1], [0.9, 1.6], atol=1e-5)


def test_positions_of_inner_joints_are_named_when_they_stray(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = ARM.replace("1 Yrotation", "2 Yposition Yrotation")
    read_bvh(saved(tmp_path, text.replace("30 40", "30 70 40").replace("0 400", "0 70 400")))
    assert not caplog.records
    read_bvh(saved(tmp_path, text.replace("30 40", "30 75 40").replace("0 400", "0 70 400")))
    assert "Left Arm" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("Zrotation", "Wrotation", MediaError, "unknown channel 'Wrotation'.*line 5"),
        ("1 Yrotation", "2 Yrotation Yrotation", MediaError, "a channel twice.*line 8"),
        ("1 Yrotation", "3 Yrotation", MediaError, "CHANNELS 3, but 1 follow"),
        ("Frames: 2", "Frames: 3", DamagedMediaError, "3 frames, but 2 are there"),
        ("Frames: 2", "Frames: 1", DamagedMediaError, "1 frames, but 2 are there"),
        ("Frames: 2", "Frames: 99999999999999", DamagedMediaError, "but 2 are there"),
        ("Frames: 2", "Frames: two", MediaError, "'two' frames.*line 16"),
        ("0.0333333", "0", MediaError, "frame time of 0"),
        ("0.0333333", "-0.03", MediaError, "frame time of -0.03"),
        ("0.0333333", "nan", MediaError, "frame time"),
        ("Frame Time:", "Frame Tim:", MediaError, "'Frame Time:' is expected.*line 17"),
        ("30 40\n", "30\n", DamagedMediaError, "6 numbers, the channels need 7.*line 18"),
        ("30 40\n", "30 40 50\n", DamagedMediaError, "8 numbers.*line 18"),
        ("30 40\n", "30 nan\n", DamagedMediaError, "frame 0 holds a number that is not finite"),
        ("30 40\n", "30 x\n", DamagedMediaError, "not a number.*line 18"),
        ("MOTION\n", "", MediaError, "unknown word 'Frames:'.*line 15"),
        ("OFFSET 0 70 0", "OFFSET 0 inf 0", MediaError, "three finite numbers.*line 7"),
        ("OFFSET 0 70 0", "", MediaError, "Left Arm has no OFFSET"),
        ("Left Arm", "hips", MediaError, "two joints are called 'hips'.*line 6"),
        ("}\n}\nMOTION", "}\nMOTION", MediaError, "1 braces are not closed"),
        ("}\n}\nMOTION", "}\n}\n}\nMOTION", MediaError, "'}' without '{'"),
        ("End Site", "ROOT other", MediaError, "a second ROOT"),
        ("HIERARCHY", "PK", MediaError, "does not start with HIERARCHY"),
        ("0.0333333", "1e-9", MediaError, "frame time"),
        ("-5 30 40", "-5e300 30 40", DamagedMediaError, "root is too large"),
        ("OFFSET 0 70 0", "OFFSET 0 1e308 0", MediaError, "an offset is too large"),
    ],
)
def test_broken_files_name_what_and_where(
    tmp_path: Path, old: str, new: str, error: type[DioramaError], said: str
) -> None:
    assert old in ARM
    with pytest.raises(error, match=said):
        read_bvh(saved(tmp_path, ARM.replace(old, new, 1)))


def test_not_text_cut_and_deep(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a text file"):
        read_bvh(saved(tmp_path, b"HIERARCHY\n\xff\xfe\x00"))
    with pytest.raises(MediaError, match="ends without MOTION"):
        read_bvh(saved(tmp_path, ARM[:38]))
    deep = "".join(f"JOINT j{i} {{ \nOFFSET 0 1 0\n" for i in range(600))
    with pytest.raises(LimitError, match="nested"):
        read_bvh(saved(tmp_path, "HIERARCHY\nROOT r {\nOFFSET 0 0 0\n" + deep))
    wide = "".join(f"JOINT j{i} {{ \nOFFSET 0 1 0\n}}\n" for i in range(5000))
    with pytest.raises(LimitError, match="4096 joints"):
        read_bvh(saved(tmp_path, "HIERARCHY\nROOT r {\nOFFSET 0 0 0\n" + wide))
    with pytest.raises(UsageError, match="scale"):
        read_bvh(saved(tmp_path, ARM), scale=0.0)


def test_names_that_bvh_cannot_hold_leave_no_file(tmp_path: Path) -> None:
    skeleton = smpl_skeleton(24)
    odd = Skeleton(("a{b", *skeleton.names[1:]), skeleton.parents, skeleton.rest)
    with pytest.raises(UsageError, match=r"a\{b"):
        write_bvh(tmp_path / "a.bvh", wild(odd))
    assert not list(tmp_path.iterdir())


def test_flipped_bytes_end_in_a_typed_error_or_a_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(ARM.encode())
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(DioramaError):
            assert len(read_bvh(saved(tmp_path, bytes(data)))) > 0
