"""The options of training for command lines: names, types and help from `TrainConfig`, and the run itself.

Without torch, and without the libraries of the command line: both front ends use it.
"""

import ast
import inspect
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diorama.core.progress import Progress
from diorama.train.config import CHOICES, TrainConfig
from diorama.train.registry import CLIP_RECIPES, RECIPES, config_for, find, recipe_of

if TYPE_CHECKING:
    from diorama.train.report import Report


@dataclass(frozen=True)
class Option:
    """A field of `TrainConfig`.

    Attributes:
        name: of the field.
        kind: type of a value, or of an element of a tuple.
        many: whether several values are taken.
        choices: where only some values will do.
        default: for recipes that say nothing else.
        help: in one or two lines.
    """

    name: str
    kind: type
    many: bool
    choices: tuple[str, ...]
    default: Any
    help: str

    def takes(self, value: object) -> bool:
        """Whether a value is of its type."""
        values = value if self.many and isinstance(value, tuple) else (value,)
        kinds = (int, float) if self.kind is float else self.kind
        plain = all(isinstance(one, kinds) and (type(one) is not bool or self.kind is bool) for one in values)
        return plain and isinstance(value, tuple) == self.many


def options() -> list[Option]:
    """All of them, in order."""
    helps, hints, found = _helps(), typing.get_type_hints(TrainConfig), []
    for item in fields(TrainConfig):
        hint = hints[item.name]
        many = typing.get_origin(hint) is tuple
        kinds = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
        kind = hint if isinstance(hint, type) and not many else str if item.name in CHOICES else kinds[0]
        default = None if item.default is MISSING else item.default
        found.append(Option(item.name, kind, many, CHOICES.get(item.name, ()), default, helps[item.name]))
    return found


def _helps() -> dict[str, str]:
    """The text under each field."""
    body = ast.parse(inspect.getsource(TrainConfig)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def listing() -> str:
    """The recipes there are, a line each."""
    width = max((len(name) for name in RECIPES), default=0)
    return "".join(f"{name:<{width}}  {entry.about}\n" for name, entry in RECIPES.items())


def start(name: str, given: Mapping[str, Any], progress: Progress) -> "Report":
    """Train a recipe by name with the options that the user gave; loads torch.

    Raises:
        UsageError: no such recipe, or an option that it cannot honour.
        DioramaError: as `diorama.train.loop.train`.
    """
    find(name)
    config_for(name, given, {"steps": 1})  # the options alone, before torch takes its seconds
    from diorama.train.loop import run_folder, saved_options, train

    saved = saved_options(run_folder(name, given.get("out", "")), name) if given.get("resume") else {}
    config, published = config_for(name, given, saved), False
    if name in CLIP_RECIPES:
        from diorama.train.recipes.clip_cut import starts_published

        published = starts_published(config)
        config = config_for(name, given, saved, published=published)
    progress.note(f"logs, previews and checkpoints: {Path(run_folder(name, config.out)).absolute()}")
    return train(recipe_of(name, config, published=published), config, progress)


def summary(report: "Report") -> str:
    """What a run got, for people."""
    from diorama.train.schedule import duration

    scores = "".join(f"  {name} {value:.4g}\n" for name, value in report.measures.items())
    return f"{report.result}\n  {report.step} steps in {duration(report.seconds)}\n{scores}"
