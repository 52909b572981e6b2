"""What is checked about a file of weights before its values are read: kind, header, archive."""

import json
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, NoReturn

from diorama.diffusion.families import detect
from diorama.errors import ModelError

Kind = Literal["safetensors", "zip", "pickle"]

HEADER_LIMIT = 25_000_000
"""Bytes of a safetensors header; those of the largest published models stay below 1 MB."""

TENSOR_LIMIT = 200_000
"""Tensors in a file."""

SAFE_SUFFIXES = (".safetensors",)
PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")

AGAIN = "copy or download the file again"
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "BOOL": 1,
    **{f"{sign}{8 * size}": size for sign in "IU" for size in (1, 2, 4, 8)},
}
_MAGIC = (
    (b"PK\x03\x04", "a PyTorch or zip archive"),
    (b"\x80", "a pickle"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"<", "a web page"),
    (b"GGUF", "a GGUF file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"{", "JSON"),
)


@dataclass(frozen=True)
class Entry:
    """One tensor as a safetensors header gives it: dtype (``F16``), shape, and its bytes behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def kind_of(path: Path) -> Kind:
    """How the file is stored; suffix and content must agree.

    Raises:
        ModelError: no such file, not a regular file, an unknown suffix, or content of another kind.
    """
    head = _head(path)
    suffix = path.suffix.lower()
    if suffix not in SAFE_SUFFIXES + PICKLE_SUFFIXES:
        known = ", ".join(SAFE_SUFFIXES + PICKLE_SUFFIXES)
        raise ModelError(f"a file of the kind {suffix or 'without a suffix'}, expected {known}", path)
    found = _content(head)
    if suffix in SAFE_SUFFIXES:
        if found != "a safetensors file" and (found or len(head) < 9):
            raise ModelError(f"{found or 'a cut-off file'} under the name of safetensors", path, AGAIN)
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x80"):
        return "pickle"
    fix = "rename it to .safetensors" if found == "a safetensors file" else AGAIN
    raise ModelError(f"{found or 'no PyTorch file'} under the name of a PyTorch file ({suffix})", path, fix)


def _head(path: Path) -> bytes:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # missing, a link to nothing, a circle of links, NUL in the name
        what = "a link that leads nowhere" if path.is_symlink() else "no such file"
        raise ModelError(what, path, "name a file of weights") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ModelError(f"{kind}, expected a file of weights", path)
    try:
        with path.open("rb") as file:
            return file.read(32)
    except OSError as error:
        raise ModelError(f"the file cannot be read ({error.strerror})", path, "check its permissions") from error


def _content(head: bytes) -> str:
    """What the first bytes are; empty where they say nothing."""
    if len(head) > 8 and head[8:9] == b"{":
        return "a safetensors file"
    if not head:
        return "an empty file"
    return next((words for magic, words in _MAGIC if head.startswith(magic)), "")


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors that a safetensors file declares, all of it checked.

    The library lets names through that occur twice (the last wins); here they are refused.

    Raises:
        ModelError: truncated, an oversized or unreadable header, a name twice, an impossible shape or dtype, bytes
            that overlap, are left out, or lie beyond the end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > HEADER_LIMIT:
            raise ModelError(f"a header of {length} bytes, the limit is {HEADER_LIMIT}", path, AGAIN)
        if length > size - 8:
            raise ModelError(f"cut off in the header: {size} bytes, expected at least {8 + length}", path, AGAIN)
        raw = file.read(length)
    entries = _entries(_parsed(raw, path), path)
    _check_places(entries, size - 8 - length, path)
    return entries


def _parsed(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ModelError("the header is nested too deeply", path, AGAIN) from None
    except ValueError as error:
        raise ModelError(f"the header is damaged ({str(error)[:200]})", path, AGAIN) from None
    if not isinstance(header, dict):
        raise ModelError("the header is no JSON object", path, AGAIN)
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"the name {name[:120]!r} occurs twice")
        table[name] = value
    return table


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _entries(header: dict[str, Any], path: Path) -> dict[str, Entry]:
    header.pop("__metadata__", None)  # notes of the writer; nothing here reads them
    if len(header) > TENSOR_LIMIT:
        raise ModelError(f"{len(header)} tensors, the limit is {TENSOR_LIMIT}", path)
    entries = {name: _entry(name, value, path) for name, value in header.items()}
    low = [name for name, entry in entries.items() if _is_low(entry.dtype)]
    if low:
        said = f"{len(low)} of {len(entries)} tensors are fp8 or smaller, {low[0][:120]} first"
        what = f"{said}; expected float16, bfloat16 or float32 ({_look(entries)})"
        raise ModelError(what, path, "get the file in one of these")
    return entries


def _is_low(dtype: str) -> bool:
    return dtype.startswith(("F8_", "F6_", "F4"))


def _look(entries: Mapping[str, Entry]) -> str:
    """What the names say."""
    return f"the names are those of: {detect({name: entry.shape for name, entry in entries.items()}).title}"


def _entry(name: str, value: Any, path: Path) -> Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        sound = all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, start, end)) and len(shape) <= 16
        if not sound or not (_is_low(dtype) or end - start == DTYPE_BYTES[dtype] * prod(shape)):
            raise ValueError("bytes and shape do not agree")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise ModelError(f"the header is damaged at {name[:120]!r} ({reason})", path, AGAIN) from None
    return Entry(dtype, shape, start, end)


def _check_places(entries: dict[str, Entry], available: int, path: Path) -> None:
    """Each byte behind the header belongs to one tensor."""
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != reached:
            fault = "overlaps another tensor" if entry.start < reached else "leaves a gap before it"
            raise ModelError(f"the header is damaged: {name[:120]!r} {fault}", path, AGAIN)
        reached = entry.end
    if reached != available:
        words = "cut off" if available < reached else "longer than its header says"
        what = f"{words}: {available} bytes of values, expected {reached} ({_look(entries)})"
        raise ModelError(what, path, AGAIN)


def check_archive(path: Path) -> None:
    """Refuse a PyTorch archive that unfolds to more than its size, or names a member twice.

    Raises:
        ModelError: damaged, compressed (PyTorch never does), or ambiguous.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"the archive is damaged or cut off ({str(error)[:100]})", path, AGAIN) from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelError("a compressed archive, which PyTorch does not write", path, AGAIN)
    if len({member.filename for member in members}) != len(members):
        raise ModelError("an archive in which a name occurs twice", path, AGAIN)
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ModelError("an archive whose members overlap", path, AGAIN)
