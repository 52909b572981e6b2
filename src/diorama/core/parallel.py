"""Two small tools for keeping the cores busy: row bands in threads, and a generator run ahead in a thread."""

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar, cast

T = TypeVar("T")
_END = object()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="diorama-band")


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
    pool = _pool(workers)
    others = [pool.submit(work, a, b) for a, b in itertools.pairwise(edges[1:])]
    work(edges[0], edges[1])
    for other in others:
        other.result()


def ahead(items: Iterable[T], depth: int = 4) -> Iterator[T]:
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
        thread.join(timeout=5)
