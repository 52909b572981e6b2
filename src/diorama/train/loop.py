"""The loop of training: one for all recipes.

A step is a function of the weights, the options and the numbers of its samples. So a run that was stopped goes on
bit for bit on a CPU, and neither the number of processes nor the parts of a batch change what is learned.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from diorama.core.progress import Progress, Silent
from diorama.errors import ModelError, OutOfMemoryError, UsageError
from diorama.media.lock import RunLock
from diorama.train.checkpoint import Checkpoint, Position, last_state, newest
from diorama.train.config import TrainConfig
from diorama.train.data import Order, batches
from diorama.train.draws import seed_of
from diorama.train.engine import Engine, start_engine
from diorama.train.options import options
from diorama.train.recipe import Recipe
from diorama.train.report import Report
from diorama.train.run import Run
from diorama.train.step import Job
from diorama.train.stop import Stop, stopping
from diorama.train.trainee import Trainee

logger = logging.getLogger(__name__)
HARMLESS = {"steps", "minutes", "out", "accumulate", "workers", "device", "resume", "keep", "checkpointing", "compile"}
"""Options that may change when a run goes on without a word; so may those of saving, previews and logs."""


def run_folder(recipe: str, out: str) -> Path:
    """Where a run keeps its files."""
    return Path(out) if out else Path("runs") / recipe


def saved_options(folder: Path, recipe: str) -> dict[str, object]:
    """The options of the run in a folder, to go on with; empty without one.

    Raises:
        UsageError: the run is of another recipe.
        ModelError: an option is not what it should be.
    """
    found = last_state(folder / "checkpoints")
    if found is None:
        return {}
    _same_recipe(found, recipe)
    known = {option.name: option for option in options() if option.name not in ("out", "resume", "device")}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.config.items()}
    chosen = {key: value for key, value in values.items() if key in known and value is not None}
    strange = sorted(key for key, value in chosen.items() if not known[key].takes(value))
    if strange:
        raise ModelError(f"{strange[0]} is {chosen[strange[0]]!r}", found.path / "state.json", "delete the checkpoint")
    return chosen


def train(recipe: Recipe, config: TrainConfig, progress: Progress | None = None) -> Report:
    """Train a recipe until its budget is used; goes on with an earlier run where `config.resume` says so.

    Args:
        recipe: what to train.
        config: options.
        progress: told of steps (of seconds, for a time budget), and every half minute how it goes.

    Returns:
        What was got; the weights lie in the folder ``result`` of the run's folder.

    Raises:
        UsageError: options that do not fit, or a folder that holds a run already.
        ModelError: the loss is not finite several times in a row, or a checkpoint of another recipe.
        InterruptedRunError: stopped by Ctrl-C or SIGTERM, after a checkpoint.
        OutOfMemoryError: a single sample does not fit.
    """
    unknown = sorted(set(config.drop_rates) - set(recipe.conditions))
    if unknown:
        known = ", ".join(recipe.conditions) or "none"
        raise UsageError(f"no condition called {unknown[0]!r}", "--drop", f"conditions of {recipe.name}: {known}")
    engine = start_engine(config.device)
    told = progress if progress is not None and engine.main else Silent()
    try:
        own = [engine.device] if engine.device.type == "cuda" else []
        mine = _folder(run_folder(recipe.name, config.out), engine)
        with mine as folder, torch.random.fork_rng(own), stopping() as stop:
            return _train(Given(recipe, config, engine, folder), told, stop)
    except (torch.OutOfMemoryError, MemoryError) as error:  # beside the batches, which become smaller
        raise OutOfMemoryError(
            "not enough memory for weights and optimizer", recipe.name, "use a larger device, or train less of it"
        ) from error
    finally:
        engine.close()


@dataclass(frozen=True)
class Given:
    """What a run starts from."""

    recipe: Recipe
    config: TrainConfig
    engine: Engine
    folder: Path


@contextmanager
def _folder(folder: Path, engine: Engine) -> Iterator[Path]:
    """The folder of a run, for this run alone."""
    if not engine.main:
        yield folder
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder cannot be made ({error.strerror})", folder, "choose another --out") from error
    with RunLock(folder / "checkpoints"):
        yield folder


def _train(given: Given, progress: Progress, stop: Stop) -> Report:
    recipe, config, engine, folder = given.recipe, given.config, given.engine, given.folder
    order = Order(config.batch, engine.rank, engine.processes)
    if engine.device.type == "cpu" and config.precision == "bf16":
        progress.note("bf16 on a CPU: faster only where the CPU has it")
    trainee = Trainee(_networks(recipe, config, engine, progress), config)
    position = _start(recipe, config, folder, trainee=trainee, progress=progress)
    engine.same([*trainee.parameters.values(), *trainee.buffers.values()])
    trainee.training()
    run = Run(Job(recipe, config, trainee, engine), folder, position, progress=progress)
    last = None if config.steps is None else position.samples + config.batch * max(0, config.steps - position.step)
    with run.open(), batches(recipe, order.shares(position.samples, last), workers=config.workers) as made:
        while not run.done and not run.stopped:
            numbers, batch = next(made)
            run.step(batch, numbers, stop)
        return run.finish()


def _networks(recipe: Recipe, config: TrainConfig, engine: Engine, progress: Progress) -> dict[str, torch.nn.Module]:
    torch.manual_seed(seed_of("weights", config.seed))
    networks = {name: network.to(engine.device) for name, network in recipe.networks().items()}
    if config.checkpointing:
        able = [n for n in networks.values() if hasattr(n, "enable_gradient_checkpointing")]
        for network in able:
            network.enable_gradient_checkpointing()  # type: ignore[operator]
        if not able:
            progress.note(f"no network of {recipe.name} knows gradient checkpointing")
    if config.compile and engine.device.type == "cuda":
        for network in networks.values():
            network.compile()
    elif config.compile:
        progress.note("not compiled: that gains on CUDA only")
    return networks


def _start(recipe: Recipe, config: TrainConfig, folder: Path, *, trainee: Trainee, progress: Progress) -> Position:
    """Where the run begins: at a checkpoint, or anew."""
    checkpoints = folder / "checkpoints"
    if not config.resume:
        if last_state(checkpoints) is not None:
            raise UsageError("the folder holds a run", folder, "add --resume to go on, or choose another --out")
        return Position()
    found = newest(checkpoints, progress.note)
    if found is None:
        progress.note(f"no checkpoint in {folder}: starting anew")
        return Position()
    checkpoint, tensors = found
    _same_recipe(checkpoint, recipe.name)
    trainee.load(tensors, checkpoint.position.updates)
    for name, before in checkpoint.config.items():
        now = getattr(config, name, before)
        same = now == (tuple(before) if isinstance(before, list) else before)
        if not same and name not in HARMLESS and not name.startswith(("save", "preview", "log")):
            progress.note(f"{name} is {now!r} from here on; it was {before!r}")
    progress.note(f"going on from step {checkpoint.position.step} ({checkpoint.path})")
    return checkpoint.position


def _same_recipe(checkpoint: Checkpoint, recipe: str) -> None:
    if checkpoint.recipe != recipe:
        given = f"a run of {checkpoint.recipe!r}, not of {recipe!r}"
        raise UsageError(given, checkpoint.path, "choose another --out")
