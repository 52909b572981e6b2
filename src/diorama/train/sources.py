"""Samples by number: from shards of ``diorama data``, in a new order each epoch, or from the theatre on the fly.

A shard is taken for hostile until checked: names, sizes and shapes are compared with what its bytes can hold before
memory is taken, and nothing in it is run.
"""

import io
import json
import math
import re
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped

from diorama.errors import DamagedMediaError, LimitError, UsageError
from diorama.theatre.dataset import DatasetConfig
from diorama.theatre.dataset import sample as theatre_sample
from diorama.theatre.shards import MEMBER_BYTES, Sample
from diorama.train.draws import seed_of
from diorama.train.split import HELD_OUT, Part, held_out, theatre_seed

MEMBER = re.compile(r"(\d{6,12})\.(json|npz)")
MOST_MEMBERS = 200_000
NOTE_BYTES = 10_000_000
REMEDY = "delete it and make it again"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError, IndexError),
    *(AttributeError, NotImplementedError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tarfile.TarError, tokenize.TokenError),
)


@runtime_checkable
class Source(Protocol):
    """Samples by number, the same every time; picklable."""

    def sample(self, number: int, arrays: Collection[str] | None = None) -> Sample:
        """The sample of a number from 0 on, without end; with some of its arrays, or all."""
        ...


@dataclass(frozen=True)
class Theatre:
    """Clips rendered when they are asked for.

    Attributes:
        config: what they are like; its seed is that of the part.
    """

    config: DatasetConfig

    def sample(self, number: int, arrays: Collection[str] | None = None) -> Sample:
        """A clip; each number has its own."""
        return _chosen(theatre_sample(self.config, number), arrays)


@dataclass(frozen=True)
class Place:
    """Where a sample lies: bytes of its arrays and its note in a shard."""

    shard: Path
    key: str
    arrays: tuple[int, int]
    note: tuple[int, int] | None = None


@dataclass(frozen=True)
class Shards:
    """Samples of a folder of shards, read where they lie.

    Attributes:
        places: of the samples.
        seed: of their order, which is another in each epoch; None: as they lie.
    """

    places: tuple[Place, ...]
    seed: int | None = None

    def __len__(self) -> int:
        """How many samples."""
        return len(self.places)

    def index(self, number: int) -> int:
        """The place of a number; all are met once before one comes again."""
        epoch, within = divmod(number, len(self.places))
        return within if self.seed is None else _order(self.seed, epoch, len(self.places))[within]

    def sample(self, number: int, arrays: Collection[str] | None = None) -> Sample:
        """The sample of a number.

        Raises:
            DamagedMediaError: it is not what `diorama data` writes.
            UsageError: it lacks one of the arrays.
        """
        return read_sample(self.places[self.index(number)], arrays)


def open_shards(folder: Path, *, part: Part = "all", seed: int | None = None, share: float = HELD_OUT) -> Shards:
    """Find the samples of a folder.

    Args:
        folder: of shards.
        part: which samples; see `diorama.train.split`.
        seed: of the order.
        share: held out.

    Raises:
        UsageError: no folder, no shards, or none of that part.
        DamagedMediaError: a shard that is cut short or no shard.
    """
    paths = sorted(folder.glob("*-[0-9][0-9][0-9][0-9][0-9].tar")) if folder.is_dir() else []
    if not paths:
        raise UsageError("no shards in the folder", folder, "make some: diorama data theatre -o DIR")
    places = [place for path in paths for place in _places(path)]
    chosen = [p for p in places if part == "all" or held_out(f"{p.shard.name}/{p.key}", share) == (part == "held-out")]
    if not chosen:
        raise UsageError(f"{len(places)} samples, none of the part {part!r}", folder, "make more samples")
    return Shards(tuple(chosen), seed)


def source_of(folder: str, config: DatasetConfig, *, part: Part, seed: int) -> Source:
    """Shards where a folder is named, else the theatre on the fly."""
    if folder:
        return open_shards(Path(folder), part=part, seed=seed)
    return Theatre(replace(config, seed=theatre_seed(seed, part)))


def _places(path: Path) -> Sequence[Place]:
    """The samples of a shard, from the headers of its members."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for count, member in enumerate(tar):
                name = MEMBER.fullmatch(member.name)
                if not member.isfile() or not name or member.issparse():
                    raise DamagedMediaError(f"a member {member.name[:80]!r}, which is none of ours", path, REMEDY)
                if count >= MOST_MEMBERS or member.size > MEMBER_BYTES:
                    raise LimitError(f"{count + 1} members, the last of {member.size} bytes", path, REMEDY)
                if member.offset_data + member.size > size:
                    raise DamagedMediaError("it is cut short", path, REMEDY)
                if name[2] in found.setdefault(name[1], {}):
                    raise DamagedMediaError(f"{member.name} is there twice", path, REMEDY)
                found[name[1]][name[2]] = (member.offset_data, member.size)
    except _BROKEN as error:
        raise DamagedMediaError(f"no whole shard: {error}", path, REMEDY) from error
    return [Place(path, key, parts["npz"], parts.get("json")) for key, parts in found.items() if "npz" in parts]


def read_sample(place: Place, arrays: Collection[str] | None = None) -> Sample:
    """Read a sample where it lies; raises as `Shards.sample`."""
    where = f"{place.shard}: {place.key}"
    try:
        with place.shard.open("rb") as file:
            packed = _read(file, place.arrays, MEMBER_BYTES)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
            names = list(sizes) if arrays is None else list(arrays)
            lacking = sorted(set(names) - set(sizes))
            if lacking:
                known = ", ".join(sorted(sizes))
                raise UsageError(f"no array {lacking[0]!r}; there are {known}", where, "make another set: diorama data")
            if sum(sizes[name] for name in names) > MEMBER_BYTES:
                raise LimitError(f"arrays of more than {MEMBER_BYTES / 1e9:g} GB", where, REMEDY)
            values = {name: _array(archive.read(f"{name}.npy")) for name in names}
    except _BROKEN as error:
        raise DamagedMediaError(f"a damaged sample ({error})", where, REMEDY) from error
    return Sample(values, read_note(place))


def read_note(place: Place) -> dict[str, Any]:
    """The note of a sample alone; empty where it has none; raises as `Shards.sample`."""
    where = f"{place.shard}: {place.key}"
    try:
        with place.shard.open("rb") as file:
            facts: Any = json.loads(_read(file, place.note, NOTE_BYTES) if place.note else b"{}")
    except _BROKEN as error:
        raise DamagedMediaError(f"a damaged sample ({error})", where, REMEDY) from error
    if not isinstance(facts, dict):
        raise DamagedMediaError("a note that is no JSON object", where, REMEDY)
    return facts


def _read(file: io.BufferedReader, span: tuple[int, int], most: int) -> bytes:
    if span[1] > most:
        raise ValueError(f"{span[1]} bytes")
    file.seek(span[0])
    data = file.read(span[1])
    if len(data) != span[1]:
        raise EOFError("cut short")
    return data


def _array(data: bytes) -> Shaped[np.ndarray, "..."]:
    """An NPY file; its header must describe exactly the bytes that follow."""
    file = io.BytesIO(data)
    shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    if dtype.hasobject or dtype.kind not in "buif":
        raise ValueError(f"an array of {dtype}")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"shape {shape} does not fit {len(data)} bytes")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed_of("order", seed, epoch))
    return tuple(torch.randperm(count, generator=generator).tolist())


def _chosen(sample: Sample, arrays: Collection[str] | None) -> Sample:
    if arrays is None:
        return sample
    return replace(sample, arrays={name: sample.arrays[name] for name in arrays})
