"""PSNR, SSIM, L1, and the same as the field's scripts compute them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.bench.metrics import disco, pixels
from diorama.bench.metrics.frames import box_mask, boxes_around
from diorama.errors import UsageError


def pair(seed: int = 0, size: tuple[int, int] = (24, 31), spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Two frames of noise about a slope, uint8, and a noisy copy."""
    draw = np.random.default_rng(seed)
    slope = np.linspace(0.2, 0.8, size[1])[None, None, :, None]
    true = np.clip(slope + 0.1 * draw.standard_normal((2, *size, 3)), 0, 1)
    made = np.clip(true + spread * draw.standard_normal(true.shape), 0, 1)
    return (made * 255).astype(np.uint8), (true * 255).astype(np.uint8)


def test_psnr_by_hand() -> None:
    true = np.full((2, 4, 4, 3), 0.5)
    made = true.copy()
    made[0] += 0.1
    made[1] += 0.01
    assert pixels.psnr(made, true) == pytest.approx((20 + 40) / 2)
    assert pixels.psnr(made, true, pool="pixels") == pytest.approx(-10 * np.log10((0.1**2 + 0.01**2) / 2))
    assert pixels.psnr(true, true) == 100
    assert pixels.l1(made, true) == pytest.approx(0.055)
    whole = np.array([[[[10, 20, 30]]]], np.uint8), np.array([[[[13, 24, 30]]]], np.uint8)
    assert pixels.psnr(*whole) == pytest.approx(10 * np.log10(255**2 / (25 / 3)))
    assert pixels.psnr(*(side.astype(np.uint16) * 257 for side in whole)) == pytest.approx(pixels.psnr(*whole))


def test_a_mask_counts_its_pixels_only_and_frames_without_are_left_out() -> None:
    true = np.full((3, 16, 16, 3), 0.5, np.float32)
    made = true.copy()
    made[0, :8] += 0.1
    made[2] = 0
    mask = np.zeros((3, 16, 16), bool)
    mask[0, :8] = True
    assert pixels.psnr(made, true, mask) == pytest.approx(20, abs=1e-4)
    assert pixels.psnr(made, true, mask, pool="pixels") == pytest.approx(20, abs=1e-4)
    assert pixels.l1(made, true, mask) == pytest.approx(0.1, abs=1e-6)
    mask[0, 8:] = True
    assert pixels.psnr(made, true, mask) == pytest.approx(20 + 10 * np.log10(2), abs=1e-4)
    assert pixels.ssim(true, true, mask) == pytest.approx(1)


@given(st.integers(0, 50), st.sampled_from(["rgb", "luma"]))
@settings(max_examples=10, deadline=None)
def test_ssim_laws(seed: int, channels: str) -> None:
    made, true = pair(seed)
    assert pixels.ssim(true, true, channels=channels) == pytest.approx(1)
    near, far = (pixels.ssim(pair(seed, spread=s)[0], true, channels=channels) for s in (0.02, 0.2))
    assert -1 <= far < near < 1
    assert pixels.ssim(made, true, channels=channels) == pytest.approx(pixels.ssim(true, made, channels=channels))


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    made, true = (side / 255 for side in pair())
    settings_ = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    rgb = [metrics.structural_similarity(a, b, channel_axis=2, **settings_) for a, b in zip(made, true, strict=True)]
    assert pixels.ssim(made, true) == pytest.approx(np.mean(rgb), abs=1e-9)
    luma = (made @ pixels.LUMA, true @ pixels.LUMA)
    grey = [metrics.structural_similarity(a, b, **settings_) for a, b in zip(*luma, strict=True)]
    assert pixels.ssim(made, true, channels="luma") == pytest.approx(np.mean(grey), abs=1e-9)


def test_disco_psnr_is_the_plain_recomputation_with_and_without_the_overflow() -> None:
    made, true = pair(spread=0.3)
    wrapped, right = [], []
    for a, b in zip(made.astype(int), true.astype(int), strict=True):
        wrapped.append(20 * np.log10(255 / np.sqrt(np.mean(((a - b) ** 2) % 256))))
        right.append(20 * np.log10(255 / np.sqrt(np.mean((a - b) ** 2))))
    assert disco.psnr_overflow_disco(made, true) == pytest.approx(np.mean(wrapped))
    assert disco.psnr_fixed_disco(made, true) == pytest.approx(np.mean(right))
    assert disco.psnr_fixed_disco(made, true) == pytest.approx(pixels.psnr(made, true))
    assert np.mean(wrapped) > 24 > np.mean(right) + 8
    sixteen = np.full((1, 8, 8, 3), 16, np.uint8)
    assert disco.psnr_overflow_disco(sixteen, 0 * sixteen) == 100  # the bug: 16 squared is 0


def test_disco_rest_is_the_plain_recomputation() -> None:
    made, true = pair()
    errors = np.abs(made.astype(float) - true).mean(axis=(1, 2, 3)) / (24 * 31)
    assert disco.l1_per_pixel_disco(made, true) == pytest.approx(errors.mean())
    larger = np.stack([cv2.resize(frame, (62, 48)) for frame in made])
    back = np.stack([cv2.resize(frame, (31, 24)) for frame in larger])
    assert disco.psnr_fixed_disco(larger, true) == disco.psnr_fixed_disco(back, true)
    floats = made / 255
    assert disco.psnr_fixed_disco(floats, true) == disco.psnr_fixed_disco(made, true)
    metrics = pytest.importorskip("skimage.metrics")
    grey = [
        metrics.structural_similarity(*(cv2.cvtColor(x[..., ::-1].copy(), cv2.COLOR_BGR2GRAY) for x in (a, b)))
        for a, b in zip(made, true, strict=True)
    ]
    assert disco.ssim_grey_disco(made, true) == pytest.approx(np.mean(grey), abs=1e-9)


def test_boxes_of_hands_and_feet() -> None:
    like = np.zeros((2, 10, 12, 3), np.uint8)
    points = np.array([[[4, 5], [np.nan, np.nan]], [[0, 0], [11, 9]]], np.float32)
    mask = box_mask(boxes_around(points, 2), like)
    assert mask.sum(axis=(1, 2)).tolist() == [16, 4 + 9]
    assert mask[0, 3:7, 2:6].all()
    with pytest.raises(UsageError, match="ends before"):
        box_mask(np.array([[[4, 4, 2, 8.0]], [[0, 0, 1, 1]]]), like)
    with pytest.raises(UsageError, match="boxes for 1 frames"):
        box_mask(np.zeros((1, 1, 4)), like)
    with pytest.raises(UsageError, match="radius"):
        boxes_around(points, 0)


@pytest.mark.parametrize("measure", [pixels.psnr, pixels.ssim, pixels.l1])
def test_bad_input(measure) -> None:
    made, true = pair()
    with pytest.raises(UsageError, match="empty in every frame"):
        measure(made, true, np.zeros(true.shape[:3], bool))
    with pytest.raises(UsageError, match="mask of 1x24x31"):
        measure(made, true, np.ones((1, 24, 31), bool))
    with pytest.raises(UsageError, match="one size and length"):
        measure(made[:1], true)
    with pytest.raises(UsageError, match="expected t h w 3"):
        measure(made[:0], true[:0])
    for value in (np.nan, np.inf, -0.1, 255.0):
        broken = true / 255
        broken[0, 3, 3, 1] = value
        with pytest.raises(UsageError, match="expected \\[0, 1\\]"):
            measure(broken, true)
    with pytest.raises(UsageError, match="videos of 2 and 1 frames"):
        disco.psnr_fixed_disco(made, true[:1])


def test_ssim_needs_its_window() -> None:
    small = np.zeros((1, 10, 40, 3), np.uint8)
    with pytest.raises(UsageError, match="11 pixels"):
        pixels.ssim(small, small)
    edge = np.zeros((1, 24, 24), bool)
    edge[:, :3] = True
    with pytest.raises(UsageError, match="nothing to measure"):
        pixels.ssim(*(np.zeros((1, 24, 24, 3)),) * 2, edge)
