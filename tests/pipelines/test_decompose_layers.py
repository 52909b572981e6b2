"""Coverage is made larger only where there is some, as if all of it were."""

import numpy as np
import pytest

from diorama.perception.shots import reduce
from diorama.perception.upsample import upsample
from diorama.pipelines.decompose_layers import _codes, _window


@pytest.mark.parametrize("size", [(72, 128), (108, 192), (71, 127), (36, 64)])
def test_a_part_made_larger_is_as_the_whole(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (size[0] // 4 + 1, size[1] // 4 + 1, 3)), np.ones((4, 4, 1)))
    image = np.ascontiguousarray(image[: size[0], : size[1]].astype(np.uint8))
    small = reduce(image, 64)
    coverage = np.zeros(small.shape[:2], np.float32)
    coverage[9:22, 30:] = rng.random((13, coverage.shape[1] - 30))
    whole = np.rint(np.clip((upsample(coverage, image) - 0.06) / 0.88, 0, 1) * 255)
    found = _codes(coverage, image, small)
    assert np.abs(found - whole).max() <= (0 if size == (72, 128) else 1)
    assert not _codes(np.zeros_like(coverage), image, small).any()


def test_windows_start_and_end_where_pixels_of_both_sizes_do() -> None:
    assert _window(slice(10, 20), 360, 720) == (slice(8, 22), slice(16, 44))
    assert _window(slice(11, 21), 360, 540) == (slice(8, 24), slice(12, 36))
    assert _window(slice(0, 359), 359, 720) == (slice(0, 359), slice(0, 720))
    assert _window(slice(0, 0), 360, 720) == (slice(0, 0), slice(0, 0))
