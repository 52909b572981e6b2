"""Pickle opcodes on a stack of plain values and records: no import, no call, no object of the file's choosing.

The opcodes are those of Python's `pickletools`, protocols 0 to 5. What would call something (REDUCE, NEWOBJ, BUILD)
only fills in a `Record`; what could name more than `GLOBAL` (extension registry, persistent ids, out-of-band buffers)
is refused. Memo entries live in a dict and lengths are compared with the file's, so no number in the file reserves
memory; steps are counted.
"""

import codecs
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diorama.errors import LimitError, ModelError

STEPS = 5_000_000
"""Opcodes in a pickle, at most."""

_INT_DIGITS = 400
_COPIES, _COPIES_FREE = 4, 1 << 20
_POINTER = 8
_INSTEAD = "use an .npz of the same body"


@dataclass(frozen=True)
class Name:
    """A global that was asked for and is allowed."""

    kind: str


@dataclass(eq=False)
class Record:
    """What a pickle says about an object: how it is made, and its state; nothing is made of it here."""

    kind: str
    args: tuple[Any, ...] = ()
    state: Any = None


_MARK = Name("mark")


@dataclass
class _Machine:
    data: bytes
    where: object
    kinds: Mapping[tuple[str, str], str]
    at: int = 0
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    copied: int = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise ValueError("it ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def u4(self) -> int:
        return self.number("<I")

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise ValueError("it ends early")
        line, self.at = self.data[self.at : end], end + 1
        return line

    def copy(self, size: int) -> None:
        """Count bytes that are about to be copied: a memo lets a small file ask for the same copy again and again."""
        self.copied += size
        if self.copied > _COPIES * len(self.data) + _COPIES_FREE:
            raise LimitError("a pickle that copies far more than it holds", self.where, _INSTEAD)

    def to_mark(self) -> list[Any]:
        """Everything above the last mark, taken off with it."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark on the stack")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def ask(self, module: str, name: str) -> None:
        """Put the global on the stack, if it is one of the few."""
        kind = self.kinds.get((module, name))
        if kind is None:
            asked = " ".join(f"{module}.{name}".split())[:120]
            raise ModelError(f"pickle refused: it asks for {asked}, which could run code", self.where, _INSTEAD)
        self.stack.append(Name(kind))


def run(data: bytes, where: object, kinds: Mapping[tuple[str, str], str]) -> Any:
    """The value that a pickle describes, in plain values and `Record`.

    Args:
        data: the whole file.
        where: named in errors.
        kinds: what the allowed globals stand for, by module and name.

    Raises:
        ModelError: it asks for another global or an opcode beyond arrays and containers.
        LimitError: more than `STEPS` opcodes.
        ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError: it is damaged.
    """
    machine = _Machine(data, where, kinds)
    for _ in range(STEPS):
        code = machine.take(1)
        if code == b".":
            value = machine.stack.pop()
            if isinstance(value, Name):
                raise ValueError("it holds a bare name")
            return value
        step = _OPCODES.get(code)
        if step is None:
            raise ModelError(f"pickle refused: opcode {code!r} is not for arrays", where, _INSTEAD)
        step(machine)
    raise LimitError(f"a pickle of more than {STEPS} steps", where, _INSTEAD)


def _reduce(m: _Machine) -> None:
    args, name = m.stack.pop(), m.stack.pop()
    if not isinstance(name, Name) or not isinstance(args, tuple):
        raise ValueError("a call of something that is no function")
    if args and isinstance(args[0], str | list | tuple):
        m.copy(len(args[0]) if isinstance(args[0], str) else _POINTER * len(args[0]))
    m.stack.append(_made(name.kind, args))


def _made(kind: str, args: tuple[Any, ...]) -> Any:
    if kind == "encode":
        text, codec = args
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise ValueError("an encoding other than Latin-1")
        return text.encode("latin-1")
    if kind in ("list", "dict"):
        items = args[0] if args else []
        if not isinstance(items, list | tuple):
            raise ValueError(f"a {kind} of something else")
        return list(items) if kind == "list" else {_key(key): value for key, value in items}
    if kind == "bytes" and not args:
        return b""
    if kind == "reconstructor":
        owner, base, _ = args
        if not (isinstance(owner, Name) and isinstance(base, Name) and base.kind == "object"):
            raise ValueError("an object of an unknown class")
        return _new(owner)
    if kind in ("array", "buffer", "scalar", "dtype"):
        return Record(kind, args)
    raise ValueError(f"a call of {kind}")


def _new(owner: Any) -> Record:
    if not isinstance(owner, Name) or owner.kind not in ("csc", "csr", "chumpy", "select"):
        raise ValueError("an object of an unexpected class")
    return Record(owner.kind)


def _newobj(m: _Machine) -> None:
    m.stack.pop()
    m.stack.append(_new(m.stack.pop()))


def _build(m: _Machine) -> None:
    state, record = m.stack.pop(), m.stack[-1]
    if not isinstance(record, Record) or record.state is not None:
        raise ValueError("a state for something that has none")
    if record.kind == "array" and isinstance(state, tuple) and state:
        *head, raw = state
        if isinstance(raw, list | str):
            m.copy(_POINTER * len(raw) if isinstance(raw, list) else len(raw))
        state = (*head, raw.encode("latin-1") if isinstance(raw, str) else raw)
    record.state = state


def _key(key: Any) -> Any:
    """Keys of a dict are plain: hashing a nested tuple can take for ever."""
    if not isinstance(key, str | bytes | int | float | None):
        raise ValueError(f"a {type(key).__name__} as key")
    return key


def _set_items(m: _Machine) -> None:
    items, target = m.to_mark(), m.stack[-1]
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items for something that is no dict")
    target.update(zip(map(_key, items[::2]), items[1::2], strict=True))


def _set_item(m: _Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    if not isinstance(m.stack[-1], dict):
        raise ValueError("an item for something that is no dict")
    m.stack[-1][_key(key)] = value


def _appends(m: _Machine) -> None:
    items = m.to_mark()
    if not isinstance(m.stack[-1], list):
        raise ValueError("entries for something that is no list")
    m.stack[-1].extend(items)


def _append(m: _Machine) -> None:
    value = m.stack.pop()
    if not isinstance(m.stack[-1], list):
        raise ValueError("an entry for something that is no list")
    m.stack[-1].append(value)


def _dict(m: _Machine) -> None:
    items = m.to_mark()
    m.stack.append({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})


def _tuple(m: _Machine, size: int) -> None:
    if len(m.stack) < size:
        raise ValueError("too little on the stack")
    m.stack[-size:] = [tuple(m.stack[-size:])]


def _text_int(m: _Machine) -> None:
    line = m.line()
    if len(line) > _INT_DIGITS:
        raise ValueError("a number of too many digits")
    m.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.rstrip(b"L")))


def _long(m: _Machine, form: str) -> None:
    raw = m.take(m.number(form))
    if len(raw) > _INT_DIGITS:
        raise ValueError("a number of too many digits")
    m.stack.append(int.from_bytes(raw, "little", signed=True))


def _string(m: _Machine) -> None:
    """A string literal of Python 2, in quotes and with escapes."""
    line = m.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
        raise ValueError("a string without quotes")
    m.stack.append(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))


def _global(m: _Machine) -> None:
    module, name = m.line().decode("utf-8"), m.line().decode("utf-8")
    m.ask(module, name)


def _stack_global(m: _Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a global without a name")
    m.ask(module, name)


def _instance(m: _Machine) -> None:
    _global(m)  # refuses what is not allowed by its name
    raise ValueError("an instance of an old class")


def _push(make: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(make(m))


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _raw(size: str) -> Callable[[_Machine], None]:
    return _push(lambda m: m.take(m.number(size)))


def _text(size: str) -> Callable[[_Machine], None]:
    return _push(lambda m: _utf8(m.take(m.number(size))))


def _old_text(size: str) -> Callable[[_Machine], None]:
    return _push(lambda m: m.take(m.number(size)).decode("latin-1"))


def _number(form: str) -> Callable[[_Machine], None]:
    return _push(lambda m: m.number(form))


def _constant(value: Any) -> Callable[[_Machine], None]:
    return _push(lambda m: value)


def _skip(form: str) -> Callable[[_Machine], None]:
    """Protocol and frame marks, which say nothing that is needed."""

    def step(m: _Machine) -> None:
        m.number(form)

    return step


def _get(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return _push(lambda m: m.memo[key(m)])


def _put(key: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def step(m: _Machine) -> None:
        place = key(m)
        m.memo[place] = m.stack[-1]

    return step


def _pop(m: _Machine) -> None:
    m.stack.pop()


def _pop_mark(m: _Machine) -> None:
    m.to_mark()


_list = _push(_Machine.to_mark)
_OPCODES: dict[bytes, Callable[[_Machine], None]] = (
    {b"\x80": _skip("<B"), b"\x95": _skip("<Q"), b"(": _constant(_MARK), b"0": _pop, b"1": _pop_mark}
    | {b"2": _push(lambda m: m.stack[-1]), b"N": _constant(None), b"\x88": _constant(True), b"\x89": _constant(False)}
    | {b"I": _text_int, b"L": _text_int, b"J": _number("<i"), b"K": _number("<B"), b"M": _number("<H")}
    | {b"\x8a": lambda m: _long(m, "<B"), b"\x8b": lambda m: _long(m, "<i")}
    | {b"F": _push(lambda m: float(m.line())), b"G": _push(lambda m: struct.unpack(">d", m.take(8))[0])}
    | {b"S": _string, b"T": _old_text("<i"), b"U": _old_text("<B")}
    | {b"B": _raw("<I"), b"C": _raw("<B"), b"\x8e": _raw("<Q"), b"\x96": _raw("<Q")}
    | {b"V": _push(lambda m: m.line().decode("raw-unicode-escape")), b"X": _text("<I")}
    | {b"\x8c": _text("<B"), b"\x8d": _text("<Q")}
    | {b")": _constant(()), b"t": _push(lambda m: tuple(m.to_mark())), b"\x85": lambda m: _tuple(m, 1)}
    | {b"\x86": lambda m: _tuple(m, 2), b"\x87": lambda m: _tuple(m, 3)}
    | {b"]": _push(lambda m: []), b"l": _list, b"a": _append, b"e": _appends}
    | {b"\x8f": _push(lambda m: []), b"\x90": _appends, b"\x91": _list}  # sets, as lists: nothing is hashed
    | {b"}": _push(lambda m: {}), b"d": _dict, b"s": _set_item, b"u": _set_items}
    | {b"g": _get(lambda m: int(m.line()[:20])), b"h": _get(lambda m: m.number("<B")), b"j": _get(_Machine.u4)}
    | {b"p": _put(lambda m: int(m.line()[:20])), b"q": _put(lambda m: m.number("<B")), b"r": _put(_Machine.u4)}
    | {b"\x94": _put(lambda m: len(m.memo))}
    | {b"c": _global, b"\x93": _stack_global, b"i": _instance, b"R": _reduce, b"\x81": _newobj, b"b": _build}
)
