"""Small tools for keeping the cores busy: row bands in threads, a generator run ahead, processes of one thread."""

import itertools
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar, cast

T = TypeVar("T")
_END = object()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="diorama-band")


def bands(rows: int, work: Callable[[int, int], None], *, least: int = 128) -> None:
    """Call ``work(first, last)`` on disjoint row ranges that cover ``0..rows``, in parallel.

    `work` must release the GIL (a numba kernel with ``nogil=True``, numpy, OpenCV) to gain anything. Numba's own
    ``prange`` is not used: its fallback threading layer aborts when two threads enter it at once.
    """
    workers = min(os.cpu_count() or 1, max(1, rows // least))
    if workers == 1:
        work(0, rows)
        return
    edges = [rows * i // workers for i in range(workers + 1)]
    others = [_pool().submit(work, first, last) for first, last in itertools.pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        wait(others)  # they write into arrays that the caller may free on an error
    for other in others:
        other.result()


def ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate `items` in a background thread, at most `depth` items ahead.

    Exceptions surface at the point of consumption; closing the iterator stops the thread.
    """
    box: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def offer(item: tuple[object, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                box.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not offer((item, None)):
                    return
            offer((_END, None))
        except BaseException as error:  # noqa: BLE001  handed to the consumer
            offer((_END, error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=run, daemon=True, name="diorama-ahead")
    thread.start()
    try:
        while True:
            item, error = box.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield cast(T, item)
    finally:
        stop.set()
        thread.join(timeout=30)


def aside(work: Callable[[], T]) -> Callable[[], T]:
    """Start `work` in a background thread; the returned function waits for its result, or raises what it raised.

    Nobody waits for a thread whose result is not asked for: it ends with the process.
    """
    box: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(1)

    def run() -> None:
        try:
            box.put((work(), None))
        except BaseException as error:  # noqa: BLE001  handed to whoever asks
            box.put((None, error))

    def result() -> T:
        value, error = box.get()
        if error is not None:
            raise error
        return cast(T, value)

    threading.Thread(target=run, daemon=True, name="diorama-aside").start()
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes started in here get one thread each for linear algebra: more of them only wait for each other."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
