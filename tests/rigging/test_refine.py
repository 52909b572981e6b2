"""Borders of parts moved by masks: taken where they agree, never the outline, never a whole part."""

from collections.abc import Callable

import numpy as np
import pytest

from diorama.core.progress import Silent
from diorama.rigging.refine import AGREE, accepted, agreeing, prompts_of, refined

SIDE = 24


def two(border: int = 12) -> np.ndarray:
    """Part 0 left of a column and part 1 right of it, within a margin of four pixels."""
    labels = np.full((SIDE, SIDE), -1, np.int16)
    labels[4:20, 4:border], labels[4:20, border:20] = 0, 1
    return labels


def masks_of(labels: np.ndarray, count: int) -> np.ndarray:
    return labels == np.arange(count)[:, None, None]


def joined(labels: np.ndarray, masks: np.ndarray) -> np.ndarray:
    numbers = np.arange(len(masks))
    return accepted(labels, numbers, masks, agreeing(labels, numbers, masks))


def test_a_better_border_is_taken() -> None:
    assert np.array_equal(joined(two(12), masks_of(two(10), 2)), two(10))
    assert np.array_equal(joined(two(12), masks_of(two(12), 2)), two(12))


def test_only_one_of_two_masks_that_share_a_border_may_be_believed() -> None:
    masks = masks_of(two(10), 2)
    masks[0] = False  # part 0 is not seen: it keeps what it had, which part 1 claims in vain
    assert agreeing(two(12), np.arange(2), masks).tolist() == [False, True]
    assert np.array_equal(joined(two(12), masks), two(12))


@pytest.mark.parametrize("mask", [np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool), two() == 1])
def test_a_mask_of_something_else_is_refused(mask: np.ndarray) -> None:
    labels = np.full((SIDE, SIDE), -1, np.int16)
    labels[4:20, 4:8], labels[4:20, 8:20] = 0, 1
    masks = np.stack([mask, labels == 1])
    assert agreeing(labels, np.arange(2), masks).tolist() == [False, True]
    assert np.array_equal(joined(labels, masks), labels)


def test_a_mask_agrees_from_half_on() -> None:
    labels, numbers = np.zeros((10, 10), np.int16), np.arange(1)
    masks = np.zeros((1, 10, 10), bool)
    masks[0, : round(10 * AGREE)] = True
    assert agreeing(labels, numbers, masks).all()
    masks[0, round(10 * AGREE) - 1, 0] = False
    assert not agreeing(labels, numbers, masks).any()


def test_pixels_that_several_claim_or_nobody_stay() -> None:
    labels = two(12)
    both = np.stack([two(14) == 0, two(10) == 1])  # columns 10 to 13 are claimed twice
    assert np.array_equal(joined(labels, both), labels)
    neither = np.stack([two(11) == 0, two(13) == 1])  # columns 11 and 12 are claimed by nobody
    assert np.array_equal(joined(labels, neither), labels)


def test_what_lies_beside_the_object_stays_beside_it() -> None:
    wide = np.stack([np.zeros((SIDE, SIDE), bool)] * 2)
    wide[0, :, :10], wide[1, :, 10:] = True, True
    assert agreeing(two(12), np.arange(2), wide).all()
    assert np.array_equal(joined(two(12), wide), two(10))


def test_no_part_loses_more_than_half_whatever_the_masks_are() -> None:
    random = np.random.default_rng(0)
    changed = 0
    for _ in range(60):
        labels = np.repeat(np.repeat(random.integers(-1, 4, (6, 6)), 4, axis=0), 4, axis=1).astype(np.int16)
        numbers = np.unique(labels[labels >= 0]).astype(np.int64)
        flips = random.random((len(numbers), SIDE, SIDE)) < random.uniform(0, 0.4)
        found = accepted(
            labels,
            numbers,
            masks := (labels == numbers[:, None, None]) ^ flips,
            agreeing(labels, numbers, masks),
        )
        changed += int((found != labels).sum())
        assert np.array_equal(found < 0, labels < 0)
        for number in numbers:
            own = labels == number
            assert (found[own] == number).sum() >= own.sum() / 2
    assert changed > 100


def test_prompts_are_the_innermost_pixels_and_boxes_of_the_parts_that_are_seen() -> None:
    labels = two(16)
    labels[labels == 1] = 5
    labels[0, 0] = 3
    found = prompts_of(labels)
    assert found.numbers.tolist() == [0, 3, 5]
    assert found.boxes.tolist() == [[4, 4, 16, 20], [0, 0, 1, 1], [16, 4, 20, 20]]
    assert found.points[1].tolist() == [0.5, 0.5]
    assert abs(found.points[0] - [10, 12]).max() <= 2.5
    assert 17 <= found.points[2, 0] <= 19
    for (x, y), number in zip(found.points, found.numbers, strict=True):
        assert labels[int(y), int(x)] == number
    assert len(prompts_of(np.full((4, 4), -1, np.int16)).numbers) == 0


def test_all_views_and_frames_are_asked_for_what_they_show() -> None:
    labels = np.stack([two(12), two(14), np.full((SIDE, SIDE), -1, np.int16), two(12)]).reshape(2, 2, SIDE, SIDE)
    labels[0, 1][labels[0, 1] == 0] = 1  # one part alone
    colored = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3)).astype(np.uint8)
    seen: list[tuple[np.ndarray, int]] = []

    def segment(picture: np.ndarray, points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        seen.append((picture, len(points)))
        return masks_of(two(11), 2) if len(points) == 2 else np.zeros((1, SIDE, SIDE), bool)

    steps = Steps()
    found = refined(colored, labels, segment, steps)
    assert (found.asked, found.believed) == (5, 4)
    assert [count for _, count in seen] == [2, 1, 2]
    assert np.array_equal(seen[1][0], colored[0, 1])
    assert steps.done == 4
    assert np.array_equal(found.labels[0, 0], two(11))
    assert np.array_equal(found.labels[1, 1], two(11))
    assert np.array_equal(found.labels[0, 1], labels[0, 1])
    assert found.labels.dtype == np.int16
    assert np.array_equal(labels[0, 0], two(12))  # what was given is not changed
    ask: Callable[..., np.ndarray] = segment
    assert np.array_equal(refined(colored[1:, :1], labels[1:, :1], ask).labels, labels[1:, :1])


class Steps(Silent):
    """Counts."""

    done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
