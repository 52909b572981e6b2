"""Filling: known pixels stay, holes take the background, hidden background comes back from other frames."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.geometry.warp import Eye, eye_warp, forward_warp
from diorama.perception.fill import History, Method, Neighbour, borrow, compose_flow, edge_fill, fill, telea_fill

KINDS = [np.uint8, np.uint16]
FAR, NEAR = 4, 24
BOX = (slice(20, 70), slice(60, 100))


def texture(height: int, width: int, kind: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Smooth random colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b + c) for a, b, c in rng.uniform(3, 11, (3, 3))]
    top = np.iinfo(kind).max
    return ((0.5 + 0.4 * np.stack(waves, -1)) * top).astype(kind)


def two_layers(kind: type = np.uint8, box: tuple[slice, slice] = BOX) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box before a wall: picture, disparity, and the wall alone."""
    wall = texture(96, 160, kind)
    image, disparity = wall.copy(), np.full((96, 160), FAR, np.float32)
    image[box], disparity[box] = np.iinfo(kind).max, NEAR
    return image, disparity, wall


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    error = (image[mask].astype(float) - truth[mask]) ** 2
    return float(10 * np.log10(np.iinfo(image.dtype).max ** 2 / max(error.mean(), 1e-9)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eye", ["left", "right"])
@pytest.mark.parametrize("method", ["fast", "telea"])
def test_known_pixels_never_change_and_no_hole_is_left(kind: type, eye: Eye, method: Method) -> None:
    image, disparity, _ = two_layers(kind)
    warped, known = eye_warp(image, disparity, eye=eye)
    before = warped.copy()
    filled = fill(warped, known, eye=eye, method=method)
    assert np.array_equal(filled[known], warped[known])
    assert np.array_equal(warped, before)
    assert (filled[~known].max(axis=-1) > 0).all()


@pytest.mark.parametrize("eye", ["left", "right"])
def test_holes_take_the_background_not_the_object(eye: Eye) -> None:
    image, disparity, _ = two_layers()
    image[disparity == FAR] = (10, 60, 110)
    warped, known = eye_warp(image, disparity, eye=eye)
    filled = edge_fill(warped, known, eye=eye)
    assert (np.abs(filled[~known].astype(int) - (10, 60, 110)) <= 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_left_fill_is_the_mirror_of_the_right(kind: type) -> None:
    rng = np.random.default_rng(3)
    image, known = texture(41, 73, kind), rng.random((41, 73)) > 0.4
    known[:, 30:45] &= rng.random((41, 1)) > 0.5
    image[~known] = 0
    right = edge_fill(image, known, eye="right")
    left = edge_fill(image[:, ::-1], known[:, ::-1], eye="left")
    assert np.array_equal(right, left[:, ::-1])


def test_edge_fill_beats_telea_on_hole_pixels() -> None:
    image, disparity, wall = two_layers()
    warped, known = forward_warp(image, disparity)
    truth, _ = forward_warp(wall, np.full_like(disparity, FAR))
    inside = ~known
    inside[:, -FAR:] = False
    assert psnr(edge_fill(warped, known), truth, inside) >= psnr(telea_fill(warped, known), truth, inside) + 1


def test_blends_at_a_soft_edge_are_passed_over() -> None:
    image = np.full((30, 80, 3), 40, np.uint8)
    image[:, :30] = 240
    image[:, 50] = 140
    known = np.ones((30, 80), bool)
    known[:, 30:50] = False
    assert edge_fill(image, known)[:, 30:50].max() <= 41


def test_row_without_any_known_pixel_takes_after_its_neighbour() -> None:
    image, known = texture(12, 40), np.ones((12, 40), bool)
    known[5] = False
    assert np.array_equal(edge_fill(image, known)[5], image[4])
    nothing = np.zeros_like(known)
    for method in ("fast", "telea"):
        assert fill(np.zeros_like(image), nothing, method=method).shape == image.shape


@pytest.mark.parametrize("width", [1, 7, 8, 9, 64, 65])
def test_any_width_and_any_mask(width: int) -> None:
    rng = np.random.default_rng(width)
    for share in (0.02, 0.5, 0.97):
        image = rng.integers(1, 256, (20, width, 3)).astype(np.uint8)
        known = rng.random((20, width)) < share
        known[:, width // 2] = True
        image[~known] = 0
        filled = edge_fill(image, known)
        assert np.array_equal(filled[known], image[known])
        assert filled.min() > 0


def moved_box(kind: type, eye: Eye, pan: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Neighbour]:
    """A box that was elsewhere before, on a wall that moved by `pan`: now, disparity, wall, and the earlier frame."""
    image, disparity, wall = two_layers(kind)
    before, before_disparity = np.roll(wall, pan, axis=1), np.full_like(disparity, FAR)
    aside = slice(10, 40) if eye == "right" else slice(120, 150)
    before[BOX[0], aside], before_disparity[BOX[0], aside] = np.iinfo(kind).max, NEAR
    flow = np.zeros((24, 40, 2), np.float32)
    flow[..., 0] = pan / 4
    flow[5:18, 15:25, 0] = -12
    return image, disparity, wall, Neighbour(before, before_disparity, flow)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eye", ["left", "right"])
@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("pan", [0, 6])
def test_background_seen_earlier_is_borrowed(kind: type, eye: Eye, share: float, pan: int) -> None:
    image, disparity, wall, earlier = moved_box(kind, eye, pan)
    warped, known = eye_warp(image, disparity, eye=eye, share=share)
    truth, seen = eye_warp(wall, np.full_like(disparity, FAR), eye=eye, share=share)
    _, done = borrow(warped, known, disparity, neighbours=(earlier,), eye=eye, share=share)
    filled = fill(warped, known, eye=eye, disparity=disparity, share=share, neighbours=(earlier,))
    inner = ~known & seen
    assert np.array_equal(filled[known], warped[known])
    assert done[inner].mean() > 0.9
    assert psnr(filled, truth, inner & done) > 45
    assert psnr(filled, truth, inner) > psnr(fill(warped, known, eye=eye), truth, inner) + 6


def test_what_was_hidden_then_too_or_looks_different_is_not_borrowed() -> None:
    image, disparity, _, earlier = moved_box(np.uint8, "right", 0)
    warped, known = forward_warp(image, disparity)
    still = Neighbour(image, disparity, np.zeros_like(earlier.flow))
    elsewhere = replace(earlier, image=255 - earlier.image)
    away = replace(earlier, flow=earlier.flow + 1000)
    inner = ~known
    inner[:, -FAR:] = False
    for neighbour in (still, elsewhere, away):
        _, done = borrow(warped, known, disparity, neighbours=(neighbour,))
        assert not done[inner].any()


def test_misuse_is_refused() -> None:
    image, disparity, _, earlier = moved_box(np.uint8, "right", 0)
    warped, known = forward_warp(image, disparity)
    with pytest.raises(UsageError, match="disparity"):
        fill(warped, known, neighbours=(earlier,))
    with pytest.raises(UsageError, match="neighbour"):
        fill(warped.astype(np.uint16), known, disparity=disparity, neighbours=(earlier,))
    with pytest.raises(UsageError, match="share"):
        fill(warped, known, disparity=disparity, share=0, neighbours=(earlier,))


def test_constant_flows_add_up() -> None:
    one, two = np.full((20, 30, 2), (1.5, -2), np.float32), np.full((20, 30, 2), (3, 0.25), np.float32)
    assert np.allclose(compose_flow(one, two), (4.5, -1.75), atol=1e-5)
    ramp = np.zeros((20, 30, 2), np.float32)
    ramp[..., 0] = np.arange(30)
    step = np.full((20, 30, 2), (2, 0), np.float32)
    assert np.allclose(compose_flow(step, ramp)[:, :27, 0], 4 + np.arange(27), atol=1e-4)


def test_history_keeps_three_frames_six_apart_and_adds_up_motion() -> None:
    history = History()
    step = np.full((8, 12, 2), (0.25, 0), np.float32)
    pictures = [texture(16, 24, seed=i) for i in range(32)]
    for i, image in enumerate(pictures):
        history = history.moved(step if i else None)
        for neighbour in history.neighbours():
            age = i - next(j for j, p in enumerate(pictures) if p is neighbour.image)
            assert np.allclose(neighbour.flow[..., 0], 0.25 * age, atol=1e-4)
        history = history.appended(image, np.zeros((16, 24), np.float32))
        assert len(history.kept) <= 3
    ages = [31 - next(j for j, p in enumerate(pictures) if p is k.image) for k in history.kept]
    assert ages == [13, 7, 1]
    assert history.moved(None).neighbours() == ()
