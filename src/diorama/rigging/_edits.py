"""Changes by hand as values, and from the JSON that the page of a rig writes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from diorama.errors import UsageError

LONGEST_NAME = 100
Point = tuple[float | int, float | int, float | int]


@dataclass(frozen=True)
class Rename:
    """Call part `name` `to`."""

    name: str
    to: str

    def __post_init__(self) -> None:
        _check_name(self.to)


@dataclass(frozen=True)
class Merge:
    """Make one part, called `into`, of two or more."""

    names: tuple[str, ...]
    into: str

    def __post_init__(self) -> None:
        _check_name(self.into)
        if len(set(self.names)) < 2 or len(set(self.names)) < len(self.names):
            raise UsageError(f"a merge of {list(self.names[:8])}", "merge", "name two or more different parts")


@dataclass(frozen=True)
class Split:
    """Cut part `name` in two: the half that holds its joint is called by the first of `names`, the other by the second.

    Attributes:
        name: of the part.
        at: a point of the cut, metres in the axes of the mesh.
        names: of the halves.
        normal: of the cut, of any length; by default from the part's joint to its farthest point.
    """

    name: str
    at: Point
    names: tuple[str, str]
    normal: Point | None = None

    def __post_init__(self) -> None:
        _check_point(self.at)
        if self.normal is not None:
            _check_point(self.normal)
            if not np.abs(self.normal).max() > 0:
                raise UsageError("a normal of no length", "normal", "leave it out, or give a direction")
        for name in self.names:
            _check_name(name)
        if len(set(self.names)) != 2:
            raise UsageError(f"both halves called {self.names[0]!r}", "names", "give two names")


@dataclass(frozen=True)
class Move:
    """Put the joint of part `name` at `to`, metres in the axes of the mesh."""

    name: str
    to: Point

    def __post_init__(self) -> None:
        _check_point(self.to)


@dataclass(frozen=True)
class Reparent:
    """Hang part `name` on part `under`; its joint goes where the two meet."""

    name: str
    under: str


@dataclass(frozen=True)
class Reroot:
    """Make part `name` the one that all others hang on."""

    name: str


Edit = Rename | Merge | Split | Move | Reparent | Reroot


def edit_of(value: object) -> Edit:
    """An edit from its JSON.

    Raises:
        UsageError: no object, of no or several kinds, a key too many or missing, a value of another type.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{_said(value)}, expected an object", "edit", f"with one of {', '.join(_KINDS)}")
    kinds = [kind for kind in _KINDS if kind in value]
    if len(kinds) != 1:
        what = f"{' and '.join(map(repr, kinds))} in one edit" if kinds else f"no known edit in {_said(value)}"
        raise UsageError(what, "edit", f"give one of {', '.join(_KINDS)}")
    needed, allowed, make = _KINDS[kinds[0]]
    missing = [key for key in needed if key not in value]
    if missing:
        raise UsageError(f"no {missing[0]!r}", kinds[0], f"it takes {', '.join((*needed, *allowed)) or 'no more'}")
    unknown = [key for key in value if key not in (kinds[0], *needed, *allowed)]
    if unknown:
        what = f"unknown key {unknown[0][:LONGEST_NAME]!r}"
        raise UsageError(what, kinds[0], f"it takes {', '.join((*needed, *allowed)) or 'no more'}")
    return make(value)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{_said(value)}, expected a name", key, "give a text")
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{_said(value)}, expected names", key, "give a list of texts")
    return tuple(_text(one, key) for one in value)


def _pair(value: object, key: str) -> tuple[str, str]:
    names = _texts(value, key)
    if len(names) != 2:
        raise UsageError(f"{len(names)} names, expected 2", key, "name both halves")
    return names[0], names[1]


def _point(value: object, key: str) -> Point:
    if not isinstance(value, list) or len(value) != 3:
        raise UsageError(f"{_said(value)}, expected three numbers", key, "give [x, y, z] in metres")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise UsageError(f"{_said(one)}, expected a number", key, "give [x, y, z] in metres")
    try:
        return float(value[0]), float(value[1]), float(value[2])
    except OverflowError:
        raise UsageError("a number that is too large", key, "give [x, y, z] in metres") from None


def _split(value: dict[str, Any]) -> Split:
    normal = _point(value["normal"], "normal") if "normal" in value else None
    return Split(_text(value["split"], "split"), _point(value["at"], "at"), _pair(value["names"], "names"), normal)


_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[dict[str, Any]], Edit]]] = {
    "rename": (("to",), (), lambda v: Rename(_text(v["rename"], "rename"), _text(v["to"], "to"))),
    "merge": (("into",), (), lambda v: Merge(_texts(v["merge"], "merge"), _text(v["into"], "into"))),
    "split": (("at", "names"), ("normal",), _split),
    "move": (("to",), (), lambda v: Move(_text(v["move"], "move"), _point(v["to"], "to"))),
    "reparent": (("under",), (), lambda v: Reparent(_text(v["reparent"], "reparent"), _text(v["under"], "under"))),
    "root": ((), (), lambda v: Reroot(_text(v["root"], "root"))),
}
"""For each kind of edit: the keys it needs besides, those it may have, and how it is read."""


def _check_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        what = f"the name {name[:LONGEST_NAME]!r}"
        raise UsageError(what, "name", f"give 1 to {LONGEST_NAME} printable characters without spaces around them")


def _check_point(point: Point) -> None:
    if not np.isfinite(point).all():
        raise UsageError(f"{list(point)} is not finite", "position", "give numbers in metres")


def _said(value: object) -> str:
    """A value in a few words."""
    return repr(value)[:60]
