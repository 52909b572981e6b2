"""Ctrl-C and SIGTERM end a run after the step at hand; a second one ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether the run is asked to end."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self.restore()

    def listen(self) -> None:
        """From now on; possible in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)

    def restore(self) -> None:
        """Signals mean again what they meant."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def stopping() -> Iterator[Stop]:
    """Listen to signals in here."""
    stop = Stop()
    stop.listen()
    try:
        yield stop
    finally:
        stop.restore()
