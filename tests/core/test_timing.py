"""Times are counted where they are spent, once."""

import time
from collections.abc import Iterator

import pytest

from diorama.core.timing import Timings


def slow(items: Iterator[int] | range, seconds: float) -> Iterator[int]:
    for item in items:
        time.sleep(seconds)
        yield item


def test_items_pass_and_time_adds_up() -> None:
    timings = Timings()
    assert list(timings.stage("work", slow(range(5), 0.01))) == [0, 1, 2, 3, 4]
    assert 0.05 <= timings.seconds["work"] < 1
    before = timings.seconds["work"]
    list(timings.stage("work", slow(range(5), 0.01)))
    assert timings.seconds["work"] >= before + 0.05


def test_time_of_the_consumer_is_not_counted() -> None:
    timings = Timings()
    for _ in timings.stage("fast", range(5)):
        time.sleep(0.02)
    assert timings.seconds["fast"] < 0.02


def test_an_inner_stage_is_not_counted_twice() -> None:
    timings = Timings()
    inner = timings.stage("inner", slow(range(5), 0.02))
    outer = timings.stage("outer", slow(inner, 0.004), minus="inner")
    list(outer)
    assert timings.seconds["inner"] >= 0.1
    assert 0.02 <= timings.seconds["outer"] < 0.1


def test_an_empty_stage_and_a_failing_one_are_named() -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("here")

    timings = Timings()
    assert list(timings.stage("empty", [])) == []
    with pytest.raises(ValueError, match="here"):
        list(timings.stage("failing", fails()))
    assert set(timings.seconds) == {"empty", "failing"}


def test_two_timings_share_nothing() -> None:
    one, other = Timings(), Timings()
    list(one.stage("work", range(3)))
    assert other.seconds == {}
