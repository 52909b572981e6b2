"""Smaller pictures: the mean stays, 16 bits become their upper 8, and nothing is copied in vain."""

import numpy as np
import pytest

from diorama.perception.shrink import eight_bits, shrink


def test_sixteen_bits_become_the_upper_eight_and_eight_stay_as_they_are() -> None:
    fine = np.arange(4 * 64 * 3, dtype=np.uint16).reshape(4, 64, 3) * 85
    np.testing.assert_array_equal(eight_bits(fine), fine // 256)
    plain = eight_bits(fine)
    assert eight_bits(plain) is plain
    np.testing.assert_array_equal(eight_bits(plain.astype(np.uint16) * 257), plain)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(180, 320), (90, 160), (45, 80), (50, 77), (180, 160)])
def test_the_mean_stays_at_any_size(dtype: type, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (180, 320, 3), dtype=dtype, endpoint=True)
    small = shrink(image, *size)
    assert small.shape == (*size, 3)
    assert small.dtype == np.uint8
    assert small.mean() == pytest.approx(eight_bits(image).mean(), abs=1)
