"""Fields of options that take one of a few words, checked by what their types say. Loads no heavy library."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from diorama.errors import UsageError


def check_choices(options: Any) -> None:
    """Refuse words that are none of their field's: for ``__post_init__`` of a dataclass of options.

    Args:
        options: whose fields of type ``Literal`` or ``tuple[Literal, ...]``, or None beside them, are looked at.

    Raises:
        UsageError: a field holds another value.
    """
    for name, hint in get_type_hints(type(options)).items():
        value, given = getattr(options, name), _given(hint)
        many = get_origin(given) is tuple
        kind = get_args(given)[0] if many else given
        if get_origin(kind) is not Literal or (value is None and given is not hint):
            continue
        known = get_args(kind)
        if many and not isinstance(value, tuple):
            raise UsageError(f"{name} is {value!r}", _option(name), f"give a tuple of {_listed(known)}")
        for word in value if many else (value,):
            if not among(word, known):
                raise UsageError(f"{name} is {word!r}", _option(name), f"known: {_listed(known)}")


def among(value: object, known: tuple[object, ...]) -> bool:
    """Whether a value is one of those that are known, also in its type: neither True nor 1.0 is 1."""
    return any(type(value) is type(word) and value == word for word in known)


def _given(hint: Any) -> Any:
    """What a field takes where it is given: its type without None."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if get_origin(hint) in (Union, UnionType) and len(kinds) == 1 else hint


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(known: tuple[object, ...]) -> str:
    return ", ".join(map(str, known))
