"""Where a chain of generators spends its time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Timings:
    """Seconds spent by stage; filled by `stage`, read when the run is over."""

    seconds: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str, items: Iterable[T], *, minus: str | None = None) -> Iterator[T]:
        """Pass `items` on, adding the time each took to `name`.

        Args:
            name: of the stage.
            items: what the stage yields.
            minus: a stage that `items` pulls from in the same thread; its time is not counted twice.
        """
        source = iter(items)
        while True:
            before = self.seconds.get(minus, 0.0) if minus else 0.0
            start = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                spent = time.perf_counter() - start
                inner = self.seconds.get(minus, 0.0) - before if minus else 0.0
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - inner
            yield item
