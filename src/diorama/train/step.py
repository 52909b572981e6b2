"""The gradients of one step: in parts that fit into memory, smaller ones when they do not."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float

from diorama.errors import OutOfMemoryError
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws, seed_of
from diorama.train.engine import Engine
from diorama.train.recipe import Batch, Loss, Recipe
from diorama.train.trainee import Trainee

logger = logging.getLogger(__name__)


@dataclass
class Parts:
    """How a process's share of a batch is split.

    Attributes:
        share: samples of the process.
        size: samples that are worked off at a time; halved when memory runs out.
    """

    share: int
    size: int

    @classmethod
    def of(cls, config: TrainConfig, engine: Engine) -> "Parts":
        """As the options say."""
        share = config.batch // engine.processes
        return cls(share, -(-share // config.accumulate))

    def ranges(self) -> list[range]:
        """Of the samples of each part."""
        return [range(i, min(i + self.size, self.share)) for i in range(0, self.share, self.size)]

    def halve(self) -> None:
        """Smaller parts, or give up.

        Raises:
            OutOfMemoryError: a single sample does not fit.
        """
        if self.size == 1:
            raise OutOfMemoryError(
                "not enough memory for one sample at a time", "training", "try --checkpointing, or --precision bf16"
            )
        self.size = -(-self.size // 2)


@dataclass
class Outcome:
    """What the backward passes of a step gave.

    Attributes:
        fits: whether memory sufficed.
        terms: of the loss, means over the share; "loss" is the total.
    """

    fits: bool = True
    terms: dict[str, Float[torch.Tensor, ""]] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a step needs besides the batch."""

    recipe: Recipe
    config: TrainConfig
    trainee: Trainee
    engine: Engine


def gradients(job: Job, batch: Batch, numbers: Sequence[int], parts: Parts) -> Outcome:
    """Put the gradient of the mean loss of a share into the parameters; they hold nothing useful when it does not fit.

    Args:
        job: what is trained.
        batch: the share, on the device.
        numbers: of its samples.
        parts: how to split it.
    """
    outcome = Outcome()
    job.trainee.optimizer.zero_grad(set_to_none=True)
    try:
        for part in parts.ranges():
            loss = _loss(job, {key: value[part.start : part.stop] for key, value in batch.items()}, numbers, part)
            weight = len(part) / parts.share
            (loss.total * weight).backward()
            for name, value in {"loss": loss.total, **loss.terms}.items():
                outcome.terms[name] = outcome.terms.get(name, 0) + value.detach().float() * weight
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        outcome = Outcome(fits=False)
    if not outcome.fits:  # outside of the handler, which holds on to what filled the memory
        job.trainee.optimizer.zero_grad(set_to_none=True)
        if job.engine.device.type == "cuda":
            torch.cuda.empty_cache()
    return outcome


def _loss(job: Job, batch: Batch, numbers: Sequence[int], part: range) -> Loss:
    device, precision = job.engine.device, job.config.precision
    chosen = [numbers[i] for i in part]
    draws = Draws(job.config.seed, chosen, device)
    # What networks draw on their own (dropout) hangs on the samples too, and needs no state of its own.
    torch.manual_seed(seed_of("global", job.config.seed, chosen[0]))
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return job.recipe.loss(job.trainee.networks, batch, draws)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory ran out; on a CPU it has no type of its own."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in said or "not enough memory" in said)
    )
