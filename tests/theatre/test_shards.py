"""Shards: same seeds same bytes, resumable, whole or absent, and hostile ones refused."""

from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DamagedMediaError, UsageError
from diorama.theatre.shards import Sample, ShardPlan, read_shard, write_shards

RECIPE = {"seed": 1}


def make(number: int) -> Sample:
    rng = np.random.default_rng(number)
    return Sample({"image": rng.integers(0, 255, (4, 5, 3)).astype(np.uint8)}, {"number": number, "tags": ["walk"]})


def stopping(number: int) -> Sample:
    if number == 5:
        raise KeyboardInterrupt
    return make(number)


def test_samples_come_back(tmp_path: Path) -> None:
    paths = write_shards(ShardPlan(tmp_path, "set", 7, 3), make, recipe=RECIPE)
    found = [item for path in paths for item in read_shard(path)]
    assert [path.name for path in paths] == ["set-00000.tar", "set-00001.tar", "set-00002.tar"]
    assert [key for key, _ in found] == [f"{i:06d}" for i in range(7)]
    for i, (_, sample) in enumerate(found):
        assert np.array_equal(sample.arrays["image"], make(i).arrays["image"])
        assert sample.note == {"number": i, "tags": ["walk"]}


def test_same_bytes_with_any_workers_and_after_an_interruption(tmp_path: Path) -> None:
    one, two, three = (ShardPlan(tmp_path / name, "set", 7, 3) for name in "abc")
    whole = [path.read_bytes() for path in write_shards(one, make, recipe=RECIPE)]
    assert [path.read_bytes() for path in write_shards(two, make, recipe=RECIPE, workers=2)] == whole
    with pytest.raises(KeyboardInterrupt):
        write_shards(three, stopping, recipe=RECIPE)
    assert sorted(path.name for path in three.folder.iterdir()) == ["set-00000.tar", "set.json"]
    assert [path.read_bytes() for path in write_shards(three, make, recipe=RECIPE)] == whole


def test_a_set_may_grow_but_not_change(tmp_path: Path) -> None:
    write_shards(ShardPlan(tmp_path, "set", 4, 3), make, recipe=RECIPE)
    paths = write_shards(ShardPlan(tmp_path, "set", 7, 3), make, recipe=RECIPE)
    assert [len(list(read_shard(path))) for path in paths] == [3, 3, 1]
    with pytest.raises(UsageError, match="another recipe"):
        write_shards(ShardPlan(tmp_path, "set", 7, 3), make, recipe={"seed": 2})


@pytest.mark.parametrize("count", [0, -3])
def test_no_samples_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match="samples"):
        ShardPlan(tmp_path, "set", count)


def test_a_cut_or_false_shard_is_refused(tmp_path: Path) -> None:
    path = write_shards(ShardPlan(tmp_path, "set", 3, 3), make, recipe=RECIPE)[0]
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DamagedMediaError, match="shard"):
        list(read_shard(path))
    path.write_text("no tar")
    with pytest.raises(DamagedMediaError, match="shard"):
        list(read_shard(path))
