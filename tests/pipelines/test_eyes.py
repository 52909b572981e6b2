"""Laws of one frame and its depth becoming two eyes or more."""

from typing import Any

import numpy as np
import pytest

from diorama.geometry.warp import TEAR, eye_warp
from diorama.media.stereo import pack
from diorama.pipelines.eyes import make_eyes, pictures, screen_disparity
from diorama.pipelines.presets import Look

WARPS = [("subpixel", "fast"), ("subpixel", "telea"), ("nearest", "fast")]


def scene(height: int = 48, width: int = 64, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture, and inverse depth of a slanted floor with a box in front of it."""
    generator = np.random.default_rng(3)
    image = generator.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype, endpoint=True)
    depth = np.linspace(0, 0.5, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    depth[height // 4 : height // 2, width // 3 : width // 2] = 1
    return image, depth


def eyes_of(image: np.ndarray, depth: np.ndarray, *, convergence: float = 0.4, **look: Any):
    chosen = Look(**{"divergence": 8.0, **look})
    return make_eyes(image, screen_disparity(depth, convergence, chosen), chosen)


def test_disparity_is_zero_on_the_screen_and_positive_in_front_of_it() -> None:
    _, depth = scene()
    disparity = screen_disparity(depth, 0.25, Look(divergence=5.0))
    assert disparity.dtype == np.float32
    assert np.array_equal(disparity > 0, depth > np.float32(0.25))
    assert disparity.max() == pytest.approx(0.05 * 64 * 0.75, rel=1e-6)
    assert disparity.max() - disparity.min() == pytest.approx(0.05 * 64, rel=1e-6)
    assert not screen_disparity(depth, 0.25, Look(divergence=0.0)).any()


@pytest.mark.parametrize(("warp", "fill"), WARPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_known_pixels_are_the_warped_source_and_the_rest_is_filled(warp: str, fill: str, dtype: type) -> None:
    image, depth = scene(dtype=dtype)
    look = Look(divergence=8.0, warp=warp, fill=fill)
    disparity = screen_disparity(depth, 0.4, look)
    eyes = make_eyes(image, disparity, look)
    tear = TEAR if warp == "subpixel" else None
    for eye, view, known in zip(("left", "right"), eyes.views, eyes.known, strict=True):
        warped, mask = eye_warp(image, disparity, eye=eye, share=0.5, tear=tear)
        assert np.array_equal(known, mask)
        assert np.array_equal(view[known], warped[known])
        assert 0.01 < (~known).mean() < 0.2
        assert view.dtype == dtype


@pytest.mark.parametrize(("warp", "fill"), [("subpixel", "fast"), ("nearest", "fast")])
def test_the_eyes_are_mirror_images(warp: str, fill: str) -> None:
    image, depth = scene()
    eyes = eyes_of(image, depth, warp=warp, fill=fill)
    mirrored = eyes_of(image[:, ::-1], np.ascontiguousarray(depth[:, ::-1]), warp=warp, fill=fill)
    for one, other in ((0, 1), (1, 0)):
        assert np.array_equal(eyes.known[one], mirrored.known[other][:, ::-1])
        assert np.array_equal(eyes.views[one], mirrored.views[other][:, ::-1])


@pytest.mark.parametrize(("source_eye", "place"), [("left", 0), ("right", -1)])
@pytest.mark.parametrize("views", [2, 3, 5])
def test_the_source_eye_is_the_source(source_eye: str, place: int, views: int) -> None:
    image, depth = scene()
    eyes = eyes_of(image, depth, source_eye=source_eye, views=views)
    assert np.array_equal(eyes.views[place], image)
    assert eyes.known[place].all()
    assert sum(np.array_equal(view, image) for view in eyes.views) == 1


@pytest.mark.parametrize("source_eye", ["center", "left", "right"])
def test_outermost_views_are_the_eyes_whatever_stands_between(source_eye: str) -> None:
    image, depth = scene()
    two = eyes_of(image, depth, source_eye=source_eye)
    for count in (3, 4, 7):
        many = eyes_of(image, depth, source_eye=source_eye, views=count)
        assert len(many.views) == len(many.known) == count
        assert np.array_equal(many.views[0], two.views[0])
        assert np.array_equal(many.views[-1], two.views[1])
    assert np.array_equal(eyes_of(image, depth, views=3).views[1], image), "the middle of three is the source"


@pytest.mark.parametrize("warp", ["subpixel", "nearest"])
def test_flat_scenes_and_no_divergence_change_nothing(warp: str) -> None:
    image, depth = scene()
    flat = np.full_like(depth, 0.3)
    for eyes in (
        eyes_of(image, depth, divergence=0.0, warp=warp),
        eyes_of(image, flat, convergence=0.3, warp=warp),
    ):
        assert all(np.array_equal(view, image) for view in eyes.views)
        assert all(known.all() for known in eyes.known)


def test_more_divergence_opens_larger_holes() -> None:
    image, depth = scene()
    holes = [int((~eyes_of(image, depth, divergence=d).known[1]).sum()) for d in (0.0, 2.0, 4.0, 8.0)]
    assert holes == sorted(holes)
    assert holes[0] == 0 < holes[-1]


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_pictures_are_packed_and_even(size: tuple[int, int]) -> None:
    image, depth = scene(*size)
    eyes = eyes_of(image, depth)
    (beside,) = pictures(eyes, image, depth, Look())
    assert beside.shape == (size[0] + size[0] % 2, 2 * size[1], 3)
    assert np.array_equal(beside[: size[0]], pack(*eyes.views, "sbs"))
    (swapped,) = pictures(eyes, image, depth, Look(swap=True))
    assert np.array_equal(swapped[: size[0]], pack(*eyes.views, "sbs", swap=True))
    (flat,) = pictures(eyes, image, depth, Look(format="rgbd"))
    assert np.array_equal(flat[: size[0], : size[1]], image)
    files = pictures(eyes, image, depth, Look(format="eyes"))
    assert [file.shape for file in files] == [(*(side + side % 2 for side in size), 3)] * 2
    back = pictures(eyes, image, depth, Look(format="eyes", swap=True))
    assert np.array_equal(files[0], back[1])
    assert np.array_equal(files[1], back[0])


def test_many_views_are_many_pictures_in_order() -> None:
    image, depth = scene()
    eyes = eyes_of(image, depth, views=5)
    made = pictures(eyes, image, depth, Look(views=5))
    assert all(np.array_equal(one, other) for one, other in zip(made, eyes.views, strict=True))
    turned = pictures(eyes, image, depth, Look(views=5, swap=True))
    assert all(np.array_equal(one, other) for one, other in zip(turned, eyes.views[::-1], strict=True))
