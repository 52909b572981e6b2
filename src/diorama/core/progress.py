"""Progress is injected: a library function reports, whoever called it decides what to show."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives how far a run is."""

    def begin(self, stage: str, total: int | None) -> None:
        """A stage of `total` steps (None: unknown) starts."""
        ...

    def advance(self, steps: int = 1) -> None:
        """`steps` more are done."""
        ...

    def note(self, message: str) -> None:
        """Something the user should know, but which is no error."""
        ...


class Silent:
    """Shows nothing; keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, stage: str, total: int | None) -> None:
        """Ignored."""

    def advance(self, steps: int = 1) -> None:
        """Ignored."""

    def note(self, message: str) -> None:
        self.notes.append(message)


class Noted:
    """Passes everything on, and keeps the notes: what a run's result or recipe tells of them later."""

    def __init__(self, told: Progress) -> None:
        self.notes: list[str] = []
        self._told = told

    def begin(self, stage: str, total: int | None) -> None:
        """Passed on."""
        self._told.begin(stage, total)

    def advance(self, steps: int = 1) -> None:
        """Passed on."""
        self._told.advance(steps)

    def note(self, message: str) -> None:
        """Kept and passed on."""
        self.notes.append(message)
        self._told.note(message)
