"""One stereo run with all its choices made: frames into pieces, pieces into the finished film."""

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import diorama
from diorama.core.parallel import aside
from diorama.core.progress import Progress
from diorama.core.timing import Timings
from diorama.errors import LimitError, OutOfMemoryError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import OpenedVideo
from diorama.media.recipe import Input, Recipe, read_recipe
from diorama.media.stereo import packed_size, stereo_format
from diorama.media.write import StreamSpec
from diorama.perception import answers
from diorama.perception.base import DepthEstimator
from diorama.pipelines.finish import Ending, Facts, finish_film, finish_stills, write_reports
from diorama.pipelines.frames import Enlarge, FrameStream, Maker, Since
from diorama.pipelines.output import Target, already_done, encoder_options, tags_of
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.recipe_models import models_of, name_of
from diorama.pipelines.samples import SampleFolder
from diorama.pipelines.schedule import Schedule
from diorama.pipelines.work import Done, PieceWriter, WorkFolder

PIECE_FRAMES = 120
SAMPLES = 3


@dataclass(frozen=True)
class StereoRun:
    """What a run is asked to do besides how the picture shall look.

    Attributes:
        overwrite: replace existing outputs.
        resume: go on with an unfinished run.
        anew: throw away an unfinished run without asking, as where nothing could go on with it.
        report: write the HTML page beside the output.
        piece_frames: frames between two resumable points.
        samples: folder that keeps a few moments of the film (`SampleFolder`); None where only the report needs them.
    """

    overwrite: bool = False
    resume: bool = False
    anew: bool = False
    report: bool = False
    piece_frames: int = PIECE_FRAMES
    samples: Path | None = None

    def __post_init__(self) -> None:
        if self.piece_frames < 1:
            raise UsageError(f"{self.piece_frames} frames a piece", "piece_frames", "give 1 or more")


@dataclass(frozen=True, eq=False)
class Job:
    """A run. Its methods are the steps, in order; `timings` and `notes` fill up on the way.

    Attributes:
        opened: the input.
        plan: which of its frames are shown when.
        sar: shape of an output pixel.
        config: how it shall look.
        run: overwrite, resume, report.
        target: where it goes.
        progress: told how far it is.
    """

    opened: OpenedVideo
    plan: Schedule
    sar: Fraction
    config: StereoConfig
    run_options: StereoRun
    target: Target
    progress: Progress
    timings: Timings = field(default_factory=Timings)
    notes: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        """Keep a note for the result, and show it."""
        self.notes.append(message)
        self.progress.note(message)

    def run(self) -> Ending:
        """Do it all; a finished output is left alone under ``resume``."""
        self._tell_of_the_input()
        if self.run_options.resume and already_done(self.target):
            if read_recipe(self.target.files[0]).identity != self.recipe(self.models()).identity:
                raise UsageError("the finished output was made with other options", self.target.path, "--overwrite")
            self.note("already complete, nothing to do")
            return Ending(len(self.plan))
        if self.target.still and len(self.plan) != 1:
            what = f"{len(self.plan)} frames do not fit into one image"
            raise UsageError(what, self.target.path, "name a video as output")
        anew = self.run_options.anew or self.target.overwrite
        work = WorkFolder(self.target.path, self.fingerprint(), resume=self.target.resume, anew=anew)
        try:
            ending = self._still(work) if self.target.still else self._film(work)
        except BaseException as error:
            passing = isinstance(error, KeyboardInterrupt | LimitError | OutOfMemoryError)
            if not passing or not work.done(len(self.target.files)):
                work.remove()  # a rerun would fail again, or there is nothing to go on with
            raise
        work.remove()
        return ending

    def can_go_on(self) -> bool:
        """Whether a stopped run left something that ``resume`` takes up."""
        return WorkFolder.waits(self.target.path)

    def _film(self, work: WorkFolder) -> Ending:
        encoding = self.config.encoding.resolved(self.target.path.suffix.lower(), self.plan.video.bits)
        estimator = self._estimator(work)
        try:
            stream = self._stream(work, estimator)  # opens the networks: what is wrong with them shows first
            recipe = aside(lambda: self.recipe(models_of(self.config, estimator, self.note)))  # hashing takes seconds
            pieces = self._pieces(work, encoding, stream)
        finally:
            getattr(estimator, "close", lambda: None)()
        for message in self.opened.damage:
            self.note(message)
        facts = self._facts(work, recipe())
        finish_film(facts, work.pieces, pieces, self.note)
        return write_reports(facts, work.records(len(pieces)))

    def _still(self, work: WorkFolder) -> Ending:
        estimator = self._estimator(work)
        with closing(self._stream(work, estimator).shown(Since())) as frames:
            shown = next(frames)
        facts = self._facts(work, self.recipe(models_of(self.config, estimator, self.note)))
        finish_stills(facts, shown.images)
        return write_reports(facts, iter([shown.record]))

    def _pieces(self, work: WorkFolder, encoding: Encoding, stream: FrameStream) -> list[Done]:
        streams = len(self.target.files)
        before = work.done(streams)
        since = Since()
        if before:
            last = before[-1]
            since = Since(last.shot_start, last.shot, last.last_index + 1)
            self.note(f"going on at frame {since.place} of {len(self.plan)}")
        self.progress.begin("stereo", len(self.plan))
        self.progress.advance(since.place)
        if since.place >= len(self.plan):
            return before
        writer = PieceWriter(work, (self._spec(encoding),) * streams, encoding, self._frames_of_piece)
        with closing(stream.shown(since)) as frames:
            pieces = writer.run(frames, before, self.progress)
        if not pieces:
            raise UsageError("no frame could be read", self.opened.path)
        return pieces

    def _stream(self, work: WorkFolder, estimator: DepthEstimator) -> FrameStream:
        count = len(self.plan)
        wanted = frozenset(count * (2 * i + 1) // (2 * SAMPLES) for i in range(SAMPLES))
        chosen = wanted if self.run_options.report or self.run_options.samples else frozenset[int]()
        keep, make, enlarge = self._samples(work).keep, self._maker(work), self._enlarge()
        return FrameStream(self.plan, self.config.look, estimator, self.timings, keep, chosen, make, enlarge)

    def _enlarge(self) -> Enlarge | None:
        """Upscaling; None where the eyes keep their size."""
        larger, eye = self.config.larger, self.config.look.source_eye
        if larger.upscale == 1:
            return None
        from diorama.pipelines.upscale import open_by_name  # torch: only where it is asked for
        from diorama.pipelines.upscale_frames import enlarged

        upscaler = open_by_name(larger.upscaler, self.note, device=self.config.depth.device)
        factor, every = larger.upscale, self._frames_of_piece
        return lambda viewed: enlarged(viewed, upscaler, factor=factor, seen_from=eye, every=every)

    @property
    def _frames_of_piece(self) -> int:
        """A killed run of the generative engine goes on at its last window."""
        generative, most = self.config.generative, self.run_options.piece_frames
        stride = generative.window - generative.overlap
        return min(most, stride) if self.config.look.engine == "generative" else most

    def _maker(self, work: WorkFolder) -> Maker | None:
        """The generative engine; None for the fast one."""
        if self.config.look.engine == "fast":
            return None
        from diorama.pipelines.matrix_open import Opening  # torch: not for the fast engine

        opening = Opening(self.config.generative, self.config.depth.device, self.note)
        return opening.maker(self.config.look, work.path / "windows")

    def _samples(self, work: WorkFolder) -> SampleFolder:
        return SampleFolder(self.run_options.samples or work.path)

    def _facts(self, work: WorkFolder, recipe: Recipe) -> Facts:
        samples = self._samples(work).load if self.run_options.report else None
        opened, plan, config, target = self.opened, self.plan, self.config, self.target
        return Facts(opened, plan, config, target, recipe, self.notes, self.timings.seconds, samples)

    def _spec(self, encoding: Encoding) -> StreamSpec:
        plan, look, video = self.plan, self.config.look, self.plan.video
        times = self.config.larger.upscale
        size = plan.height * times, plan.width * times
        height, width = packed_size(*size, "eyes" if look.separate else look.format)
        tags = tags_of(look, self.target.path.suffix.lower())
        hdr = self.opened.probe.hdr if self.opened.probe else None
        if hdr is not None and encoding.codec != "libx265":
            self.note(f"{encoding.codec} is written without the HDR10 light metadata; --codec libx265 keeps it")
        return StreamSpec(
            width + width % 2,
            height + height % 2,
            plan.time_base,
            plan.fps,
            8 if video.bits == 8 else 16,
            video.color,
            self.sar,
            stereo_format(look.format).chroma == "444",
            encoder_options(tags, encoding, hdr),
        )

    def _tell_of_the_input(self) -> None:
        for message in self.opened.notes:
            self.note(message)
        glasses = stereo_format(self.config.look.format).chroma == "444"
        if glasses and self.plan.video.color.hdr:
            self.note("anaglyph colours are mixed as if the clip were SDR; its HDR brightness makes them approximate")
        if glasses and self.config.encoding.codec == "libsvtav1":
            self.note("AV1 halves the colour resolution, which an anaglyph needs; libx264 and libx265 keep it")

    def _estimator(self, work: WorkFolder) -> DepthEstimator:
        """What answers depth, checked against the clip."""
        found = self._resolved(work.path / "depth")
        answers.check(found, self.plan.video[: int(self.plan.index[-1]) + 1])
        return found

    def _resolved(self, folder: Path) -> DepthEstimator:
        choice = self.config.depth
        options = answers.DepthOptions(
            choice.depth_kind, choice.near, choice.far, choice.people, choice.device, limits=self.config.clip.limits
        )
        return answers.resolve(choice.depth, folder, options, note=self.note)

    def models(self) -> dict[str, str]:
        """What answers each question, as the recipe keeps it."""
        return models_of(self.config, self._resolved(self.target.path.parent), self.note)

    def recipe(self, models: dict[str, str]) -> Recipe:
        """This run as data; reads every input once for its hash."""
        inputs = [Input.of(self.opened.path)]
        options = self.config.options()
        depth = self.config.depth.path
        if depth is not None and (depth / "config.json").is_file():
            options["depth"] = name_of(depth)  # a folder with a network: where it lies is nobody's business
        elif depth is not None:
            measured = Input.of(depth)
            if measured.name == inputs[0].name:  # a depth video called as the clip, in another folder
                measured = replace(measured, name=f"depth-{measured.name}")
            inputs.append(measured)
            options["depth"] = measured.name
        for name in ("prior", "autoencoder", "upscaler"):  # where they lie is nobody's business
            if options[name] and Path(options[name]).is_dir():
                options[name] = name_of(Path(options[name]))
        return Recipe("stereo", options, tuple(inputs), self.config.generative.seed, diorama.__version__, models)

    def fingerprint(self) -> str:
        """What an unfinished run is known by: its options, and name, size and date of its inputs."""
        depth = self.config.depth.path
        stats = [(path.name, path.stat()) for path in (self.opened.path, *([depth] if depth else []))]
        facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        text = json.dumps([diorama.__version__, self.config.options(), facts], sort_keys=True)
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
