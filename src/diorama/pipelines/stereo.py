"""The stereo recipe, fast engine: any clip to a 3D film (S2VG sections 1.1-1.4 without the generative part)."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import diorama
from diorama.core.memory import keep_freed_memory
from diorama.core.progress import Progress, Silent
from diorama.core.timing import Timings
from diorama.errors import DioramaError, InterruptedRunError, UsageError
from diorama.media.atomic import sweep, write_bytes
from diorama.media.encoding import Encoding
from diorama.media.images import save_image
from diorama.media.lock import RunLock
from diorama.media.mux import Assembly, assemble
from diorama.media.read import OpenedVideo, ReadOptions, open_media
from diorama.media.recipe import Input, Recipe, embed_text, read_recipe, write_sidecar
from diorama.media.stereo import packed_size
from diorama.media.write import StreamSpec
from diorama.perception import answers
from diorama.perception.base import DepthEstimator
from diorama.pipelines.comfort import FrameComfort, summarise
from diorama.pipelines.frames import FrameStream, Since
from diorama.pipelines.output import Target, already_done, encoder_options, make_target, publish, tags_of
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.samples import SampleFolder
from diorama.pipelines.schedule import Schedule, schedule
from diorama.pipelines.work import Done, PieceWriter, WorkFolder

log = logging.getLogger(__name__)

PIECE_FRAMES = 120
SAMPLES = 3


@dataclass(frozen=True)
class StereoRun:
    """What a run is asked to do besides how the picture shall look.

    Attributes:
        overwrite: replace existing outputs.
        resume: go on with an unfinished run.
        report: write the HTML page beside the output.
        piece_frames: frames between two resumable points.
        samples: folder that keeps a few moments of the film (`SampleFolder`); None where only the report needs them.
    """

    overwrite: bool = False
    resume: bool = False
    report: bool = False
    piece_frames: int = PIECE_FRAMES
    samples: Path | None = None

    def __post_init__(self) -> None:
        if self.piece_frames < 1:
            raise UsageError(f"{self.piece_frames} frames a piece", "piece_frames", "give 1 or more")


@dataclass(frozen=True)
class StereoResult:
    """What a run made.

    Attributes:
        files: the films (or stills), one an output stream.
        frames: how many frames were written, those of an earlier interrupted run included.
        seconds: wall clock of this run.
        comfort: the comfort report, as in the JSON file beside the film.
        extras: reports written beside the film.
        notes: what the user should know.
    """

    files: tuple[Path, ...]
    frames: int
    seconds: float
    comfort: dict[str, Any] = field(default_factory=dict)
    extras: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def stereo(
    source: str | Path,
    output: str | Path,
    config: StereoConfig | None = None,
    *,
    run: StereoRun | None = None,
    progress: Progress | None = None,
) -> StereoResult:
    """Turn a clip into a stereoscopic one.

    Args:
        source: a video, an image, or a folder of numbered images.
        output: the file to write; its suffix names the container.
        config: how it shall look; the default is full side by side.
        run: overwrite, resume, report.
        progress: told how far the run is.

    Raises:
        DioramaError: its children say what was wrong and what to do. No output appears under its final name
            unless it is complete.
    """
    config, run, progress = config or StereoConfig(), run or StereoRun(), progress or Silent()
    began = time.perf_counter()
    keep_freed_memory()
    clip = config.clip
    streams = clip.streams
    opened = open_media(
        source, ReadOptions(_video_stream(source, streams), clip.tolerant, clip.deinterlace, clip.limits)
    )
    inputs = [opened.path, *([Path(config.depth.depth)] if Path(config.depth.depth).exists() else [])]
    target = make_target(output, config.look, inputs=inputs, overwrite=run.overwrite, resume=run.resume)
    widen = opened.sar if _needs_square_pixels(config, target, opened) else Fraction(1)
    plan = schedule(opened.video, clip, widen, clocked=not opened.path.is_dir())
    with RunLock(target.path):
        sweep(target.path)
        job = _Job(opened, plan, opened.sar / widen, config, run, target, progress)
        try:
            result = job.run_stills() if target.still else job.run_video()
        except KeyboardInterrupt as stop:
            raise InterruptedRunError(
                "stopped", target.path, "run the same command with --resume to go on where it stopped"
            ) from stop
    return replace(result, seconds=time.perf_counter() - began)


def _needs_square_pixels(config: StereoConfig, target: Target, opened: OpenedVideo) -> bool:
    """Where pixels of another shape would be shown wrong: in stills, spheres, and codecs that cannot say so."""
    if target.still or config.look.format == "vr180":
        return True
    encoding = config.encoding.resolved(target.path.suffix.lower(), opened.video.bits)
    return not encoding.keeps_pixel_shape


def _video_stream(source: str | Path, streams: Sequence[int] | None) -> int | None:
    """The first of the wanted streams that is a video; None where the choice is free."""
    if streams is None:
        return None
    opened = open_media(source, ReadOptions(tolerant=True))
    if opened.probe is None:
        raise UsageError("images have no streams", "--map", "leave it out")
    types = {stream.index: stream.type for stream in opened.probe.streams}
    for index in streams:
        if index not in types:
            known = "; ".join(str(stream) for stream in opened.probe.streams)
            raise UsageError(f"no stream {index}", "--map", f"the streams are {known}")
    return next((index for index in streams if types[index] == "video"), None)


@dataclass(frozen=True, eq=False)
class _Job:
    """One run with all its choices made."""

    opened: OpenedVideo
    plan: Schedule
    sar: Fraction
    config: StereoConfig
    run: StereoRun
    target: Target
    progress: Progress
    timings: Timings = field(default_factory=Timings)
    notes: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        self.notes.append(message)
        self.progress.note(message)

    def recipe(self) -> Recipe:
        """This run as data."""
        inputs = [Input.of(self.opened.path)]
        options = self.config.options()
        depth = Path(self.config.depth.depth)
        if depth.exists() and not (depth / "config.json").is_file():
            measured = Input.of(depth)
            if measured.name == inputs[0].name:  # a depth video called as the clip, in another folder
                measured = replace(measured, name=f"depth-{measured.name}")
            inputs.append(measured)
            options["depth"] = measured.name
        elif depth.exists():
            options["depth"] = depth.resolve().name  # a folder with a network: where it lies is nobody's business
        return Recipe("stereo", options, tuple(inputs), 0, diorama.__version__, {"depth": str(options["depth"])})

    def _tell_of_the_input(self) -> None:
        for message in self.opened.notes:
            self.note(message)
        glasses = self.config.look.format in ("anaglyph", "red-cyan")
        if glasses and self.plan.video.color.hdr:
            self.note("anaglyph colours are mixed as if the clip were SDR; its HDR brightness makes them approximate")
        if glasses and self.config.encoding.codec == "libsvtav1":
            self.note("AV1 halves the colour resolution, which an anaglyph needs; libx264 and libx265 keep it")

    def fingerprint(self) -> str:
        """What an unfinished run is known by: its options, and name, size and date of its inputs."""
        inputs = [self.opened.path, Path(self.config.depth.depth)]
        facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in inputs if path.exists()]
        text = json.dumps([diorama.__version__, self.config.options(), facts], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def estimator(self, work: Path) -> DepthEstimator:
        """What answers depth, checked against the clip."""
        choice = self.config.depth
        options = answers.DepthOptions(choice.depth_kind, choice.near, choice.far, choice.people, choice.device)
        found = answers.resolve(choice.depth, work, options, note=self.note)
        answers.check(found, self.plan.video[: int(self.plan.index[-1]) + 1])
        return found

    def run_video(self) -> StereoResult:
        target, run = self.target, self.run
        encoding = self.config.encoding.resolved(target.path.suffix.lower(), self.plan.video.bits)
        self._tell_of_the_input()
        if run.resume and already_done(target):
            if read_recipe(target.files[0]).identity != self.recipe().identity:
                raise UsageError("the finished output was made with other options", target.path, "use --overwrite")
            self.note("already complete, nothing to do")
            return StereoResult(target.files, len(self.plan), 0.0, notes=tuple(self.notes))
        work = WorkFolder(target.path, self.fingerprint(), resume=run.resume)
        with ThreadPoolExecutor(1) as aside:  # hashing the inputs takes seconds, and nobody waits for it
            recipe = aside.submit(self.recipe)
            try:
                pieces = self._pieces(work, encoding)
            except (DioramaError, KeyboardInterrupt):
                if not work.done(len(target.files)):
                    work.remove()  # nothing worth going on with
                raise
            self._finish(work, pieces, recipe.result())
        extras, comfort = self._report(work, pieces, encoding)
        work.remove()
        frames = pieces[-1].last_index + 1
        return StereoResult(target.files, frames, 0.0, comfort, extras, tuple(self.notes))

    def _pieces(self, work: WorkFolder, encoding: Encoding) -> list[Done]:
        streams = len(self.target.files)
        before = work.done(streams)
        stream = self._stream(self.estimator(work.path / "depth"), self._samples(work))
        since = Since()
        if before:
            last = before[-1]
            since = Since(last.shot_start, last.shot, last.last_index + 1)
            self.note(f"going on at frame {since.place} of {len(self.plan)}")
        self.progress.begin("stereo", len(self.plan))
        self.progress.advance(since.place)
        writer = PieceWriter(work, (self._spec(encoding),) * streams, encoding, self.run.piece_frames)
        pieces = before if since.place >= len(self.plan) else writer.run(stream.shown(since), before, self.progress)
        if not pieces:
            raise UsageError("no frame could be read", self.opened.path)
        return pieces

    def _stream(self, estimator: DepthEstimator, samples: SampleFolder) -> FrameStream:
        wanted = frozenset(len(self.plan) * (2 * i + 1) // (2 * SAMPLES) for i in range(SAMPLES))
        chosen = wanted if self.run.report or self.run.samples else frozenset()
        return FrameStream(self.plan, self.config.look, estimator, self.timings, samples.keep, chosen)

    def _samples(self, work: WorkFolder) -> SampleFolder:
        return SampleFolder(self.run.samples or work.path)

    def _spec(self, encoding: Encoding) -> StreamSpec:
        plan, look, video = self.plan, self.config.look, self.plan.video
        name = "eyes" if look.views > 2 else look.format
        height, width = packed_size(plan.height, plan.width, name)
        tags = tags_of(look, self.target.path.suffix.lower())
        return StreamSpec(
            width + width % 2,
            height + height % 2,
            plan.time_base,
            plan.fps,
            8 if video.bits == 8 else 16,
            video.color,
            self.sar,
            look.format in ("anaglyph", "red-cyan"),
            encoder_options(tags, encoding, self.opened.probe.hdr if self.opened.probe else None),
        )

    def _finish(self, work: WorkFolder, pieces: list[Done], recipe: Recipe) -> None:
        plan, target = self.plan, self.target
        tags = tags_of(self.config.look, target.path.suffix.lower())
        for number, file in enumerate(target.files):
            made = work.path / f"whole-{number}{file.suffix.lower()}"
            assembly = Assembly(
                work.pieces(pieces, number),
                plan.time_base,
                self.opened.path if self.opened.probe else None,
                self.config.clip.streams,
                plan.shift,
                (plan.first, plan.end) if plan.trimmed else (None, None),
                {"comment": embed_text(recipe)},
                {"stereo_mode": tags.matroska} if tags.matroska else {},
                plan.last_duration,
            )
            messages = assemble(assembly, made)
            for message in messages if number == 0 else ():
                self.note(message)
            publish(made, file, tags, recipe, overwrite=target.overwrite or target.resume)

    def _report(
        self, work: WorkFolder, pieces: list[Done], encoding: Encoding
    ) -> tuple[tuple[Path, ...], dict[str, Any]]:
        from diorama.pipelines.chart import chart
        from diorama.pipelines.report import Report, write_report

        rows = work.records(len(pieces))
        records = [FrameComfort(**{**row, "percentiles": tuple(row["percentiles"])}) for row in rows]
        comfort = summarise(records)
        base = self.target.path
        facts = {"file": base.name, "comfort": comfort, "notes": self.notes, "seconds": self.timings.seconds}
        written = [base.with_name(base.name + ".comfort.json"), base.with_name(base.name + ".comfort.png")]
        write_bytes(written[0], json.dumps(facts, indent=2).encode())
        save_image(written[1], chart(records))
        if self.run.report:
            page = base.with_name(base.name + ".report.html")
            settings = {
                **self.config.options(),
                "codec": encoding.codec,
                "crf": encoding.crf,
                "preset": encoding.preset,
            }
            samples = SampleFolder(work.path).load()
            timings = dict(self.timings.seconds)
            write_report(
                page, Report(base.name, samples, records, settings=settings, timings=timings, notes=self.notes)
            )
            written.append(page)
        return tuple(written), comfort

    def run_stills(self) -> StereoResult:
        if len(self.plan) != 1:
            raise UsageError(
                f"{len(self.plan)} frames do not fit into one image", self.target.path, "name a video as output"
            )
        self._tell_of_the_input()
        recipe = self.recipe()
        work = WorkFolder(self.target.path, recipe.identity, resume=False)
        try:
            stream = self._stream(self.estimator(work.path / "depth"), self._samples(work))
            (shown,) = stream.shown(Since())
            for image, file in zip(shown.images, self.target.files, strict=True):
                save_image(file, image, overwrite=self.target.overwrite)
                write_sidecar(file, recipe)
        finally:
            work.remove()
        return StereoResult(self.target.files, 1, 0.0, notes=tuple(self.notes))
