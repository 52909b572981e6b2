"""Scores, the goals they are held against, and a table of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One measured number.

    Attributes:
        model: what was measured.
        name: what the number says.
        value: measured.
        goal: to be reached.
        at_least: whether larger is better.
        unit: of both.
    """

    model: str
    name: str
    value: float | int
    goal: float | int
    at_least: bool = True
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def table(scores: Sequence[Score]) -> str:
    """A Markdown table, a row a score."""
    head = "| model | what | measured | goal | |\n|---|---|---|---|---|"
    rows = [
        f"| {s.model} | {s.name} | {s.value:.3g} {s.unit} | {'>=' if s.at_least else '<='} {s.goal:g} {s.unit} "
        f"| {'reached' if s.reached else 'missed'} |"
        for s in scores
    ]
    return "\n".join([head, *rows])
