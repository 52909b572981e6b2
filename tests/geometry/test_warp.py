"""The nearest warp and both eyes: laws 1-7, 18 and 20 of spec s2vg.md section 6, and the kernel's numpy twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.errors import UsageError
from diorama.geometry.warp import (
    eye_warp,
    forward_warp,
    forward_warp_reference,
    forward_warp_subpixel,
    share_of,
    stereo_warp,
)

KINDS = [np.uint8, np.uint16]


def noise(height: int, width: int, kind: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Random colours, none of them 0."""
    top = np.iinfo(kind).max
    return np.random.default_rng(seed).integers(1, top, (height, width, 3), endpoint=True).astype(kind)


def rough(height: int, width: int, spread: float = 9, seed: int = 1) -> np.ndarray:
    """Random disparities."""
    values = np.random.default_rng(seed).normal(0, spread, (height, width))
    return values.astype(np.float32)


def z_buffer(image: np.ndarray, disparity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition: of all pixels that land on a target, the one of the largest disparity."""
    height, width = disparity.shape
    warped, known = np.zeros_like(image), np.zeros((height, width), bool)
    best = np.full((height, width), -np.inf)
    for y in range(height):
        for x in range(width):
            t = int(np.floor(x - float(disparity[y, x]) + 0.5))
            if 0 <= t < width and disparity[y, x] > best[y, t]:
                best[y, t], warped[y, t], known[y, t] = disparity[y, x], image[y, x], True
    return warped, known


def same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_kernel_twin_and_z_buffer_agree(kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40), rng.integers(1, 70)
    image, disparity = noise(height, width, kind, seed), rough(height, width, rng.uniform(0, 30), seed)
    result = forward_warp(image, disparity)
    assert same(result, forward_warp_reference(image, disparity))
    assert same(result, z_buffer(image, disparity))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-300, 300, width=32) | st.sampled_from([0.5, -0.5, 1.5, 0.0, 2.0]), min_size=1, max_size=24))
def test_any_row_is_the_z_buffer(row: list[float]) -> None:
    disparity = np.array([row], np.float32)
    image = noise(1, len(row))
    assert same(forward_warp(image, disparity), z_buffer(image, disparity))
    assert same(forward_warp_reference(image, disparity), z_buffer(image, disparity))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subpixel", [False, True])
def test_no_disparity_is_the_identity(kind: type, subpixel: bool) -> None:
    image, still = noise(9, 21, kind), np.zeros((9, 21), np.float32)
    warp = stereo_warp(image, still, subpixel=subpixel)
    assert np.array_equal(warp.left, image)
    assert np.array_equal(warp.right, image)
    assert warp.left_known.all()
    assert warp.right_known.all()


@pytest.mark.parametrize("warp", [forward_warp, forward_warp_subpixel])
@pytest.mark.parametrize("shift", [0, 1, 7, 20])
def test_whole_shift_moves_pixels_and_leaves_a_border(warp, shift: int) -> None:  # type: ignore[no-untyped-def]
    image = noise(6, 33)
    warped, known = warp(image, np.full((6, 33), shift, np.float32))
    assert np.array_equal(warped[:, : 33 - shift], image[:, shift:])
    assert np.count_nonzero(~known) == shift * 6
    assert not warped[~known].any()


@pytest.mark.parametrize("subpixel", [False, True])
def test_two_planes_open_as_many_holes_as_they_differ(subpixel: bool) -> None:
    far, near, box = 12, 40, (slice(20, 60), slice(80, 160))
    disparity = np.full((90, 240), far, np.float32)
    disparity[box] = near
    warp = forward_warp_subpixel if subpixel else forward_warp
    _, known = warp(noise(90, 240), disparity)
    assert np.count_nonzero(~known) == 40 * (near - far) + 90 * far


def test_holes_are_pixels_lost_over_the_border_or_behind_others() -> None:
    image, disparity = noise(30, 80), rough(30, 80)
    _, known = forward_warp(image, disparity)
    target = np.arange(80) + np.floor(np.float32(0.5) - disparity)
    inside = (target >= 0) & (target < 80)
    for y in range(30):
        occluded = inside[y].sum() - len(np.unique(target[y][inside[y]]))
        assert np.count_nonzero(~known[y]) == np.count_nonzero(~inside[y]) + occluded


def test_there_and_back_again() -> None:
    """Law 6: warped back by its own disparity, what survived lands where it came from, and holes match losses."""
    disparity = np.full((40, 120), 4, np.float32)
    disparity[10:30, 40:70] = 15
    image = noise(40, 120)
    carried = np.repeat(disparity.astype(np.uint8)[..., None], 3, axis=2)
    warped, known = forward_warp(image, disparity)
    moved, _ = forward_warp(carried, disparity)
    far_off = np.where(known, moved[..., 0], 200).astype(np.float32)
    back, survived = eye_warp(warped, far_off, eye="left")
    assert np.array_equal(back[survived], image[survived])
    target = np.arange(120) - disparity.astype(int)
    hit = np.zeros_like(known)
    rows = np.arange(40)[:, None].repeat(120, 1)
    hit[rows[survived], target[survived]] = True
    assert np.array_equal(hit, known)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tear", [None, 1.25])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_left_eye_is_the_mirror_of_the_right(kind: type, tear: float | None, share: float) -> None:
    image, disparity = noise(25, 64, kind), rough(25, 64, 4)
    left, left_known = eye_warp(image, disparity, eye="left", share=share, tear=tear)
    right, right_known = eye_warp(image[:, ::-1], disparity[:, ::-1], eye="right", share=share, tear=tear)
    assert np.array_equal(left, right[:, ::-1])
    assert np.array_equal(left_known, right_known[:, ::-1])


@pytest.mark.parametrize("subpixel", [False, True])
def test_one_sided_splits_keep_the_given_eye(subpixel: bool) -> None:
    image, disparity = noise(12, 50), rough(12, 50, 5)
    from_left = stereo_warp(image, disparity, split="left", subpixel=subpixel)
    from_right = stereo_warp(image, disparity, split="right", subpixel=subpixel)
    assert np.array_equal(from_left.left, image)
    assert from_left.left_known.all()
    assert np.array_equal(from_right.right, image)
    assert from_right.right_known.all()
    alone = forward_warp_subpixel(image, disparity) if subpixel else forward_warp(image, disparity)
    assert same((from_left.right, from_left.right_known), alone)


def test_symmetric_split_moves_each_eye_by_half() -> None:
    image, disparity = noise(12, 50), rough(12, 50, 5)
    both = stereo_warp(image, disparity)
    assert same((both.right, both.right_known), forward_warp(image, disparity / 2))
    assert [share_of("symmetric", "left"), share_of("left", "left"), share_of("left", "right")] == [0.5, 0, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("warp", [forward_warp, forward_warp_subpixel, stereo_warp])
def test_disparity_that_is_no_number_is_refused(warp, bad: float) -> None:  # type: ignore[no-untyped-def]
    disparity = np.zeros((300, 9), np.float32)
    disparity[299, 8] = bad
    with pytest.raises(UsageError, match="disparity"):
        warp(noise(300, 9), disparity)


def test_enormous_disparity_leaves_nothing_known() -> None:
    for value in (1e30, -1e30, 40.0):
        for warp in (forward_warp, forward_warp_subpixel):
            warped, known = warp(noise(3, 40), np.full((3, 40), value, np.float32))
            assert not known.any()
            assert not warped.any()


def test_views_and_read_only_arrays_are_welcome_and_left_alone() -> None:
    image, disparity = noise(20, 60), rough(20, 60)
    image.flags.writeable = disparity.flags.writeable = False
    part = (slice(2, 18, 2), slice(50, 10, -1))
    expected = forward_warp_reference(image[part], disparity[part])
    assert same(forward_warp(image[part], disparity[part]), expected)


def test_bands_do_not_show() -> None:
    image, disparity = noise(700, 40), rough(700, 40)
    whole = forward_warp(image, disparity)
    for start in range(0, 700, 100):
        rows = slice(start, start + 100)
        assert same((whole[0][rows], whole[1][rows]), forward_warp(image[rows], disparity[rows]))
