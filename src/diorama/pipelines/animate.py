"""Another character in a clip (MIMO): people of a scene played by characters from photos or from other scenes.

The scene is taken apart once (`decompose`), then characters are put in the places of its actors: posed as they are, lit
as they are, behind what is before them. Sound, timing, size and all pixels that nobody touches stay as they were.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import diorama
from diorama.core.actor import Actor
from diorama.core.layers import LayeredVideo
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame, Video
from diorama.diffusion.generate import SampleConfig
from diorama.errors import InterruptedRunError, LimitError, MediaError, OutOfMemoryError, UsageError
from diorama.figures.texture import Character
from diorama.media.atomic import sweep
from diorama.media.encoding import Encoding
from diorama.media.formats import ContainerTags
from diorama.media.lock import RunLock
from diorama.media.manifest import NAME, Manifest
from diorama.media.mux import Assembly, assemble
from diorama.media.read import OpenedVideo, open_media
from diorama.media.recipe import Input, Recipe, embed_text, read_recipe
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.media.write import StreamSpec
from diorama.pipelines.animate_cast import Part, cast, character_of_actor, sights_of
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_diffusion import Generator, generated
from diorama.pipelines.animate_frames import Drawn, previews, recast
from diorama.pipelines.animate_motion import motion_for
from diorama.pipelines.character import character_of_photo
from diorama.pipelines.decompose import decompose
from diorama.pipelines.output import Target, already_done, make_target, publish
from diorama.pipelines.presets import Look
from diorama.pipelines.work import Done, PieceWriter, Shown, WorkFolder

PIECE_FRAMES = 120
ALL_SIGHTS = 16
"""Frames of an actor from which a character is made."""
MARK = "#"
"""Between a scene's folder and the name of one of its actors."""


@dataclass(frozen=True)
class AnimateResult:
    """What a run made.

    Attributes:
        files: the film.
        frames: how many.
        seconds: wall clock of this run.
        extras: other files beside it.
        notes: what the user should know.
    """

    files: tuple[Path, ...]
    frames: int
    seconds: float
    extras: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def animate(
    scene: str | Path,
    output: str | Path,
    config: AnimateConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> AnimateResult:
    """Put characters in the places of a scene's actors.

    Args:
        scene: a folder that `decompose` made.
        output: the film to write.
        config: who comes for whom.
        overwrite: replace an existing film.
        resume: go on with an unfinished run.
        progress: told of characters and frames.

    Raises:
        DioramaError: its children say what was wrong and what to do; no film appears unless it is complete.
    """
    began, progress, folder = time.perf_counter(), progress or Silent(), Path(scene)
    layered, actors = read_scene(folder), read_actors(folder, verify=False)
    roles = config.roles([actor.name for actor in actors])
    inputs = [folder, *(path_of(who) for who in roles.values())]
    for path in inputs:
        if not path.exists():
            raise MediaError("no such file", path, "check the path after --character")
    target = make_target(output, Look(), inputs=inputs, overwrite=overwrite, resume=resume)
    if target.still:
        raise UsageError("a film does not fit into one image", target.path, "name a video, such as out.mp4")
    with RunLock(target.path):
        sweep(target.path)
        run = _Run(folder, layered, actors, roles, config, target, progress)
        try:
            frames = run.film(resume=resume)
        except KeyboardInterrupt as stop:
            fix = "run the same command with --resume to go on where it stopped"
            raise InterruptedRunError("stopped", target.path, fix) from stop
    notes = tuple(getattr(progress, "notes", ()))
    return AnimateResult(target.files, frames, time.perf_counter() - began, notes=notes)


def scene_of(given: str | Path, output: str | Path, *, resume: bool = False, progress: Progress | None = None) -> Path:
    """The scene's folder: as given, or, of a clip, ``<output>_scene``, where the clip is taken apart if it was not yet.

    Raises:
        DioramaError: see `decompose`.
    """
    clip = Path(given)
    if (clip / NAME).is_file():
        return clip
    folder = Path(output).with_name(f"{Path(output).stem}_scene")
    if (folder / NAME).is_file():
        made = read_manifest(folder).provenance
        if made is None or Input.of(clip) not in made.inputs:
            raise UsageError("it is the scene of another clip", folder, "name another output, or remove the folder")
    else:
        decompose(clip, folder, resume=resume, progress=progress)
    return folder


def path_of(who: str) -> Path:
    """The file or folder that a character comes from."""
    return Path(who.rpartition(MARK)[0] if MARK in who else who)


def character_of(who: str, progress: Progress) -> Character:
    """The character called `who`: a photo, or scene#actor.

    Raises:
        DioramaError: no such file, scene or actor; nobody in the photo.
    """
    if MARK not in who or Path(who).is_file():
        return character_of_photo(who, progress=progress).character
    folder, name = path_of(who), who.rpartition(MARK)[2]
    layered, actors = read_scene(folder), {actor.name: actor for actor in read_actors(folder, verify=False)}
    if name not in actors:
        raise UsageError(f"no actor {name!r}", folder, f"the scene has {', '.join(actors) or 'nobody'}")
    return character_of_actor(actors[name], sights_of(layered, actors[name], ALL_SIGHTS))


@dataclass(frozen=True, eq=False)
class _Run:
    """A run; its methods are the steps, in order."""

    folder: Path
    scene: LayeredVideo
    actors: Sequence[Actor]
    roles: Mapping[str, str]
    config: AnimateConfig
    target: Target
    progress: Progress

    def film(self, *, resume: bool) -> int:
        """Make it; returns the number of frames. A finished film is left alone under ``resume``."""
        manifest, recipe = read_manifest(self.folder), self._recipe()
        opened = self._opened(manifest)
        source = opened.video
        if resume and already_done(self.target):
            if read_recipe(self.target.files[0]).identity != recipe.identity:
                raise UsageError("the finished film was made with other options", self.target.path, "--overwrite")
            self.progress.note("already complete, nothing to do")
            return len(source)
        work = WorkFolder(self.target.path, hashlib.blake2b(_text(recipe).encode()).hexdigest(), resume=resume)
        encoding = self.config.encoding.resolved(self.target.path.suffix.lower(), source.bits)
        try:
            pieces = self._pieces(work, encoding, opened)
        except BaseException as error:
            passing = isinstance(error, KeyboardInterrupt | LimitError | OutOfMemoryError)
            if not passing or not work.done(1):
                work.remove()  # a rerun would fail again, or there is nothing to go on with
            raise
        made = work.path / f"whole{self.target.path.suffix.lower()}"
        for message in assemble(self._assembly(work, pieces, manifest, source, recipe), made):
            self.progress.note(message)
        publish(made, self.target.files[0], ContainerTags(), recipe, overwrite=True)
        work.remove()
        return len(source)

    def _parts(self) -> list[Part]:
        """Everybody who is replaced, with who comes."""
        self.progress.begin("characters", len(self.roles))
        parts = []
        for actor in self.actors:
            if actor.name in self.roles:
                character = character_of(self.roles[actor.name], self.progress)
                config = self.config
                part = cast(self.scene, actor, character, shape=config.keep_shape, relight=config.relight)
                if config.motion:
                    moved = motion_for(config.motion, actor, part.character.body, config.seed)
                    part = replace(part, motion=moved)
                parts.append(part)
                self.progress.advance()
        return parts

    def _pieces(self, work: WorkFolder, encoding: Encoding, opened: OpenedVideo) -> list[Done]:
        before, source = work.done(1), opened.video
        start = before[-1].last_index + 1 if before else 0
        if before:
            self.progress.note(f"going on at frame {start} of {len(source)}")
        if start >= len(source):
            return before
        parts = self._parts()
        self.progress.begin("animate", len(source))
        self.progress.advance(start)
        drawn = {part.actor.layer: self._drawn(part, start) for part in parts}
        frames = recast(source[start:], self.scene[start:], drawn, parts)
        spec = self._spec(opened, encoding)
        writer = PieceWriter(work, (spec,), encoding, PIECE_FRAMES)
        return writer.run(_shown(frames, start, spec, self._began(source)), before, self.progress)

    def _drawn(self, part: Part, start: int) -> Iterator[Drawn | None]:
        """The character of each frame, by the engine that was chosen."""
        config = self.config
        if config.engine == "preview":
            return previews(part, start, config.seed)
        sampling = SampleConfig(
            config.num_inference_steps, config.guidance_scale, strength=config.strength, seed=config.seed
        )
        generator = Generator.load(Path(config.model) if config.model else None, sampling)
        return generated(part, self.scene, start, generator)

    def _opened(self, manifest: Manifest) -> OpenedVideo:
        """The clip itself, or where the scene holds none, the scene put together."""
        if manifest.source is None:
            return OpenedVideo(self.scene.composite(), self.folder)
        opened, start = open_media(self.folder / manifest.source), manifest.source_start
        return replace(opened, video=opened.video[start : start + manifest.frames])

    def _spec(self, opened: OpenedVideo, encoding: Encoding) -> StreamSpec:
        source = opened.video
        step = 1 if encoding.codec == "ffv1" else 2  # 4:2:0 needs even sizes
        high, wide = (side + -side % step for side in (source.height, source.width))
        if (high, wide) != (source.height, source.width):
            self.progress.note(f"{source.width}x{source.height} is odd: the last row or column is repeated")
        bits = 8 if source.bits == 8 else 16
        return StreamSpec(wide, high, source.time_base, source.fps, bits, source.color, opened.sar)

    def _began(self, source: Video) -> int:
        """Ticks by which the film begins earlier than the clip: it is a part of it that moves to time 0."""
        return int(source.pts[0]) if source.start else 0

    def _assembly(
        self, work: WorkFolder, pieces: list[Done], manifest: Manifest, source: Video, recipe: Recipe
    ) -> Assembly:
        first, last = (ticks * source.time_base for ticks in (int(source.pts[0]), int(source.pts[-1])))
        end = last + int(source.durations[-1]) * source.time_base
        sound = None if manifest.source is None else self.folder / manifest.source
        return Assembly(
            work.pieces(pieces, 0),
            source.time_base,
            sound,
            None,
            -self._began(source) * source.time_base,
            (first, end) if source.start else (None, end),
            {"comment": embed_text(recipe)},
            last_duration=int(source.durations[-1]),
        )

    def _recipe(self) -> Recipe:
        options = {**asdict(self.config.encoding), **asdict(self.config), "character": ", ".join(self.roles)}
        del options["encoding"]
        for name in ("model", "motion"):  # where it lies is nobody's business
            options[name] = Path(str(options[name])).name
        inputs = [Input.of(self.folder), *(Input.of(path_of(who)) for who in self.roles.values())]
        return Recipe(
            "animate", options, tuple(inputs), self.config.seed, diorama.__version__, {"engine": self.config.engine}
        )


def _text(recipe: Recipe) -> str:
    return json.dumps([recipe.identity, recipe.version])


def _shown(frames: Iterator[Frame], start: int, spec: StreamSpec, began: int) -> Iterator[Shown]:
    for index, frame in enumerate(frames, start):
        rows, columns = spec.height - frame.image.shape[0], spec.width - frame.image.shape[1]
        image = np.pad(frame.image, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else frame.image
        yield Shown((image,), frame.pts - began, index, 0, 0, {})
