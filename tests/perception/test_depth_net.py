"""What depth networks see and mean, without loading one."""

import cv2
import numpy as np
import pytest

from diorama.perception import depth_net


def test_depth_anything_and_dpt_on_dinov2_say_when_they_are_metric() -> None:
    assert depth_net.meaning({"model_type": "depth_anything", "depth_estimation_type": "metric"}) == "metric"
    assert depth_net.meaning({"model_type": "depth_anything", "depth_estimation_type": "relative"}) == "inverse"
    assert depth_net.meaning({"model_type": "dpt", "backbone_config": {"model_type": "dinov2"}}) == "metric"
    assert depth_net.meaning({"model_type": "dpt", "backbone_config": {"model_type": "bit"}}) == "inverse"
    np.testing.assert_allclose(depth_net.inverse(np.array([[2.0, 0.0]], np.float32), "metric"), [[0.5, 10]])


SEEN = [
    (1080, 1920, (518, 924)),
    (1920, 1080, (924, 518)),
    (240, 320, (518, 686)),
    (518, 518, (518, 518)),
    (100, 4000, (56, 2072)),
]


@pytest.mark.parametrize(("height", "width", "expected"), SEEN)
def test_depth_anything_sees_a_short_side_of_518_in_steps_of_14(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    assert depth_net.FAMILIES["depth_anything"][2].size(height, width) == expected


def test_zoedepth_and_dpt_see_the_published_sizes() -> None:
    assert depth_net.FAMILIES["zoedepth"][2].size(480 + 92, 640 + 106) == (384, 512)
    assert depth_net.FAMILIES["dpt"][2].size(1080, 1920) == (384, 384)


@pytest.mark.parametrize("family", sorted(depth_net.FAMILIES))
def test_what_is_prepared_and_fitted_back_lies_where_it_was(family: str) -> None:
    """Padding, resizing and their undoing move nothing: a ramp comes back as the same ramp."""
    ramp = np.repeat(np.linspace(20, 220, 640)[None], 360, 0).astype(np.uint8)
    wanted = depth_net.FAMILIES[family][2]
    seen = depth_net.prepare(np.repeat(ramp[..., None], 3, 2), wanted)[..., 0].astype(np.float32)
    back = depth_net.fit_to(seen, wanted, 360, 640)
    expected = cv2.resize(ramp.astype(np.float32), back.shape[::-1], interpolation=cv2.INTER_AREA)
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(back - expected)[inside].max() < 1.5
