"""One run per output: a lock file that names its owner, and that a crash does not leave behind for ever."""

import json
import os
import socket
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from diorama.errors import LimitError, UsageError
from diorama.media.atomic import DISK_FULL, hidden_sibling

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BIRTH_SECONDS = 5.0  # a lock file still without an owner's name after this time was left by a crash


@dataclass(frozen=True)
class _Owner:
    """Who holds a lock; `born` tells apart two processes that got the same number ("" where unknown)."""

    pid: int
    host: str
    born: str

    @classmethod
    def me(cls) -> "_Owner":
        return cls(os.getpid(), socket.gethostname(), _born(os.getpid()))

    @property
    def gone(self) -> bool:
        """Whether the process ended for certain; of another host nothing is known."""
        if self.host != socket.gethostname() or os.name == "nt":  # os.kill(pid, 0) is not a question on Windows
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        now = _born(self.pid)
        return bool(now and self.born and now != self.born)


class RunLock(AbstractContextManager["RunLock"]):
    """Held while a run works on `target`: ``.<name>.lock`` beside it, with process number and host.

    A lock whose process has ended on this host is taken over.

    Raises (on entering):
        UsageError: another process holds it; the message names it.
        LimitError: the disk is full.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = hidden_sibling(target, "lock")

    def __enter__(self) -> "RunLock":
        while not self._create():
            self._clear_stale()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(
                f"the output folder is not writable ({reason})", self.path.parent, "choose another"
            ) from error
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(vars(_Owner.me()), file)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            if error.errno in DISK_FULL:
                raise LimitError(
                    "the disk is full", self.path.parent, "free some space, or use another disk"
                ) from error
            raise
        return True

    def _clear_stale(self) -> None:
        """Remove the lock if its owner is gone, else raise.

        The old file is held by `flock` from the check to the removal, so that of two runs that find it only
        one removes it, and neither removes the other's new lock.
        """
        try:
            with self.path.open("rb") as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
                if not self._is(os.fstat(file.fileno())):
                    return
                owner = _parse(file.read(4096))
                if owner is None and time.time() - os.fstat(file.fileno()).st_mtime < _BIRTH_SECONDS:
                    raise self._held("another process")
                if owner is not None and not owner.gone:
                    raise self._held(f"process {owner.pid} on {owner.host}")
                self.path.unlink(missing_ok=True)
        except FileNotFoundError:
            return

    def _is(self, opened: os.stat_result) -> bool:
        now = os.stat(self.path)
        return (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino)

    def _held(self, owner: str) -> UsageError:
        return UsageError(
            f"{owner} is writing this output", self.target, f"wait for it; if it is gone, delete {self.path}"
        )


def _parse(data: bytes) -> _Owner | None:
    try:
        value = json.loads(data)
        return _Owner(int(value["pid"]), str(value["host"]), str(value["born"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _born(pid: int) -> str:
    """When a process started, in ticks since boot (Linux; elsewhere "")."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19] if len(fields) > 19 else ""
