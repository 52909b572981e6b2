"""The table of stereo engines: means over clips, of all and of each kind, as Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diorama.bench.metrics.columns import Column
from diorama.bench.metrics.frechet import compare

ALL = "all clips"
NO_WEIGHTS = "no weights"
COLUMNS = (
    Column("psnr_never", "PSNR never seen dB", 2, True),
    Column("psnr_holes", "PSNR holes dB", 2, True),
    Column("psnr_sides", "PSNR beyond the side dB", 2, True),
    Column("psnr", "PSNR dB", 2, True),
    Column("lpips_holes", "LPIPS holes", 4, False),
    Column("flicker_never", "flicker never seen", 2, False),
    Column("flicker_holes", "flicker holes", 2, False),
    Column("flicker", "flicker", 2, False),
    Column("eyes", "left-right", 2, True),
    Column("aesthetic", "aesthetic", 2, True),
    Column("fvd", "FVD", 1, False),
    Column("seconds", "s", 1, False),
    Column("processor", "processor s", 1, False),
    Column("calls", "calls", 0, False),
    Column("latent_frames", "latent frames", 0, False),
    Column("megabytes", "torch MB", 0, False),
)
"""Flicker is the mean change of the error from frame to frame, in levels of 255."""
NETWORKED = ("aesthetic", "fvd")
"""Columns that need weights that no package brings."""


@dataclass(frozen=True)
class StereoScore:
    """What one row reached on one clip.

    Attributes:
        row, title: name and title of the row.
        clip, tag: of the clip.
        values: by the key of a column; what could not be measured is left out.
        features: of the made and the true film, for FVD; None without its network.
    """

    row: str
    title: str
    clip: str
    tag: str
    values: Mapping[str, float]
    features: tuple[list[list[float]], list[list[float]]] | None = None


@dataclass(frozen=True)
class StereoTable:
    """Means over the clips of a kind.

    Attributes:
        tag: the kind.
        clips: how many.
        rows: values by the key of a column, by title.
    """

    tag: str
    clips: int
    rows: Mapping[str, Mapping[str, float]]


def tables(scores: Sequence[StereoScore]) -> list[StereoTable]:
    """Of all clips, then of each kind where there are several; rows in the order of their first clip."""
    tags = sorted({score.tag for score in scores})
    groups = {ALL: list(scores)}
    if len(tags) > 1:
        groups |= {tag: [score for score in scores if score.tag == tag] for tag in tags}
    return [_table(tag, group) for tag, group in groups.items()]


def _table(tag: str, scores: Sequence[StereoScore]) -> StereoTable:
    titles = list(dict.fromkeys(score.title for score in scores))
    rows = {title: _means([score for score in scores if score.title == title]) for title in titles}
    return StereoTable(tag, len({score.clip for score in scores}), rows)


def _means(scores: Sequence[StereoScore]) -> dict[str, float]:
    """Of a row; FVD over all its clips at once, of two or more."""
    found = {}
    for column in COLUMNS:
        values = [score.values[column.key] for score in scores if column.key in score.values]
        if values:
            found[column.key] = float(np.mean(values))
    features = [score.features for score in scores if score.features is not None]
    sides = [np.array([row for pair in features for row in pair[side]]) for side in (0, 1)]
    if features and min(map(len, sides)) > 1:
        found["fvd"] = compare(sides[0], sides[1], by="", frames=0, stride=0).value
    return found


def markdown(found: Sequence[StereoTable], named: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """All tables, and what must be known of them.

    Args:
        named: the network of a column, by its key; "" where its weights are not there.
        notes: lines below.
    """
    parts = [_markdown(table, named) for table in found]
    about = [f"* {_title(key)}: {name}." for key, name in named.items() if name]
    return "\n\n".join([*parts, "\n".join([*about, *(f"* {note}" for note in notes)])]) + "\n"


def _title(key: str) -> str:
    return next(column.title for column in COLUMNS if column.key == key)


def _markdown(table: StereoTable, named: Mapping[str, str]) -> str:
    shown = [c for c in COLUMNS if any(c.key in row for row in table.rows.values()) or named.get(c.key) == ""]
    arrows = {True: "↑", False: "↓"}
    lines = [
        f"**{table.tag}** ({table.clips})",
        "",
        f"| way | {' | '.join(f'{c.title} {arrows[c.larger]}' for c in shown)} |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for title, row in table.rows.items():
        lines.append(f"| {title} | {' | '.join(_cell(row, column, named) for column in shown)} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, float], column: Column, named: Mapping[str, str]) -> str:
    if column.key in row:
        return f"{row[column.key]:.{column.digits}f}"
    return NO_WEIGHTS if column.key in NETWORKED and not named.get(column.key) else "–"


def as_csv(scores: Sequence[StereoScore]) -> str:
    """A line for each row and clip."""
    text = io.StringIO()
    keys = [column.key for column in COLUMNS if column.key != "fvd"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "clip", "tag", *keys])
    for score in scores:
        numbers = (score.values.get(key) for key in keys)
        values = ["" if value is None else f"{value:.6g}" for value in numbers]
        writer.writerow([score.row, score.clip, score.tag, *values])
    return text.getvalue()
