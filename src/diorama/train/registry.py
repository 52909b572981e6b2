"""Which recipes there are; free of torch, so that the command line can list them."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from diorama.errors import UsageError
from diorama.train.config import TrainConfig

if TYPE_CHECKING:
    from diorama.train.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """A recipe that is not loaded yet.

    Attributes:
        factory: ``module:name`` of a function from `TrainConfig` to `Recipe`.
        about: what it trains, in one line.
        defaults: options (fields of `TrainConfig`) that are the recipe's own.
    """

    factory: str
    about: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


RECIPES: dict[str, Entry] = {}
"""By name."""


def find(name: str) -> Entry:
    """The recipe of a name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, 1)
    known = ", ".join(RECIPES) or "none is installed"
    hint = f"perhaps {near[0]}; there are: {known}" if near else f"choose one of {known}"
    raise UsageError(f"no training recipe called {name!r}", "RECIPE", hint)


def config_for(name: str, given: Mapping[str, Any], saved: Mapping[str, Any] | None = None) -> TrainConfig:
    """The options of a run: what is given, then what a resumed run had, then the recipe's own, then the common ones.

    A given budget replaces the others' whole: --minutes does not meet the steps of a recipe.
    """
    chosen: dict[str, Any] = {}
    for layer in (find(name).defaults, saved or {}, given):
        if {"steps", "minutes"} & set(layer):
            chosen = {key: value for key, value in chosen.items() if key not in ("steps", "minutes")}
        chosen |= layer
    unknown = set(chosen) - {item.name for item in fields(TrainConfig)}
    if unknown:
        raise UsageError(f"no option called {sorted(unknown)[0]!r}", name, "see diorama train --help")
    return TrainConfig(**chosen)


def recipe_of(name: str, config: TrainConfig) -> "Recipe":
    """Load a recipe."""
    module, _, attribute = find(name).factory.partition(":")
    recipe: Recipe = getattr(importlib.import_module(module), attribute)(config)
    return recipe
