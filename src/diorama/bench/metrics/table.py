"""Tables of methods by metrics, over all clips and for each tag, as Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from diorama.bench.metrics.columns import COLUMNS, Column
from diorama.bench.metrics.frechet import Frechet, compare
from diorama.bench.metrics.suite import ClipScores
from diorama.errors import UsageError

ALL = "all"
"""Name of the table over all clips."""


@dataclass(frozen=True)
class Cell:
    """A metric of a method.

    Attributes:
        mean: over clips; of FVD the distance itself.
        spread: standard deviation over clips (of samples); None with one clip, and for FVD.
        count: clips that have the metric; of FVD the samples on the side with fewer.
        few: FVD with no more samples than features.
    """

    mean: float
    spread: float | None
    count: int
    few: bool = False


@dataclass(frozen=True)
class Table:
    """Methods by metrics over the clips of a tag.

    Attributes:
        tag: of the clips, or `ALL`.
        clips: how many.
        columns: in order.
        rows: cells by the key of a column, by method, in order; what was not measured is absent.
        notes: what a reader must know of the networks.
    """

    tag: str
    clips: int
    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[str, Cell]]
    notes: tuple[str, ...]


def tables(scores: Sequence[ClipScores], columns: tuple[Column, ...] = COLUMNS) -> list[Table]:
    """A table over all clips, then one for each tag by name; methods in the order of their first clip.

    Raises:
        UsageError: no scores, a clip twice for a method, methods on different clips, or measured by different networks.
    """
    _check(scores)
    tags = sorted({tag for score in scores for tag in score.tags})
    chosen = {ALL: list(scores)} | {tag: [score for score in scores if tag in score.tags] for tag in tags if tag != ALL}
    return [_table(tag, some, columns) for tag, some in chosen.items()]


def markdown(table: Table) -> str:
    """A heading, the table (the best of a column in bold), and its notes."""
    shown = [column for column in table.columns if any(column.key in row for row in table.rows.values())]
    titles = [f"{column.title}{column.times} {'↑' if column.larger else '↓'}" for column in shown]
    lines = [
        f"**{table.tag}** ({table.clips} clips)",
        "",
        f"| method | {' | '.join(titles)} |",
        "|---" * (len(shown) + 1) + "|",
        *(
            f"| {_plain(method)} | {' | '.join(_text(row.get(c.key), c, _best(table, c)) for c in shown)} |"
            for method, row in table.rows.items()
        ),
        "",
        *(f"* {note}" for note in table.notes),
    ]
    return "\n".join(lines)


def as_json(some: Sequence[Table]) -> str:
    """Tables as a JSON list."""
    return json.dumps([asdict(table) for table in some], indent=1, allow_nan=False)


def _check(scores: Sequence[ClipScores]) -> None:
    if not scores:
        raise UsageError("no scores", "scores", "measure a clip first")
    clips: dict[str, list[str]] = {}
    for score in scores:
        clips.setdefault(score.method, []).append(score.clip)
    first = next(iter(clips))
    for method, names in clips.items():
        if len(set(names)) != len(names):
            raise UsageError(f"a clip that occurs twice for {method}", "scores", "give each clip once")
        if set(names) != set(clips[first]):
            other = sorted(set(names) ^ set(clips[first]))
            what = f"{method} and {first} were measured on different clips ({', '.join(other[:3])})"
            raise UsageError(what, "scores", "measure every method on the same clips")
    for used in ({score.lpips_by for score in scores}, {score.fvd_by for score in scores}):
        if len(used) > 1:
            named = ", ".join(sorted(map(str, used))[:2])
            raise UsageError(f"scores of different networks ({named})", "scores", "do not mix them in a table")


def _table(tag: str, scores: list[ClipScores], columns: tuple[Column, ...]) -> Table:
    methods: dict[str, list[ClipScores]] = {}
    for score in scores:
        methods.setdefault(score.method, []).append(score)
    distances = {method: _fvd(some) for method, some in methods.items()}
    rows = {method: _row(some, columns, distances[method]) for method, some in methods.items()}
    seen = scores[0].lpips_by
    named = tuple(replace(c, title=_titled(c, scores[0])) for c in columns)
    known = [found for found in distances.values() if found]
    about = [f"FVD: {known[0].terms}."] if known else []
    means = "Mean ± standard deviation over clips; FVD is one number over all clips of a row."
    return Table(tag, len(next(iter(methods.values()))), named, rows, (means, f"LPIPS: {seen}.", *about))


def _titled(column: Column, score: ClipScores) -> str:
    """The title with the short name of the network."""
    used = {"lpips": score.lpips_by, "fvd": score.fvd_by[0]}.get(column.key.split("_")[0])
    return f"{column.title.split(' [')[0]} [{used.split(' ')[0]}]" if used else column.title


def _fvd(scores: list[ClipScores]) -> Frechet | None:
    made, true = (np.concatenate([score.features[side] for score in scores]) for side in (0, 1))
    if min(len(made), len(true)) < 2:
        return None
    name, frames, stride = scores[0].fvd_by
    return compare(made, true, by=name, frames=frames, stride=stride)


def _row(scores: list[ClipScores], columns: tuple[Column, ...], found: Frechet | None) -> dict[str, Cell]:
    row = {}
    for column in columns:
        values = [score.values[column.key] for score in scores if column.key in score.values]
        if column.key == "fvd" and found:
            row[column.key] = Cell(found.value, None, found.samples, found.few)
        elif values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            row[column.key] = Cell(float(np.mean(values)), spread, len(values))
    return row


def _best(table: Table, column: Column) -> float | None:
    means = [row[column.key].mean for row in table.rows.values() if column.key in row]
    return (max if column.larger else min)(means) if len(means) > 1 else None


def _text(cell: Cell | None, column: Column, best: float | None) -> str:
    if cell is None:
        return "–"
    mean = f"{cell.mean * column.scale:.{column.digits}f}"
    value = f"**{mean}**" if cell.mean == best else mean
    spread = "" if cell.spread is None else f" ± {cell.spread * column.scale:.{column.digits}f}"
    return value + spread + (" (few)" if cell.few else "")


def _plain(text: str) -> str:
    """A name that cannot end a cell."""
    return " ".join(text.split()).replace("|", "/")
