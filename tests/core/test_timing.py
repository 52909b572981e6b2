"""Times are counted where they are spent, once."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from diorama.core import timing
from diorama.core.timing import Timings


class Clock:
    """Time passes only where a test lets it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=found.perf_counter))
    return found


def slow(items: Iterator[int] | range, seconds: float, clock: Clock) -> Iterator[int]:
    for item in items:
        clock.now += seconds
        yield item


def test_items_pass_and_time_adds_up(clock: Clock) -> None:
    timings = Timings()
    assert list(timings.stage("work", slow(range(5), 0.25, clock))) == [0, 1, 2, 3, 4]
    assert timings.seconds == {"work": 1.25}
    list(timings.stage("work", slow(range(5), 0.25, clock)))
    assert timings.seconds == {"work": 2.5}


def test_time_of_the_consumer_is_not_counted(clock: Clock) -> None:
    timings = Timings()
    for _ in timings.stage("fast", range(5)):
        clock.now += 1
    assert timings.seconds == {"fast": 0.0}


def test_an_inner_stage_is_not_counted_twice(clock: Clock) -> None:
    timings = Timings()
    inner = timings.stage("inner", slow(range(5), 0.5, clock))
    outer = timings.stage("outer", slow(inner, 0.25, clock), minus="inner")
    list(outer)
    assert timings.seconds == {"inner": 2.5, "outer": 1.25}


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
