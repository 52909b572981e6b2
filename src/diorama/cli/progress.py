"""Progress in a terminal: a bar with frame rate and remaining time; plain lines where there is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from diorama.core.progress import Progress, Silent


class _Rate(TextColumn):
    """Steps per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="cyan")


class Terminal:
    """Shows a bar for the running stage and notes above it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int | None) -> None:
        """A new bar."""
        if self._task is not None:
            self._bars.stop_task(self._task)
        self._task = self._bars.add_task(stage, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, steps)

    def note(self, message: str) -> None:
        """A line above the bar."""
        self._bars.console.print(Text(f"note: {message}"))


class _Quiet(Silent):
    """No bars; notes still reach standard error."""

    def note(self, message: str) -> None:
        sys.stderr.write(f"note: {message}\n")


@contextmanager
def make_progress(*, quiet: bool) -> Iterator[Progress]:
    """Bars on standard error when it is a terminal, else only notes; nothing at all when `quiet`."""
    if quiet:
        yield Silent()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Quiet()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        yield Terminal(bars)
