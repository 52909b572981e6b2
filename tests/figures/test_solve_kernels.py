"""The compiled loops of a fit against readable twins."""

import numpy as np

from diorama.figures._solve_kernels import add_squares, eliminate, move_points, project_changes, turn_changes


def test_squares_are_added_to_what_is_there() -> None:
    rng = np.random.default_rng(0)
    change, weights, residuals = rng.normal(size=(3, 11, 7)), rng.random((3, 11)), rng.normal(size=(3, 11))
    weights[:, ::3], weights[2] = 0, 0
    blocks, slope = np.ones((3, 7, 7)), np.ones((3, 7))
    add_squares(change, weights, residuals, blocks, slope)
    weighted = change * weights[..., None]
    assert np.allclose(blocks, 1 + weighted.transpose(0, 2, 1) @ change)
    assert np.allclose(slope, 1 + (weighted * residuals[..., None]).sum(axis=1))


def test_a_system_five_blocks_wide_is_solved_whatever_its_length_and_signs() -> None:
    rng = np.random.default_rng(1)
    for frames, size in ((1, 3), (2, 5), (9, 6)):
        near, far = rng.normal(size=(frames - 1, size, size)), rng.normal(size=(max(frames - 2, 0), size))
        blocks = rng.normal(size=(frames, size, size))
        signs = np.where(rng.random((frames, size)) < 0.3, -15, 15)
        blocks = blocks + blocks.transpose(0, 2, 1) + signs[:, :, None] * np.eye(size)
        whole = np.zeros((frames, size, frames, size))
        for t in range(frames):
            whole[t, :, t] = blocks[t]
            if t + 1 < frames:
                whole[t, :, t + 1], whole[t + 1, :, t] = near[t], near[t].T
            if t + 2 < frames:
                whole[t, :, t + 2] = whole[t + 2, :, t] = np.diag(far[t])
        right, found = rng.normal(size=(frames, size)), np.empty((frames, size))
        expected = np.linalg.solve(whole.reshape(frames * size, -1), right.ravel()).reshape(frames, size)
        eliminate(blocks.copy(), near.copy(), far, right.copy(), found)
        assert np.allclose(found, expected)


def test_errors_do_not_grow_along_many_frames_that_hold_each_other_firmly() -> None:
    rng = np.random.default_rng(4)
    frames, size = 100, 6
    seen = rng.normal(size=(frames, 3, size))
    blocks = seen.transpose(0, 2, 1) @ seen + 0.01 * np.eye(size)
    near, far = np.zeros((frames - 1, size, size)), np.full((frames - 2, size), 1e4)
    for factor, here in ((1, slice(None, -2)), (4, slice(1, -1)), (1, slice(2, None))):
        blocks[here] += factor * 1e4 * np.eye(size)
    for here in (slice(None, -1), slice(1, None)):
        near[here] -= 2e4 * np.eye(size)
    right, found = rng.normal(size=(frames, size)), np.empty((frames, size))
    eliminate(blocks.copy(), near.copy(), far, right.copy(), found)
    again = (blocks @ found[..., None])[..., 0]
    again[:-1] += (near @ found[1:, :, None])[..., 0]
    again[1:] += (near.transpose(0, 2, 1) @ found[:-1, :, None])[..., 0]
    again[:-2] += far * found[2:]
    again[2:] += far * found[:-2]
    assert np.allclose(again, right, atol=1e-6)


def test_points_move_about_the_joints_that_they_hang_on() -> None:
    rng = np.random.default_rng(2)
    parents, roles = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])
    turns, places = np.linalg.qr(rng.normal(size=(2, 4, 3, 3)))[0], rng.normal(size=(2, 4, 3))
    arms, mass = rng.normal(size=(1, 5, 4, 3)), rng.random((1, 5, 4))
    found = np.empty((2, 5, 3, 12))
    move_points(turns, places, arms, mass, parents, roles, found)
    below = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1]])  # rows: who hangs on a joint, or is it
    expected = np.zeros_like(found)
    expected[..., 9:] = np.eye(3)
    parts = np.einsum("tjab,tnjb->tnja", turns, np.repeat(arms, 2, axis=0)) + mass[..., None] * places[:, None]
    for j in range(4):
        arm = np.einsum("k,tnka->tna", below[j], parts) - (mass @ below[j])[..., None] * places[:, None, j]
        for i in range(3):
            expected[..., 3 * roles[j] + i] += np.cross(turns[:, None, j, :, i], arm)
    assert np.allclose(found, expected)


def test_changes_are_turned_and_projected() -> None:
    rng = np.random.default_rng(3)
    change, shares, turns = rng.normal(size=(2, 4, 3, 6)), rng.random((2, 4)), rng.normal(size=(2, 3, 3))
    found = np.empty_like(change)
    turn_changes(turns, shares, change, found)
    about = change - (shares[..., None, None] * change).sum(axis=1, keepdims=True)
    assert np.allclose(found, turns[:, None] @ about)
    views, points, step = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 3)), 1e-6
    views[:, 2, 3] = 9

    def seen(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = at @ views[:, :, :3].transpose(0, 2, 1) + views[:, None, :, 3]
        return flat[..., :2] / flat[..., 2:], flat[..., 2]

    moved = np.empty((2, 4, 2, 6))
    project_changes(views, change, *seen(points), moved)
    for k in range(6):
        ends = [seen(points + sign * step * change[..., k])[0] for sign in (1, -1)]
        assert np.allclose(moved[..., k], (ends[0] - ends[1]) / (2 * step), atol=1e-6)
