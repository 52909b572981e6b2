"""Shots: cuts are found, flashes and fast motion are no cuts, and a cut forgets what was before."""

import cv2
import numpy as np
import pytest

from diorama.core.video import Frame
from diorama.perception.base import SMALL_SIDE, Tracked
from diorama.perception.shots import alike, recoloured, reduce, track


def scene(seed: int, height: int = 160, width: int = 400) -> np.ndarray:
    """A wide textured picture of blocks in this seed's colours."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), rng.integers(40, 215, 3), np.uint8)
    for _ in range(120):
        x, y = rng.integers(0, width), rng.integers(0, height)
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.rectangle(picture, (int(x), int(y)), (int(x) + 24, int(y) + 16), color, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def pan(seed: int, count: int, step: int = 3) -> list[np.ndarray]:
    wide = scene(seed)
    return [np.ascontiguousarray(wide[:, step * i : step * i + 240]) for i in range(count)]


def run(images: list[np.ndarray]) -> list[Tracked]:
    return list(track(Frame(image, i, 1, i) for i, image in enumerate(images)))


def test_cuts_are_found_and_nothing_else() -> None:
    tracked = run(pan(1, 5) + pan(2, 4) + pan(3, 3))
    assert [t.shot for t in tracked] == [0] * 5 + [1] * 4 + [2] * 3
    assert [t.first for t in tracked] == [i in (0, 5, 9) for i in range(12)]
    assert all((t.flow is None) == t.first for t in tracked)


def test_cuts_are_the_same_where_nobody_asks_for_flow() -> None:
    frames = [Frame(image, i, 1, i) for i, image in enumerate([*pan(1, 3), scene(1)[:, :240] // 3, *pan(2, 4)])]
    still = list(track(frames, moving=False))
    assert [(t.shot, t.first) for t in still] == [(t.shot, t.first) for t in track(frames)]
    assert all(t.flow is None for t in still)


def test_flow_leads_to_the_frame_before() -> None:
    flow = run(pan(1, 2))[1].flow
    assert flow is not None
    assert np.allclose(np.median(flow, (0, 1)), (3, 0), atol=0.1)


def test_a_run_from_a_shot_start_is_the_same() -> None:
    images = pan(1, 3) + pan(2, 4)
    whole, part = run(images)[3:], run(images[3:])
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a.small, b.small)
        assert a.first == b.first
        assert a.shot == b.shot + 1
        assert a.first or np.array_equal(a.flow, b.flow)


def test_a_flash_is_no_cut() -> None:
    images = pan(4, 6)
    images[3] = np.clip(images[3].astype(int) * 3 // 2 + 60, 0, 255).astype(np.uint8)
    assert run(images)[-1].shot == 0


def test_fast_motion_is_no_cut() -> None:
    assert run(pan(5, 6, step=25))[-1].shot == 0


def test_black_frames_do_not_hide_a_cut() -> None:
    black = [np.zeros((160, 240, 3), np.uint8)] * 2
    tracked = run(pan(1, 2) + black + pan(2, 2))
    assert tracked[-1].shot > tracked[0].shot
    assert run(black)[-1].shot == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (90, 2000), (720, 1280), (721, 1283)])
def test_reduce_keeps_the_aspect_and_never_enlarges(size: tuple[int, int]) -> None:
    small = reduce(np.full((*size, 3), 77, np.uint8))
    assert max(small.shape[:2]) == min(SMALL_SIDE, max(size))
    assert abs(small.shape[0] - size[0] * max(small.shape[:2]) / max(size)) <= 1
    assert (small == 77).all()


def test_reduce_takes_sixteen_bits() -> None:
    image = scene(6)
    wide = image.astype(np.uint16) * 257
    assert np.abs(reduce(wide).astype(int) - reduce(image)).max() <= 1
    assert run([wide, wide])[1].first is False


def test_measures_have_their_bounds() -> None:
    picture, other, flat = scene(1), scene(2), np.full((160, 400, 3), 9, np.uint8)
    assert alike(picture, picture) == pytest.approx(1)
    assert alike(picture, flat) == 0
    assert alike(flat, flat) == 1
    assert abs(alike(picture, other)) < 0.4
    assert recoloured(picture, picture) == 0
    assert recoloured(picture, flat) > 0.9
