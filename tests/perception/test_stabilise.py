"""Temporal and edge smoothing: laws, and a plain numpy twin of the averaging."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.core.video import Frame
from diorama.perception.base import Tracked
from diorama.perception.stabilise import Steadiness, average, edges, stabilise

H, W = 40, 64
TEMPORAL = Steadiness(radius=0)


def still(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.zeros((*here.shape[:2], 2), np.float32)


def shot(pictures: list[np.ndarray], maps: list[np.ndarray], flows: list[np.ndarray | None]) -> list:
    return [
        (Tracked(Frame(picture, i, 1, i), 0, i == 0, picture, flows[i]), depth)
        for i, (picture, depth) in enumerate(zip(pictures, maps, strict=True))
    ]


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (H, W, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def relief() -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(5).random((H, W), np.float32), (0, 0), 3)


def test_a_static_clip_is_unchanged_by_the_average() -> None:
    clip = shot([texture()] * 5, [relief()] * 5, [None] + [still(texture(), texture())] * 4)
    for depth in stabilise(clip, still, TEMPORAL):
        np.testing.assert_allclose(depth, relief(), atol=1e-6)


def test_one_map_a_frame_for_any_length() -> None:
    for length in range(5):
        clip = shot([texture()] * length, [relief()] * length, [None] * length)
        assert len(list(stabilise(clip, still))) == length


def test_noise_in_time_is_averaged_with_a_quarter_a_half_a_quarter() -> None:
    rng = np.random.default_rng(1)
    maps = [relief() + rng.normal(0, 0.01, (H, W)).astype(np.float32) for _ in range(3)]
    steady = list(stabilise(shot([texture()] * 3, maps, [None] * 3), still, TEMPORAL))
    np.testing.assert_allclose(steady[1], maps[0] / 4 + maps[1] / 2 + maps[2] / 4, atol=1e-6)
    np.testing.assert_allclose(steady[0], maps[0] * (2 / 3) + maps[1] / 3, atol=1e-6)  # renormalised at the ends
    np.testing.assert_allclose(steady[2], maps[2] * (2 / 3) + maps[1] / 3, atol=1e-6)


def test_a_moving_scene_is_averaged_along_its_motion() -> None:
    """The picture and its relief move 3 pixels right a frame; with true flow nothing changes where it was seen."""
    pictures = [np.roll(texture(), 3 * i, axis=1) for i in range(3)]
    maps = [np.roll(relief(), 3 * i, axis=1) for i in range(3)]
    back, ahead = np.zeros((H, W, 2), np.float32), np.zeros((H, W, 2), np.float32)
    back[..., 0], ahead[..., 0] = -3, 3
    steady = list(stabilise(shot(pictures, maps, [None, back, back]), lambda here, there: ahead, TEMPORAL))
    np.testing.assert_allclose(steady[1], maps[1], atol=1e-6)
    np.testing.assert_allclose(steady[0], maps[0], atol=1e-6)


@pytest.mark.parametrize("radius", [0, 30])
def test_constant_depth_stays_constant_whatever_moves(radius: int) -> None:
    flat = np.full((H, W), 0.3, np.float32)
    rng = np.random.default_rng(2)
    wild = rng.normal(0, 20, (H, W, 2)).astype(np.float32)
    clip = shot([texture(i) for i in range(4)], [flat] * 4, [None, wild, wild, wild])
    for depth in stabilise(clip, lambda here, there: -wild, Steadiness(radius=radius)):
        np.testing.assert_allclose(depth, 0.3, atol=1e-5)


def test_another_colour_or_a_jump_of_depth_is_not_averaged_in() -> None:
    picture, other = np.full((H, W, 3), 100, np.uint8), np.full((H, W, 3), 100, np.uint8)
    other[:, : W // 2, 1] = 121  # over 20 of 255 in one channel
    here, there = relief(), relief() + np.float32(0.01)
    steady = average(picture, here, [(other, there, still(picture, other))], TEMPORAL)
    np.testing.assert_array_equal(steady[:, : W // 2], here[:, : W // 2])
    np.testing.assert_allclose(steady[:, W // 2 :], (here + there / 2)[:, W // 2 :] / 1.5, atol=1e-6)
    far = here + np.float32(0.51) * (here.max() - here.min())
    np.testing.assert_array_equal(average(picture, here, [(picture, far, still(picture, picture))], TEMPORAL), here)


def twin(small: np.ndarray, depth: np.ndarray, other: np.ndarray, values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The average with one neighbour in plain numpy, for maps and pictures of one size."""
    ys, xs = np.mgrid[:H, :W]
    to_x = np.floor(xs + flow[..., 0] + 0.5).astype(int)
    to_y = np.floor(ys + flow[..., 1] + 0.5).astype(int)
    good = (to_x >= 0) & (to_y >= 0) & (to_x < W) & (to_y < H)
    to_x, to_y = np.clip(to_x, 0, W - 1), np.clip(to_y, 0, H - 1)
    pulled = values[to_y, to_x]
    good &= np.abs(other[to_y, to_x].astype(int) - small).max(axis=2) <= 20
    good &= np.abs(pulled - depth) <= np.float32(0.5 * float(depth.max() - depth.min()))
    return np.where(good, (depth / 2 + pulled / 4) / 0.75, depth)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_kernel_equals_its_numpy_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = texture(seed)
    other = np.clip(small.astype(int) + rng.integers(-25, 26, small.shape), 0, 255).astype(np.uint8)
    depth, values = rng.random((H, W), np.float32), rng.random((H, W), np.float32)
    flow = rng.normal(0, 2, (H, W, 2)).astype(np.float32)
    steady = average(small, depth, [(other, values, flow)], TEMPORAL)
    np.testing.assert_allclose(steady, twin(small, depth, other, values, flow), atol=1e-6)


def test_maps_may_be_larger_than_the_pictures_flow_was_measured_in() -> None:
    """A map of twice the size moves by twice the flow."""
    picture = np.full((H, W, 3), 9, np.uint8)
    large = cv2.resize(relief(), (2 * W, 2 * H), interpolation=cv2.INTER_CUBIC)
    moved, flow = np.roll(large, 4, axis=1), np.zeros((H, W, 2), np.float32)
    flow[..., 0] = 2
    steady = average(picture, large, [(picture, moved, flow)], TEMPORAL)
    np.testing.assert_allclose(steady, large, atol=1e-6)


def test_the_edge_filter_keeps_a_step_and_the_range() -> None:
    step = np.zeros((H, W), np.float32)
    step[:, W // 2 :] = 1
    noisy = np.clip(step + np.random.default_rng(3).normal(0, 0.004, (H, W)), 0, 1).astype(np.float32)
    kept = edges(noisy, noisy, Steadiness())
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert np.abs(kept - step).max() < 0.03
    blurred = cv2.GaussianBlur(step, (0, 0), 3)
    assert np.abs(edges(blurred, step, Steadiness(radius=4)) - blurred).max() > 0.1  # the guide's step comes back


def test_flicker_falls_and_edges_stay() -> None:
    rng = np.random.default_rng(4)
    step = np.zeros((H, W), np.float32)
    step[10:30, 20:44] = 0.8
    maps = [np.clip(step + rng.normal(0.1, 0.02), 0, 1).astype(np.float32) for _ in range(20)]
    steady = list(stabilise(shot([texture()] * 20, maps, [None] * 20), still))
    before, after = np.std([m.mean() for m in maps]), np.std([m.mean() for m in steady])
    assert after < 0.75 * before
    averaged = stabilise(shot([texture()] * 20, maps, [None] * 20), still, Steadiness(guide="average"))
    assert np.std([m.mean() for m in averaged]) < 0.75 * before
    assert np.all(np.array([m[20, 30] - m[20, 5] for m in steady]) > 0.75)
