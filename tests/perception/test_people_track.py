"""Who is who: the assignment is the best one, and names survive crossings, absences, not cuts."""

from itertools import permutations

import numpy as np
import pytest

from diorama.core.person import PersonFrame
from diorama.errors import UsageError
from diorama.perception.people_track import FORBIDDEN, Seen, Tracker, assign, box_overlap, pose_overlap, unlikeness


def test_the_assignment_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        costs = rng.random(rng.integers(1, 6, 2))
        costs[rng.random(costs.shape) < 0.3] = FORBIDDEN
        taken = assign(costs)
        wide = costs if len(costs) <= costs.shape[1] else costs.T
        rows = range(len(wide))
        best = min(sum(wide[r, c] for r, c in zip(rows, p, strict=True)) for p in _choices(wide.shape))
        given = [costs[row, column] for row, column in enumerate(taken) if column >= 0]
        assert sum(given) + FORBIDDEN * (len(wide) - len(given)) == pytest.approx(best)
        assert len({c for c in taken if c >= 0}) == len(given)
        assert max(given, default=0) < FORBIDDEN


def _choices(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(permutations(range(shape[1]), shape[0]))


def test_nothing_to_assign_is_fine() -> None:
    assert assign(np.zeros((0, 3))).tolist() == []
    assert assign(np.zeros((2, 0))).tolist() == [-1, -1]
    assert assign(np.full((2, 2), FORBIDDEN)).tolist() == [-1, -1]


def test_likeness_is_one_for_equals_and_zero_for_strangers() -> None:
    box = np.array([0, 0, 10, 20], np.float32)
    assert box_overlap(box, box) == pytest.approx(1)
    assert box_overlap(box, box + 30) == 0
    points = np.random.default_rng(0).random((33, 3)).astype(np.float32) * 0.6 + 0.4
    assert pose_overlap(points, points, 200.0) == pytest.approx(1)
    assert pose_overlap(points, points * 0, 200.0) == 0  # not one point seen in both
    look = np.full(8, 1 / 8, np.float32)
    assert unlikeness(look, look) == pytest.approx(0, abs=1e-3)
    assert unlikeness(np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[1]) == pytest.approx(1)


RED, BLUE = (np.eye(8, dtype=np.float32)[k] for k in (0, 1))


def seen(x: float, look: np.ndarray | None, *, may_start: bool = True) -> Seen:
    points = np.ones((33, 3), np.float32)
    points[:, 0] = x + np.linspace(-15, 15, 33)
    points[:, 1] = np.linspace(20, 110, 33)
    return Seen(PersonFrame(np.array([x - 20, 10, x + 20, 120], np.float32), 1.0, points), look, may_start)


def test_two_who_cross_keep_their_names() -> None:
    tracker = Tracker()
    for t in range(40):
        left, right = seen(20 + 6 * t, RED), seen(260 - 6 * t, BLUE)
        # Where they overlap only the one in front is seen.
        people = [left] if 17 <= t <= 23 else [right, left] if t % 2 else [left, right]
        numbers = dict(zip((id(p) for p in people), tracker.step(people), strict=True))
        assert numbers[id(left)] == 1
        assert numbers.get(id(right), 2) == 2


def test_without_colours_the_motion_tells() -> None:
    tracker = Tracker()
    for t in range(40):
        numbers = tracker.step([seen(20 + 6 * t, None), seen(260 - 6 * t, None)])
        assert t in range(19, 22) or numbers == [1, 2]


def test_who_returns_is_recognised_and_who_is_another_is_not() -> None:
    tracker = Tracker()
    assert tracker.step([seen(20, RED)]) == [1]
    for _ in range(60):
        assert tracker.step([]) == []
    assert tracker.step([seen(120, BLUE), seen(300, RED)]) == [2, 1]


def test_a_cut_forgets_everybody_and_numbers_go_on() -> None:
    tracker = Tracker()
    assert tracker.step([seen(20, RED)]) == [1]
    tracker.cut()
    assert tracker.step([seen(20, RED)]) == [2]
    with pytest.raises(UsageError):
        Tracker(0)


def test_who_may_not_be_new_is_nobody() -> None:
    tracker = Tracker()
    assert tracker.step([seen(20, RED, may_start=False)]) == [None]
    assert tracker.step([seen(20, RED)]) == [1]
    assert tracker.step([seen(22, RED, may_start=False)]) == [1]
    tracker.forget([1])
    assert tracker.known == ()
