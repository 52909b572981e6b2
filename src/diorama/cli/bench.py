"""``diorama bench``: the embedded models against their goals."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import tyro

from diorama.cli.commands import Common

if TYPE_CHECKING:
    from diorama.bench.scores import Score
    from diorama.core.progress import Progress


@dataclass(frozen=True)
class Bench:
    """Measure what Diorama can do against its goals: diorama bench embedded

    "embedded": the models that ship with the package, on held-out clips; about a quarter of an hour on two cores.
    "decompose": people, occluders, scene and bodies against the theatre's truth; a minute a clip.
    """

    suite: tyro.conf.Positional[Literal["embedded", "decompose"]]
    """What to measure."""
    models: tuple[Literal["codec-s", "backbone-s", "depth-s"], ...] = ("codec-s", "backbone-s", "depth-s")
    """Which models (embedded)."""
    clips: int = 10
    """Held-out clips, and actors to be told apart."""
    frames: int = 8
    """Of each clip (decompose: 24 are better)."""
    steps: int = 12
    """Of the sampler (embedded)."""
    common: Common = Common()

    def run(self) -> int:
        """Measure; returns the exit code."""
        from diorama.bench.scores import table
        from diorama.cli.progress import make_progress

        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            scores, more = self._measured(progress)
        if self.common.json:
            rows = [{**asdict(score), "reached": score.reached} for score in scores]
            sys.stdout.write(json.dumps(rows) + "\n")
        else:
            sys.stdout.write(table(scores) + "\n" + more)
        return 0

    def _measured(self, progress: "Progress") -> tuple[list["Score"], str]:
        """The scores, and a table beside them."""
        if self.suite == "decompose":
            from diorama.bench.decomposition import decomposition_scores, held_out_clips, scores_of, tag_table

            rows = decomposition_scores(held_out_clips(self.clips, frames=self.frames), progress=progress)
            return scores_of(rows), f"\n{tag_table(rows)}\n"
        from diorama.bench.embedded import BenchConfig, measure

        return measure(BenchConfig(self.models, self.clips, self.frames, self.steps), progress=progress), ""
