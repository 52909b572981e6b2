"""``diorama train``: the recipes of `diorama.train`, with their options."""

import json
import sys
from dataclasses import asdict, dataclass, make_dataclass
from dataclasses import field as data_field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from diorama.cli.commands import Common
from diorama.errors import UsageError
from diorama.train.options import Option, listing, options, start, summary
from diorama.train.registry import CLIP_RECIPES, config_for

if TYPE_CHECKING:
    from diorama.core.progress import Progress
    from diorama.train.report import Report


@dataclass(frozen=True)
class TrainCommand:
    """Train a network from the theatre or from a folder of samples: diorama train RECIPE --minutes 10"""

    recipe: tyro.conf.Positional[str] = ""
    """What to train; see --list."""
    list: bool = False
    """List the recipes."""
    common: Common = Common()

    def run(self) -> int:
        """Train; returns the exit code."""
        from diorama.cli.progress import make_progress

        if self.list:
            sys.stdout.write(listing())
            return 0
        if not self.recipe:
            raise UsageError("no recipe", "command line", "name one; diorama train --list shows them")
        values = {option.name: getattr(self, option.name) for option in options()}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            if self.recipe in CLIP_RECIPES and "data" in given:
                given["data"] = _prepared(self.recipe, given, progress)
            report = start(self.recipe, given, progress)
        _tell(self.common, report)
        return 0


def _prepared(recipe: str, given: dict[str, Any], progress: "Progress") -> str:
    """The folder of the pieces that the clips of ``--data`` are cut into."""
    from diorama.pipelines.train_clips import Cut, prepare
    from diorama.train.loop import run_folder, saved_options
    from diorama.train.recipes.clip_cut import cut_of

    saved = saved_options(run_folder(recipe, given.get("out", "")), recipe) if given.get("resume") else {}
    config = config_for(recipe, given, saved)  # options are checked before clips take their minutes
    work, cut = run_folder(recipe, config.out) / "clips", Cut(**asdict(cut_of(config)))
    return str(prepare(config.data, work, cut, progress=progress).folder)


def _tell(common: Common, report: "Report") -> None:
    if common.json:
        fields = {"result": str(report.result), "folder": str(report.folder), "steps": report.step}
        sys.stdout.write(json.dumps({**fields, "seconds": report.seconds, "measures": report.measures}) + "\n")
    elif not common.quiet:
        sys.stdout.write(summary(report))


def _field(option: Option) -> tuple[str, Any, Any]:
    """An option without a default of its own: what is not given is the recipe's affair."""
    if option.kind is bool:  # a flag
        return option.name, Annotated[bool, tyro.conf.arg(help=option.help)], data_field(default=False)
    one: Any = Literal[option.choices] if option.choices else option.kind
    kind = (tuple[one, ...] if option.many else one) | None
    metavar = f"{{{','.join(option.choices)}}}" if option.choices else option.kind.__name__.upper()
    if option.many:
        metavar = f"[{metavar} ...]"
    shown = f" (default: {option.default}, or the recipe's own)" if option.default not in (None, "", ()) else ""
    arg = tyro.conf.arg(help=option.help + shown, help_behavior_hint="", metavar=metavar)
    return option.name, Annotated[kind, arg], data_field(default=None)


Train: type[TrainCommand] = make_dataclass(
    "Train",
    [_field(option) for option in options()],
    bases=(TrainCommand,),
    namespace={"__doc__": TrainCommand.__doc__},
    frozen=True,
)
