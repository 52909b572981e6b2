"""The gallery: every recipe before and after, on one page, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from diorama.pipelines.page import Media, grid, write_page


@dataclass(frozen=True)
class Row:
    """One recipe on one clip.

    Attributes:
        title: the recipe and the clip.
        caption: what to look for.
        before: the clip that was given.
        after: what was made of it.
        command: the command line that makes it again.
    """

    title: str
    caption: str
    before: Media
    after: Sequence[Media]
    command: str = ""


def write_gallery(path: Path, rows: Sequence[Row], *, title: str = "Diorama gallery") -> None:
    """Write all rows as one HTML file that needs no other; atomic.

    Raises:
        UsageError: the folder is missing or not writable.
    """
    head = f"<header><h1>{escape(title)}</h1><p class='faint'>{len(rows)} results, before and after</p></header>"
    write_page(path, title, head + "".join(_row(row) for row in rows))


def _row(row: Row) -> str:
    command = f"<p><code>{escape(row.command)}</code></p>" if row.command else ""
    return (
        f"<section><h2>{escape(row.title)}</h2><p class='faint'>{escape(row.caption)}</p>{command}"
        f"{grid([row.before, *row.after])}</section>"
    )
