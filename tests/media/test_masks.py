"""Maps that repeat are stored again without being coded again."""

from pathlib import Path

import numpy as np

from diorama.media import masks
from diorama.media.masks import open_maps, write_maps


def test_repeated_maps_come_back_in_order_and_their_file_is_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 256, (48, 64), dtype=np.uint8) for _ in range(2))
    maps = [one, one, one.copy(), two, np.zeros_like(one), np.zeros_like(one), one]
    size = {"height": 48, "width": 64, "bits": 8}
    assert write_maps(tmp_path / "quick.mkv", maps, **size) == 7
    with masks.MapWriter(tmp_path / "plain.mkv", **size) as writer:
        for values in maps:
            writer._last = None
            writer.write(values)
    assert (tmp_path / "quick.mkv").read_bytes() == (tmp_path / "plain.mkv").read_bytes()
    stored = open_maps(tmp_path / "quick.mkv", length=7, **size)
    for start in (0, 2, 5):
        assert all(np.array_equal(a, b) for a, b in zip(stored[start:], maps[start:], strict=True))
