"""A clip taken apart into a layered scene: people, what is before them, the scene behind, bodies (MIMO section 3.1).

Two looks at the clip: the first finds people and follows the camera, the second separates the layers. Between them
a body is fitted to everybody. What a stage has finished is kept beside the output until the scene is there.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

import diorama
from diorama.core.actor import Actor
from diorama.core.parallel import ahead
from diorama.core.person import Track, filling
from diorama.core.progress import Progress, Silent
from diorama.core.timing import Timings
from diorama.core.video import Video
from diorama.errors import InterruptedRunError, LimitError, OutOfMemoryError, UsageError
from diorama.media.lock import RunLock
from diorama.media.manifest import NAME
from diorama.media.read import OpenedVideo, ReadOptions, open_media
from diorama.media.recipe import Input, Recipe
from diorama.media.safe import Limits, local_path
from diorama.media.scene_writer import LayerSpec, Piece, SceneSpec, SceneWriter
from diorama.perception.background import Background, KeyFrames, open_keys
from diorama.perception.people_answers import PeopleAnswers, PeopleChoice, resolve
from diorama.perception.people_files import ClipSize
from diorama.pipelines.decompose_bodies import bodies
from diorama.pipelines.decompose_config import DecomposeConfig
from diorama.pipelines.decompose_layers import LayerFrame, bodies_of, layers
from diorama.pipelines.decompose_page import Moments, write_contact_sheet
from diorama.pipelines.decompose_people import look, outline_masks
from diorama.pipelines.work import WorkFolder

SCENE = "scene"
"""Name of the layer behind everybody."""


@dataclass(frozen=True)
class DecomposeResult:
    """What a run made.

    Attributes:
        scene: the folder.
        frames: how many it has.
        people: names of the actors.
        seconds: by stage, and in total.
        notes: what the user should know.
    """

    scene: Path
    frames: int
    people: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def decompose(
    source: str | Path,
    output: str | Path,
    config: DecomposeConfig | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> DecomposeResult:
    """Take a clip apart.

    Args:
        source: a video, or a folder of numbered images.
        output: the folder to make.
        config: which part of it, and whose people.
        overwrite: replace a scene that is there.
        resume: go on with an unfinished run, from the last finished stage.
        progress: told of stages and frames.

    Raises:
        DioramaError: its children say what was wrong and what to do; no scene appears unless it is complete.
    """
    config, progress, began = config or DecomposeConfig(), progress or Silent(), time.perf_counter()
    if (local_path(source) / NAME).is_file():
        raise UsageError("a scene, where a clip is expected", source, "it is taken apart already")
    opened = open_media(source, ReadOptions(tolerant=config.tolerant, limits=Limits()))
    target = folder_to_make(output, [opened.path], kind="a scene", mark=NAME, overwrite=overwrite)
    with RunLock(target):
        run = _Run(opened, _window(opened.video, config), config, target, progress)
        try:
            result = run.all(resume=resume, overwrite=overwrite)
        except KeyboardInterrupt as stop:
            raise InterruptedRunError("stopped", target, "run the same command with --resume to go on") from stop
    return replace(result, seconds={**result.seconds, "total": time.perf_counter() - began})


def folder_to_make(output: str | Path, inputs: Sequence[Path], *, kind: str, mark: str, overwrite: bool) -> Path:
    """The folder to make, checked; what is replaced is of its own kind, and missing folders above are made.

    Args:
        output: the folder as it is named.
        inputs: files and folders that are read: the output must not take them away.
        kind: what it is to hold, in words.
        mark: the file by which such a folder is known; only such a folder, or an empty one, is replaced.
        overwrite: whether one is replaced at all.

    Raises:
        UsageError: a file or a link, the folder of an input, one that exists or holds other things, or none that can
            be made.
    """
    target = local_path(output)
    if target.name in ("", ".."):
        target = target.resolve()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError("the output is a file or a link, expected a folder", target, "choose another name")
    if target.exists():
        if any(one.resolve().is_relative_to(target.resolve()) for one in inputs):
            raise UsageError("the output is the folder of the input", target, "name another folder")
        if not overwrite:
            raise UsageError("the output exists", target, "name another folder, or use --overwrite")
        if any(target.iterdir()) and not (target / mark).is_file():
            raise UsageError(f"the output is a folder with other things than {kind}", target, "name another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder above the output cannot be made ({error.strerror})"
        raise UsageError(what, target.parent, "choose another") from error
    return target


def _window(video: Video, config: DecomposeConfig) -> Video:
    """The frames from start to end."""
    first, last = config.span
    seconds = (video.pts - video.pts[0]) * float(video.time_base)
    begin = int(np.searchsorted(seconds, first - 1e-6))
    stop = len(video) if last is None else int(np.searchsorted(seconds, last - 1e-6))
    if stop <= begin:
        raise UsageError(f"no frame from {config.start or 0} to {config.end or 'the end'}", "--start", "widen it")
    return video[begin:stop]


@dataclass(frozen=True, eq=False)
class _Run:
    """A run; its methods are the stages, in order."""

    opened: OpenedVideo
    video: Video
    config: DecomposeConfig
    target: Path
    progress: Progress
    timings: Timings = field(default_factory=Timings)
    models: dict[str, str] = field(default_factory=dict)

    def all(self, *, resume: bool, overwrite: bool) -> DecomposeResult:
        """Do it all."""
        for note in self.opened.notes:
            self.progress.note(note)
        work = WorkFolder(self.target, self._identity(), resume=resume, anew=overwrite)
        try:
            shown = self._layers(work.path, self._actors(work.path))
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | LimitError | OutOfMemoryError):  # a rerun would fail again
                work.remove()
            raise
        work.remove()
        return DecomposeResult(self.target, len(self.video), shown, dict(self.timings.seconds))

    def _identity(self) -> str:
        stat = self.opened.path.stat()
        facts = [diorama.__version__, asdict(self.config), self.opened.path.name, stat.st_size, stat.st_mtime_ns]
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(errors="surrogateescape")).hexdigest()

    def _actors(self, work: Path) -> list[Actor]:
        """Everybody who gets layers, from far to near."""
        keys, answers = KeyFrames(work / "keys"), self._answers()
        began = time.perf_counter()
        try:
            people = look(
                self.video,
                answers.finder,
                keys,
                work,
                self.progress,
                trusted=answers.trusted,
                refiner=answers.refiner,
            )
        finally:
            answers.close()
        self._spent("people", began)
        if not people.tracks:
            self.progress.note("nobody was found: the scene has one layer; --boxes FILE says where people are")
        chosen = sorted(people.tracks, key=filling, reverse=True)[: self.config.people]
        if len(chosen) < len(people.tracks):
            self.progress.note(f"{len(people.tracks)} people were found, the {len(chosen)} largest get layers")
        began, size = time.perf_counter(), (self.video.height, self.video.width)
        rate = float(self.video.fps)

        def masks(person: Track) -> np.ndarray:
            return outline_masks(work / "masks.log", person, *size)

        found = bodies(tuple(chosen), size, rate, work, masks, self.progress)
        self._spent("bodies", began)
        return sorted(found, key=_distance, reverse=True)

    def _answers(self) -> PeopleAnswers:
        """Who answers where people are, where they end and how they stand."""
        config, video = self.config, self.opened.video
        choice = PeopleChoice(
            config.boxes, config.landmarks, config.masks, config.detector, config.segmenter, config.pose
        )
        answers = resolve(choice, ClipSize(len(video), video.height, video.width), self.progress.note)
        self.models.update(answers.models)
        return answers

    def _layers(self, work: Path, actors: list[Actor]) -> tuple[str, ...]:
        """Write the scene; returns the names of those who have layers in it."""
        keys, log = open_keys(work / "keys"), work / "masks.log"
        people = bodies_of(actors, keys, log)
        shown = [body.actor for body in people]
        for actor in actors:
            if actor not in shown:
                self.progress.note(f"{actor.name} is seen too shortly to tell its colours: it gets no layers")
        moments = Moments(len(self.video), shown)
        self.progress.begin("layers", len(self.video))
        began = time.perf_counter()
        with SceneWriter(self.target, self._spec(shown), overwrite=self.target.exists()) as writer:
            writer.actors, writer.provenance = shown, self._recipe()
            for number, done in enumerate(ahead(layers(self.video, people, Background(keys), log), 4)):
                clock, image = (done.frame.pts, done.frame.duration), done.frame.image
                writer.write(image if writer.source else np.zeros_like(image), clock, _pieces(done, shown))
                moments.see(number, done)
                self.progress.advance()
            self._spent("layers", began)
            write_contact_sheet(writer.folder / "page.html", moments, self.timings.seconds)
        return tuple(actor.name for actor in shown)

    def _spec(self, actors: list[Actor]) -> SceneSpec:
        video, path = self.video, self.opened.path
        parts = [LayerSpec(name, 8) for actor in actors for name in (actor.layer, actor.occluder) if name]
        source = path if path.is_file() and self.opened.probe is not None else None
        bits = 8 if video.bits == 8 else 16
        return SceneSpec(
            video.height,
            video.width,
            bits if source is None else video.bits,
            video.time_base,
            video.color,
            (LayerSpec(SCENE), *parts),
            source,
            video.start,
        )

    def _recipe(self) -> Recipe:
        options = {k: ",".join(v) if isinstance(v, tuple) else v for k, v in asdict(self.config).items()}
        for name in ("boxes", "landmarks", "masks"):  # where files lie is nobody's business
            options[name] = bool(options[name])
        for name in ("detector", "segmenter", "pose"):
            options[name] = Path(options[name]).name
        models = {**self.models, "body": "cast"}
        return Recipe("decompose", options, (Input.of(self.opened.path),), 0, diorama.__version__, models)

    def _spent(self, stage: str, began: float) -> None:
        self.timings.seconds[stage] = time.perf_counter() - began


def _pieces(done: LayerFrame, actors: list[Actor]) -> list[Piece]:
    """The frame's layers in the order of the scene's."""
    nothing = np.zeros(done.scene.shape[:2], np.uint8)
    found = [Piece(done.scene)]
    for actor in actors:
        person, before = done.parts.get(actor.number, (nothing, nothing))
        found += [Piece(done.frame.image, person), Piece(done.frame.image, before)]
    return found


def _distance(actor: Actor) -> float:
    """Metres from the camera, in the middle of its way."""
    local = np.einsum("tij,tj->ti", actor.cameras.viewmats[:, :3, :3], actor.motion.root)
    return float(np.median(local[:, 2] + actor.cameras.viewmats[:, 2, 3]))
