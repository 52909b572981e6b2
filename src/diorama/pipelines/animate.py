"""Another character in a clip (MIMO): people of a scene played by characters from photos or from other scenes.

The scene is taken apart once (`decompose`), then characters are put in the places of its actors: posed as they are, lit
as they are, behind what is before them. Sound, timing, size and all pixels that nobody touches stay as they were.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import diorama
from diorama.core.actor import Actor
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame
from diorama.errors import InterruptedRunError, UsageError
from diorama.figures.texture import Character
from diorama.media.atomic import sweep
from diorama.media.lock import RunLock
from diorama.media.manifest import NAME as MANIFEST
from diorama.media.recipe import Input, Recipe
from diorama.media.safe import local_path
from diorama.media.store import read_actors
from diorama.pipelines.animate_alone import NAME, before_nobody
from diorama.pipelines.animate_cast import Part, cast
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_motion import motion_for
from diorama.pipelines.animate_open import (
    character_of,
    check_characters,
    check_play,
    files_named,
    path_of,
    scene_of,
    stage_of,
)
from diorama.pipelines.animate_play import played
from diorama.pipelines.animate_still import is_color, is_still
from diorama.pipelines.film import Film, Stage
from diorama.pipelines.output import Target, make_target
from diorama.pipelines.presets import Look

__all__ = ["AnimateResult", "animate", "scene_of"]


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
    """Put characters in the places of a scene's actors, or one into a scene in which nobody is.

    Args:
        scene: a folder that `decompose` made; a clip, which is taken apart first (`scene_of`); a picture, or a colour
            (white, #3060a0).
        output: the film to write.
        config: who comes for whom; in a scene without actors, also what it does there.
        overwrite: replace an existing film.
        resume: go on with an unfinished run.
        progress: told of characters and frames.

    Raises:
        DioramaError: its children say what was wrong and what to do; no film appears unless it is complete.
    """
    began, progress = time.perf_counter(), progress or Silent()
    target = _target(scene, output, config, overwrite=overwrite, resume=resume)
    scene = scene_of(scene, target.path, resume=resume, anew=overwrite, progress=progress)
    actors = [] if is_still(scene) else read_actors(scene, verify=False)
    roles = config.roles([actor.name for actor in actors] or [NAME])
    inputs = [*([] if is_color(str(scene)) else [scene]), *(path_of(who) for who in roles.values())]
    with RunLock(target.path):
        sweep(target.path)
        run = _Recast(stage_of(scene), actors, roles, config, progress) if actors else None
        try:
            frames: Callable[[int], Iterator[Frame]]
            if run is None:
                stage, parts = before_nobody(str(scene), roles[NAME], config, progress)
                frames = partial(played, stage, parts, config)
            else:
                stage, frames = run.stage, run.frames
            recipe = _recipe(config, roles, inputs, str(scene))
            count = Film(stage, frames, target, config.encoding, recipe, progress).make()
        except KeyboardInterrupt as stop:
            fix = "run the same command with --resume to go on where it stopped"
            raise InterruptedRunError("stopped", target.path, fix) from stop
    notes = tuple(getattr(progress, "notes", ()))
    return AnimateResult(target.files, count, time.perf_counter() - began, notes=notes)


def _target(scene: str | Path, output: str | Path, config: AnimateConfig, *, overwrite: bool, resume: bool) -> Target:
    """Where to write; what can be told to be wrong before a clip is taken apart is refused."""
    inputs = [*check_characters(config.character), *files_named(config.motion, config.model)]
    if not is_color(str(scene)):
        inputs.append(local_path(scene))
    target = make_target(output, Look(), inputs=inputs, overwrite=overwrite, resume=resume)
    if target.still:
        raise UsageError("a film does not fit into one image", target.path, "name a video, such as out.mp4")
    for path in inputs:
        if (path / MANIFEST).is_file() and target.path.resolve().is_relative_to(path.resolve()):
            raise UsageError("the output lies in the folder of a scene", target.path, "choose another folder")
    check_play(config)
    return target


@dataclass(frozen=True, eq=False)
class _Recast:
    """Actors of a scene replaced."""

    stage: Stage
    actors: Sequence[Actor]
    roles: Mapping[str, str]
    config: AnimateConfig
    progress: Progress

    def frames(self, start: int) -> Iterator[Frame]:
        """From a frame on."""
        return played(self.stage, self._parts(), self.config, start)

    def _parts(self) -> list[Part]:
        """Everybody who is replaced, with who comes."""
        self.progress.begin("characters", len(self.roles))
        parts = []
        for actor in self.actors:
            if actor.name in self.roles:
                parts.append(self._part(actor, character_of(self.roles[actor.name], self.progress)))
                self.progress.advance()
        return parts

    def _part(self, actor: Actor, character: Character) -> Part:
        config = self.config
        part = cast(self.stage.layers, actor, character, shape=config.keep_shape, relight=config.relight)
        if not config.motion:
            return part
        moved = motion_for(config.motion, actor, part.character.body, config.seed, self.progress)
        return replace(part, motion=moved)


def _recipe(config: AnimateConfig, roles: Mapping[str, str], inputs: Sequence[Path], scene: str) -> Recipe:
    where = scene if is_color(scene) else Path(scene).name
    options = {**config.for_recipe("model", "motion"), "character": ", ".join(roles), "scene": where}
    found = tuple(Input.of(path) for path in (*inputs, *files_named(config.model, config.motion)))
    return Recipe("animate", options, found, config.seed, diorama.__version__, {"engine": config.engine})
