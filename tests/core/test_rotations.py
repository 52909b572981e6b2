"""Quaternions, matrices, Euler angles and rotation vectors say the same rotation."""

import itertools

import numpy as np
import pytest

from diorama.core import rotations as r
from diorama.errors import UsageError

RNG = np.random.default_rng(0)
QUATS = r.normalize(RNG.normal(size=(200, 4)))


def test_matrices_and_back() -> None:
    matrices = r.to_matrix(QUATS)
    assert np.allclose(matrices @ np.swapaxes(matrices, -1, -2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(matrices), 1)
    assert np.allclose(r.from_matrix(matrices), QUATS, atol=1e-9)
    half_turns = np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    assert np.allclose(np.abs(r.from_matrix(r.to_matrix(half_turns))), half_turns, atol=1e-9)


def test_product_is_the_product_of_matrices() -> None:
    a, b = QUATS[:100], QUATS[100:]
    assert np.allclose(r.to_matrix(r.multiply(a, b)), r.to_matrix(a) @ r.to_matrix(b), atol=1e-12)
    assert np.allclose(r.normalize(r.multiply(a, r.inverse(a))), [1, 0, 0, 0], atol=1e-12)


def test_rotation_vectors_and_back() -> None:
    assert np.allclose(r.from_axis_angle(r.to_axis_angle(QUATS)), QUATS, atol=1e-9)
    tiny = np.array([[0.0, 0, 0], [1e-12, 0, 0]])
    assert np.allclose(r.from_axis_angle(tiny), [1, 0, 0, 0])
    quarter = r.to_matrix(r.from_axis_angle(np.array([0, 0, np.pi / 2])))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("XYZ")])
def test_euler_angles_and_back(order: str) -> None:
    again = r.from_euler(order, r.to_euler(order, QUATS))
    assert np.allclose(again, QUATS, atol=1e-6)
    poles = r.from_euler(order, np.array([[20.0, 90, 35], [20, -90, 35], [0, 0, 0]]))
    assert np.allclose(np.abs((r.from_euler(order, r.to_euler(order, poles)) * poles).sum(-1)), 1, atol=1e-6)


def test_euler_order_is_outermost_first() -> None:
    both = r.to_matrix(r.from_euler("ZXY", np.array([90.0, 90, 0])))
    z, x = (r.to_matrix(r.from_axis_angle(np.array(v))) for v in ([0, 0, np.pi / 2], [np.pi / 2, 0, 0]))
    assert np.allclose(both, z @ x)
    with pytest.raises(UsageError, match="order"):
        r.from_euler("XY", np.zeros(3))
    with pytest.raises(UsageError, match="order"):
        r.to_euler("XYX", QUATS)


def test_slerp_meets_its_ends_and_goes_evenly() -> None:
    a, b = QUATS[:100], QUATS[100:]
    assert np.allclose(r.slerp(a, b, 0), a, atol=1e-9)
    assert np.allclose(r.slerp(a, b, 1), b, atol=1e-9)
    middle = r.slerp(a, b, 0.5)
    assert np.allclose(np.abs((a * middle).sum(-1)), np.abs((b * middle).sum(-1)), atol=1e-9)
    assert np.allclose(r.slerp(a, a, np.full(100, 0.3)), a, atol=1e-9)


def test_between_turns_one_direction_into_the_other() -> None:
    a, b = RNG.normal(size=(2, 50, 3))
    b[0] = -a[0]
    turned = (r.to_matrix(r.between(a, b)) @ a[..., None])[..., 0]
    assert np.allclose(turned / np.linalg.norm(a, axis=1)[:, None], b / np.linalg.norm(b, axis=1)[:, None], atol=1e-6)


def test_signs_are_kept_steady() -> None:
    quats = np.array([[1.0, 0, 0, 0], [-0.99, 0.1, 0, 0], [0.98, -0.2, 0, 0]])
    found = r.steady(quats)
    assert (found[:, 0] > 0).all()
    assert np.array_equal(np.abs(found), np.abs(quats))
