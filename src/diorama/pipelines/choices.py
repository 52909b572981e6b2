"""Fields of options that take one of a few words, checked by what their types say. Loads no heavy library."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

from diorama.errors import UsageError


def check_choices(options: Any) -> None:
    """Refuse words that are none of their field's: for ``__post_init__`` of a dataclass of options.

    Args:
        options: whose fields of type ``Literal`` or ``tuple[Literal, ...]`` are looked at.

    Raises:
        UsageError: a field holds another value.
    """
    for name, hint in get_type_hints(type(options)).items():
        value, many = getattr(options, name), get_origin(hint) is tuple
        kind = get_args(hint)[0] if many else hint
        if get_origin(kind) is not Literal:
            continue
        known = get_args(kind)
        if many and not isinstance(value, tuple):
            raise UsageError(f"{name} is {value!r}", _option(name), f"give a tuple of {_listed(known)}")
        for word in value if many else (value,):
            if word not in known:
                raise UsageError(f"{name} is {word!r}", _option(name), f"known: {_listed(known)}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(known: tuple[object, ...]) -> str:
    return ", ".join(map(str, known))
