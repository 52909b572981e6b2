"""``diorama bench``: the embedded models against their goals, and tables of variants."""

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
    """Measure what Diorama can do: diorama bench embedded

    "embedded": the models that ship with the package, on held-out clips; about a quarter of an hour on two cores.
    "decompose": people, occluders, scene and bodies against the theatre's truth; a minute a clip.
    "animate", "person": the tables of MIMO and of SCD in miniature: variants of a small network are trained under the
    same budget and measured, also for each kind of clip. The same command goes on after an interruption.
    "parts": rigs from part maps, views from one picture, and pictures to models, of creatures never tuned on; with
    --train-steps also SP4D's table in miniature.
    """

    suite: tyro.conf.Positional[Literal["embedded", "decompose", "animate", "person", "parts"]]
    """What to measure."""
    models: tuple[Literal["codec-s", "backbone-s", "depth-s"], ...] = ("codec-s", "backbone-s", "depth-s")
    """Which models (embedded)."""
    clips: int | None = None
    """Held-out clips, and actors to be told apart: 10; of the tables 100; of parts 40 creatures."""
    frames: int = 8
    """Of each clip (decompose: 24 are better)."""
    steps: int = 12
    """Of the sampler (embedded)."""
    minutes: float = 12.0
    """Of training, each variant (animate, person)."""
    train_steps: int | None = None
    """In place of minutes: the same samples for all, whatever else the machine does."""
    lessons: int = 160
    """Clips that variants are trained on."""
    variants: tuple[str, ...] = ()
    """Rows that are trained; all by default."""
    weights: str = ""
    """Folder with the files of LPIPS and I3D; without it, named stand-ins are used. Parts: a folder dinov2 in it adds a
    row."""
    init: str = ""
    """Folder of weights that the variants begin with (parts)."""
    out: str = ""
    """Folder of the tables' clips, variants and results (default: runs/bench-people, runs/bench-parts)."""
    common: Common = Common()

    def run(self) -> int:
        """Measure; returns the exit code."""
        from diorama.cli.progress import make_progress

        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            text = self._tabled(progress) if self.suite in ("animate", "person") else self._scored(progress)
        sys.stdout.write(text)
        return 0

    def _scored(self, progress: "Progress") -> str:
        """Scores against their goals."""
        from diorama.bench.scores import table

        scores, more = self._measured(progress)
        if self.common.json:
            return json.dumps([{**asdict(score), "reached": score.reached} for score in scores]) + "\n"
        return table(scores) + "\n" + more

    def _tabled(self, progress: "Progress") -> str:
        """A table of variants."""
        from diorama.bench.metrics.table import as_json
        from diorama.bench.miniature.tables import miniature
        from diorama.bench.miniature.training import MiniatureConfig

        config = MiniatureConfig(
            out=self.out or "runs/bench-people",
            minutes=None if self.train_steps is not None else self.minutes,
            steps=self.train_steps,
            clips=100 if self.clips is None else self.clips,
            lessons=self.lessons,
            variants=self.variants,
            weights=self.weights,
            frames=self.frames,
        )
        result = miniature("animate" if self.suite == "animate" else "person", config, progress)
        return as_json(result.tables) + "\n" if self.common.json else result.markdown

    def _measured(self, progress: "Progress") -> tuple[list["Score"], str]:
        """The scores, and a table beside them."""
        clips = 10 if self.clips is None else self.clips
        if self.suite == "decompose":
            from diorama.bench.decomposition import decomposition_scores, held_out_clips, scores_of, tag_table

            rows = decomposition_scores(held_out_clips(clips, frames=self.frames), progress=progress)
            return scores_of(rows), f"\n{tag_table(rows)}\n"
        if self.suite == "parts":
            from diorama.bench.parts import VARIANTS, PartsBenchConfig, measure_parts

            count, steps = 40 if self.clips is None else self.clips, self.train_steps or 0
            config = PartsBenchConfig(
                count,
                variants=self.variants or tuple(VARIANTS),
                train_steps=steps,
                init=self.init,
                out=self.out or "runs/bench-parts",
                weights=self.weights,
            )
            scores, more = measure_parts(config, progress)
            return scores, f"\n{more}\n"
        from diorama.bench.embedded import BenchConfig, measure

        return measure(BenchConfig(self.models, clips, self.frames, self.steps), progress=progress), ""
