"""Maps that wait on disk: kept to the last code, removed when the film has moved on, and never without room."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from diorama.errors import LimitError
from diorama.perception.chunks import BEHIND, MINUTE, Chunk, Shelf

CHUNK = 8


def test_codes_on_disk_keep_any_range_to_a_65535th(tmp_path: Path) -> None:
    maps = (
        np.random.default_rng(0).random((3, 5, 7), np.float32) * np.array([1e-4, 1.0, 1e6], np.float32)[:, None, None]
    )
    chunk = Chunk.write(tmp_path / "c.npz", maps)
    back = np.stack(list(chunk.scaled(0.0, 1e6))) * 1e6
    assert (np.abs(back - maps).max(axis=(1, 2)) <= np.array([1e-2, 1e-2, 16])).all()
    flat = Chunk.write(tmp_path / "f.npz", np.full((1, 5, 7), 3, np.float32))
    assert np.all(next(flat.scaled(3.0, 3.0)) == 0.5)


def test_maps_of_shots_long_past_are_removed_and_the_last_ones_kept(tmp_path: Path) -> None:
    """A resumed run begins with the shot in which its last piece ended, so `BEHIND` frames stay."""
    shelf = Shelf(tmp_path / "work")

    def shot(number: int, frames: int) -> None:
        shelf.begin()
        keys = [f"{number}-{start}" for start in range(0, frames, CHUNK)]
        shelf.end([shelf.store(key, np.ones((CHUNK, 2, 3), np.float32)) for key in keys])

    def left() -> set[int]:
        return {int(path.stem.split("-")[1]) for path in (tmp_path / "work").iterdir()}

    for number in range(3):
        shot(number, BEHIND // 2)
    assert left() == {0, 1, 2}  # the third has begun, and nothing was removed before
    shot(3, BEHIND)
    assert left() == {1, 2, 3}
    shot(4, CHUNK)
    assert left() == {3, 4}
    shelf.begin()
    assert left() == {3, 4}


def test_a_shot_does_not_begin_without_room_for_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, maps = Shelf(tmp_path), np.ones((CHUNK, 100, 100), np.float32)
    minute = MINUTE * 100 * 100 * 2
    free = [minute, minute - 1, 2 * maps.size, minute - 1]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free.pop(0)))
    shelf.begin()
    shelf.store("a", maps)
    shelf.store("b", maps)
    shelf.store("c", maps)
    shelf.begin()
    with pytest.raises(LimitError, match=r"the next minute needs 0\.04 GB"):
        shelf.store("d", maps)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["depth-a", "depth-b", "depth-c"]
