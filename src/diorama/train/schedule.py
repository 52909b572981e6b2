"""How far a run is, and the learning rate there. Pure."""

import math
from dataclasses import dataclass

from diorama.train.config import TrainConfig

WARM_SHARE = 0.1
"""Of the budget: the longest warm-up."""


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Attributes:
        steps: or None.
        seconds: or None; one of the two is given.
    """

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, config: TrainConfig) -> "Budget":
        """The budget in the options."""
        return cls(config.steps, None if config.minutes is None else 60 * config.minutes)

    def fraction(self, step: int, seconds: float) -> float:
        """How much is used, from 0 to 1."""
        used = step / self.steps if self.steps is not None else seconds / (self.seconds or 1)
        return min(1.0, used)

    def left(self, step: int, seconds: float) -> float:
        """Seconds that remain, at the mean speed so far; infinity before the first step."""
        if self.seconds is not None:
            return max(0.0, self.seconds - seconds)
        assert self.steps is not None
        return seconds / step * (self.steps - step) if step else math.inf


def learning_rate(config: TrainConfig, step: int, fraction: float) -> float:
    """The rate of the step after `step` others, with `fraction` of the budget used.

    It rises linearly over the warm-up, and is at its end (0 for a cosine) when the budget is: also when that is time.
    """
    warm = min(1.0, max((step + 1) / max(config.warmup, 1), fraction / WARM_SHARE))
    shape = 0.5 * (1 + math.cos(math.pi * fraction)) if config.schedule == "cosine" else 1.0
    return config.lr * warm * shape


def duration(seconds: float) -> str:
    """Time for people: 42 s, 12 min, 3 h 05 min."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
