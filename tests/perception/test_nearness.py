"""What is nearer than a person is told from what is not, whatever the scale of a depth map."""

import numpy as np
import pytest

from diorama.perception.nearness import nearness

HIGH, WIDE = 96, 80
SIZE, ALL = (HIGH, WIDE), (slice(0, HIGH), slice(0, WIDE))
METRES = np.full(SIZE, 4.0, np.float32)


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of somebody at 4 m before a wall at 8 m, on rising ground, with a post at 2 m; and the person."""
    inverse = np.full((24, 20), 1 / 8, np.float32)
    inverse[16:] = np.linspace(1 / 8, 1 / 2, 8, dtype=np.float32)[:, None]
    inverse[6:20, 8:12] = 1 / 4
    inverse[4:, 14:17] = 1 / 2
    seen = np.zeros(SIZE, bool)
    seen[24:80, 32:48] = True
    return inverse, seen


@pytest.mark.parametrize("scale", [1.0, 0.3, 7.0])
def test_scale_does_not_matter(scale: float) -> None:
    inverse, seen = maps()
    ahead = nearness(np.float32(scale) * inverse, SIZE, ALL, metres=METRES, seen=seen)
    assert ahead[30:60, 36:44] == pytest.approx(1, abs=0.02)
    assert ahead[30:50, 60:64] == pytest.approx(2, abs=0.05)
    assert (ahead[:50, :20] < 0.6).all()


def test_ground_is_not_before_anybody() -> None:
    inverse, seen = maps()
    ahead = nearness(inverse, SIZE, ALL, metres=METRES, seen=seen)
    assert (ahead[:, :28] <= 1.05).all()


def test_an_arm_that_is_stretched_out_is_no_nearer_than_the_body_says() -> None:
    inverse, seen = maps()
    metres = METRES.copy()
    metres[:, 52:] = 2.0
    ahead = nearness(inverse, SIZE, ALL, metres=metres, seen=seen)
    assert ahead[30:50, 60:64] == pytest.approx(1, abs=0.05)


def test_a_part_is_what_the_whole_shows_there() -> None:
    inverse, seen = maps()
    part = (slice(10, 90), slice(20, 70))
    whole = nearness(inverse, SIZE, ALL, metres=METRES, seen=seen)
    cut = nearness(inverse, SIZE, part, metres=METRES[part], seen=seen[part])
    assert np.abs(cut - whole[part]).max() < 1e-6


def test_nobody_can_tell_without_the_person() -> None:
    inverse, seen = maps()
    assert (nearness(inverse, SIZE, ALL, metres=METRES, seen=np.zeros_like(seen)) == 1).all()
