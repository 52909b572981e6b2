"""Training samples in tar shards: written whole or not at all, resumable, the same bytes for the same seeds.

A sample is a set of arrays and a JSON note, stored as ``000123.npz`` and ``000123.json``. Pictures are stored as
arrays, compressed: reading needs numpy only.
"""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from diorama.core.interrupts import deaf
from diorama.core.parallel import one_thread
from diorama.core.progress import Progress, Silent
from diorama.errors import DamagedMediaError, LimitError, UsageError
from diorama.media.atomic import atomic_path

MEMBER_BYTES = 2_000_000_000
"""The largest array or member that is read."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One clip or object.

    Attributes:
        arrays: by name.
        note: facts as JSON: tags, names, units.
    """

    arrays: dict[str, np.ndarray]
    note: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardPlan:
    """Which samples go where.

    Attributes:
        folder: of the shards.
        name: what they are called: ``<name>-00003.tar``.
        count: samples in all.
        per_shard: samples in a shard.
    """

    folder: Path
    name: str
    count: int
    per_shard: int = 32

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_shard < 1:
            raise UsageError(f"{self.count} samples", "-n", "give 1 or more")

    @property
    def shards(self) -> int:
        """How many files there will be."""
        return -(-self.count // self.per_shard)

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{self.name}-{shard:05d}.tar"

    def numbers(self, shard: int) -> range:
        """The samples of a shard."""
        return range(shard * self.per_shard, min((shard + 1) * self.per_shard, self.count))


def write_shards(
    plan: ShardPlan,
    make: Callable[[int], Sample],
    *,
    recipe: dict[str, Any],
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Write what is missing of a set of shards.

    Args:
        plan: what goes where.
        make: the sample of a number; picklable for several workers, and a function of the number alone.
        recipe: what was asked for, kept beside the shards; a folder made by another recipe is refused.
        workers: processes.
        progress: told of each sample.

    Raises:
        UsageError: the folder holds shards of another recipe.
        LimitError: the disk is full.
    """
    progress = progress or Silent()
    plan.folder.mkdir(parents=True, exist_ok=True)
    _same_recipe(plan, recipe)
    _remove_partials(plan)
    missing = [shard for shard in range(plan.shards) if not plan.path(shard).exists()]
    progress.begin("samples", plan.count)
    progress.advance(plan.count - sum(len(plan.numbers(shard)) for shard in missing))
    if workers <= 1:
        for shard in missing:
            _write_shard(plan, shard, make, progress)
    else:
        _write_together(plan, missing, make, workers, progress)
    return [plan.path(shard) for shard in range(plan.shards)]


def _write_together(
    plan: ShardPlan, shards: list[int], make: Callable[[int], Sample], workers: int, progress: Progress
) -> None:
    """Shards made side by side; Ctrl-C ends the processes at once and without a word of theirs."""
    others = set(active_children())
    # Fresh processes: threads of torch and numba do not survive a fork.
    pool = ProcessPoolExecutor(min(workers, len(shards)), get_context("spawn"))
    try:
        with deaf(), one_thread():  # inherited by the processes, which start at the first job
            jobs = {pool.submit(_write_shard, plan, shard, make, None): shard for shard in shards}
        for job in as_completed(jobs):
            job.result()
            progress.advance(len(plan.numbers(jobs[job])))
    except BaseException:
        for child in set(active_children()) - others:
            child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        _remove_partials(plan)
        raise
    pool.shutdown()


def _remove_partials(plan: ShardPlan) -> None:
    """What processes left that were ended in the middle of a shard."""
    if os.name == "nt":  # os.kill(pid, 0) is not a question there
        return
    for path in plan.folder.glob(f".{plan.name}-*.tar.partial-*"):
        try:
            os.kill(int(path.name.rpartition("-")[2]), 0)
        except (ProcessLookupError, ValueError):
            path.unlink(missing_ok=True)
        except OSError:  # somebody else's process
            continue


def read_shard(path: Path | str) -> Iterator[tuple[str, Sample]]:
    """The samples of a shard with their keys, in order.

    Raises:
        DamagedMediaError: no shard, cut short, or a sample without its arrays.
        LimitError: a member too large to be one of ours.
    """
    path = Path(path)
    try:
        _check_end(path)
        with tarfile.open(path, "r:") as tar:
            notes: dict[str, dict[str, Any]] = {}
            for member in tar:
                key, _, kind = member.name.partition(".")
                if not member.isfile() or kind not in ("json", "npz"):
                    continue
                if member.size > MEMBER_BYTES:
                    raise LimitError(f"a member of {member.size} bytes", f"{path.name}: {member.name}")
                file = tar.extractfile(member)
                assert file is not None
                if kind == "json":
                    notes[key] = json.loads(file.read())
                else:
                    yield key, Sample(_unpacked(file.read()), notes.pop(key, {}))
    except (tarfile.TarError, ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DamagedMediaError(f"no whole shard: {error}", path, "delete it and make it again") from error


def _check_end(path: Path) -> None:
    """A whole tar file ends with two empty blocks; `tarfile` does not miss them."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1024, 0))
        if size < 1024 or file.read().strip(b"\0"):
            raise DamagedMediaError("no whole shard: it is cut short", path, "delete it and make it again")


def _write_shard(plan: ShardPlan, shard: int, make: Callable[[int], Sample], progress: Progress | None) -> None:
    with atomic_path(plan.path(shard)) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in plan.numbers(shard):
            sample = make(number)
            _add(tar, f"{number:06d}.json", json.dumps(sample.note, sort_keys=True).encode())
            _add(tar, f"{number:06d}.npz", _packed(sample.arrays))
            if progress is not None:
                progress.advance()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its date is 0, its owner nobody: the bytes depend on the data only
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz archive; numpy's own carries no dates either, but compresses six times as slowly as level 1."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data.getvalue(), zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()


def _unpacked(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        total = sum(info.file_size for info in archive.infolist())
        if total > MEMBER_BYTES:
            raise LimitError(f"arrays of {total} bytes", "a sample of a shard")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _same_recipe(plan: ShardPlan, recipe: dict[str, Any]) -> None:
    """Refuse to mix two recipes in one folder; the count may grow as long as whole shards stay what they are."""
    path = plan.folder / f"{plan.name}.json"
    wanted = json.dumps({**recipe, "per_shard": plan.per_shard}, sort_keys=True, indent=1)
    if not path.exists() or not any(plan.path(shard).exists() for shard in range(plan.shards)):
        with atomic_path(path) as partial:  # a run that was stopped before its first shard binds nobody
            partial.write_text(wanted)
    elif path.read_text(errors="replace") != wanted:
        raise UsageError(
            "the folder holds shards of another recipe, seed or size",
            path,
            "choose an empty folder, or the same options; see the file for them",
        )
    for shard in range(plan.shards):
        # The short last shard of a smaller set, or a broken one, is made again.
        if plan.path(shard).exists() and _samples_in(plan.path(shard)) != len(plan.numbers(shard)):
            plan.path(shard).unlink()


def _samples_in(path: Path) -> int:
    try:
        _check_end(path)
        with tarfile.open(path, "r:") as tar:
            return sum(name.endswith(".npz") for name in tar.getnames())
    except (tarfile.TarError, DamagedMediaError):
        return -1
