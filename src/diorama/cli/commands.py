"""The commands as frozen dataclasses; heavy modules are imported when a command runs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from diorama.errors import BatchError, UsageError
from diorama.pipelines.presets import StereoConfig

if TYPE_CHECKING:
    from diorama.pipelines.stereo import StereoResult


@dataclass(frozen=True)
class Common:
    """How the command talks."""

    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False
    """Show no progress."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Show details, and where an error came from."""
    json: bool = False
    """Print the result, or the error, as JSON."""


def tell(common: Common, result: "StereoResult") -> None:
    """Print what a run made."""
    tell_made(common, result.files, result.extras, result.frames, result.seconds)


def tell_made(common: Common, made: Sequence[Path], beside: Sequence[Path], frames: int, seconds: float) -> None:
    """Print the files that were made, those beside them, and how long it took."""
    files, extras = [str(file) for file in made], [str(extra) for extra in beside]
    if common.json:
        fields = {"files": files, "frames": frames, "seconds": seconds, "extras": extras}
        sys.stdout.write(json.dumps(fields) + "\n")
    elif not common.quiet:
        rate = f"{frames / seconds:.1f} frames/s" if seconds else ""
        sys.stdout.write("\n".join(files) + f"\n  {frames} frames in {seconds:.1f} s, {rate}\n")
        sys.stdout.write("".join(f"  {extra}\n" for extra in extras))


@dataclass(frozen=True)
class StereoCommand:
    """Turn clips into 3D films: diorama stereo clip.mp4 -o clip_sbs.mp4"""

    inputs: tyro.conf.Positional[tuple[str, ...]]
    """Videos, images, folders or quoted patterns such as "*.mp4"."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File to write; for several inputs a folder (default: beside each input, under a name that players know)."""
    overwrite: bool = False
    """Replace existing outputs."""
    resume: bool = False
    """Go on with an unfinished run; skip finished ones."""
    report: bool = False
    """Also write an HTML page with pictures, comfort chart and timings."""
    skip_error: bool = False
    """With several inputs: go on after a failure, and list the failures in failures.jsonl."""
    config: StereoConfig = StereoConfig()
    common: Common = Common()

    def run(self) -> int:
        """Convert; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.core.memory import keep_freed_memory
        from diorama.pipelines.batch import Failure, convert_all, plan_batch
        from diorama.pipelines.stereo import StereoRun, stereo

        keep_freed_memory()
        run = StereoRun(self.overwrite, self.resume, self.report)
        jobs = plan_batch(self.inputs, self.output, self.config)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            if len(jobs) == 1 and not self.skip_error:
                results = [stereo(jobs[0].source, jobs[0].output, self.config, run=run, progress=progress)]
                failures: list[Failure] = []
            else:
                results, failures = convert_all(jobs, self.config, run, progress, skip_error=self.skip_error)
        for result in results:
            tell(self.common, result)
        if failures:
            raise BatchError(
                f"{len(failures)} of {len(jobs)} inputs failed", failures[0].listed_in, "the others are done; see there"
            )
        return 0


@dataclass(frozen=True)
class Reproduce:
    """Run the recipe of an output again: diorama reproduce clip_sbs.mp4 -o again.mp4"""

    made: tyro.conf.Positional[str]
    """A file that Diorama wrote (its sidecar or the recipe in its metadata is read), or a sidecar itself."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File to write (default: <name>_again beside it)."""
    input: tuple[str, ...] = ()
    """Inputs as name=path, where they do not lie beside the file."""
    allow_changed: bool = False
    """Accept inputs or weights whose content has changed since."""
    overwrite: bool = False
    """Replace an existing output."""
    common: Common = Common()

    def run(self) -> int:
        """Reproduce; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.pipelines.reproduce import reproduce

        given: dict[str, Path] = {}
        for pair in self.input:
            name, equals, path = pair.partition("=")
            if not equals or not name or not path:
                raise UsageError(
                    f"{pair!r} is not name=path", "--input", "for example --input clip.mp4=/films/clip.mp4"
                )
            given[name] = Path(path)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            result = reproduce(
                Path(self.made),
                Path(self.output) if self.output else None,
                given=given,
                allow_changed=self.allow_changed,
                overwrite=self.overwrite,
                progress=progress,
            )
        tell_made(self.common, result.files, result.extras, result.frames, result.seconds)
        return 0


@dataclass(frozen=True)
class Doctor:
    """Say what works here, what is missing, and the command that mends it."""

    common: Common = Common()

    def run(self) -> int:
        """Print the report; returns the exit code."""
        from diorama.cli.doctor import examine, show

        findings = examine()
        text = json.dumps(findings, indent=2) + "\n" if self.common.json else show(findings)
        sys.stdout.write(text)
        return 0
