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
        published: what takes its place where a run starts from networks of the SD-1.5 kind.
    """

    factory: str
    about: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    published: "Entry | None" = None


_PUBLISHED: dict[str, Any] = {
    "lr": 1e-5,
    "warmup": 1,
    "schedule": "constant",
    "ema": 0.0,
    "precision": "bf16",
    "drop": ("reference=0.1",),
}
_MOORE = {
    **_PUBLISHED,
    "steps": 30_000,
    "batch": 4,
    "target": "v",
    "weighting": "moore",
    "snr_gamma": 5.0,
    "noise_offset": 0.05,
    "clip": 1.0,
    "seed": 12580,
}
_VIDEO = {"steps": 10_000, "batch": 1, "checkpointing": True}
_SP4D = {
    **_PUBLISHED,
    "steps": 40_000,
    "batch": 32,
    "target": "v",
    "weighting": "none",
    "ema": 0.9999,
    "checkpointing": True,
    "drop": ("image=0.1", "context=0.1"),
}
_TURNS: dict[str, Any] = {
    "lr": 2e-3,
    "batch": 6,
    "optimizer": "muon",
    "ema": 0.995,
    "warmup": 50,
    "weight_decay": 0.01,
    "drop": ("image=0.05",),
}
_SMALL = "diorama.train.recipes.parts_small"
_CODEC = "diorama.train.codec_recipe"
_CODING = {"minutes": 60.0, "batch": 6, "lr": 3e-3, "weight_decay": 1e-4}
_CLIPS: dict[str, Any] = {"lr": 5e-4, "warmup": 20, "batch": 2, "ema": 0.98, "person_weight": 8.0, "detail_weight": 2.0}
_OWN_CLIPS = "your clips, from networks of the SD-1.5 kind"
_ANIMATE, _PERSON, _PARTS = (f"diorama.train.recipes.{name}" for name in ("animate", "person", "parts"))

RECIPES: dict[str, Entry] = {
    "codec-s": Entry(f"{_CODEC}:codec_recipe", "the embedded codec: pixels to latents and back", _CODING),
    "codec-s-large": Entry(f"{_CODEC}:large_recipe", "the same at 2.4 million parameters, for a GPU", _CODING),
    "codec-s-decoder": Entry(f"{_CODEC}:decoder_recipe", "its decoder alone; latents stay as they are", _CODING),
    "depth-s": Entry(
        "diorama.train.recipes.depth:make",
        "the embedded depth: how near each pixel of a picture is",
        {"lr": 1e-3, "batch": 8, "weight_decay": 0.02, "ema": 0.997, "minutes": 45.0},
    ),
    "upscale-s": Entry(
        "diorama.train.recipes.upscale:make",
        "the embedded upscaler: frames at twice their size, after the frame before and the other eye",
        {
            "lr": 3e-3,
            "batch": 4,
            "optimizer": "muon",
            "ema": 0.998,
            "minutes": 45.0,
            "drop": ("before=0.1", "beside=0.1"),
        },
    ),
    "backbone-s": Entry(
        "diorama.train.recipes.backbone:make",
        "the embedded generator: people animated, repeated, and video inpainted",
        {
            "lr": 3e-4,
            "batch": 4,
            "person_weight": 4.0,
            "drop": (
                *("scene=0.1", "occluder=0.1", "preview=0.5", "codes=0.1"),
                *("reference=0.1", "all=0.05"),
            ),
            "ema": 0.999,
            "weight_decay": 0.01,
        },
    ),
    "scene-s": Entry(
        "diorama.train.recipes.scene:make",
        "the embedded prior of scenes: what comes into sight where the eye moves",
        {"lr": 2e-3, "batch": 6, "optimizer": "muon", "weight_decay": 0.01, "ema": 0.997, "minutes": 60.0},
    ),
    "animate": Entry(
        "diorama.train.recipes.clips:animate",
        "a generator that animates, on a folder of your clips (--data)",
        {
            **_CLIPS,
            "drop": (
                *("scene=0.05", "occluder=0.05", "preview=0.15", "codes=0.05"),
                *("reference=0.1", "all=0.02"),
            ),
        },
        Entry(
            "diorama.train.recipes.clips_published:animate",
            _OWN_CLIPS,
            {**_PUBLISHED, "batch": 1, "target": "eps", "weighting": "none", "checkpointing": True},
        ),
    ),
    "person": Entry(
        "diorama.train.recipes.clips:person",
        "the same person in new poses, on a folder of your clips (--data)",
        {
            **_CLIPS,
            "drop": (
                *("scene=0.5", "occluder=0.5", "preview=0.9", "codes=0.05"),
                *("reference=0.1", "all=0.02"),
            ),
        },
        Entry(
            "diorama.train.recipes.clips_published:person",
            _OWN_CLIPS,
            {**{key: value for key, value in _MOORE.items() if key != "steps"}, "batch": 1, "checkpointing": True},
        ),
    ),
    "mimo-paper": Entry(
        f"{_ANIMATE}:mimo",
        "MIMO as in its paper: denoiser, reference, pose encoder and vertex codes together",
        {
            **_PUBLISHED,
            "steps": 50_000,
            "batch": 8,
            "target": "eps",
            "weighting": "none",
            "checkpointing": True,
        },
    ),
    "moore-stage1": Entry(f"{_ANIMATE}:moore_stage1", "Moore-AnimateAnyone, pictures: all but the motion", _MOORE),
    "moore-stage2": Entry(
        f"{_ANIMATE}:moore_stage2", "Moore-AnimateAnyone, videos: motion modules alone", {**_MOORE, **_VIDEO}
    ),
    "scd-stage1": Entry(f"{_PERSON}:stage1", "SCD, pictures: one network that reads its own reference", _MOORE),
    "scd-stage2": Entry(f"{_PERSON}:stage2", "SCD, videos: motion modules alone", {**_MOORE, **_VIDEO}),
    "parts-relief": Entry(
        "diorama.train.recipes.parts_relief:make",
        "what parts begins with: front and back, told from one view",
        {**_TURNS, "drop": ()},
    ),
    "parts-stage1": Entry(f"{_SMALL}:stage1", "the same, colours alone: parts begins with it (--init)", _TURNS),
    "parts": Entry(f"{_SMALL}:stage2", "the embedded generator of parts: from one view to all around", _TURNS),
    "parts-no-fusion": Entry(f"{_SMALL}:without_fusion", "parts whose branches do not talk, for comparison", _TURNS),
    "parts-no-contrast": Entry(
        f"{_SMALL}:without_contrast", "parts without the contrastive loss, for comparison", _TURNS
    ),
    "sp4d-stage1": Entry(f"{_PARTS}:stage1", "SP4D, colours of an object from all around (SV4D 2.0)", _SP4D),
    "sp4d-stage2": Entry(f"{_PARTS}:stage2", "SP4D, colours and parts in two branches", _SP4D),
}
"""By name. The settings of published recipes are those of specs mimo.md 2, scd.md 1.3 and sp4d.md 1.7."""

CLIP_RECIPES = ("animate", "person")
"""Those that learn from a folder of clips."""
SOME = {"theatre": CLIP_RECIPES, "lora": CLIP_RECIPES, "detail_weight": ("backbone-s", *CLIP_RECIPES)}
"""Options that only some recipes know."""


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


def entry_of(name: str, *, published: bool = False) -> Entry:
    """The recipe of a name, or what takes its place; raises as `find`."""
    entry = find(name)
    return entry.published or entry if published else entry


def config_for(
    name: str, given: Mapping[str, Any], saved: Mapping[str, Any] | None = None, *, published: bool = False
) -> TrainConfig:
    """The options of a run: what is given, then what a resumed run had, then the recipe's own, then the common ones.

    A given budget replaces the others' whole: --minutes does not meet the steps of a recipe.
    """
    chosen: dict[str, Any] = {}
    for layer in (entry_of(name, published=published).defaults, saved or {}, given):
        if {"steps", "minutes"} & set(layer):
            chosen = {key: value for key, value in chosen.items() if key not in ("steps", "minutes")}
        chosen |= layer
    for option in sorted(SOME.keys() & given.keys()):
        if name not in SOME[option] or (published and option == "detail_weight"):
            where = f"--{option.replace('_', '-')}"
            raise UsageError(f"{name} has no option {option!r}", where, f"of {', '.join(SOME[option])}")
    unknown = set(chosen) - {item.name for item in fields(TrainConfig)}
    if unknown:
        raise UsageError(f"no option called {sorted(unknown)[0]!r}", name, "see diorama train --help")
    return TrainConfig(**chosen)


def recipe_of(name: str, config: TrainConfig, *, published: bool = False) -> "Recipe":
    """Load a recipe."""
    module, _, attribute = entry_of(name, published=published).factory.partition(":")
    recipe: Recipe = getattr(importlib.import_module(module), attribute)(config)
    return recipe
