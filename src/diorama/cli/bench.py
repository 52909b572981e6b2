"""``diorama bench``: the embedded models against their goals, tables of variants and engines, studies with people."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from diorama.cli.commands import Common
from diorama.errors import UsageError

if TYPE_CHECKING:
    from diorama.bench.scores import Score
    from diorama.core.progress import Progress


Suite = Literal["embedded", "decompose", "animate", "person", "parts", "stereo", "upscale", "study"]


@dataclass(frozen=True)
class Bench:
    """Measure what Diorama can do: diorama bench embedded

    "embedded": the models that ship with the package, on held-out clips; about a quarter of an hour on two cores.
    "decompose": people, occluders, scene and bodies against the theatre's truth; a minute a clip.
    "animate", "person": the tables of MIMO and of SCD in miniature: variants of a small network are trained under the
    same budget and measured, also for each kind of clip. The same command goes on after an interruption.
    "parts": rigs from part maps, views from one picture, and pictures to models, of creatures never tuned on; with
    --train-steps also SP4D's table in miniature.
    "stereo": ways to the other eye against the truth, the generative engine with and without each of its parts; two
    minutes a clip: diorama bench stereo, or with clips of your own: diorama bench stereo FOLDER
    "upscale": the embedded upscaler against the truth: each eye, between the eyes, over time.
    "study": a page that asks people which films are better: diorama bench study ours/ theirs/ -o study; and what their
    answers say: diorama bench study --answers a.csv b.csv -o study
    """

    suite: tyro.conf.Positional[Suite]
    """What to measure."""
    paths: tyro.conf.Positional[tuple[str, ...]] = ()
    """Clips of your own, or folders of them (stereo); folders of films of the same names, or a film each (study)."""
    models: tuple[Literal["codec-s", "backbone-s", "depth-s"], ...] = ("codec-s", "backbone-s", "depth-s")
    """Which models (embedded)."""
    clips: int | None = None
    """Held-out clips, and actors to be told apart: 10; of the tables 100; of parts 40 creatures; of stereo 8."""
    frames: int | None = None
    """Of each clip: 8 (decompose: 24 are better), of stereo 16."""
    steps: int = 12
    """Of the sampler (embedded)."""
    minutes: float = 12.0
    """Of training, each variant (animate, person)."""
    train_steps: int | None = None
    """In place of minutes: the same samples for all, whatever else the machine does."""
    lessons: int = 160
    """Clips that variants are trained on."""
    variants: tuple[str, ...] = ()
    """Rows that are trained (animate, person, parts) or measured (stereo); all by default."""
    weights: str = ""
    """Folder with the files of LPIPS and I3D; without it, named stand-ins are used. Parts: a folder dinov2 in it adds a
    row. Stereo: also a folder clip, and the predictor of aesthetics beside it."""
    init: str = ""
    """Folder of weights that the variants begin with (parts)."""
    prior: str = "embedded"
    """What paints in the generative engine: embedded, or a folder of Zeroscope, AnimateDiff or Wan (stereo)."""
    slow: bool = False
    """Also rows that take hours without a graphics card (stereo: svg-release)."""
    scale: Literal["preference", "rating"] = "preference"
    """Two films at once, -3 to 3, or each alone, 1 to 7 (study)."""
    title: str = ""
    """Of the page (study; default: a question)."""
    most: int = 0
    """Trials at most; 0: every two methods on every clip (study)."""
    seed: int = 0
    """Of the order and the sides (study)."""
    answers: tuple[str, ...] = ()
    """Files that the page of a study saved: print what they say (study)."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Folder of clips, variants and results (default: runs/bench-people, runs/bench-parts, runs/bench-stereo); of a
    study."""
    common: Common = Common()

    def run(self) -> int:
        """Measure; returns the exit code."""
        from diorama.cli.progress import make_progress

        if self.paths and self.suite not in ("stereo", "study"):
            raise UsageError(f"{self.suite} takes no paths", self.paths[0], "stereo and study do")
        tables = {"animate": self._tabled, "person": self._tabled, "stereo": self._stereo, "study": self._study}
        tables["upscale"] = self._upscale
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            text = tables.get(self.suite, self._scored)(progress)
        sys.stdout.write(text)
        return 0

    def _stereo(self, progress: "Progress") -> str:
        """The table of stereo engines."""
        from diorama.bench._stereo_truth import Size
        from diorama.bench.stereo import StereoBenchConfig, measure_stereo

        config = StereoBenchConfig(
            8 if self.clips is None else self.clips,
            self.paths,
            self.variants,
            prior=self.prior,
            slow=self.slow,
            weights=self.weights,
            size=Size(16 if self.frames is None else self.frames),
            out=self.out or "runs/bench-stereo",
        )
        result = measure_stereo(config, progress)
        files = "".join(f"  {file}\n" for file in result.files)
        return result.json if self.common.json else f"{result.markdown}\n{files}"

    def _upscale(self, progress: "Progress") -> str:
        """The table of upscaling."""
        from diorama.bench.upscale import upscale_rows, upscale_table

        rows = upscale_rows(8 if self.clips is None else self.clips, progress, frames=self.frames or 6)
        return json.dumps([asdict(row) for row in rows]) + "\n" if self.common.json else upscale_table(rows) + "\n"

    def _study(self, progress: "Progress") -> str:
        """A page for people, or what they answered."""
        from diorama.bench.study import KEY, StudyConfig, evaluate_study, make_study

        if self.answers:
            found = evaluate_study(self.answers, str(Path(self.out or ".") / KEY))
            return found.json if self.common.json else found.markdown
        made = make_study(StudyConfig(self.paths, self.out, self.title, self.scale, self.seed, self.most))
        if self.common.json:
            return json.dumps({"page": str(made.page), "key": str(made.key), "trials": made.trials}) + "\n"
        progress.note(f"{len(made.methods)} methods, {len(made.clips)} clips: {made.trials} trials")
        return f"{made.page}\n  for raters; keep {made.key} to yourself\n"

    @property
    def _frames(self) -> int:
        return 8 if self.frames is None else self.frames

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
            frames=self._frames,
        )
        result = miniature("animate" if self.suite == "animate" else "person", config, progress)
        return as_json(result.tables) + "\n" if self.common.json else result.markdown

    def _measured(self, progress: "Progress") -> tuple[list["Score"], str]:
        """The scores, and a table beside them."""
        clips = 10 if self.clips is None else self.clips
        if self.suite == "decompose":
            from diorama.bench.decomposition import decomposition_scores, held_out_clips, scores_of, tag_table

            rows = decomposition_scores(held_out_clips(clips, frames=self._frames), progress=progress)
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

        return measure(BenchConfig(self.models, clips, self._frames, self.steps), progress=progress), ""
