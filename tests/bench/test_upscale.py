"""The table of upscaling: every way has a row, and blur is no consistency."""

from dataclasses import dataclass

import pytest
import torch

from diorama.bench import upscale
from diorama.bench.upscale import Cubic, upscale_rows, upscale_table
from diorama.diffusion.upscaler import Neighbour
from diorama.errors import UsageError


@dataclass(frozen=True)
class Grey:
    """Says the same of everything: pictures that agree wholly, and are wrong."""

    factor: int = 2

    def __call__(self, frame: torch.Tensor, before: Neighbour | None, beside: Neighbour | None) -> torch.Tensor:
        return torch.full((len(frame), 3, 2 * frame.shape[2], 2 * frame.shape[3]), 0.5)


def test_rows_of_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "SIZE", 64)
    rows = {row.name: row for row in upscale_rows(1, upscaler=Cubic(), frames=2)}
    cubic, alone = (rows[name] for name in ("bicubic", "each picture alone"))
    assert 15 < cubic.left < 60
    assert 15 < cubic.eyes < 80
    assert 15 < cubic.steady < 80
    assert (alone.left, alone.right, alone.eyes) == (cubic.left, cubic.right, cubic.eyes)
    known = rows["after neighbours, disparity known"]
    assert known.left == cubic.left  # interpolation knows no neighbours
    assert known.eyes >= cubic.eyes  # but the right eye gets the left's pixels where they are the same
    assert len(upscale_table(list(rows.values())).splitlines()) == 2 + len(rows)


def test_grey_is_not_taken_for_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "SIZE", 64)
    rows = {row.name: row for row in upscale_rows(1, upscaler=Grey(), frames=2)}
    for grey, cubic in ((row, rows["bicubic"]) for name, row in rows.items() if name != "bicubic"):
        assert grey.left < cubic.left - 10
        assert grey.eyes < cubic.eyes + 2  # where pictures are compared, not their errors, it is infinite
        assert grey.steady < cubic.steady + 2


def test_too_little_to_measure_is_told() -> None:
    for count, frames in ((0, 4), (1, 1)):
        with pytest.raises(UsageError):
            upscale_rows(count, frames=frames)
