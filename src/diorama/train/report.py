"""What a run got, as a value and as a card."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch

from diorama.train.config import TrainConfig
from diorama.train.log import thinned
from diorama.train.schedule import duration


@dataclass(frozen=True)
class Report:
    """A finished run.

    Attributes:
        recipe: its name.
        folder: with logs, previews and checkpoints.
        result: folder with the weights and their card.
        config: options.
        step, samples, seconds: what was spent, earlier parts included.
        skipped: steps left out because their gradient was not finite.
        history: (step, loss), thinned out.
        measures: scores of the averaged weights at the end.
        parameters: trained ones.
        hardware: what it ran on.
    """

    recipe: str
    folder: Path
    result: Path
    config: TrainConfig
    step: int
    samples: int
    seconds: float
    skipped: int
    history: tuple[tuple[int, float], ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    hardware: str = ""


def hardware(device: torch.device, processes: int) -> str:
    """A device in words."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return f"{processes} x {name}" if processes > 1 else name
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
    return f"{cores}, {processes} processes" if processes > 1 else cores


def card(report: Report, about: str) -> str:
    """A model card in Markdown: what was trained, on what, how long, and how well."""
    config = report.config
    curve = "\n".join(f"| {step} | {loss:.4g} |" for step, loss in thinned(report.history, 12))
    scores = "\n".join(f"| {name} | {value:.4g} |" for name, value in report.measures.items())
    source = config.data or "made on the fly"
    limit = f"{config.minutes:g} minutes" if config.minutes is not None else f"{config.steps} steps"
    lines = [
        f"# {report.recipe}",
        about,
        f"Trained {report.step} steps of {config.batch} samples ({report.samples} samples) in "
        f"{duration(report.seconds)} on {report.hardware}; the budget was {limit}. {report.skipped} steps were left "
        f"out because their gradient was not finite. {report.parameters:,} trained parameters. Data: {source}, "
        f"seed {config.seed}.",
        "| option | value |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in _options(config)),
        "## Scores (averaged weights)\n\n| measure | value |\n|---|---|\n" + scores if scores else "",
        "## Loss\n\n| step | loss |\n|---|---|\n" + curve if curve else "",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _options(config: TrainConfig) -> list[tuple[str, object]]:
    names = ("lr", "warmup", "schedule", "weight_decay", "clip", "ema", "target", "weighting", "snr_gamma")
    more = ("noise_offset", "person_weight", "drop", "precision")
    return [(name, getattr(config, name)) for name in (*names, *more)]
