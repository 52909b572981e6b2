"""Whether parts keep their colours in clips that are longer than one window of the generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int8, UInt8

from diorama.bench._parts_truth import known
from diorama.bench.scores import Score
from diorama.core.progress import Progress, Silent
from diorama.diffusion.parts_generate import SIZE
from diorama.pipelines.parts import embedded_views
from diorama.pipelines.parts_config import PartsConfig

FRAMES = 13
"""Of a clip: four windows of four frames, of which each begins with the last frame of the one before."""
VIEWS = 2
LEAST = 24
"""Pixels of a part below which its colour is not known."""


@dataclass(frozen=True)
class DriftRow:
    """How far colours of parts are from those they have in the first frame, levels of 255, in the input view.

    Attributes:
        within: in the rest of the first window.
        last: in the last frame.
        jump: between neighbouring frames where windows meet.
        step: between neighbouring frames elsewhere.
    """

    within: float
    last: float
    jump: float
    step: float


def drift_rows(count: int, progress: Progress | None = None) -> list[DriftRow]:
    """Rows of clips of the first `count` creatures."""
    told = progress or Silent()
    told.begin("drift", count)
    rows = []
    for number in range(count):
        creature = known(number, views=VIEWS, frames=FRAMES, size=SIZE)
        made = embedded_views(creature.table.images[0], PartsConfig(), Silent())
        rows.append(drift(made.colored[0], creature.table.parts[0]))
        told.advance()
    return rows


def drift(colored: UInt8[np.ndarray, "t h w 3"], parts: Int8[np.ndarray, "t h w"], window: int = 4) -> DriftRow:
    """Of part maps, of which it is known where each part is.

    Args:
        colored: part maps of one view.
        parts: true parts of the pixels, -1 beside the object.
        window: frames of one.
    """
    colors = _mean_colors(colored, parts)
    apart = np.abs(colors - colors[:1]).mean(axis=-1)
    steps = np.abs(np.diff(colors, axis=0)).mean(axis=-1)
    first = np.arange(len(steps)) % (window - 1) == 0
    first[0] = False  # no window was before
    return DriftRow(
        *(float(np.nanmean(apart[1:window])), float(np.nanmean(apart[-1]))),
        *(float(np.nanmean(steps[first])), float(np.nanmean(steps[~first]))),
    )


def _mean_colors(
    colored: UInt8[np.ndarray, "t h w 3"], parts: Int8[np.ndarray, "t h w"]
) -> Float64[np.ndarray, "t k 3"]:
    """Of each part in each frame; nan where it hardly shows."""
    count = int(parts.max()) + 1
    found = np.full((len(parts), count, 3), np.nan)
    for t, part in np.ndindex(len(parts), count):
        own = parts[t] == part
        if own.sum() >= LEAST:
            found[t, part] = colored[t][own].mean(axis=0)
    return found


def drift_scores(rows: Sequence[DriftRow]) -> list[Score]:
    """In levels; the colours of small neighbouring parts are 27 to 29 levels apart (sp4d.md 1.5)."""

    def mean(name: str) -> float:
        return float(np.nanmean([getattr(row, name) for row in rows]))

    return [
        Score("drift", "part colours, last frame against the first", mean("last"), 13, False, "levels"),
        Score("drift", "the same within the first window", mean("within"), 13, False, "levels"),
        Score("drift", "from frame to frame where windows meet", mean("jump"), 13, False, "levels"),
        Score("drift", "from frame to frame elsewhere", mean("step"), 13, False, "levels"),
    ]
