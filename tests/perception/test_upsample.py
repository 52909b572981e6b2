"""Upsampling: constants and ramps survive, edges follow the picture, nothing rings."""

import cv2
import numpy as np
import pytest

from diorama.perception.upsample import upsample


def disc(height: int = 360, width: int = 640) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on blue, and its true depth."""
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), height // 4, 1, -1)
    image = np.where(mask[..., None] > 0, np.uint8([200, 60, 50]), np.uint8([40, 70, 160]))
    return image, np.where(mask > 0, 0.8, 0.2).astype(np.float32)


def test_constant_stays() -> None:
    image, _ = disc()
    assert np.allclose(upsample(np.full((90, 160), 0.3, np.float32), image), 0.3)


def test_full_size_is_identity() -> None:
    image, depth = disc()
    assert np.array_equal(upsample(depth, image), depth)


@pytest.mark.parametrize("size", [(54, 96), (90, 160), (101, 180)])
def test_edges_follow_the_picture_without_halo(size: tuple[int, int]) -> None:
    image, depth = disc()
    small = cv2.resize(depth, size[::-1], interpolation=cv2.INTER_AREA)
    sharp = upsample(small, image)
    bilinear = cv2.resize(small, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert small.min() - 1e-6 <= sharp.min()
    assert sharp.max() <= small.max() + 1e-6
    assert np.abs(sharp - depth).mean() < np.abs(bilinear - depth).mean() / 2


def test_smooth_ramp_is_bilinear() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 300, 3)).astype(np.uint8)
    ramp = np.tile(np.linspace(0, 1, 150, dtype=np.float32), (100, 1))
    want = cv2.resize(ramp, (300, 200), interpolation=cv2.INTER_LINEAR)
    assert np.abs(upsample(ramp, image) - want).max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (37, 61)])
def test_any_size(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    for rows, cols in ((1, 1), size, (50, 80)):
        depth = np.random.default_rng(2).random((rows, cols), np.float32)
        full = upsample(depth, image)
        assert full.shape == size
        assert full.dtype == np.float32
        assert depth.min() - 1e-6 <= full.min()
        assert full.max() <= depth.max() + 1e-6


def test_sixteen_bits_like_eight() -> None:
    image, depth = disc()
    small = cv2.resize(depth, (160, 90), interpolation=cv2.INTER_AREA)
    assert np.allclose(upsample(small, image), upsample(small, image.astype(np.uint16) * 257), atol=1e-3)
