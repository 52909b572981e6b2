"""Flow: known motions are found, and maps are carried along it."""

import cv2
import numpy as np

from diorama.perception.flow import dense_flow, grey, pull, resize_flow


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def test_still_picture_has_no_flow() -> None:
    picture = textured(120, 200)
    assert np.abs(dense_flow(picture, picture)).max() < 0.05


def test_shift_is_found_with_its_sign() -> None:
    wide = textured(130, 220)
    before, here = wide[5:125, 8:208], wide[2:122, 4:204]  # the scene moved 4 right and 3 down
    flow = dense_flow(here, before)[20:-20, 20:-20]
    assert np.allclose(np.median(flow, (0, 1)), (-4, -3), atol=0.1)


def test_pull_undoes_the_motion() -> None:
    wide = textured(130, 220)
    before, here = wide[5:125, 8:208], wide[2:122, 4:204]
    pulled = pull(before, dense_flow(here, before))[20:-20, 20:-20].astype(int)
    assert np.abs(pulled - here[20:-20, 20:-20]).mean() < 2


def test_pull_by_zero_is_identity() -> None:
    values = np.random.default_rng(1).random((30, 40), np.float32)
    assert np.array_equal(pull(values, np.zeros((30, 40, 2), np.float32)), values)


def test_pull_whole_pixels_is_indexing() -> None:
    values = np.random.default_rng(2).random((30, 40), np.float32)
    flow = np.zeros((30, 40, 2), np.float32)
    flow[..., 0] = 3
    assert np.allclose(pull(values, flow)[:, :-3], values[:, 3:])


def test_resized_flow_keeps_the_motion_in_picture_widths() -> None:
    flow = np.full((60, 100, 2), (5.0, -3.0), np.float32)
    half = resize_flow(flow, 30, 50)
    assert half.shape == (30, 50, 2)
    assert np.allclose(half, (2.5, -1.5))


def test_tiny_pictures_have_no_flow() -> None:
    tiny = np.zeros((4, 30, 3), np.uint8)
    assert not dense_flow(tiny, tiny).any()
    assert grey(tiny).shape == (4, 30)
