"""Many clips: which inputs were meant, where each goes, and a run that one bad clip does not stop."""

import glob
import json
import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from diorama.core.interrupts import deaf
from diorama.core.progress import Progress
from diorama.errors import DioramaError, InterruptedRunError, MediaError, OutOfMemoryError, UsageError
from diorama.media.atomic import write_bytes
from diorama.media.images import numbered_images
from diorama.media.recipe import sidecar_path
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

    Patterns and folders leave out hidden files and what Diorama made itself (beside it lies its recipe).

    Raises:
        UsageError: no input; one output file for several inputs; two inputs that would write one file; an output
            that is another input.
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
        if several and path.resolve() in {source.resolve() for source in sources}:
            raise UsageError("the output of one input is another input", path, "name an output folder with -o")
    return jobs


def _is_batch(given: str) -> bool:
    path = Path(given)
    return (glob.has_magic(given) and not path.exists()) or (path.is_dir() and not numbered_images(path))


def _expanded(given: str) -> list[Path]:
    path = local_path(given)
    if glob.has_magic(given) and not path.exists():
        found = sorted(p for p in map(Path, glob.glob(given, recursive=True)) if _meant(p))
        if not found:
            raise MediaError("no file fits the pattern", given, "check the folder and the spelling")
        return found
    if not path.is_dir():
        return [path]
    videos = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and _meant(p))
    if videos:
        return videos
    if numbered_images(path):
        return [path]
    raise MediaError("a folder without videos or images", path, "name a folder that holds media")


def _meant(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and not sidecar_path(path).is_file()


def convert_all(
    jobs: Sequence[BatchJob], config: StereoConfig, run: StereoRun, progress: Progress, *, skip_error: bool
) -> tuple[list[StereoResult], list[Failure]]:
    """Convert one clip after the other in a process of their own, so that a crash costs one clip only.

    Raises:
        DioramaError: the first failure, unless `skip_error`; the failures are then returned and listed in
            ``failures.jsonl`` beside the first output.
        InterruptedRunError: the user stopped it.
    """
    results: list[StereoResult] = []
    failures: list[Failure] = []
    listing = jobs[0].output.parent / FAILURES
    progress.begin("clips", len(jobs))
    try:
        with _Worker() as worker:
            for job in jobs:
                outcome = worker.convert(job, config, run)
                if isinstance(outcome, StereoResult):
                    results.append(outcome)
                    for note in outcome.notes:
                        progress.note(f"{job.source}: {note}")
                elif skip_error and outcome.exit_code != InterruptedRunError.exit_code:
                    failures.append(Failure(job.source, str(outcome), outcome.exit_code, listing))
                    progress.note(f"{job.source} failed: {outcome}")
                else:
                    raise outcome
                progress.advance()
    except KeyboardInterrupt as stop:
        done = f"{len(results)} of {len(jobs)} clips are done"
        raise InterruptedRunError("stopped", done, "run the same command with --resume to go on") from stop
    finally:
        if failures:
            listing.parent.mkdir(parents=True, exist_ok=True)
            rows = [json.dumps({"input": str(f.source), "error": f.error, "exit_code": f.exit_code}) for f in failures]
            write_bytes(listing, ("\n".join(rows) + "\n").encode())
    return results, failures


class _Worker(AbstractContextManager["_Worker"]):
    """A process that converts clips; a new one takes over when it crashes."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def convert(self, job: BatchJob, config: StereoConfig, run: StereoRun) -> StereoResult | DioramaError:
        """Convert one clip; a failure is returned."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        try:
            with deaf():  # a process inherits this, and so does not die of Ctrl-C while it starts
                outcome = self._pool.submit(_attempt, job, config, run)
            result = outcome.result()
        except BrokenProcessPool:
            self._close()
            return MediaError("the process that read it crashed", job.source, "the file may be damaged")
        return result if isinstance(result, StereoResult) else result.restored()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


@dataclass(frozen=True)
class _Refused:
    """An error on its way back from a process."""

    kind: type[DioramaError]
    what: str
    where: str = ""
    fix: str = ""

    def restored(self) -> DioramaError:
        return self.kind(self.what, self.where, self.fix)


def _attempt(job: BatchJob, config: StereoConfig, run: StereoRun) -> "StereoResult | _Refused":
    """Runs in the worker, which hears Ctrl-C only while it converts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return stereo(job.source, job.output, config, run=run)
    except DioramaError as error:
        return _Refused(type(error), error.what, error.where, error.fix)
    except KeyboardInterrupt:
        return _Refused(InterruptedRunError, "stopped", str(job.source), "run the same command with --resume")
    except MemoryError as error:
        return _Refused(OutOfMemoryError, "not enough memory", str(job.source), str(error))
    except Exception as error:  # noqa: BLE001  a defect met in one clip must not stop the others
        return _Refused(DioramaError, f"{type(error).__name__}: {error}", str(job.source), "please report it")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
