"""Many clips: which inputs were meant, where each goes, and a run that one bad clip does not stop."""

import glob
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from diorama.core.progress import Progress
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.atomic import write_bytes
from diorama.media.images import numbered_images
from diorama.media.safe import VIDEO_SUFFIXES, local_path
from diorama.pipelines.output import default_output
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class BatchJob:
    """One input and its output."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Failure:
    """One input that could not be converted, and the file that lists all of them."""

    source: Path
    error: str
    exit_code: int
    listed_in: Path


def plan_batch(inputs: Sequence[str], output: str, config: StereoConfig) -> list[BatchJob]:
    """Expand patterns and folders of videos, and give every input its output.

    Raises:
        UsageError: no input; one output file for several inputs; two inputs that would write one file.
        MediaError: a pattern or folder that holds no media.
    """
    if not inputs:
        raise UsageError("no input", "diorama stereo", "name a video, for example: diorama stereo clip.mp4")
    sources = [path for given in inputs for path in _expanded(given)]
    several = len(sources) > 1 or any(_is_batch(given) for given in inputs)
    suffix = ".mkv" if config.encoding.codec == "ffv1" else ".mp4"
    if not output:
        jobs = [BatchJob(s, default_output(s, config.look, suffix)) for s in sources]
    elif several or Path(output).is_dir():
        folder = local_path(output)
        if folder.suffix and not folder.is_dir():
            raise UsageError(f"{len(sources)} inputs, but -o is a file", output, "give a folder for several inputs")
        jobs = [BatchJob(s, folder / default_output(s, config.look, suffix).name) for s in sources]
    else:
        jobs = [BatchJob(sources[0], local_path(output))]
    outputs = [job.output for job in jobs]
    for path in outputs:
        if outputs.count(path) > 1:
            raise UsageError("two inputs would write one file", path, "give them different names or folders")
    return jobs


def _is_batch(given: str) -> bool:
    path = Path(given)
    return (glob.has_magic(given) and not path.exists()) or (path.is_dir() and not numbered_images(path))


def _expanded(given: str) -> list[Path]:
    path = local_path(given)
    if glob.has_magic(given) and not path.exists():
        found = sorted(Path(p) for p in glob.glob(given, recursive=True))
        if not found:
            raise MediaError("no file fits the pattern", given, "check the folder and the spelling")
        return [p for p in found if p.is_file()]
    if not path.is_dir():
        return [path]
    videos = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    if videos:
        return videos
    if numbered_images(path):
        return [path]
    raise MediaError("a folder without videos or images", path, "name a folder that holds media")


def convert_all(
    jobs: Sequence[BatchJob], config: StereoConfig, run: StereoRun, progress: Progress, *, skip_error: bool
) -> tuple[list[StereoResult], list[Failure]]:
    """Convert one clip after the other, each in a process of its own, so that a crash costs one clip only.

    Raises:
        DioramaError: the first failure, unless `skip_error`; the failures are then returned and listed in
            ``failures.jsonl`` beside the first output.
    """
    results: list[StereoResult] = []
    failures: list[Failure] = []
    listing = jobs[0].output.parent / FAILURES
    progress.begin("clips", len(jobs))
    for job in jobs:
        try:
            results.append(_isolated(job, config, run))
        except DioramaError as error:
            if not skip_error:
                raise
            failures.append(Failure(job.source, str(error), error.exit_code, listing))
            progress.note(f"{job.source} failed: {error}")
        progress.advance()
    if failures:
        rows = [json.dumps({"input": str(f.source), "error": f.error, "exit_code": f.exit_code}) for f in failures]
        write_bytes(listing, ("\n".join(rows) + "\n").encode())
    return results, failures


def _isolated(job: BatchJob, config: StereoConfig, run: StereoRun) -> StereoResult:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        outcome = pool.submit(_attempt, job, config, run)
        try:
            result = outcome.result()
        except BrokenProcessPool as error:
            raise MediaError("the process that read it crashed", job.source, "the file may be damaged") from error
    if isinstance(result, _Refused):
        raise result.restored()
    return result


@dataclass(frozen=True)
class _Refused:
    """An error on its way back from a process."""

    kind: type[DioramaError]
    what: str
    where: str
    fix: str

    def restored(self) -> DioramaError:
        return self.kind(self.what, self.where, self.fix)


def _attempt(job: BatchJob, config: StereoConfig, run: StereoRun) -> "StereoResult | _Refused":
    try:
        return stereo(job.source, job.output, config, run=run)
    except DioramaError as error:
        return _Refused(type(error), error.what, error.where, error.fix)
