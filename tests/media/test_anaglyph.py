"""Laws of the red-cyan mixtures."""

import numpy as np
import pytest

from diorama.media.anaglyph import (
    DUBOIS_LEFT,
    DUBOIS_RIGHT,
    dubois,
    dubois_reference,
    linear_from_srgb,
    red_cyan,
    srgb_from_linear,
)


def noise(seed: int, height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, 3), dtype=dtype, endpoint=True)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (300, 64)])
def test_kernel_equals_its_twin(height: int, width: int) -> None:
    left, right = noise(1, height, width), noise(2, height, width)
    made, true = dubois(left, right).astype(int), dubois_reference(left, right).astype(int)
    assert np.abs(made - true).max() <= 1
    assert (made != true).mean() < 0.02


def test_kernel_equals_its_twin_at_16_bits() -> None:
    left, right = noise(3, 40, 50, np.uint16), noise(4, 40, 50, np.uint16)
    made = dubois(left, right)
    assert made.dtype == np.uint16
    assert np.abs(made.astype(int) - dubois_reference(left, right)).max() <= 16  # 1/16 of an 8-bit step


def test_srgb_curves_are_inverse_and_meet() -> None:
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert linear_from_srgb(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert linear_from_srgb(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


def test_white_and_black_stay() -> None:
    for value in (0, 255):
        eye = np.full((3, 4, 3), value, np.uint8)
        assert (dubois(eye, eye) == value).all()


def test_each_glass_sees_its_own_eye() -> None:
    white, black = np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)
    assert dubois(white, black)[0, 0].tolist() == [255, 0, 0]
    assert dubois(black, white)[0, 0].tolist() == [0, 255, 255]


def test_eyes_are_mixed_in_linear_light_and_clipped_before_the_sum() -> None:
    left, right = np.array([[[90, 160, 40]]], np.uint8), np.array([[[200, 30, 110]]], np.uint8)
    eyes = [
        np.clip([sum(m * v for m, v in zip(row, light, strict=True)) for row in rows], 0, 1)
        for rows, light in (
            (DUBOIS_LEFT, linear_from_srgb(left[0, 0] / 255)),
            (DUBOIS_RIGHT, linear_from_srgb(right[0, 0] / 255)),
        )
    ]
    true = np.rint(srgb_from_linear(np.clip(eyes[0] + eyes[1], 0, 1)) * 255)
    assert dubois(left, right)[0, 0].tolist() == true.tolist()
    assert np.array(eyes).min() == 0  # a negative part was cut off, so the order of clip and sum matters


def test_bits_agree() -> None:
    left, right = noise(5, 20, 30), noise(6, 20, 30)
    wide = dubois(left.astype(np.uint16) * 257, right.astype(np.uint16) * 257)
    assert np.abs(wide / 257 - dubois(left, right)).max() <= 1


def test_plain_anaglyph_takes_channels() -> None:
    left, right = noise(7, 9, 11), noise(8, 9, 11)
    made = red_cyan(left, right)
    assert (made[..., 0] == left[..., 0]).all()
    assert (made[..., 1:] == right[..., 1:]).all()


def test_equal_eyes_make_a_plain_picture() -> None:
    eye = noise(9, 9, 11)
    assert (red_cyan(eye, eye) == eye).all()


def test_inputs_may_be_views() -> None:
    whole = noise(10, 12, 40)
    left, right = whole[:, :20], whole[:, 20:]
    assert (dubois(left, right) == dubois(left.copy(), right.copy())).all()
