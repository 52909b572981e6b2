"""Run a recipe again. The recipe is data: options are checked as if typed, inputs found only where allowed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from diorama import catalog
from diorama.core.progress import Progress, Silent
from diorama.errors import UsageError
from diorama.media.fields import Scalar
from diorama.media.recipe import Recipe, read_recipe, resolve_inputs
from diorama.perception.answers import EMBEDDED, HUB, DepthOptions, resolve
from diorama.pipelines.generate_config import GenerateConfig
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.recipe_models import models_of
from diorama.pipelines.recipe_options import config_of
from diorama.pipelines.stereo import StereoRun, stereo

DEPTH = "depth"


@dataclass(frozen=True)
class Reproduced:
    """What a run made.

    Attributes:
        files: the outputs.
        frames: how many were written.
        seconds: wall clock.
        extras: reports beside the outputs.
        notes: what the user should know.
    """

    files: tuple[Path, ...]
    frames: int
    seconds: float
    extras: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """A recipe that may be run.

    Attributes:
        options: as the recipe has them, networks replaced by those on this machine.
        inputs: where the recipe's inputs are, by name, in its order.
        target: the file to write.
        overwrite: replace an existing one.
        progress: told how far it is.
    """

    options: Mapping[str, Scalar]
    inputs: Mapping[str, Path]
    target: Path
    overwrite: bool
    progress: Progress


def _stereo(order: Order) -> Reproduced:
    if not order.inputs:
        raise UsageError("a recipe without an input", "recipe", "it needs the clip it was made from")
    source = next(iter(order.inputs.values()))
    config, run = config_of(StereoConfig, order.options), StereoRun(overwrite=order.overwrite, anew=True)
    made = stereo(source, order.target, config, run=run, progress=order.progress)
    return Reproduced(made.files, made.frames, made.seconds, made.extras, made.notes)


def _stereo_models(order: Order) -> dict[str, str]:
    config = config_of(StereoConfig, order.options)
    depth = config.depth
    estimator = resolve(depth.depth, order.target.parent, DepthOptions(people=depth.people, device=depth.device))
    return models_of(config, estimator, order.progress.note)


def _generate(order: Order) -> Reproduced:
    from diorama.pipelines.generate import generate  # torch: only where it is asked for

    options = dict(order.options)
    picture = options.pop("image", "")
    if picture and picture not in order.inputs:
        raise UsageError(f"it begins with the picture {picture!r}, which is none of its inputs", "recipe")
    given = str(order.inputs[str(picture)]) if picture else ""  # words stay an option: they never name a file
    config = config_of(GenerateConfig, options)
    made = generate(given, order.target, config, overwrite=order.overwrite, progress=order.progress)
    return Reproduced(made.files, made.frames, made.seconds, notes=made.notes)


def _generate_models(order: Order) -> dict[str, str]:
    from diorama.pipelines import generate  # torch: only where it is asked for

    options = {name: value for name, value in order.options.items() if name != "image"}
    return generate.models_of(config_of(GenerateConfig, options))


@dataclass(frozen=True)
class Command:
    """A command whose recipes can be run again.

    Attributes:
        again: does it.
        models: what would answer, as the new recipe will tell it; reads weights for their hash.
        networks: options that name networks, with what the package has in their place.
    """

    again: Callable[[Order], Reproduced]
    models: Callable[[Order], dict[str, str]]
    networks: Mapping[str, str]


COMMANDS: Mapping[str, Command] = {
    "stereo": Command(
        _stereo,
        _stereo_models,
        {DEPTH: EMBEDDED, "prior": EMBEDDED, "autoencoder": "", "upscaler": EMBEDDED},
    ),
    "generate": Command(_generate, _generate_models, {"prior": EMBEDDED}),
}
OTHERS = ("animate", "person", "rig")
"""Commands that write recipes which only they themselves can run."""


def reproduce(
    made: Path,
    output: Path | None = None,
    *,
    given: Mapping[str, Path] | None = None,
    allow_changed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reproduced:
    """Make an output again from the recipe it carries.

    Args:
        made: the output, or its sidecar.
        output: the file to write; by default ``<name>_again`` beside `made`.
        given: where inputs are that do not lie beside `made`, by the name the recipe gives them; ``depth`` stands for
            a folder of weights, ``prior``, ``autoencoder`` and ``upscaler`` for those networks.
        allow_changed: accept inputs and weights with another content hash.
        overwrite: replace an existing output.
        progress: told how far the run is.

    Raises:
        UsageError: a recipe of a command that is not in `COMMANDS`, unknown options, inputs that are missing or
            changed, a network that is neither an input nor on this machine, or one with other weights.
        MediaError: no recipe there.
    """
    recipe = read_recipe(made)
    command = _command(recipe, made)
    told = dict(given or {})
    named = {item.name for item in recipe.inputs}
    folders = {name: told.pop(name, None) for name in command.networks if name not in named}
    found = resolve_inputs(recipe, made.parent, told, allow_changed=allow_changed)
    options = dict(recipe.options)
    for name, own in command.networks.items():
        asked = options.get(name, own)
        options[name] = str(folders.get(name) or _network(name, asked, own, found))
    order = Order(options, found, output or _again(made), overwrite, progress or Silent())
    changed = _changed(recipe, command, order)
    if not changed:
        return command.again(order)
    what = f"the weights of {' and '.join(changed)} are not those the recipe was made with (their content differs)"
    if not allow_changed:
        fix = f"give the original: --input {changed[0]}=PATH, or accept it: --allow-changed"
        raise UsageError(what, "recipe", fix)
    order.progress.note(what)
    result = command.again(order)
    return replace(result, notes=(what, *result.notes))


def _changed(recipe: Recipe, command: Command, order: Order) -> list[str]:
    """Networks whose content is not what the recipe says."""
    told = {name: sha for name in command.networks if (sha := recipe.models.get(f"{name}_sha"))}
    found = command.models(order) if told else {}
    return [name for name, sha in told.items() if name in found and found.get(f"{name}_sha") != sha]


def _command(recipe: Recipe, made: Path) -> Command:
    if recipe.command in COMMANDS:
        return COMMANDS[recipe.command]
    fix = f"this version reproduces: {', '.join(COMMANDS)}"
    if recipe.command in OTHERS:
        fix = f"run diorama {recipe.command} with the options it lists; {fix}"
    raise UsageError(f"a recipe of the command {recipe.command!r}", made, fix)


def _network(name: str, asked: Scalar, own: str, found: Mapping[str, Path]) -> str:
    """What an option that names a network stands for here.

    A recipe may come from anyone, so it cannot choose files, folders or downloads by itself: it gets what ships, one
    of its own inputs as depth, or weights of the catalogue that are on this machine.
    """
    if asked == own:
        return own
    if name == DEPTH and isinstance(asked, str) and asked in found:
        return str(found[asked])
    here = _depth_networks() if name == DEPTH else _generators()
    if isinstance(asked, str) and asked in here:
        return here[asked]
    what = "depth from" if name == DEPTH else "the network"
    raise UsageError(f"the recipe asks for {what} {asked!r}", "recipe", f"if you trust it: --input {name}=PATH")


def _depth_networks() -> dict[str, str]:
    here = {weights.name: str(folder) for weights, folder in catalog.models_found()}
    return here | ({HUB: here[catalog.DEFAULT_DEPTH]} if catalog.DEFAULT_DEPTH in here else {})


def _generators() -> dict[str, str]:
    lying = {weights.name: catalog.folder_of(weights) for weights in catalog.GENERATORS}
    return {name: str(folder) for name, folder in lying.items() if folder is not None}


def _again(made: Path) -> Path:
    name = made.name.removesuffix(".diorama.json")
    return made.with_name(Path(name).stem + "_again" + Path(name).suffix)
