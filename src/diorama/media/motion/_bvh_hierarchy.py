"""The first half of a BVH file: lines with their numbers, and the tree of joints."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn

import numpy as np
from jaxtyping import Float64

from diorama.errors import DamagedMediaError, LimitError, MediaError
from diorama.media.safe import regular_file

JOINTS = 4096
DEPTH = 512
FILE_BYTES = 2 << 30
LINE_BYTES = 1 << 20
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)
_BRACES = re.compile(r"([{}])")


@dataclass(frozen=True, eq=False)
class Joint:
    """One joint as the file has it.

    Attributes:
        name: unique.
        parent: its index, -1 for the root.
        offset: from the parent, in the file's unit.
        origin: where it is in the rest pose, in the file's unit.
        channels: "Xposition" to "Zrotation", in order.
        first: the column of the first channel.
    """

    name: str
    parent: int
    offset: Float64[np.ndarray, "3"]
    origin: Float64[np.ndarray, "3"]
    channels: tuple[str, ...]
    first: int = 0


class Lines:
    """Lines of a file, one at a time, with the number of the last one for errors."""

    def __init__(self, file: IO[bytes], path: Path, size: int) -> None:
        self.file, self.path, self.size, self.line = file, path, size, 0

    @staticmethod
    def open(path: Path) -> "Lines":
        """Open a file of at most `FILE_BYTES`."""
        path = regular_file(path)
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise LimitError(f"a BVH file of {size / 1e9:.1f} GB, the limit is {FILE_BYTES / 1e9:.1f} GB", path)
        try:
            return Lines(path.open("rb"), path, size)
        except OSError as error:
            raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path}, line {self.line}"

    def __iter__(self) -> Iterator[bytes]:
        while line := self.file.readline(LINE_BYTES + 1):
            self.line += 1
            if len(line) > LINE_BYTES:
                raise LimitError(f"a line of more than {LINE_BYTES} bytes", self.where, "is it BVH?")
            yield line

    def left(self) -> int:
        """Bytes not read yet."""
        return self.size - self.file.tell()

    def text(self) -> str:
        """The next line that is not blank, without outer spaces; "" at the end."""
        for line in self:
            try:
                words = line.decode("utf-8-sig" if self.line == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise MediaError("not a text file", self.where, "expected BVH, in UTF-8") from error
            if "\0" in words:
                raise MediaError("not a text file", self.where, "expected BVH, in UTF-8")
            if words:
                return words
        return ""

    def setting(self, name: str) -> str:
        """What follows `name` on the next line, in any case and spacing."""
        line = self.text()
        pattern = r"\s*".join(re.escape(word) for word in re.findall(r"\w+|:", name))
        found = re.fullmatch(rf"{pattern}\s*(.*)", line, re.IGNORECASE)
        if not found:
            raise MediaError(f"{line[:40]!r} where {name!r} is expected", self.where, "export it again")
        return found[1]

    def numbers(self, words: list[bytes] | list[str]) -> list[float]:
        """Words as numbers, which need not be finite."""
        try:
            return list(map(float, words))
        except ValueError as error:
            raise DamagedMediaError(f"not a number ({str(error)[-60:]})", self.where, "export it again") from error


@dataclass
class _Open:
    """A brace that is open: a joint, or an End Site."""

    name: str | None
    parent: int
    offset: Float64[np.ndarray, "3"] | None = None
    channels: tuple[str, ...] | None = None
    index: int = -1


def read_hierarchy(lines: Lines) -> tuple[tuple[Joint, ...], list[Float64[np.ndarray, "3"]]]:
    """Joints up to and with the line MOTION, and where the End Sites are; raises as `bvh.read_bvh`."""
    if lines.text().upper() != "HIERARCHY":
        raise MediaError("the file does not start with HIERARCHY", lines.path, "expected BVH")
    tree = _Tree(lines)
    while line := lines.text():
        if line.upper() == "MOTION":
            return tree.finished()
        for statement in filter(None, map(str.strip, _BRACES.split(line))):
            tree.add(statement)
    raise MediaError("the file ends without MOTION", lines.where, "copy or export it again")


class _Tree:
    """Joints so far, and the braces that are open."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.open: list[_Open] = []
        self.waiting: _Open | None = None  # named, its brace still to come
        self.joints: list[Joint] = []
        self.names: set[str] = set()
        self.tips: list[Float64[np.ndarray, 3]] = []

    def add(self, statement: str) -> None:
        """One statement: a brace, or a keyword with what follows it."""
        word, *rest = statement.split(maxsplit=1)
        keyword, said = word.upper(), "".join(rest)
        if statement == "{":
            self._enter()
        elif self.waiting is not None:
            self._fail(f"{statement[:40]!r} where '{{' is expected")
        elif statement == "}":
            self._leave()
        elif keyword in ("ROOT", "JOINT"):
            self._name(keyword, said)
        elif keyword == "END":
            self.waiting = _Open(None, self._inside("End Site").index)
        elif keyword == "OFFSET":
            self._offset(said)
        elif keyword == "CHANNELS":
            self._channels(said)
        else:
            self._fail(f"unknown word {word[:40]!r}")

    def finished(self) -> tuple[tuple[Joint, ...], list[Float64[np.ndarray, "3"]]]:
        if self.open or self.waiting:
            self._fail(f"{len(self.open) or 1} braces are not closed before MOTION")
        if not self.joints:
            self._fail("no ROOT before MOTION")
        return tuple(self.joints), self.tips

    def _fail(self, what: str) -> NoReturn:
        raise MediaError(what, self.lines.where, "mend the hierarchy, or export it again")

    def _inside(self, what: str) -> _Open:
        """The innermost joint, its offset known."""
        if not self.open or self.open[-1].name is None:
            self._fail(f"{what} outside a joint")
        self._settle(self.open[-1])
        return self.open[-1]

    def _name(self, keyword: str, name: str) -> None:
        if not name:
            self._fail(f"{keyword} without a name")
        if name in self.names:
            self._fail(f"two joints are called {name[:40]!r}")
        self.names.add(name)
        if keyword == "ROOT" and (self.open or self.joints):
            self._fail(f"a second ROOT, {name[:40]!r}")
        parent = -1 if keyword == "ROOT" else self._inside(f"JOINT {name[:40]}").index
        self.waiting = _Open(name, parent)

    def _enter(self) -> None:
        if self.waiting is None:
            self._fail("'{' without a joint before it")
        elif len(self.open) >= DEPTH:
            raise LimitError(f"joints nested more than {DEPTH} deep", self.lines.where)
        else:
            self.open.append(self.waiting)
        self.waiting = None

    def _leave(self) -> None:
        if not self.open:
            self._fail("'}' without '{'")
        self._settle(self.open[-1])
        self.open.pop()

    def _settle(self, entry: _Open) -> None:
        """Make the joint, or the tip, of an entry that has all it needs."""
        if entry.offset is None:
            self._fail(f"{entry.name or 'End Site'} has no OFFSET")
        elif entry.index < 0:
            start = self.joints[entry.parent].origin if entry.parent >= 0 else np.zeros(3)
            origin = start + entry.offset
            if entry.name is None:
                self.tips.append(origin)
            if max(len(self.joints), len(self.tips)) >= JOINTS:
                raise LimitError(f"more than {JOINTS} joints", self.lines.where)
            if entry.name is not None:
                entry.index = len(self.joints)
                self.joints.append(Joint(entry.name, entry.parent, entry.offset, origin, entry.channels or ()))

    def _offset(self, rest: str) -> None:
        numbers = self.lines.numbers(rest.split())
        if len(numbers) != 3 or not np.isfinite(numbers).all():
            self._fail(f"OFFSET {rest[:60]}, expected three finite numbers")
        if not self.open or self.open[-1].offset is not None:
            self._fail("OFFSET twice, or outside a joint")
        self.open[-1].offset = np.array(numbers)

    def _channels(self, rest: str) -> None:
        count, *given = rest.split() or ["0"]
        found = [_CHANNEL.fullmatch(channel) for channel in given]
        for channel, match in zip(given, found, strict=True):
            if match is None:
                self._fail(f"unknown channel {channel[:40]!r}, expected Xposition to Zrotation")
        channels = tuple(match[1].upper() + match[2].lower() for match in found if match)
        if count != str(len(channels)):
            self._fail(f"CHANNELS {count[:20]}, but {len(channels)} follow")
        if len(set(channels)) != len(channels):
            self._fail(f"a channel twice: {rest[:80]}")
        if (
            not self.open
            or self.open[-1].name is None
            or self.open[-1].channels is not None
            or self.open[-1].index >= 0
        ):
            self._fail("CHANNELS twice, outside a joint, or after its children")
        self.open[-1].channels = channels
