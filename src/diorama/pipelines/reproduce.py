"""Run a recipe again. The recipe is data: options are checked as if typed, inputs found only where allowed."""

from collections.abc import Mapping
from pathlib import Path

from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.media.recipe import read_recipe, resolve_inputs
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo


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
        given: where inputs are that do not lie beside `made`, by the name the recipe gives them.
        allow_changed: accept inputs with another content hash.
        overwrite: replace an existing output.
        progress: told how far the run is.

    Raises:
        UsageError: a recipe of another command, unknown options, inputs that are missing or changed.
        MediaError: no recipe there.
    """
    recipe = read_recipe(made)
    if recipe.command != "stereo":
        raise UsageError(f"a recipe of the command {recipe.command!r}", made, "this version reproduces: stereo")
    found = resolve_inputs(recipe, made.parent, given, allow_changed=allow_changed)
    options = dict(recipe.options)
    depth = options.get("depth")
    if isinstance(depth, str) and depth in found:
        options["depth"] = str(found[depth])
    config = StereoConfig.from_options(options)
    source = found[recipe.inputs[0].name]
    target = output or _again(made)
    return stereo(source, target, config, run=StereoRun(overwrite=overwrite), progress=progress)


def _again(made: Path) -> Path:
    name = made.name.removesuffix(".diorama.json")
    return made.with_name(Path(name).stem + "_again" + Path(name).suffix)
