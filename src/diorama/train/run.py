"""A run in progress: what a step does beside the gradients, and what happens now and then between steps."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from diorama.core.progress import Progress
from diorama.errors import InterruptedRunError, ModelError
from diorama.media.atomic import atomic_folder
from diorama.train.checkpoint import Position, prune, save_checkpoint
from diorama.train.log import Log, Mean, thinned
from diorama.train.preview import save_png
from diorama.train.recipe import Batch
from diorama.train.report import Report, card, hardware
from diorama.train.schedule import Budget, duration, learning_rate
from diorama.train.step import Job, Outcome, Parts, gradients
from diorama.train.stop import Stop

logger = logging.getLogger(__name__)
PATIENCE = 5
"""Steps in a row without a finite gradient that end a run."""
STATUS_SECONDS = 30.0


class Run:
    """Steps of a job, counted, logged and saved.

    Args:
        job: what is trained.
        folder: of the run.
        position: where it starts.
        progress: told how it goes.
    """

    def __init__(self, job: Job, folder: Path, position: Position, *, progress: Progress) -> None:
        self.job, self.folder, self.position, self.progress = job, folder, position, progress
        self.budget = Budget.of(job.config)
        self.parts = Parts.of(job.config, job.engine)
        self.stopped = False
        self.log: Log | None = None
        self._began = time.monotonic() - position.seconds
        self._mean, self._mean_since = Mean(), position.seconds
        self._last = dict.fromkeys(("save", "preview"), position.seconds) | {"status": -math.inf}
        self._bad = 0
        self._shown = 0
        self._loss = math.nan

    @property
    def done(self) -> bool:
        """Whether the budget is used."""
        return self.budget.fraction(self.position.step, self.position.seconds) >= 1

    @property
    def checkpoints(self) -> Path:
        """Their folder."""
        return self.folder / "checkpoints"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Logs are open and progress is shown in here."""
        total = self.budget.steps if self.budget.seconds is None else math.ceil(self.budget.seconds)
        self.progress.begin(f"train {self.job.recipe.name}", total)
        if self.job.engine.main:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.log = Log(self.folder, self.position.step)
        self._show()
        try:
            yield
        finally:
            if self.log is not None:
                self.log.close()

    def step(self, batch: Batch, numbers: Sequence[int], stop: Stop) -> None:
        """One optimizer step, and what is due after it.

        Raises:
            ModelError: no finite gradient for several steps in a row.
            OutOfMemoryError: a single sample does not fit.
        """
        device = self.job.engine.device
        batch = {name: value.to(device) for name, value in batch.items()}
        outcome, broken, self.stopped, seconds = self._gradients(batch, numbers, stop)
        norm = self._learn(broken, seconds)
        # One answer of the device for all terms: each question makes a GPU wait.
        values = dict(zip(outcome.terms, torch.stack(list(outcome.terms.values())).tolist(), strict=True))
        self._loss = values["loss"]
        if math.isfinite(norm):
            self._mean.add({**values, "grad_norm": norm})
        p = self.position
        skipped = p.skipped + (not math.isfinite(norm))
        updates = self.job.trainee.ema.updates if self.job.trainee.ema else 0
        self.position = replace(
            p,
            step=p.step + 1,
            samples=p.samples + self.job.config.batch,
            seconds=seconds,
            skipped=skipped,
            updates=updates,
        )
        self._bad = 0 if math.isfinite(norm) else self._bad + 1
        if self._bad >= PATIENCE:
            raise ModelError(
                f"no finite loss or gradient in {PATIENCE} steps in a row (the last loss: {self._loss:g})",
                f"step {self.position.step}",
                f"lower --lr, or give --precision fp32; with --resume from the last checkpoint in {self.folder}",
            )
        self._now_and_then(norm)

    def _gradients(self, batch: Batch, numbers: Sequence[int], stop: Stop) -> tuple[Outcome, bool, bool, float]:
        """Gradients in parts that fit in all processes; whether they are broken, whether to stop, and the time."""
        engine = self.job.engine
        while True:
            outcome = gradients(self.job, batch, numbers, self.parts)
            finite = outcome.fits and math.isfinite(float(outcome.terms["loss"]))
            clock = time.monotonic() - self._began if engine.main else 0.0
            said = (not outcome.fits, not finite, stop.asked, clock)
            full, broken, stopped, seconds = engine.largest([float(value) for value in said])
            if not full:
                return outcome, bool(broken), bool(stopped), seconds
            self.parts.halve()
            self.progress.note(f"not enough memory: now {self.parts.size} samples at a time, with the same result")

    def _learn(self, broken: bool, seconds: float) -> float:
        """Update the weights unless the gradient is broken; returns its norm, nan for a broken one."""
        trainee, config, engine = self.job.trainee, self.job.config, self.job.engine
        parameters = list(trainee.parameters.values())
        if engine.processes > 1:
            reached = engine.largest([float(p.grad is not None) for p in parameters])
            parameters = [p for p, hit in zip(parameters, reached, strict=True) if hit]
            for p in parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            engine.average([p.grad for p in parameters if p.grad is not None])
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip or math.inf))
        if broken or not math.isfinite(norm):
            trainee.optimizer.zero_grad(set_to_none=True)
            return math.nan
        fraction = self.budget.fraction(self.position.step, seconds)
        for group in trainee.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.position.step, fraction)
        trainee.optimizer.step()
        if trainee.ema is not None:
            trainee.ema.update()
        return norm

    def _now_and_then(self, norm: float) -> None:
        """Logs, previews and checkpoints that are due."""
        config, step = self.job.config, self.position.step
        if not math.isfinite(norm):
            self.progress.note(f"step {step} is left out: its loss or gradient is not finite")
        if step % config.log_every == 0:
            self._log_row()
        self._show()
        every = bool(config.save_steps) and step % config.save_steps == 0
        if every or (config.save_every and self._due("save", 60 * config.save_every)):
            self._save()
        if config.preview_every and self._due("preview", 60 * config.preview_every):
            self._preview()

    def _due(self, what: str, seconds: float) -> bool:
        if self.position.seconds - self._last[what] < seconds:
            return False
        self._last[what] = self.position.seconds
        return True

    def _log_row(self) -> None:
        if not self._mean.count:
            return
        p, count = self.position, self._mean.count
        means = self._mean.take()
        together = torch.tensor(list(means.values()), dtype=torch.float64, device=self.job.engine.device)
        self.job.engine.average([together])
        means = dict(zip(means, together.tolist(), strict=True))
        speed = self.job.config.batch * count / max(p.seconds - self._mean_since, 1e-9)
        self._mean_since = p.seconds
        self.position = replace(p, history=thinned([*p.history, (p.step, means["loss"])]))
        if self.log is not None:
            lr = self.job.trainee.optimizer.param_groups[0]["lr"]
            row = {"step": p.step, "samples": p.samples, "seconds": p.seconds, "lr": lr, "skipped": p.skipped}
            self.log.row({**row, "samples_per_s": speed, **means})

    def _show(self) -> None:
        """Move the bar, and now and then a line for people and for logs of machines."""
        p = self.position
        reached = p.step if self.budget.seconds is None else math.floor(min(p.seconds, self.budget.seconds))
        self.progress.advance(reached - self._shown)
        self._shown = reached
        if math.isfinite(self._loss) and self._due("status", STATUS_SECONDS):
            speed = p.samples / max(p.seconds, 1e-9)
            left = duration(self.budget.left(p.step, p.seconds))
            self.progress.note(f"step {p.step}: loss {self._loss:.4g}, {speed:.1f} samples/s, {left} left")

    def _save(self) -> None:
        if self.job.engine.main:
            save_checkpoint(
                self.checkpoints,
                self.job.recipe.name,
                asdict(self.job.config),
                position=self.position,
                tensors=self.job.trainee.state(),
            )
            prune(self.checkpoints, self.job.config.keep)

    def _preview(self) -> dict[str, float]:
        """A picture and scores of the averaged weights, in the first process."""
        if self.log is None:
            return {}
        with self.job.trainee.averaged():
            picture = self.job.recipe.preview(self.job.trainee.networks)
            measures = self.job.recipe.measure(self.job.trainee.networks)
        if picture is not None:
            (self.folder / "previews").mkdir(exist_ok=True)
            save_png(self.folder / "previews" / f"step-{self.position.step:08d}.png", picture)
            self.log.picture("preview", picture, self.position.step)
        if measures:
            self.log.row({"step": self.position.step, **{f"held_out/{key}": v for key, v in measures.items()}})
        return measures

    def finish(self) -> Report:
        """A last checkpoint; then the result, or the news that the run was stopped.

        Raises:
            InterruptedRunError: it was stopped before its budget was used.
        """
        self._log_row()
        self._save()
        if self.stopped and not self.done:
            self.job.engine.wait()
            name = self.job.recipe.name
            raise InterruptedRunError(
                f"stopped at step {self.position.step}, with a checkpoint",
                self.folder,
                f"go on with: diorama train {name} --out {self.folder} --resume",
            )
        report = self._report(self._preview())
        if self.job.engine.main:
            self._export(report)
        self.job.engine.wait()
        return report

    def _export(self, report: Report) -> None:
        with self.job.trainee.averaged(), atomic_folder(report.result, overwrite=True) as partial:
            self.job.recipe.export(self.job.trainee.networks, partial)
            (partial / "card.md").write_text(card(report, self.job.recipe.about))

    def _report(self, measures: Mapping[str, float]) -> Report:
        p, engine = self.position, self.job.engine
        return Report(
            recipe=self.job.recipe.name,
            folder=self.folder,
            result=self.folder / "result",
            config=self.job.config,
            step=p.step,
            samples=p.samples,
            seconds=p.seconds,
            skipped=p.skipped,
            history=p.history,
            measures=dict(measures),
            parameters=sum(parameter.numel() for parameter in self.job.trainee.parameters.values()),
            hardware=hardware(engine.device, engine.processes),
        )
