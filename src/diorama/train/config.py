"""What a training run is asked for; free of torch, so that the command line can show it."""

import math
from dataclasses import dataclass
from typing import Literal

from diorama.errors import UsageError

Target = Literal["eps", "v", "x0"]
Weighting = Literal["none", "min-snr", "moore"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["fp32", "bf16"]
Optimizer = Literal["adamw", "muon"]
Size = Literal["full", "tiny"]
CHOICES: dict[str, tuple[str, ...]] = {
    "target": ("eps", "v", "x0"),
    "weighting": ("none", "min-snr", "moore"),
    "schedule": ("constant", "cosine"),
    "precision": ("fp32", "bf16"),
    "optimizer": ("adamw", "muon"),
    "size": ("full", "tiny"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Options of a run. A recipe has defaults of its own for some; what the user gives comes before them."""

    steps: int | None = None
    """Optimizer steps; or give minutes."""
    minutes: float | None = None
    """Time budget, with the earlier parts of a resumed run; the schedule ends with it."""
    data: str = ""
    """Folder of shards made by diorama data (default: what the recipe makes on the fly); for animate and person, a
    folder of clips."""
    theatre: float = 0.29
    """For animate and person: share of samples from the theatre, the rest are from clips; 0: none."""
    lora: int = 0
    """For animate and person: rank of a LoRA on the attention, which alone is trained; 0: the whole network."""
    init: str = ""
    """Folders or files of weights that a published recipe starts from, separated as in PATH; the first with a piece
    counts."""
    size: Size = "full"
    """Of a published recipe's networks: full, as the weights to start from; tiny, random, for trials."""
    out: str = ""
    """Folder for checkpoints, logs, previews and the result (default: runs/RECIPE)."""
    seed: int = 0
    """Of weights, order of samples, and noise."""
    batch: int = 8
    """Samples of one optimizer step, over all processes: neither they nor --accumulate change the result."""
    accumulate: int = 1
    """Parts in which a process works off its share of the batch, one after another; saves memory."""
    lr: float = 1e-4
    """Highest learning rate."""
    warmup: int = 100
    """Steps in which the learning rate rises, at most a tenth of the budget."""
    schedule: Schedule = "cosine"
    """Learning rate after that: constant, or falling to 0 like a cosine."""
    optimizer: Optimizer = "adamw"
    """adamw, or muon: fewer steps for small networks that start from nothing."""
    weight_decay: float = 0.01
    """Of matrices and convolutions; never of biases and norms."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: no limit."""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is exported; 0: none."""
    target: Target = "eps"
    """What the network predicts."""
    weighting: Weighting = "min-snr"
    """Of the noise levels: none, min-snr (arXiv 2303.09556), or as in Moore-AnimateAnyone."""
    snr_gamma: float = 5.0
    """Gamma of the weighting."""
    noise_offset: float = 0.0
    """Strength of noise that is constant over a channel; 0.05 in Moore-AnimateAnyone."""
    person_weight: float = 1.0
    """Weight of the loss on people; 1: like everything else."""
    detail_weight: float = 1.0
    """For generators that are told of vertex codes: weight of heads and hands, on top of that of people."""
    drop: tuple[str, ...] = ()
    """How often a condition is left out of a sample, as NAME=RATE."""
    precision: Precision = "fp32"
    """bf16: activations in bfloat16, weights stay in fp32."""
    checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    compile: bool = False
    """torch.compile; on CUDA only, it loses on a CPU."""
    workers: int = 0
    """Processes that make batches ahead; 0: a thread."""
    save_every: float = 10.0
    """Minutes between checkpoints; 0: at the end only."""
    save_steps: int = 0
    """Steps between further checkpoints; 0: none."""
    keep: int = 2
    """Checkpoints that are kept."""
    preview_every: float = 10.0
    """Minutes between previews and measures; 0: at the end only."""
    log_every: int = 10
    """Steps averaged in a row of the logs."""
    resume: bool = False
    """Go on from the last checkpoint in the folder, with its options where none are given."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        self._check_budget()
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                _refuse(name, value, f"give {low:g} or more" if high == math.inf else f"give {low:g} to {high:g}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                _refuse(name, getattr(self, name), f"choose one of {', '.join(known)}")
        if self.lr <= 0:
            _refuse("lr", self.lr, "give more than 0, such as 1e-4")
        if self.accumulate > self.batch:
            _refuse("accumulate", self.accumulate, f"give at most the batch, {self.batch}")
        if self.device not in ("auto", "cpu", "cuda") and not self.device.removeprefix("cuda:").isdecimal():
            _refuse("device", self.device, "give auto, cpu, cuda or cuda:0")
        _ = self.drop_rates

    def _check_budget(self) -> None:
        if self.steps is None and self.minutes is None:
            raise UsageError("no budget", "--steps, --minutes", "give one of them")
        if self.steps is not None and self.minutes is not None:
            given = f"two budgets, {self.steps} steps and {self.minutes:g} minutes"
            raise UsageError(given, "--steps, --minutes", "give one of them")
        if self.steps is not None and self.steps < 1:
            _refuse("steps", self.steps, "give 1 or more")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            _refuse("minutes", self.minutes, "give more than 0")

    @property
    def drop_rates(self) -> dict[str, float]:
        """How often each named condition is left out."""
        return dict(_drop_rate(pair) for pair in self.drop)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("seed", 0, 2**63 - 1),
    ("theatre", 0, 0.99),
    ("lora", 0, 1024),
    ("batch", 1, 2**20),
    ("accumulate", 1, 2**20),
    ("lr", 0, 10),
    ("warmup", 0, math.inf),
    ("weight_decay", 0, math.inf),
    ("clip", 0, math.inf),
    ("ema", 0, 0.999999),
    ("snr_gamma", 0, math.inf),
    ("noise_offset", 0, 10),
    ("person_weight", 0, math.inf),
    ("detail_weight", 0, math.inf),
    ("workers", 0, 256),
    ("save_every", 0, math.inf),
    ("save_steps", 0, math.inf),
    ("keep", 1, math.inf),
    ("preview_every", 0, math.inf),
    ("log_every", 1, math.inf),
)


def _refuse(name: str, value: object, fix: str) -> None:
    raise UsageError(f"{name} {value!r}", f"--{name.replace('_', '-')}", fix)


def _drop_rate(pair: str) -> tuple[str, float]:
    name, equals, text = pair.partition("=")
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not name or not equals or not 0 <= rate <= 1:
        _refuse("drop", pair, "give NAME=RATE with a rate from 0 to 1, such as reference=0.1")
    return name, rate
