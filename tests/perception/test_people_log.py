"""Masks on disk come back, and what is not a log is refused."""

from pathlib import Path

import numpy as np
import pytest

from diorama.core.person import PersonFrame
from diorama.errors import DamagedMediaError
from diorama.perception.people_detect import Region
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_log import MaskLog, read_masks
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_pose import Pose


def sighting(number: int, seed: int) -> Sighting:
    values = np.random.default_rng(seed).random((8, 6)).astype(np.float32)
    mask = SoftMask(values, np.array([[2.0, 0, seed], [0, 2, 1]]))
    person = PersonFrame(np.array([0, 0, 5, 9], np.float32), 1.0, np.zeros((33, 3), np.float32))
    return Sighting(number, Pose(person, mask, Region(0.0, 0.0, 8.0), np.zeros(192, np.float32)))


def write(path: Path) -> list[PeopleFrame]:
    frames = [
        PeopleFrame(0, 0, (sighting(1, 1), sighting(3, 2))),
        PeopleFrame(1, 0),
        PeopleFrame(4, 1, (sighting(3, 5),)),
    ]
    with MaskLog(path) as log:
        for frame in frames:
            log.write(frame)
    return frames


def test_masks_come_back(tmp_path: Path) -> None:
    frames = write(tmp_path / "masks.log")
    found = dict(read_masks(tmp_path / "masks.log"))
    assert sorted(found) == [0, 4]  # nobody is in the second frame
    assert sorted(found[0]) == [1, 3]
    for frame in frames:
        for one in frame.people:
            kept = found[frame.index][one.number]
            assert np.abs(kept.values - one.mask.values).max() < 0.5 / 255 + 1e-6
            assert np.array_equal(kept.to_frame, one.mask.to_frame)


@pytest.mark.parametrize("cut", [10, 60, 80])
def test_a_log_that_ends_early_is_refused(cut: int, tmp_path: Path) -> None:
    write(tmp_path / "masks.log")
    whole = (tmp_path / "masks.log").read_bytes()
    (tmp_path / "cut.log").write_bytes(whole[:cut])
    with pytest.raises(DamagedMediaError):
        list(read_masks(tmp_path / "cut.log"))


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "masks.log")
    data = bytearray((tmp_path / "masks.log").read_bytes())
    data[8] = 9  # rows
    (tmp_path / "bad.log").write_bytes(data)
    with pytest.raises(DamagedMediaError, match="another size"):
        list(read_masks(tmp_path / "bad.log"))
