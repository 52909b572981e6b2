"""Layers over each other: exact where coverage is full or none, correctly rounded between, one frame at a time."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from diorama.core.layers import Layer, LayerDepth, LayeredVideo, Maps, over
from diorama.core.video import Frame, Video
from diorama.errors import UsageError

SHAPE = (5, 18, 22)


def noise(seed: int, dtype: type = np.uint8, shape: tuple[int, ...] = (*SHAPE, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def stacked(dtype: type, alpha: np.ndarray | None) -> LayeredVideo:
    maps = None if alpha is None else Maps.from_array(alpha)
    return LayeredVideo(
        (Layer("far", Video.from_array(noise(0, dtype))), Layer("near", Video.from_array(noise(1, dtype)), maps))
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_full_coverage_is_the_near_layer_and_none_the_far(dtype: type) -> None:
    full = np.full(SHAPE, np.iinfo(dtype).max, dtype)
    assert np.array_equal(stacked(dtype, full).composite().stack(), noise(1, dtype))
    assert np.array_equal(stacked(dtype, None).composite().stack(), noise(1, dtype))
    assert np.array_equal(stacked(dtype, full * 0).composite().stack(), noise(0, dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_pixel_follows_its_own_coverage(dtype: type) -> None:
    mask = noise(2, np.uint8, SHAPE) > 128
    full = mask * dtype(np.iinfo(dtype).max)
    expected = np.where(mask[..., None], noise(1, dtype), noise(0, dtype))
    assert np.array_equal(stacked(dtype, full).composite().stack(), expected)


def test_eight_bits_are_rounded_exactly() -> None:
    values = np.arange(256, dtype=np.uint8)
    alpha = np.broadcast_to(values[:, None], (256, 256)).copy()
    for below in (0, 1, 100, 254, 255):
        color = np.repeat(np.broadcast_to(values, (256, 256))[..., None], 3, axis=2).copy()
        ground = np.full_like(color, below)
        exact = alpha.astype(int)[..., None] * color + (255 - alpha.astype(int))[..., None] * below
        assert np.array_equal(over(color, alpha, ground), (2 * exact + 255) // 510)


def test_sixteen_bits_are_rounded_exactly() -> None:
    color, below = noise(0, np.uint16, (90, 90, 3)), noise(1, np.uint16, (90, 90, 3))
    alpha = noise(2, np.uint16, (90, 90))
    weight = alpha.astype(np.int64)[..., None]
    exact = weight * color + (65535 - weight) * below
    assert np.array_equal(over(color, alpha, below), (2 * exact + 65535) // 131070)


def test_eight_bit_masks_serve_sixteen_bit_frames() -> None:
    mask = noise(2, np.uint8, SHAPE) > 128
    expected = np.where(mask[..., None], noise(1, np.uint16), noise(0, np.uint16))
    assert np.array_equal(stacked(np.uint16, mask).composite().stack(), expected)


def test_nothing_below_is_black() -> None:
    half = Maps.from_array(np.full(SHAPE, 51, np.uint8))
    layered = LayeredVideo((Layer("only", Video.from_array(np.full((*SHAPE, 3), 100, np.uint8)), half),))
    assert np.all(layered.composite().stack() == 20)


def test_windows_agree_with_the_whole() -> None:
    layered = stacked(np.uint8, noise(3, np.uint8, SHAPE))
    whole = layered.composite().stack()
    assert np.array_equal(layered[1:4].composite().stack(), whole[1:4])
    assert np.array_equal(layered.composite()[1:4].stack(), whole[1:4])
    assert np.array_equal(layered[1:4][1:].composite()[1:].stack(), whole[3:4])
    assert [frame.index for frame in layered.composite()[2:4]] == [2, 3]


def test_the_clock_is_that_of_the_first_layer() -> None:
    first = Video.from_array(noise(0), fps=Fraction(30000, 1001))
    layered = LayeredVideo((Layer("far", first), Layer("near", Video.from_array(noise(1), fps=7))))
    made = layered.composite()
    assert made.time_base == Fraction(1001, 30000)
    assert np.array_equal(made.pts, first.pts)
    assert [frame.pts for frame in made] == first.pts.tolist()
    assert (len(layered), layered.height, layered.width) == SHAPE


@dataclass(frozen=True)
class Alpha:
    """Frames that carry their own coverage."""

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        for i in range(start, stop):
            yield Frame(noise(i, shape=(18, 22, 3)), i, 1, i, np.full((18, 22), 255 * (i % 2), np.uint8))


def test_frames_may_carry_their_own_coverage() -> None:
    clock = np.arange(5)
    near = Video(Alpha(), clock, np.ones_like(clock), Fraction(1, 25), 18, 22, has_alpha=True)
    made = LayeredVideo((Layer("far", Video.from_array(noise(0))), Layer("near", near))).composite().stack()
    for i in range(5):
        assert np.array_equal(made[i], noise(i, shape=(18, 22, 3)) if i % 2 else noise(0)[i])


def test_misfits_are_named() -> None:
    video = Video.from_array(noise(0))
    short = Maps.from_array(np.zeros((4, 18, 22), np.uint8))
    small = Maps.from_array(np.zeros((5, 9, 11), np.uint16))
    for layers, message in (
        ((), "no layers"),
        ((Layer("a", video), Layer("a", video)), "one name"),
        ((Layer("a", video, short),), "4 frames of 22x18, expected 5 of 22x18 — layer a, alpha"),
        ((Layer("a", video, None, LayerDepth(small)),), "layer a, depth"),
        ((Layer("a", video), Layer("b", video[1:])), "layer b, color"),
        ((Layer("a", video), Layer("b", Video.from_array(noise(0, np.uint16)))), "16 bits beside 8"),
    ):
        with pytest.raises(UsageError, match=message):
            LayeredVideo(layers)


def test_layers_are_found_by_name() -> None:
    layered = stacked(np.uint8, None)
    assert layered.layer("near") is layered.layers[1]
    with pytest.raises(UsageError, match="layers: far, near"):
        layered.layer("middle")


def test_depth_is_codes_with_a_scale() -> None:
    codes = noise(4, np.uint16, SHAPE)
    depth = LayerDepth(Maps.from_array(codes), scale=2 / 65535, offset=0.5)
    assert np.allclose(np.stack(list(depth)), 0.5 + codes * (2 / 65535))
    assert np.allclose(np.stack(list(depth[2:4])), 0.5 + codes[2:4] * (2 / 65535))


@dataclass(frozen=True)
class Endless:
    """Frames made when asked for."""

    shape: tuple[int, int, int]

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        for i in range(start, stop):
            yield Frame(np.full(self.shape, i % 256, np.uint8), i, 1, i)


def test_memory_does_not_grow_with_length() -> None:
    def peak(frames: int) -> int:
        clock = np.arange(frames)
        video = Video(Endless((120, 160, 3)), clock, np.ones_like(clock), Fraction(1, 25), 120, 160)
        layered = LayeredVideo((Layer("far", video), Layer("near", video)))
        tracemalloc.start()
        for _ in layered.composite():
            pass
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(5)
    assert peak(300) < 1.2 * peak(30)
