"""``diorama bench``: the embedded models against their goals."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import tyro

from diorama.cli.commands import Common


@dataclass(frozen=True)
class Bench:
    """Measure what Diorama can do against its goals: diorama bench embedded

    "embedded": the models that ship with the package, on held-out clips; about a quarter of an hour on two cores.
    """

    suite: tyro.conf.Positional[Literal["embedded"]]
    """What to measure."""
    models: tuple[Literal["codec-s", "backbone-s", "depth-s"], ...] = ("codec-s", "backbone-s", "depth-s")
    """Which models."""
    clips: int = 10
    """Held-out clips, and actors to be told apart."""
    frames: int = 8
    """Of each clip."""
    steps: int = 12
    """Of the sampler."""
    common: Common = Common()

    def run(self) -> int:
        """Measure; returns the exit code."""
        from diorama.bench.embedded import BenchConfig, measure
        from diorama.bench.scores import table
        from diorama.cli.progress import make_progress

        config = BenchConfig(self.models, self.clips, self.frames, self.steps)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            scores = measure(config, progress=progress)
        if self.common.json:
            rows = [{**asdict(score), "reached": score.reached} for score in scores]
            sys.stdout.write(json.dumps(rows) + "\n")
        else:
            sys.stdout.write(table(scores) + "\n")
        return 0
