"""The cast: people of the package, their bodies, landmarks and regions."""

import hashlib
import io
from importlib.resources import files

import numpy as np
import pytest

from diorama.core.mesh import vertex_normals
from diorama.errors import ModelError, UsageError
from diorama.figures.cast import CAST_BYTES, Cast, load_cast, parse_cast

HEIGHTS = {"child": (0.9, 1.5), "teen": (1.4, 1.9), "adult": (1.45, 2.1), "elder": (1.45, 2.0)}


@pytest.fixture(scope="module")
def cast() -> Cast:
    return load_cast()


@pytest.fixture(scope="module")
def data() -> bytes:
    return (files("diorama.figures") / "data" / "cast.npz").read_bytes()


def test_enough_people_in_a_small_file(cast: Cast, data: bytes) -> None:
    assert len(data) <= CAST_BYTES
    assert len(cast.names) >= 48
    assert len(set(cast.names)) == len(cast.names)
    assert len(cast.components) >= 16
    assert {person.age for person in cast.people} == {"child", "teen", "adult", "elder"}
    assert {person.sex for person in cast.people} == {"female", "male"}


def test_it_is_read_once_and_cannot_be_changed(cast: Cast) -> None:
    assert load_cast() is cast
    with pytest.raises(ValueError, match="read-only"):
        cast.template[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cast.person("Hana")[0] = 1


def test_everybody_stands_on_the_ground_at_a_human_height(cast: Cast) -> None:
    for person in cast.people:
        figure = cast.figure(person.name)
        vertices = figure.mesh.vertices
        feet = np.isin(figure.skin_joints[:, 0], [figure.skeleton.index(name) for name in ("foot.L", "foot.R")])
        low, high = HEIGHTS[person.age]
        assert low <= vertices[:, 1].max() <= high, person
        assert vertices[:, 1].min() == 0
        assert vertices[feet & (vertices[:, 0] > 0), 1].min() < 0.01
        assert vertices[feet & (vertices[:, 0] < 0), 1].min() < 0.01
        assert np.isfinite(figure.skeleton.rest).all()


def test_people_differ(cast: Cast) -> None:
    bodies = np.stack([cast.figure(name).mesh.vertices for name in cast.names])
    apart = np.linalg.norm(bodies[:, None, ::50] - bodies[None, :, ::50], axis=-1).mean(axis=-1)
    assert apart[~np.eye(len(bodies), dtype=bool)].min() > 0.004


def test_joints_lie_inside_the_body_and_follow_it(cast: Cast) -> None:
    for name in ("Hana", "Viktor", "Halima"):
        figure = cast.figure(name)
        vertices, joints = figure.mesh.vertices, figure.skeleton.joints
        moved = figure.dense_weights > 0.3
        for joint in np.flatnonzero(moved.any(axis=0)):
            near = vertices[moved[:, joint]]
            assert np.linalg.norm(near - joints[joint], axis=1).min() < 0.13, cast.joint_names[joint]
        assert (figure.skeleton.rest[:, :3, :3] == np.eye(3)).all()
        assert abs(joints[0, 0]) < 2e-3
        assert abs(joints[0, 2]) < 2e-3


def test_weights_are_a_partition_of_unity_and_every_joint_moves_something(cast: Cast) -> None:
    assert np.allclose(cast.skin_weights.sum(axis=1), 1, atol=1e-6)
    assert (np.diff(cast.skin_weights, axis=1) <= 0).all()
    assert set(cast.skin_joints[cast.skin_weights > 0]) == set(range(len(cast.joint_names)))
    assert set(cast.joint_parts) == set(range(len(cast.parts)))
    assert (cast.parents < 0).sum() == 1


def test_the_template_is_symmetric(cast: Cast) -> None:
    """Every joint has its twin, and the two halves have the same outline in slices."""
    for joint, name in enumerate(cast.joint_names):
        if name.endswith(".L"):
            twin = cast.joint_names.index(name[:-1] + "R")
            assert np.allclose(cast.joints[joint] * [-1, 1, 1], cast.joints[twin], atol=2e-3)
            assert cast.joints[joint, 0] > 0
    left, right = cast.template[cast.template[:, 0] > 0], cast.template[cast.template[:, 0] < 1e-3] * [-1, 1, 1]
    some = left[::20]
    nearest = np.linalg.norm(some[:, None] - right[None], axis=-1).min(axis=1)
    assert nearest.max() < 2e-3


def test_faces_look_outwards_and_texture_coordinates_fill_the_square(cast: Cast) -> None:
    corners = cast.template[cast.faces].astype(np.float64)
    volume = np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.03 < volume < 0.09  # cubic metres; negative if inside out
    assert cast.uvs.min() >= 0
    assert cast.uvs.max() <= 1
    nose = np.flatnonzero(cast.template[:, 2] > 0.1)
    face = nose[cast.template[nose, 1] > 1.3 / 1.7 * cast.template[:, 1].max()]
    assert vertex_normals(cast.template, cast.faces)[face, 2].mean() > 0.2
    assert cast.template[:, 2].max() > -cast.template[:, 2].min()  # toes and hands are in front


def test_landmarks_are_where_they_are_called(cast: Cast) -> None:
    names = cast.landmark_names
    assert names[:5] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert names[17:20] == ("left_big_toe", "left_small_toe", "left_heel")
    assert names[23:91] == tuple(f"face_{i}" for i in range(68))
    assert (names[91], names[112], names[132]) == ("left_hand_root", "right_hand_root", "right_little4")
    assert np.allclose(cast.landmark_weights.sum(axis=1), 1, atol=1e-5)
    for name in ("Ilya", "Olumide", "Consuelo"):
        vertices = cast.figure(name).mesh.vertices
        points = dict(zip(names, cast.landmarks(vertices[None])[0], strict=True))
        for called, point in points.items():
            assert (point >= vertices.min(axis=0) - 1e-4).all()
            assert (point <= vertices.max(axis=0) + 1e-4).all()
            if called.startswith("left_"):
                twin = points[called.replace("left_", "right_")]
                assert point[0] > 0
                assert np.allclose(point * [-1, 1, 1], twin, atol=6e-3), called
        heights = [points[n][1] for n in ("head_top", "left_eye", "nose", "mouth_upper", "chin", "left_shoulder")]
        heights += [points[n][1] for n in ("left_elbow", "left_hip", "left_knee", "left_ankle", "left_big_toe")]
        assert (np.diff(heights) < 0).all()
        assert points["face_45"][0] > points["face_42"][0] > 0 > points["face_39"][0] > points["face_36"][0]
        assert points["face_24"][1] > points["face_44"][1] > points["face_30"][1] > points["face_8"][1]
        assert points["left_big_toe"][2] > points["left_heel"][2]
        assert points["nose"][2] > points["left_ear"][2]


def test_landmarks_move_with_the_body(cast: Cast) -> None:
    vertices = cast.figure("Wei").mesh.vertices
    steps = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    moved = cast.landmarks(vertices[None] + steps[:, None])
    assert np.allclose(moved[1] - moved[0], steps[1], atol=1e-5)
    with pytest.raises(UsageError, match="7 vertices"):
        cast.landmarks(np.zeros((1, 7, 3), np.float32))


def test_regions_lie_where_a_wardrobe_looks_for_them(cast: Cast) -> None:
    centres = cast.template[cast.faces].mean(axis=1)
    middle = {name: centres[cast.regions == i].mean(axis=0) for i, name in enumerate(cast.region_names)}
    order = ["scalp", "eye", "mouth", "neck", "chest", "abdomen", "hips", "thigh", "shin", "foot"]
    assert (np.diff([middle[name][1] for name in order]) < 0).all()
    assert middle["iris"][2] > middle["scalp"][2]
    assert all(abs(place[0]) < 5e-3 for place in middle.values())  # both sides alike


def test_a_blend_is_somebody_new_and_plausible(cast: Cast) -> None:
    first = cast.random(np.random.default_rng(3))
    assert np.array_equal(first, cast.random(np.random.default_rng(3)))
    rng = np.random.default_rng(4)
    for _ in range(20):
        body = cast.figure(cast.random(rng)).mesh.vertices
        assert 0.9 < body[:, 1].max() < 2.1
    assert not any(np.allclose(first, row) for row in cast.coefficients)


def test_unknown_people_are_answered_with_near_names(cast: Cast) -> None:
    with pytest.raises(UsageError, match="Olumide"):
        cast.figure("olumid")
    with pytest.raises(UsageError, match="nobody"):
        cast.person("")
    assert cast.tags("Hana").age == "child"


@pytest.mark.parametrize(
    "bad", [np.zeros(3, np.float32), np.full(32, np.nan, np.float32), np.full(32, 1e6, np.float32)]
)
def test_coefficients_that_are_nobody_are_refused(cast: Cast, bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="coefficient"):
        cast.figure(bad)


def test_another_file_is_refused(data: bytes) -> None:
    spoilt = bytearray(data)
    spoilt[1000] ^= 1
    with pytest.raises(ModelError, match="not the one"):
        parse_cast(bytes(spoilt), "cast.npz")
    empty = io.BytesIO()
    np.savez(empty, people=np.array(["Nobody"]))
    for other in (b"", data[:5000], empty.getvalue()):
        with pytest.raises(ModelError, match="not a cast"):
            parse_cast(other, "cast.npz", hashlib.sha256(other).hexdigest())
