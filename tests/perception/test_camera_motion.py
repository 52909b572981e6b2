"""Camera motion: known motions are found, a camera that stands gives exactly the identity, people do not count."""

import cv2
import numpy as np
import pytest

from diorama.core.video import Frame
from diorama.errors import UsageError
from diorama.perception.camera_motion import (
    CameraMotion,
    regridded,
    sane,
    steps,
    transformed,
    widened,
)
from diorama.perception.shots import track


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def seen_by(world: np.ndarray, matrices: list[np.ndarray], *, noise: int = 0, person: bool = True):
    """Frames of 240 x 320 through homographies from frame to world, noisy, with somebody walking; and his masks."""
    rng = np.random.default_rng(1)
    frames, masks = [], []
    for t, matrix in enumerate(matrices):
        image = cv2.warpPerspective(world, matrix, (320, 240), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        image = (image.astype(int) + rng.integers(-noise, noise + 1, image.shape)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((240, 320), bool)
        if person:
            mask[60:230, 40 + 6 * t : 130 + 6 * t] = True
            image[mask] = textured(170, 90, seed=9).reshape(-1, 3)
        frames.append(Frame(image, t, 1, t))
        masks.append(mask)
    return frames, masks


def moved(x: float, y: float, turn: float = 0.0, zoom: float = 1.0, tilt: float = 0.0) -> np.ndarray:
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    return np.array([[c, -s, 90 + x], [s, c, 80 + y], [tilt, 0, 1.0]])


PLACES = np.array([[0, 0], [319, 0], [319, 239], [20, 20], [300, 120]], np.float32)  # away from the person


def test_a_camera_on_a_tripod_gives_exactly_the_identity() -> None:
    frames, masks = seen_by(textured(400, 500), [moved(0, 0)] * 12, noise=6)
    for step in steps(track(frames), masks):
        assert np.array_equal(step, np.eye(3))


def test_a_known_motion_is_found_and_does_not_drift() -> None:
    poses = [moved(4 * t, -2 * t, 0.004 * t, 1 + 0.004 * t, 1e-6 * t) for t in range(14)]
    frames, masks = seen_by(textured(400, 500), poses, noise=3)
    total = np.eye(3)
    for t, step in enumerate(steps(track(frames), masks)):
        total = total @ step
        truth = np.linalg.inv(poses[0]) @ poses[t]
        assert np.abs(transformed(total, PLACES) - transformed(truth, PLACES)).max() < 0.5, t


def test_a_slow_drift_is_not_taken_for_standing() -> None:
    frames, _ = seen_by(textured(400, 500), [moved(0.05 * t, 0) for t in range(30)], person=False)
    total = np.eye(3)
    for step in steps(track(frames), [None] * 30):
        total = total @ step
    assert total[0, 2] == pytest.approx(29 * 0.05, abs=0.2)


def test_a_person_who_fills_half_the_picture_does_not_move_the_camera() -> None:
    frames, masks = seen_by(textured(400, 500), [moved(0, 0)] * 4)
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        mask[:, : 200 + 6 * t] = True
        frame.image[:, : 200 + 6 * t] = textured(240, 500, seed=3)[:, 300 - 6 * t : 500]
    assert all(np.array_equal(step, np.eye(3)) for step in steps(track(frames), masks))


def test_a_cut_starts_anew() -> None:
    one, _ = seen_by(textured(400, 500), [moved(3 * t, 0) for t in range(4)], person=False)
    two, _ = seen_by(255 - textured(400, 500, 5) // 3, [moved(3 * t, 0) for t in range(4)], person=False)
    tracked = list(track([*one, *two]))
    motion = CameraMotion()
    found = [motion(t) for t in tracked]
    alone = list(steps(track(two), [None] * 4))
    assert [t.first for t in tracked].count(True) == 2
    for a, b in zip(found[4:], alone, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("size", [(240, 320), (9, 14), (1, 1)])
def test_what_shows_nothing_stands_still(size: tuple[int, int]) -> None:
    flat = [Frame(np.full((*size, 3), 90, np.uint8), t, 1, t) for t in range(3)]
    everywhere = [np.ones(size, bool)] * 3
    assert all(np.array_equal(step, np.eye(3)) for step in steps(track(flat), everywhere))


def test_sixteen_bits_give_the_same_answer() -> None:
    frames, masks = seen_by(textured(400, 500), [moved(5 * t, t) for t in range(3)])
    deep = [Frame(f.image.astype(np.uint16) * 257, f.pts, 1, f.index) for f in frames]
    for a, b in zip(steps(track(frames), masks), steps(track(deep), masks), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_a_widened_mask_holds_the_mask_at_any_size() -> None:
    mask = np.zeros((50, 80), bool)
    mask[20, 33] = True
    for height, width in ((50, 80), (25, 40), (100, 160), (7, 11)):
        wide = widened(mask, height, width)
        assert wide[20 * height // 50, 33 * width // 80]
        assert wide.sum() > 1
    assert not widened(np.zeros((5, 5), bool), 9, 9).any()
    with pytest.raises(UsageError, match="mask of shape"):
        widened(np.zeros((0, 5), bool), 9, 9)


def test_regridding_moves_the_same_places() -> None:
    matrix = np.array([[1.01, 0.02, 5], [-0.01, 0.99, -3], [1e-5, 2e-5, 1]])
    large = regridded(matrix, (240, 320), (480, 960))
    np.testing.assert_allclose(regridded(large, (480, 960), (240, 320)), matrix, atol=1e-9)
    place, scale, half = np.array([[100, 50]], np.float32), np.float32([3, 2]), np.float32([1, 0.5])
    moved_there = (transformed(large, place * scale + half) - half) / scale
    np.testing.assert_allclose(moved_there, transformed(matrix, place), atol=1e-3)
    assert np.array_equal(regridded(np.eye(3), (240, 320), (7, 9)), np.eye(3))


def test_impossible_steps_are_refused() -> None:
    assert sane(np.eye(3), (240, 320))
    behind = np.eye(3)
    behind[2, 0] = -1 / 100
    for matrix in (np.diag([9.0, 9, 1]), behind, np.full((3, 3), np.nan), np.zeros((3, 3))):
        assert not sane(matrix, (240, 320))


def test_flow_that_nobody_measured_before_is_measured_where_corners_lack() -> None:
    wide = textured(240, 420)
    images = [np.ascontiguousarray(wide[:, 5 * i : 5 * i + 320]) for i in range(4)]
    frames = [Frame(image, i, 1, i) for i, image in enumerate(images)]
    mask = np.ones((240, 320), bool)
    mask[100:124, 100:124] = False  # too small a window for corners
    one, two = (list(steps(track(frames, moving=moving), [mask] * 4)) for moving in (True, False))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert [step[0, 2] for step in two] == pytest.approx([0, 5, 5, 5], abs=0.5)
