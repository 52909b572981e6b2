"""JSON from strangers: parsed under a size cap, read field by field, failures name the dotted path."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from diorama.errors import DioramaError, UsageError

T = TypeVar("T")
Scalar = str | int | float | bool | None
_WORDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True)
class Field:
    """One value of a parsed document, that knows where it stands.

    Every method returns the value as asked for, or raises `fault` with the dotted path. Texts are plain text:
    nothing in them is expanded or evaluated.
    """

    value: object
    path: str
    file: str
    fault: type[DioramaError] = UsageError

    def refuse(self, what: str, fix: str = "") -> NoReturn:
        """Raise `fault` about this field."""
        raise self.fault(f"{self.path or 'the document'}: {what}", self.file, fix)

    def table(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, "Field"]:
        """An object with exactly these keys."""
        found = self.entries()
        known = [*required, *optional]
        for key in found:
            if key not in known:
                found[key].refuse("unknown key", f"known: {', '.join(known)}")
        for key in required:
            if key not in found:
                self._at(key, None).refuse("missing")
        return found

    def entries(self, most: int = 4096) -> dict[str, "Field"]:
        """An object with any keys."""
        value = self._of(dict)
        if len(value) > most:
            self.refuse(f"{len(value)} entries are over the limit of {most}")
        for key in value:
            self._at(key[:80], key).text()
        return {key: self._at(key, item) for key, item in value.items()}

    def items(self, most: int) -> list["Field"]:
        """A list of at most `most` values."""
        value = self._of(list)
        if len(value) > most:
            self.refuse(f"{len(value)} entries are over the limit of {most}")
        return [Field(item, f"{self.path}[{i}]", self.file, self.fault) for i, item in enumerate(value)]

    def text(self, most: int = 65536) -> str:
        """A text of at most `most` characters, without NUL and without halves of characters."""
        value = self._of(str)
        if len(value) > most:
            self.refuse(f"{len(value)} characters are over the limit of {most}")
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            self.refuse("a text with NUL or broken characters")
        return value

    def hexadecimal(self, digits: int) -> str:
        """A lower-case hexadecimal text of `digits` digits."""
        value = self.text(digits)
        if len(value) != digits or not set(value) <= set("0123456789abcdef"):
            self.refuse(f"{value!r}, expected {digits} hexadecimal digits")
        return value

    def integer(self, least: int = -(2**63), most: int = 2**63 - 1) -> int:
        """An integer in ``least..most``."""
        value = self._of(int)
        if not least <= value <= most:
            self.refuse(f"{value} is outside {least}..{most}" if abs(value) < 2**64 else "a number too large")
        return value

    def number(self) -> float:
        """A finite number."""
        value = self._of(int) if type(self.value) is int else self._of(float)
        if not abs(value) < 1e300:  # NaN too
            self.refuse("not a finite number")
        return float(value)

    def flag(self) -> bool:
        """True or false."""
        return self._of(bool)

    def scalar(self) -> Scalar:
        """A text, a finite number, true, false or null."""
        match self.value:
            case None | bool():
                return self.value
            case str():
                return self.text()
            case int():
                return self.integer()
            case float():
                return self.number()
            case _:
                return self.refuse(f"{_word(self.value)}, expected a text, a number, true, false or null")

    def _of(self, kind: type[T]) -> T:
        if type(self.value) is not kind:  # a bool is an int to isinstance
            self.refuse(f"{_word(self.value)}, expected {_WORDS[kind]}")
        return self.value

    def _at(self, key: str, value: object) -> "Field":
        return Field(value, f"{self.path}.{key}" if self.path else key, self.file, self.fault)


def parse(data: bytes, file: str, *, most: int, fault: type[DioramaError] = UsageError) -> Field:
    """Parse a JSON document of at most `most` bytes; keys given twice, NaN and infinities are refused.

    Raises:
        DioramaError: of the type `fault`.
    """
    if len(data) > most:
        raise fault(f"{len(data)} bytes are over the limit of {most}", file)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise fault("nested too deeply", file) from None
    except ValueError as error:
        raise fault(f"not valid JSON ({error})", file, "copy it again, or make it anew") from None
    return Field(value, "", file, fault)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is given twice")
    return table


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _word(value: object) -> str:
    return _WORDS.get(type(value), type(value).__name__)
