"""One way to print results: what was measured, what was wanted, whether it is reached."""

from collections.abc import Iterable, Mapping


def markdown(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows of {figure, measured, goal, ok, note} as a Markdown table."""
    lines = ["| figure | measured | goal | reached | note |", "|---|---|---|---|---|"]
    for row in rows:
        ok = row.get("ok")
        reached = "" if ok is None else ("yes" if ok else "**no**")
        fields = (row["figure"], row["measured"], row.get("goal", ""), reached, row.get("note", ""))
        lines.append("| " + " | ".join(str(field) for field in fields) + " |")
    return "\n".join(lines)


def show(rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows as a table."""
    print(markdown(rows))
