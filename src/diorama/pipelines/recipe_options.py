"""Options of a recipe as a config again. They come from outside: names and types are checked as the config has them."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from diorama.errors import UsageError
from diorama.pipelines.choices import among

Config = TypeVar("Config")


def config_of(kind: type[Config], options: Mapping[str, object]) -> Config:
    """A config from its options in one flat table.

    Args:
        kind: a dataclass; fields that are dataclasses are groups, and the table holds their fields without the group.
        options: by name; what is left out keeps its default.

    Raises:
        UsageError: an unknown option, or a value of the wrong type or out of range.
    """
    hints = get_type_hints(kind)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    known = {name: ("", hint) for name, hint in hints.items() if name not in groups}
    for group, part in groups.items():
        known |= {name: (group, hint) for name, hint in get_type_hints(part).items()}
    values: dict[str, dict[str, Any]] = {group: {} for group in ("", *groups)}
    for name, value in options.items():
        if name not in known:
            raise UsageError(f"unknown option {name!r}", f"options.{name}", f"known: {', '.join(known)}")
        group, hint = known[name]
        _check_type(name, value, hint)
        values[group][name] = value
    return kind(**values[""], **{group: part(**values[group]) for group, part in groups.items()})


def _check_type(name: str, value: object, hint: object) -> None:
    """A recipe's values come from outside: numbers where numbers belong, and so on."""
    if not _fits(value, hint):
        expected = getattr(hint, "__name__", str(hint).replace("typing.", ""))
        raise UsageError(f"{value!r} does not fit", f"options.{name}", f"expected {expected}")


def _fits(value: object, hint: object) -> bool:
    if get_origin(hint) is Literal:
        return among(value, get_args(hint))
    if get_args(hint):  # a union
        return any(_fits(value, part) for part in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else False
