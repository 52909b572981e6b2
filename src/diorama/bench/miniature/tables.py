"""Both tables from nothing: train what is not trained, measure what is not measured, and print."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diorama.bench._decomposition_truth import HeldOut
from diorama.bench.metrics.columns import DISCO, MORE, PAPER
from diorama.bench.metrics.suite import ClipScores, Networks, networks
from diorama.bench.metrics.table import Table, as_json, markdown, tables
from diorama.bench.miniature import scoring
from diorama.bench.miniature.files import damaged, read_json, write_json
from diorama.bench.miniature.pairs import PairNetwork
from diorama.bench.miniature.recipes import Course
from diorama.bench.miniature.scoring import Cost, Maker
from diorama.bench.miniature.training import (
    MiniatureConfig,
    Suite,
    Trained,
    chosen,
    load_variant,
    names_of,
    one_thread,
    train_variants,
)
from diorama.bench.miniature.variants import ROWS, Miniature
from diorama.core.progress import Progress, Silent
from diorama.media.atomic import atomic_path

UNTRAINED = {
    "preview": "preview engine",
    "preview-codec": "preview engine, through the codec",
    "codec": "(the true frames through the codec)",
}
"""Rows of MIMO's table that learn nothing; the last is what no network here can exceed."""
ORDERED = ("psnr_inside", "lpips_inside")
"""Columns by which the order that was found is told."""


@dataclass(frozen=True)
class Result:
    """A table with all that belongs to it.

    Attributes:
        suite: which.
        clips: how many were measured.
        trained: of each trained row.
        scores: of each row on each clip.
        costs: by title (SCD's table).
    """

    suite: Suite
    clips: int
    trained: tuple[Trained, ...]
    scores: tuple[ClipScores, ...]
    costs: Mapping[str, Cost]

    @property
    def tables(self) -> list[Table]:
        """Of all clips and of each tag: the papers' columns and more, then those of the field's scripts."""
        corrected, disco = (tables(self.scores, columns) for columns in ((*PAPER, *MORE), DISCO))
        return [each for pair in zip(corrected, disco, strict=True) for each in pair]

    @property
    def markdown(self) -> str:
        """Everything, to be read."""
        parts = [markdown(each) for each in self.tables]
        return "\n\n".join([*(ordering(self.scores, key) for key in ORDERED), *parts, _budget(self)]) + "\n"


def miniature(suite: Suite, config: MiniatureConfig, progress: Progress | None = None) -> Result:
    """Train, measure, and put together; what was done before in the same folder is not done again.

    The table lies in the folder too, as ``animate/table.md`` and ``.json``.

    Raises:
        UsageError: options that do not fit, or a folder of another budget.
        InterruptedRunError: stopped while training; the same call goes on.
    """
    told = progress or Silent()
    trained = train_variants(suite, config, told)
    course = config.course
    told.begin("choose held-out clips", None)
    clips = course.takes.held_out(config.clips)
    by = networks(Path(config.weights) if config.weights else None, frames=config.frames)
    titles = {name: title for name, title in names_of(suite).items() if name in chosen(suite, config)}
    titles |= UNTRAINED if suite == "animate" else {}
    scores: list[ClipScores] = []
    costs: dict[str, Cost] = {}
    with one_thread():
        for name, title in titles.items():
            scores += _scored(suite, config, name, course=course, clips=clips, by=by, progress=told)
            if suite == "person":
                costs[title] = _cost(config, name, course, clips[0])
    result = Result(suite, len(clips), tuple(trained), tuple(scores), costs)
    for name, text in (("table.md", result.markdown), ("table.json", as_json(result.tables))):
        with atomic_path(Path(config.out) / suite / name) as partial:
            partial.write_text(text)
    return result


def ordering(scores: Sequence[ClipScores], key: str) -> str:
    """The methods from best to worst by a metric, as it was found."""
    means = {method: cell.mean for method, row in tables(scores)[0].rows.items() if (cell := row.get(key))}
    column = next(column for column in (*PAPER, *MORE) if column.key == key)
    found = sorted(means, key=lambda method: means[method], reverse=column.larger)
    shown = " > ".join(f"{method} ({means[method]:.{column.digits}f})" for method in found)
    return f"Best to worst by {column.title}: {shown}."


def _scored(
    suite: Suite,
    config: MiniatureConfig,
    name: str,
    *,
    course: Course,
    clips: Sequence[HeldOut],
    by: Networks,
    progress: Progress,
) -> list[ClipScores]:
    """The scores of a row, from its file where they were measured before."""
    path = Path(config.out) / suite / f"{name}.scores.json"
    found = read_json(path)
    if isinstance(found, dict) and found.get("of") == _measured(clips, by):
        return scoring.from_plain(found.get("scores"), str(path))
    title, make = _maker(suite, name, config, course)
    score = scoring.score_films if suite == "animate" else scoring.score_pictures
    scores = score(title, clips, course.takes.exam, make, by=by, progress=progress)
    write_json(path, {"of": _measured(clips, by), "scores": scoring.as_plain(scores)})
    return scores


def _measured(clips: Sequence[HeldOut], by: Networks) -> list[object]:
    """What scores depend on beside the variant."""
    return [[held.seed for held in clips], scoring.STEPS, by.lpips.name, by.video.name, by.frames, by.step]


def _maker(suite: Suite, name: str, config: MiniatureConfig, course: Course) -> tuple[str, Maker]:
    codec = course.takes.codec
    if name == "preview":
        return UNTRAINED[name], scoring.preview_maker()
    if name in UNTRAINED:
        return UNTRAINED[name], scoring.decoded("preview" if name == "preview-codec" else "image", codec)
    network, title = load_variant(suite, name, config, course), names_of(suite)[name]
    if isinstance(network, PairNetwork):
        return title, scoring.person_maker(network, codec)
    assert isinstance(network, Miniature)
    return title, scoring.animate_maker(network, next(row for row in ROWS if row.name == name), codec)


def _cost(config: MiniatureConfig, name: str, course: Course, held: HeldOut) -> Cost:
    path = Path(config.out) / "person" / f"{name}.cost.json"
    found = read_json(path)
    if found is not None:
        try:
            return Cost(**found)
        except TypeError as error:
            raise damaged(path, error) from error
    network = load_variant("person", name, config, course)
    assert isinstance(network, PairNetwork)
    cost = scoring.cost_of(network, course.takes.exam(held))
    write_json(path, asdict(cost))
    return cost


def _budget(result: Result) -> str:
    """What each row was trained with, and what a picture of it costs."""
    titles = ["row", "parameters", "steps", "samples", "training s"]
    rows = []
    for row in result.trained:
        cost = result.costs.get(row.title)
        spent = [row.title, f"{row.parameters:,}", str(row.steps), str(row.samples), f"{row.seconds:.0f}"]
        rows.append(spent + ([f"{cost.seconds:.3f}", f"{cost.weights:.1f}", f"{cost.working:.1f}"] if cost else []))
    if result.costs:
        titles += ["core seconds a picture", "MB of weights", "MB at work"]
    return "\n".join(f"| {' | '.join(each)} |" for each in (titles, ["---"] * len(titles), *rows))
