"""Variants trained in turn under one budget: after a kill the same call goes on, and finished ones are skipped."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from diorama.bench.miniature.files import damaged, read_json, write_json
from diorama.bench.miniature.pairs import TITLES, Kind
from diorama.bench.miniature.recipes import NETWORK, AnimateRecipe, Course, PersonRecipe
from diorama.bench.miniature.takes import HELD, Shot, Takes
from diorama.bench.miniature.variants import ROWS
from diorama.core.progress import Progress, Silent
from diorama.diffusion.backbone import BackboneConfig
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.fit import fit
from diorama.errors import UsageError
from diorama.train.config import TrainConfig
from diorama.train.loop import train

logger = logging.getLogger(__name__)
Suite = Literal["animate", "person"]
KINDS: tuple[Kind, ...] = ("separate", "joint", "causal")


@dataclass(frozen=True)
class MiniatureConfig:
    """A table's budget; all variants get the same."""

    out: str = "runs/bench-people"
    """Folder of takes, variants and results; both tables may share it."""
    minutes: float | None = 12.0
    """Of training, each variant."""
    steps: int | None = None
    """In place of minutes: the same number of samples for all, whatever else the machine does."""
    clips: int = 100
    """Held-out clips."""
    lessons: int = 160
    """Clips that are trained on."""
    variants: tuple[str, ...] = ()
    """Names of the rows that are trained; all by default."""
    weights: str = ""
    """Folder with the files of LPIPS and I3D, in place of the stand-ins."""
    seed: int = 0
    """Of weights, samples and noise."""
    size: int = 128
    """Pixels a side."""
    frames: int = 8
    """Of a sample, and of a held-out clip."""
    widths: tuple[int, ...] = (32, 64, 96)
    """Of the networks."""

    def __post_init__(self) -> None:
        if self.weights and not Path(self.weights).is_dir():
            raise UsageError("no such folder", self.weights, "give the one that holds weights of LPIPS and I3D")
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("both or neither of minutes and steps", "budget", "give one of them")
        for name, least in (("clips", 1), ("lessons", 1), ("size", 32), ("frames", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} {getattr(self, name)}", f"--{name}", f"give {least} or more")
        if self.size % 32:
            raise UsageError(f"size {self.size}", "--size", "give a multiple of 32")

    @property
    def course(self) -> Course:
        """What all variants learn from."""
        shot = Shot(2 * self.frames + 1, 12.0, self.size)
        held = Shot(self.frames + 1, HELD.fps, self.size)
        takes = Takes(Path(self.out) / "takes", load_codec("codec-s"), self.seed, shot, held)
        return Course(takes, self.lessons, self.frames, BackboneConfig(widths=self.widths))

    def training(self, suite: Suite, name: str) -> TrainConfig:
        """The options of a variant's run."""
        common = TrainConfig(
            steps=self.steps,
            minutes=self.minutes,
            out=str(Path(self.out) / suite / name),
            seed=self.seed,
            lr=3e-3,
            warmup=20,
            optimizer="muon",
            person_weight=4.0,
            ema=0.98,
            save_every=2.0,
            preview_every=0.0,
            keep=1,
            resume=True,
            device="cpu",
        )
        return replace(common, batch=2 if suite == "animate" else 16)


@dataclass(frozen=True)
class Trained:
    """A finished variant.

    Attributes:
        name, title: of the row.
        steps, samples, seconds: of its training.
        parameters: of its network.
    """

    name: str
    title: str
    steps: int
    samples: int
    seconds: float
    parameters: int


def names_of(suite: Suite) -> dict[str, str]:
    """Names and titles of the rows that are trained."""
    if suite == "animate":
        return {row.name: row.title for row in ROWS}
    return {kind: TITLES[kind] for kind in KINDS}


def chosen(suite: Suite, config: MiniatureConfig) -> list[str]:
    """The rows that are asked for.

    Raises:
        UsageError: one that there is not.
    """
    known = names_of(suite)
    unknown = [name for name in config.variants if name not in known]
    if unknown:
        raise UsageError(f"no variant called {unknown[0]!r}", "--variants", f"known: {', '.join(known)}")
    return [name for name in known if not config.variants or name in config.variants]


def recipe_of(suite: Suite, name: str, config: MiniatureConfig, course: Course) -> AnimateRecipe | PersonRecipe:
    """A row as a recipe of the trainer."""
    training = config.training(suite, name)
    if suite == "person":
        return PersonRecipe(training, course, next(kind for kind in KINDS if kind == name))
    return AnimateRecipe(training, course, next(row for row in ROWS if row.name == name))


def train_variants(suite: Suite, config: MiniatureConfig, progress: Progress | None = None) -> list[Trained]:
    """Train the rows that are not trained yet.

    Raises:
        UsageError: an unknown variant, or a folder of another budget.
        InterruptedRunError: stopped, with a checkpoint; the same call goes on.
    """
    told, folder, names = progress or Silent(), Path(config.out) / suite, chosen(suite, config)
    _same_budget(suite, config)
    course = config.course
    missing = [name for name in names if read_json(folder / f"{name}.json") is None]
    if missing:
        told.begin("clips to learn from", course.pool)
        for number in range(course.pool):
            course.takes.lesson(number)
            told.advance()
    for name in missing:
        recipe = recipe_of(suite, name, config, course)
        with one_thread():
            report = train(recipe, recipe.config, told)
        done = Trained(name, names_of(suite)[name], report.step, report.samples, report.seconds, report.parameters)
        write_json(folder / f"{name}.json", asdict(done))
    return [_trained(folder / f"{name}.json") for name in names]


def load_variant(suite: Suite, name: str, config: MiniatureConfig, course: Course) -> torch.nn.Module:
    """The network of a trained row, in evaluation mode.

    Raises:
        ModelError: it is missing or damaged.
    """
    recipe = recipe_of(suite, name, config, replace(course, pool=0))
    path = Path(recipe.config.out) / "result" / f"{NETWORK}.safetensors"
    network = recipe.bare()
    fit(network, {key: value.float() for key, value in read_tensors(path).items()}, source=str(path))
    return network.eval().requires_grad_(False)


def _trained(path: Path) -> Trained:
    try:
        return Trained(**read_json(path))
    except TypeError as error:
        raise damaged(path, error) from error


def _same_budget(suite: Suite, config: MiniatureConfig) -> None:
    """Rows of a table that were trained under different budgets are not compared."""
    path = Path(config.out) / suite / "budget.json"
    free = ("out", "clips", "variants", "weights")
    mine = {key: value for key, value in json.loads(json.dumps(asdict(config))).items() if key not in free}
    found = read_json(path)
    if found is None:
        write_json(path, mine)
    elif found != mine:
        odd = sorted(key for key in mine if not isinstance(found, Mapping) or found.get(key) != mine[key])
        what = f"variants trained under another budget ({', '.join(odd)} differ)"
        raise UsageError(what, path.parent, "give the same options, or another --out")


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: what a step costs then hangs less on what else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
