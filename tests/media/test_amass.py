"""AMASS and SMPL sequences: axes, families, split files, and hostile archives."""

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diorama.core.rotations import from_axis_angle, to_matrix
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.figures.pose import joint_positions
from diorama.media.motion import read_amass, read_amass_body, read_npz, smpl_names, smpl_parents, smpl_skeleton


def sequence(folder: Path, frames: int = 4, width: int = 156, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "poses": rng.normal(size=(frames, width)),
        "trans": rng.normal(size=(frames, 3)),
        "mocap_framerate": 120.0,
    }
    arrays |= changes
    path = folder / "clip.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(("width", "joints"), [(72, 24), (156, 52), (165, 55)])
def test_the_families_by_their_width(tmp_path: Path, width: int, joints: int) -> None:
    motion = read_amass(sequence(tmp_path, width=width), up="y")
    poses = np.load(tmp_path / "clip.npz")["poses"].reshape(4, joints, 3)
    assert motion.skeleton.names == smpl_names(joints)
    assert motion.fps == 120
    assert np.allclose(to_matrix(motion.rotations), to_matrix(from_axis_angle(poses)), atol=1e-5)


def test_z_up_stands_upright(tmp_path: Path) -> None:
    """An AMASS person who stands: Y of the body turned to Z of the world by the root."""
    poses = np.zeros((1, 156))
    poses[0, 0] = np.pi / 2
    path = sequence(tmp_path, poses=poses, trans=np.array([[1.0, 2.0 + 0.22, 0.90]]))
    motion = read_amass(path)
    joints = joint_positions(motion)[0]
    head, pelvis = joints[smpl_names(52).index("head")], joints[0]
    assert np.allclose(pelvis, [1, 0.93, -2], atol=1e-5)
    assert np.allclose(head - pelvis, motion.skeleton.joints[15] - motion.skeleton.joints[0], atol=1e-5)


def test_the_skeleton_of_a_body_is_used(tmp_path: Path) -> None:
    own = smpl_skeleton(52)
    motion = read_amass(sequence(tmp_path), up="y", skeleton=own)
    assert motion.skeleton is own
    assert np.allclose(motion.root, np.load(tmp_path / "clip.npz")["trans"], atol=1e-6)
    with pytest.raises(UsageError, match="24"):
        read_amass(sequence(tmp_path), skeleton=smpl_skeleton(24))


def test_split_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    parts = {key: rng.normal(size=(4, n)) for key, n in {"root_orient": 3, "pose_body": 63, "pose_hand": 90}.items()}
    whole = np.concatenate(list(parts.values()), axis=1)
    path = sequence(tmp_path, poses=None, trans=None, transl=np.zeros((4, 3)), mocap_frame_rate=60, **parts)
    assert np.allclose(read_amass(path).rotations, read_amass(sequence(tmp_path, poses=whole)).rotations, atol=1e-6)
    parts |= {"pose_eye": rng.normal(size=(4, 6))}
    motion = read_amass(sequence(tmp_path, poses=None, **parts))
    assert motion.skeleton.names == smpl_names(55)
    jaw, left = motion.skeleton.index("jaw"), motion.skeleton.index("left_eye")
    assert np.allclose(motion.rotations[:, jaw], [1, 0, 0, 0])
    turned = to_matrix(from_axis_angle(parts["pose_eye"][:, :3]))
    assert np.allclose(to_matrix(motion.rotations[:, left]), turned, atol=1e-5)


def test_the_frame_rate_is_never_guessed(tmp_path: Path) -> None:
    path = sequence(tmp_path, mocap_framerate=None)
    with pytest.raises(MediaError, match="pass fps="):
        read_amass(path)
    assert read_amass(path, fps=30).fps == 30
    with pytest.raises(MediaError, match=r"0\.0 frames a second"):
        read_amass(sequence(tmp_path, mocap_framerate=0.0))
    with pytest.raises(UsageError, match="-1"):
        read_amass(path, fps=-1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"poses": np.zeros((4, 100))}, "expected frames of 72"),
        ({"poses": np.zeros((0, 156))}, "shape"),
        ({"poses": np.full((4, 156), np.nan)}, "poses is not finite, or absurdly large, at frame 0"),
        ({"poses": np.full((4, 156), 1e200)}, "absurdly large"),
        ({"trans": np.zeros((3, 3))}, "path of 3 frames"),
        ({"trans": None}, "no trans or transl"),
        ({"poses": None}, "no root_orient"),
        ({"trans": np.array(["a", "b"])}, "expected frames of 3"),
        ({"poses": np.array([{}], dtype=object)}, "Python objects"),
    ],
)
def test_broken_sequences(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(MediaError, match=said):
        read_amass(sequence(tmp_path, **changes))


def test_the_shape_and_other_arrays(tmp_path: Path) -> None:
    objects = np.array([{}], dtype=object)  # not asked for, so not even unpacked
    path = sequence(tmp_path, betas=np.arange(16.0), gender=np.array("Female"), labels=objects)
    body = read_amass_body(path)
    assert body.gender == "female"
    assert body.betas.tolist() == list(range(16))
    assert len(read_amass(path)) == 4
    assert read_amass_body(sequence(tmp_path)).gender == "neutral"


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("poses.npy", "w") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    with pytest.raises(LimitError, match="zip bombs"):
        read_npz(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 35, 156)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", header.getvalue() + bytes(64))
    with pytest.raises(DamagedMediaError, match="34359738368"):
        read_npz(path)


def test_flipped_bytes_end_in_a_typed_error_or_a_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    good = sequence(tmp_path, frames=1, width=72).read_bytes()
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.integers(1, 8)):
            data[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "bad.npz").write_bytes(bytes(data))
        with contextlib.suppress(DioramaError):
            assert len(read_amass(tmp_path / "bad.npz")) == 1


@pytest.mark.parametrize("joints", [24, 52, 55])
def test_the_generic_skeleton_is_a_person(joints: int) -> None:
    skeleton = smpl_skeleton(joints)
    names, places = list(skeleton.names), skeleton.joints
    assert skeleton.parents.tolist() == smpl_parents(joints).tolist()
    for i, name in enumerate(names):
        if name.startswith("left_"):
            assert np.allclose(places[i] * [-1, 1, 1], places[names.index(name.replace("left", "right"))])
            assert places[i, 0] > 0
    assert 0 <= places[:, 1].min() < 0.05
    assert 1.5 < places[:, 1].max() < 1.7
    with pytest.raises(UsageError, match="23 joints"):
        smpl_skeleton(23)
