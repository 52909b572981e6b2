"""Figures, skeletons, meshes and motions refuse what cannot be right."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh, vertex_normals
from diorama.errors import UsageError


def skeleton(parents: tuple[int, ...] = (-1, 0, 1), names: tuple[str, ...] = ("hips", "knee", "foot")) -> Skeleton:
    rest = np.tile(np.eye(4, dtype=np.float32), (len(parents), 1, 1))
    rest[:, 1, 3] = -np.arange(len(parents))
    return Skeleton(names, np.array(parents, np.int32), rest)


def mesh() -> Mesh:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32))


def figure() -> Figure:
    joints = np.array([[0, 1], [1, 0], [2, 1], [2, 0]], np.int32)
    weights = np.array([[0.5, 0.5], [1, 0], [0.75, 0.25], [1, 0]], np.float32)
    return Figure(skeleton(), mesh(), joints, weights, ("upper", "lower"), np.array([0, 0, 1], np.int32))


def motion() -> Motion:
    rotations = np.zeros((4, 3, 4), np.float32)
    rotations[..., 0] = 1
    return Motion(skeleton(), rotations, np.zeros((4, 3), np.float32), 24.0)


def test_good_values_pass_and_say_what_they_hold() -> None:
    assert np.allclose(figure().dense_weights.sum(axis=1), 1)
    assert figure().face_parts.tolist() == [0, 0, 1, 1]
    assert motion()[1:3].seconds == 2 / 24
    assert skeleton().index("knee") == 1
    assert np.allclose(skeleton().local[1:, 1, 3], -1)


def test_normals_point_outwards() -> None:
    solid = mesh()
    outwards = solid.vertices - solid.vertices.mean(axis=0)
    assert ((vertex_normals(solid.vertices, solid.faces) * outwards).sum(axis=1) > 0).all()


def changed_weights(weights: list[float]) -> Figure:
    return replace(figure(), skin_weights=np.array([weights] * 4, np.float32))


def moved(**changes: object) -> Motion:
    return replace(motion(), **changes)


NAN = float("nan")
CASES = [
    ("no root", "0 roots", lambda: skeleton((0, 0, 1))),
    ("two roots", "2 roots", lambda: skeleton((-1, -1, 1))),
    ("cycle", "ancestor", lambda: skeleton((-1, 2, 1))),
    ("names", "hips", lambda: skeleton(names=("hips", "hips", "foot"))),
    ("lengths", "2 names", lambda: skeleton(names=("hips", "knee"))),
    ("scale", "rotation and a shift", lambda: replace(skeleton(), rest=2 * skeleton().rest)),
    ("rest nan", "finite", lambda: replace(skeleton(), rest=np.float32(np.nan) * skeleton().rest)),
    ("unknown joint", "no joint called", lambda: skeleton().index("wing")),
    ("empty mesh", "0 faces", lambda: replace(mesh(), faces=np.zeros((0, 3), np.int32))),
    (
        "nan vertex",
        r"vertices\[2\]",
        lambda: replace(mesh(), vertices=mesh().vertices + np.array([[0], [0], [np.inf], [0]], np.float32)),
    ),
    ("face index", "beyond", lambda: replace(mesh(), faces=np.array([[0, 1, 9]], np.int32))),
    ("uvs alone", "together", lambda: replace(mesh(), uvs=np.zeros((4, 2), np.float32))),
    ("weights", "sum to 0.9", lambda: changed_weights([0.9, 0.0])),
    ("negative", "negative", lambda: changed_weights([1.5, -0.5])),
    ("nan weight", "not a number", lambda: changed_weights([1.0, NAN])),
    ("skin joint", "beyond", lambda: replace(figure(), skin_joints=figure().skin_joints + 1)),
    ("part", "joint parts", lambda: replace(figure(), joint_parts=np.array([0, 1, 2], np.int32))),
    ("no frames", "no frames", lambda: motion()[:0]),
    ("not unit", "unit", lambda: moved(rotations=2 * motion().rotations)),
    ("fps", "0.0 frames", lambda: moved(fps=0.0)),
    ("nan path", "finite", lambda: moved(root=np.float32(np.nan) * motion().root)),
    ("joint count", "3 joints", lambda: moved(rotations=motion().rotations[:, :2])),
]


@pytest.mark.parametrize(("name", "says", "make"), CASES, ids=[case[0] for case in CASES])
def test_misuse_is_refused_with_its_place(name: str, says: str, make: object) -> None:
    assert name
    with pytest.raises(UsageError, match=says):
        make()  # type: ignore[operator]
