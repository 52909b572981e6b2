"""Run a recipe again. The recipe is data: options are checked as if typed, inputs found only where allowed."""

from collections.abc import Mapping
from pathlib import Path

from diorama import catalog
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.media.recipe import Recipe, read_recipe, resolve_inputs
from diorama.perception.answers import EMBEDDED, HUB
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo

DEPTH = "depth"
OWN = {"prior": EMBEDDED, "autoencoder": "", "upscaler": EMBEDDED}
"""Folders of networks that a recipe may name, and what the package has in their place."""


def reproduce(
    made: Path,
    output: Path | None = None,
    *,
    given: Mapping[str, Path] | None = None,
    allow_changed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> StereoResult:
    """Make an output again from the recipe it carries.

    Args:
        made: the output, or its sidecar.
        output: the file to write; by default ``<name>_again`` beside `made`.
        given: where inputs are that do not lie beside `made`, by the name the recipe gives them; ``depth`` stands for
            a folder of weights, ``prior``, ``autoencoder`` and ``upscaler`` for those networks.
        allow_changed: accept inputs with another content hash.
        overwrite: replace an existing output.
        progress: told how far the run is.

    Raises:
        UsageError: a recipe of another command, unknown options, inputs that are missing or changed, or a depth that
            is neither an input nor a network that is on this machine.
        MediaError: no recipe there.
    """
    recipe = read_recipe(made)
    if recipe.command != "stereo":
        raise UsageError(f"a recipe of the command {recipe.command!r}", made, "this version reproduces: stereo")
    if not recipe.inputs:
        raise UsageError("a recipe without an input", made, "it needs the clip it was made from")
    told = dict(given or {})
    named = {item.name for item in recipe.inputs}
    folders = {name: told.pop(name, None) for name in (DEPTH, *OWN) if name not in named}
    found = resolve_inputs(recipe, made.parent, told, allow_changed=allow_changed)
    answers = {DEPTH: _depth(recipe, found, folders.get(DEPTH))}
    answers |= {name: _folder(recipe, name, folders.get(name), own) for name, own in OWN.items()}
    config = StereoConfig.from_options({**recipe.options, **answers})
    source = found[recipe.inputs[0].name]
    target = output or _again(made)
    return stereo(source, target, config, run=StereoRun(overwrite=overwrite), progress=progress)


def _depth(recipe: Recipe, found: Mapping[str, Path], weights: Path | None) -> str:
    """What answers depth. A recipe may come from anyone, so it cannot choose files, folders or hubs by itself."""
    if weights is not None:
        return str(weights)
    depth = recipe.options.get(DEPTH, EMBEDDED)
    if isinstance(depth, str) and depth in found:
        return str(found[depth])
    if depth == EMBEDDED:
        return EMBEDDED
    here = {weights.name: str(folder) for weights, folder in catalog.models_found()}
    name = catalog.DEFAULT_DEPTH if depth == HUB else depth
    if isinstance(name, str) and name in here:  # never downloaded at a recipe's word
        return here[name]
    raise UsageError(f"the recipe asks for depth from {depth!r}", "recipe", "if you trust it: --input depth=PATH")


def _folder(recipe: Recipe, name: str, given: Path | None, own: str) -> str:
    """A network. A recipe cannot choose folders, or downloads, by itself."""
    if given is not None:
        return str(given)
    asked = recipe.options.get(name, own)
    if asked == own:
        return own
    raise UsageError(f"the recipe asks for the network {asked!r}", "recipe", f"if you trust it: --input {name}=PATH")


def _again(made: Path) -> Path:
    name = made.name.removesuffix(".diorama.json")
    return made.with_name(Path(name).stem + "_again" + Path(name).suffix)
