"""The table of upscaling: the truth is exact, interpolation is not, and every way has a row."""

import math

import pytest

from diorama.bench import upscale
from diorama.bench.upscale import Cubic, upscale_rows, upscale_table
from diorama.errors import UsageError


def test_rows_of_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "SIZE", 64)
    rows = {row.name: row for row in upscale_rows(1, upscaler=Cubic(), frames=2)}
    truth, cubic, alone = (rows[name] for name in ("(the truth)", "bicubic", "each picture alone"))
    assert math.isinf(truth.left)
    assert math.isinf(truth.right)
    assert 15 < cubic.left < 60
    assert 15 < cubic.eyes < 80
    assert 15 < cubic.steady < 80
    assert (alone.left, alone.right, alone.eyes) == (cubic.left, cubic.right, cubic.eyes)
    known = rows["after neighbours, disparity known"]
    assert known.left == cubic.left  # interpolation knows no neighbours
    assert known.eyes >= cubic.eyes  # but the right eye gets the left's pixels where they are the same
    assert len(upscale_table(list(rows.values())).splitlines()) == 2 + len(rows)


def test_too_little_to_measure_is_told() -> None:
    for count, frames in ((0, 4), (1, 1)):
        with pytest.raises(UsageError):
            upscale_rows(count, frames=frames)
