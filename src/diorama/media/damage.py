"""What a tolerant reader met on its way, kept for the user."""

MOST_TIMES = 10


class Damage:
    """Kinds of damage and when each was met; a clip that is read twice is counted once."""

    def __init__(self) -> None:
        self._met: dict[str, set[float]] = {}

    def add(self, what: str, seconds: float) -> None:
        """Note that `what` (in the plural) was met at `seconds` of the clip's own clock."""
        self._met.setdefault(what, set()).add(round(seconds, 3))

    def notes(self) -> tuple[str, ...]:
        """One line a kind, with the first times."""
        return tuple(_line(what, sorted(times)) for what, times in self._met.items())


def _line(what: str, times: list[float]) -> str:
    shown = ", ".join(f"{time:.3f}" for time in times[:MOST_TIMES])
    return f"{len(times)} {what}: at {shown}{', ...' if len(times) > MOST_TIMES else ''} s"
