"""Means along ways through time: what is shown stays, what is painted becomes steady."""

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.perception.steady import DECAY, REACH, RETURN, TOLERANCE, steady

T, H, W = 9, 12, 20


def still(frames: int = T) -> tuple[np.ndarray, np.ndarray]:
    """Ways of a camera and a scene that stand still."""
    return np.zeros((frames, H, W, 2), np.float32), np.zeros((frames, H, W, 2), np.float32)


def painted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise around grey in a hole of a black picture, and the mask of what is shown."""
    rng = np.random.default_rng(seed)
    pictures, shown = np.zeros((T, H, W, 3), np.uint8), np.ones((T, H, W), bool)
    shown[:, 3:9, 5:15] = False
    pictures[~shown] = rng.integers(98, 159, ((~shown).sum(), 3))
    return pictures, shown


def test_what_is_shown_stays_and_paint_is_averaged() -> None:
    pictures, shown = painted()
    made = steady(pictures, shown, still(), np.zeros((T, H, W), np.float32))
    assert (made[shown] == pictures[shown]).all()
    apart = np.abs(np.arange(T)[:, None] - np.arange(T))
    weights = np.where(apart <= REACH, DECAY**apart, 0)
    means = np.einsum("ts,shwc->thwc", weights / weights.sum(1, keepdims=True), pictures.astype(float))
    assert np.abs(made.astype(float) - means)[~shown].max() <= 0.51


def test_the_way_leads_along_the_motion() -> None:
    """A texture that moves two pixels a frame under a hole that stands still: right paint stays as it is."""
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 256, (H, W + 2 * T, 3)).astype(np.uint8)
    pictures = np.stack([wide[:, 2 * t : 2 * t + W] for t in range(T)])
    back, ahead = still()
    back[..., 0], ahead[..., 0] = 2, -2
    shown = painted()[1]
    assert (steady(pictures, shown, (back, ahead), np.zeros((T, H, W), np.float32)) == pictures).all()
    blurred = steady(pictures, shown, still(), np.zeros((T, H, W), np.float32))
    assert np.abs(blurred.astype(int) - pictures)[~shown].mean() > 20


def test_what_other_frames_show_counts_where_it_is_the_background() -> None:
    pictures, shown = painted()
    pictures[~shown] = 100
    pictures[4] = 200
    shown[4] = True
    behind = np.zeros((T, H, W), np.float32)
    assert (steady(pictures, shown, still(), behind)[3, 3:9, 5:15] > 100).all()
    back, ahead = still()
    back[4], ahead[4] = RETURN + 0.1, RETURN + 0.1  # somebody passes
    assert (steady(pictures, shown, (back, ahead), behind)[3, 5:7, 8:12] == 100).all()
    behind[4] = TOLERANCE + 0.1  # nearer: somebody stands there now
    assert (steady(pictures, shown, still(), behind)[3, 3:9, 5:15] == 100).all()


def plainly(pictures: np.ndarray, shown: np.ndarray, ways: tuple, disparity: np.ndarray) -> np.ndarray:
    """The kernel's readable twin."""

    def at(plane: np.ndarray, y: float, x: float) -> np.ndarray:
        i, j = min(int(y), H - 2), min(int(x), W - 2)
        down, right = y - i, x - j
        rows = plane[i : i + 2, j] * (1 - right) + plane[i : i + 2, j + 1] * right
        return rows[0] * (1 - down) + rows[1] * down

    out = pictures.copy()
    for t, y, x in zip(*np.nonzero(~shown), strict=True):
        values, weights = [pictures[t, y, x].astype(float)], [1.0]
        for way, other, step in ((ways[0], ways[1], -1), (ways[1], ways[0], 1)):
            place = np.array([x, y], float)
            for far in range(1, REACH + 1):
                s = t + step * far
                if not 0 <= s < T:
                    break
                moved = at(way[s - step].astype(float), place[1], place[0])
                place = place + moved
                if (place < 0).any() or (place > (W - 1, H - 1)).any():
                    break
                here = place[1], place[0]
                part = at(shown[s].astype(float), *here)
                same = abs(at(disparity[s].astype(float), *here) - disparity[t, y, x]) < TOLERANCE
                same &= (np.abs(at(other[s].astype(float), *here) + moved) < RETURN).all()
                if part < 1e-3 or (part > 0.999 and same):
                    values.append(at(pictures[s].astype(float), *here))
                    weights.append(DECAY**far)
        out[t, y, x] = np.floor(np.average(values, axis=0, weights=weights) + 0.5)
    return out


def test_the_kernel_does_what_its_twin_does() -> None:
    rng = np.random.default_rng(2)
    pictures, shown = rng.integers(0, 256, (T, H, W, 3)).astype(np.uint8), rng.random((T, H, W)) < 0.4
    shown[:, :, : W // 2] = rng.random((T, 1, 1)) < 0.5
    back = rng.normal(0.4, 0.5, (T, H, W, 2)).astype(np.float32)
    ahead = (-np.roll(back, -1, axis=0) + rng.normal(0, 0.4, back.shape)).astype(np.float32)
    disparity = rng.choice(np.float32([0, 0.2, 0.7]), (T, H, W))
    made = steady(pictures, shown, (back, ahead), disparity)
    assert np.abs(made.astype(int) - plainly(pictures, shown, (back, ahead), disparity)).max() <= 1
    assert (made != pictures)[~shown].mean() > 0.5


def test_fixed_frames_are_read_alone_and_ways_end_at_the_border() -> None:
    pictures, shown = painted()
    made = steady(pictures, shown, still(), np.zeros((T, H, W), np.float32), fixed=3)
    assert (made[:3] == pictures[:3]).all()
    assert (made[3:] != pictures[3:]).any()
    out_of_sight = tuple(way + np.float32(1000) for way in still())
    alone = steady(pictures, shown, (out_of_sight[0], out_of_sight[1]), np.zeros((T, H, W), np.float32))
    assert (alone == pictures).all()
    lost = np.full((T, H, W, 2), np.nan, np.float32)
    assert (steady(pictures, shown, (lost, lost), np.zeros((T, H, W), np.float32)) == pictures).all()


def test_pictures_of_one_row_are_refused() -> None:
    pictures, shown = painted()
    with pytest.raises(UsageError, match="2 x 2"):
        steady(pictures[:, :1], shown[:, :1], (still()[0][:, :1],) * 2, np.zeros((T, 1, W), np.float32))
