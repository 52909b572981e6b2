"""Laws of the two threading tools: every row once, every item in order, every error to its caller."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from diorama.core.parallel import ahead, bands


@pytest.mark.parametrize("rows", [0, 1, 2, 127, 128, 255, 256, 257, 1080, 5000])
def test_bands_cover_every_row_once(rows: int) -> None:
    seen = np.zeros(rows, int)

    def work(first: int, last: int) -> None:
        seen[first:last] += 1

    bands(rows, work)
    assert (seen == 1).all()


def test_few_rows_stay_in_the_calling_thread() -> None:
    threads: list[threading.Thread] = []
    bands(100, lambda first, last: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()]


def test_an_error_in_any_band_reaches_the_caller() -> None:
    def fails_at(row: int):
        def work(first: int, last: int) -> None:
            if first <= row < last:
                raise ValueError(f"row {row}")

        return work

    for row in (0, 999):
        with pytest.raises(ValueError, match=f"row {row}"):
            bands(1000, fails_at(row), least=100)
    bands(1000, lambda first, last: None, least=100)  # and the pool still works


def test_two_threads_may_use_bands_at_once() -> None:
    totals = [np.zeros(4000, int) for _ in range(4)]

    def loop(total: np.ndarray) -> None:
        for _ in range(50):
            bands(len(total), lambda a, b: total[a:b].__iadd__(1) is None, least=64)

    threads = [threading.Thread(target=loop, args=(total,)) for total in totals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert all((total == 50).all() for total in totals)


@pytest.mark.parametrize("depth", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_items_come_in_order(depth: int, count: int) -> None:
    assert list(ahead(range(count), depth)) == list(range(count))


def test_the_source_runs_at_most_so_far_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    items = ahead(source(), 3)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    assert 2 <= len(made) <= 5  # one given, three waiting, one in the hand
    assert list(items) == list(range(1, 50))


def test_the_source_runs_in_another_thread() -> None:
    threads: set[int] = set()

    def source() -> Iterator[int]:
        threads.add(threading.get_ident())
        yield 1

    list(ahead(source()))
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, MemoryError])
def test_errors_arrive_after_the_items_before_them(kind: type[BaseException]) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise kind("here")

    items = ahead(source(), 1)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(kind):
        next(items)


def test_closing_early_closes_the_source_and_ends_the_thread() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    items = ahead(source(), 2)
    assert next(items) == 0
    items.close()
    assert closed.wait(2)
    deadline = time.monotonic() + 2
    while _running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _running()


def test_chains_close_from_the_outside_in() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    items = ahead((2 * i for i in ahead(source(), 2)), 2)
    assert [next(items) for _ in range(3)] == [0, 2, 4]
    items.close()
    assert closed.wait(5)


def _running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "diorama-ahead"]
