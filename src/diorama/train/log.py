"""Logs of a run: a CSV file always, TensorBoard where it is installed."""

import csv
import io
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diorama.core.extras import available, need
from diorama.media.atomic import write_bytes

logger = logging.getLogger(__name__)
COLUMNS = ("step", "samples", "seconds", "lr", "grad_norm", "samples_per_s", "skipped", "loss")


class Log:
    """Rows of numbers by step, in ``log.csv`` and TensorBoard; a resumed run goes on in the same file.

    Args:
        folder: of the run.
        step: rows after this one are of steps that are made again, and removed.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.path = folder / "log.csv"
        self._columns: list[str] = list(COLUMNS)
        self._rewrite([row for row in read_rows(self.path) if _step(row) <= step])
        self._board = _board(folder / "tensorboard", step)

    def row(self, values: Mapping[str, float | int]) -> None:
        """Add a row; `values` hold "step"."""
        new = [name for name in values if name not in self._columns]
        if new:
            rows = read_rows(self.path)
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([_text(values[name]) if name in values else "" for name in self._columns])
        for name, value in values.items():
            if self._board is not None and name != "step":
                self._board.add_scalar(name, value, values["step"])

    def picture(self, name: str, image: Any, step: int) -> None:
        """Show a picture ("h w 3", uint8) in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush."""
        if self._board is not None:
            self._board.close()

    def _rewrite(self, rows: Sequence[Mapping[str, str]]) -> None:
        for row in rows[:1]:
            self._columns += [name for name in row if name not in self._columns]
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, self._columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.path, buffer.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log; a last one that is cut off is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        return [row for row in csv.DictReader(file) if None not in row and None not in row.values() and _step(row) >= 0]


def _step(row: Mapping[str, str]) -> int:
    text = row.get("step", "")
    return int(text) if text.isdecimal() else -1


def _text(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.8g}"


def _board(folder: Path, step: int) -> Any:
    """A writer of TensorBoard, or None."""
    if not available("tensorboard"):
        logger.info("tensorboard is not installed: the log is log.csv alone")
        return None
    return need("torch.utils.tensorboard").SummaryWriter(str(folder), purge_step=step + 1 if step else None)


class Mean:
    """Means of named numbers over some steps."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.count = 0

    def add(self, values: Mapping[str, float]) -> None:
        """Take in a step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means, which start anew."""
        found = {name: value / self.count for name, value in self._sums.items()}
        self._sums, self.count = {}, 0
        return found


def thinned(history: Sequence[tuple[int, float]], most: int = 200) -> tuple[tuple[int, float], ...]:
    """At most `most` points of a curve, neighbours averaged in pairs until they are few enough."""
    points = [(step, loss) for step, loss in history if math.isfinite(loss)]
    while len(points) > most:
        pairs = list(zip(points[::2], points[1::2], strict=False))
        rest = points[len(pairs) * 2 :]
        points = [(second[0], (first[1] + second[1]) / 2) for first, second in pairs] + rest
    return tuple(points)
