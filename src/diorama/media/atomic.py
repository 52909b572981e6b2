"""Files and folders that appear under their final name only when complete, and content hashes."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diorama.errors import LimitError, UsageError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean that no more can be written."""
_NAME_BYTES = 200  # leaves room for the affixes below within the 255 bytes of common file systems


def hidden_sibling(target: Path, affix: str) -> Path:
    """``.<name>.<affix>`` in the folder of `target`; too long a name becomes its hash."""
    name = target.name
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return target.with_name(f".{name}.{affix}")


def content_hash(path: Path) -> str:
    """SHA-256 (hexadecimal; processors have instructions for it) of a file's bytes, read in pieces.

    Of a folder (an image sequence): of the names and hashes of the files directly in it, in order of name;
    hidden files and folders in it do not count.
    """
    if path.is_dir():
        total = hashlib.sha256()
        for name in sorted(entry.name for entry in path.iterdir() if _counts(entry)):
            total.update(f"{content_hash(path / name)} {name}\n".encode(errors="surrogateescape"))
        return total.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_bytes(path: Path) -> int:
    """Size of a file, or of the files directly in a folder that `content_hash` counts."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.iterdir() if _counts(entry))
    return path.stat().st_size


def _counts(entry: Path) -> bool:
    return entry.is_file() and not entry.name.startswith(".")


@contextmanager
def atomic_path(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A path to write to; it is flushed to disk and takes the name `target` when the block ends well.

    The path is ``.<name>.partial-<pid>`` in the target's folder; its suffix says nothing about the format, so
    name the format to the writer. On any exception, `KeyboardInterrupt` included, it is removed and `target`
    is as before.

    Raises:
        UsageError: the folder is missing or not writable, `target` is a folder, or it exists and `overwrite`
            is off.
        LimitError: the disk is full.
    """
    _refuse_existing(target, overwrite)
    if target.is_dir():
        raise UsageError("the output is a folder, expected a file", target, "add a file name to the path")
    partial = hidden_sibling(target, f"partial-{os.getpid()}")
    _probe(partial)
    try:
        yield partial
        flush(partial)
        _refuse_existing(target, overwrite)
        os.replace(partial, target)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        partial.unlink(missing_ok=True)
    flush(target.parent)


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A fresh folder to fill; it takes the name `target` when the block ends well, else it is removed.

    An existing `target` is moved aside and removed only after the new folder has its name.

    Raises:
        UsageError: as `atomic_path`; an existing file or link is never replaced by a folder.
        LimitError: the disk is full.
    """
    _refuse_existing(target, overwrite)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError("the output is not a folder", target, "choose another name")
    partial = hidden_sibling(target, f"partial-{os.getpid()}")
    aside = hidden_sibling(target, f"old-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    _probe(partial)
    try:
        partial.mkdir()
        yield partial
        for entry in [*sorted(partial.rglob("*")), partial]:
            flush(entry)
        _refuse_existing(target, overwrite)
        _swap_in(partial, target, aside)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    flush(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a small file whole; raises as `atomic_path`."""
    with atomic_path(target) as partial:
        partial.write_bytes(data)


def sweep(target: Path) -> None:
    """Remove what killed runs left half-written beside `target`; call it holding the target's `RunLock`."""
    prefix = hidden_sibling(target, "partial-").name
    for entry in target.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.removeprefix(prefix).isdecimal():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _swap_in(partial: Path, target: Path, aside: Path) -> None:
    had = target.exists()
    if had:
        os.replace(target, aside)
    try:
        os.replace(partial, target)
    except OSError:
        if had:
            os.replace(aside, target)
        raise


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if not overwrite and (target.exists() or target.is_symlink()):
        raise UsageError("the output exists", target, "choose another name, or add --overwrite")


def _probe(partial: Path) -> None:
    """Find out before the work whether the folder can be written to; also clears what an old run left."""
    folder = partial.parent
    if not folder.is_dir():
        raise UsageError("the output folder does not exist", folder, f"mkdir -p {folder}")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(exist_ok=False)
        partial.unlink()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _explained(error, folder) from error
        reason = error.strerror or type(error).__name__
        raise UsageError(f"the output folder is not writable ({reason})", folder, "choose another") from error


def flush(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(error: OSError, target: Path) -> Exception:
    if error.errno in DISK_FULL:
        return LimitError("no space left on the disk", target.parent, "free some space, or use another disk")
    return error
