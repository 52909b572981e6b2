"""Samples by number from shards that may be anything, and latents from a cache that may be damaged."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from diorama.errors import DamagedMediaError, DioramaError, ModelError, UsageError
from diorama.theatre.dataset import DatasetConfig
from diorama.theatre.shards import Sample, ShardPlan, write_shards
from diorama.train import sources
from diorama.train.latents import LatentCache, fingerprint
from diorama.train.sources import open_shards, source_of


def make(number: int) -> Sample:
    image = np.full((2, 4, 4, 3), number, np.uint8)
    return Sample({"image": image, "depth": np.ones((2, 4, 4), np.float16)}, {"number": number})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(ShardPlan(tmp_path / "set", "person", 20, 4), make, recipe={"a": 1})
    return tmp_path / "set"


def test_samples_are_what_was_written(folder: Path) -> None:
    shards = open_shards(folder)
    assert len(shards) == 20
    for number in (0, 7, 19, 20):
        sample = shards.sample(number, ["image"])
        assert set(sample.arrays) == {"image"}
        assert sample.note == {"number": number % 20}
        assert np.array_equal(sample.arrays["image"], make(number % 20).arrays["image"])
    assert set(shards.sample(3).arrays) == {"image", "depth"}


def test_each_epoch_has_all_samples_in_an_order_of_its_own(folder: Path) -> None:
    shards = open_shards(folder, seed=1)
    epochs = [[shards.index(n) for n in range(e * 20, e * 20 + 20)] for e in range(3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[1] == [open_shards(folder, seed=1).index(n) for n in range(20, 40)]


def test_parts_share_no_sample_and_miss_none(folder: Path) -> None:
    parts: list[Any] = [open_shards(folder, part=part, share=0.3) for part in ("train", "held-out", "all")]
    keys = [{(place.shard.name, place.key) for place in part.places} for part in parts]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == keys[2]
    assert keys[1]
    with pytest.raises(UsageError, match="none of the part 'held-out'"):
        open_shards(folder, part="held-out", share=0.0)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError, match="no shards"):
            open_shards(path)


def test_a_missing_array_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="no array 'flow'; there are depth, image"):
        open_shards(folder).sample(0, ["flow"])


def shard(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "person-00000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return folder


def npz(**arrays: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "image",
    [
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,)}", b"x"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 4)}", b"1234"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\x04N."),
        npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}", b"0" * 16),
        npy("__import__('os').abort()"),
        b"not an array",
    ],
)
def test_hostile_arrays_are_refused(tmp_path: Path, image: bytes) -> None:
    shards = open_shards(shard(tmp_path / "set", {"000000.npz": npz(image=image)}))
    with pytest.raises(DamagedMediaError, match="damaged sample"):
        shards.sample(0)


@pytest.mark.parametrize(
    "members",
    [
        {"../../etc/passwd": b"x"},
        {"000000.npz": b"x", "000000.exe": b"x"},
        {"/000000.npz": b"x"},
    ],
)
def test_members_with_other_names_are_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(DamagedMediaError, match="none of ours"):
        open_shards(shard(tmp_path / "set", members))


def test_damage_anywhere_is_one_error(folder: Path, tmp_path: Path) -> None:
    good = (folder / "person-00000.tar").read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad"
    bad.mkdir()
    for round_ in range(40):
        data = bytearray(good[: int(rng.integers(len(good))) if round_ % 2 else None])
        for at in rng.integers(len(data), size=8) if data else []:
            data[at] = int(rng.integers(256))
        (bad / "person-00000.tar").write_bytes(data)
        try:
            shards = open_shards(bad)
            for number in range(len(shards)):
                shards.sample(number)
        except DioramaError:
            continue


def test_clips_on_the_fly_are_of_their_part_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def render(config: DatasetConfig, number: int) -> Sample:
        asked.append((config.seed, number))
        return make(number)

    monkeypatch.setattr(sources, "theatre_sample", render)
    config = DatasetConfig("person", 16, 2, 12.0)
    train, held = (source_of("", config, part=part, seed=3) for part in ("train", "held-out"))
    assert set(train.sample(5, ["image"]).arrays) == {"image"}
    assert set(held.sample(5).arrays) == {"image", "depth"}
    assert [number for _, number in asked] == [5, 5]
    assert asked[0] != asked[1]


def test_latents_are_made_once(tmp_path: Path) -> None:
    cache, made = LatentCache(tmp_path, "codec"), []

    def encode() -> torch.Tensor:
        made.append(1)
        return torch.full((2, 3), 1 / 3)

    first, second = cache.get("a", encode), cache.get("a", encode)
    assert torch.equal(first, second)
    assert first.dtype == torch.float16
    assert len(made) == 1
    LatentCache(tmp_path, "other").get("a", encode)
    assert len(made) == 2
    path = cache.path("a")
    path.write_bytes(path.read_bytes()[:-3])
    assert torch.equal(cache.get("a", encode), first)
    assert len(made) == 3
    with pytest.raises(ModelError, match="not finite"):
        cache.get("b", lambda: torch.tensor([1e9]))


def test_a_cache_is_filled_with_what_it_lacks(tmp_path: Path) -> None:
    cache, asked = LatentCache(tmp_path, "codec"), []

    def encode(names: Any) -> list[torch.Tensor]:
        asked.append(list(names))
        return [torch.full((2,), float(name)) for name in names]

    assert cache.fill(["1", "2", "3"], encode, batch=2) == 3
    assert cache.fill(["2", "3", "4"], encode, batch=2) == 1
    assert asked == [["1", "2"], ["3"], ["4"]]
    assert cache.get("4", lambda: torch.zeros(2)).tolist() == [4, 4]


def test_a_fingerprint_is_of_the_content() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(second)
    with torch.no_grad():
        second.bias[0] += 1e-6
    assert fingerprint(first) != fingerprint(second)
