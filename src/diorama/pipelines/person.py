"""The same person in new poses (SCD): from photos of somebody and a motion to a film, a picture, or a sheet of poses.

The first photo says where the person stands, in what light, and what is behind; what it hides there is made up. Further
photos add what the first does not show.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

import diorama
from diorama.core.progress import Progress, Silent
from diorama.errors import InterruptedRunError, UsageError
from diorama.figures.observation import guessed_camera
from diorama.figures.shade import Look, light_of_scene, look_of
from diorama.media.atomic import sweep
from diorama.media.images import save_image
from diorama.media.lock import RunLock
from diorama.media.recipe import Input, Recipe, embed_text, write_sidecar
from diorama.media.safe import local_path, regular_file
from diorama.pipelines.animate import AnimateResult
from diorama.pipelines.animate_alone import alone, before_picture, standing_at, still_stage
from diorama.pipelines.animate_cast import Part, Place
from diorama.pipelines.animate_motion import chosen
from diorama.pipelines.animate_open import check_play, files_named
from diorama.pipelines.animate_play import generator_of, played
from diorama.pipelines.animate_still import at_most, is_color, picture, plain, without
from diorama.pipelines.character import Subject, character_of_photos
from diorama.pipelines.film import Film, Stage
from diorama.pipelines.output import Target, make_target
from diorama.pipelines.person_config import PersonConfig
from diorama.pipelines.presets import Look as Container
from diorama.theatre.look import contact_sheet

OWN = "photo"
"""The background that the person had."""
CELL = 480
"""Pixels of the height of a pose on a sheet, at most."""


def person(
    references: Sequence[str | Path],
    output: str | Path,
    config: PersonConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> AnimateResult:
    """Show somebody in new poses.

    Args:
        references: photos of the same person; the first one says where it stands.
        output: a film; or a picture, which shows the pose, or a sheet of poses where there are several.
        config: which poses, before what, by which engine.
        overwrite: replace an existing output.
        resume: go on with an unfinished film.
        progress: told of steps and frames.

    Raises:
        DioramaError: its children say what was wrong and what to do; nothing appears unless it is complete.
    """
    began, told = time.perf_counter(), progress or Silent()
    photos = [local_path(reference) for reference in references]
    inputs = [*photos, *_files(config)]
    _check(photos, config)
    target = make_target(output, Container(), inputs=inputs, overwrite=overwrite, resume=resume)
    with RunLock(target.path):
        sweep(target.path)
        try:
            run = _posed(photos, config, told, sheet=target.still)
            recipe = _recipe(inputs, config)
            frames = partial(played, run.stage, [run.part], config)
            if target.still:
                count = _sheet(run, target, config, recipe, told)
            else:
                count = Film(run.stage, frames, target, config.encoding, recipe, told).make()
        except KeyboardInterrupt as stop:
            fix = "run the same command with --resume to go on where it stopped"
            raise InterruptedRunError("stopped", target.path, fix) from stop
    return AnimateResult(target.files, count, time.perf_counter() - began, notes=tuple(getattr(told, "notes", ())))


def _check(photos: Sequence[Path], config: PersonConfig) -> None:
    if not photos:
        raise UsageError("no photo", "person", "give one or more photos of the same person")
    if not config.motion:
        raise UsageError("no poses", "--motion", "give a picture, a clip, a motion file, or a dance such as walk")
    for photo in photos:
        regular_file(photo)
    check_play(config)
    if is_color(config.background):
        plain(config.background, 1, 1)
    elif config.background != OWN:
        if not Path(config.background).exists():
            fix = "give a picture, a colour such as white or #3060a0, or photo"
            raise UsageError(f"no background {config.background!r}", "--background", fix)
        picture(config.background)


def _files(config: PersonConfig) -> list[Path]:
    """Beside the photos."""
    return files_named(config.model, config.motion, "" if config.background == OWN else config.background)


@dataclass(frozen=True, eq=False)
class _Posed:
    """The person on a stage."""

    stage: Stage
    part: Part

    def only(self, number: int) -> "_Posed":
        """One frame of it."""
        here, part, opened = slice(number, number + 1), self.part, self.stage.opened
        place = Place(part.actor.name, part.actor.motion, part.cameras[here], np.zeros(1, np.int64))
        stage = replace(self.stage, layers=self.stage.layers[here], opened=replace(opened, video=opened.video[here]))
        return _Posed(stage, replace(part, actor=place, motion=part.motion[here]))


def _posed(photos: Sequence[Path], config: PersonConfig, progress: Progress, *, sheet: bool) -> _Posed:
    subject = character_of_photos(photos, person=config.person, progress=progress)
    body = subject.character.body
    found = before_picture(config, body, progress)
    if sheet:
        places = np.unique(np.linspace(0, len(found.motion) - 1, min(config.poses, len(found.motion))).round())
        found = replace(found, motion=chosen(found.motion, places.astype(np.int64)))
    own = config.background == OWN
    if own or is_color(config.background):
        image = at_most(_behind(subject, config.background), config.size)
        camera, stood = guessed_camera(*image.shape[:2]), subject.fit.motion[:1]
        light, look = subject.character.lights[0], Look()
    else:
        image = at_most(picture(config.background), config.size)
        camera = guessed_camera(*image.shape[:2])
        stood, light, look = standing_at(body, camera, config.at), light_of_scene(image, camera), look_of(image)
    stage = still_stage(image, len(found.motion), config.fps, photos[0])
    return _Posed(*alone(subject.character, found, stage, camera, stood, light=light, look=look))


def _behind(subject: Subject, background: str) -> UInt8[np.ndarray, "h w 3"]:
    """What is behind the person: of its photo, or a colour in the photo's shape."""
    if background == OWN:
        return without(subject.picture, subject.coverage())
    return plain(background, *subject.picture.shape[:2])


def _sheet(run: _Posed, target: Target, config: PersonConfig, recipe: Recipe, progress: Progress) -> int:
    """One pose as a picture, several in rows; returns how many are shown."""
    count = len(run.stage.source)
    progress.begin("person", count)
    shown, generator = [], generator_of(config)
    for number in range(count):
        one = run.only(number)  # poses of a sheet are no film: a generator must not mix them
        frames = played(one.stage, [one.part], config, generator=generator)
        shown += [np.asarray(frame.image) for frame in frames]
        progress.advance()
    save_image(target.path, shown[0] if count == 1 else in_rows(shown), comment=embed_text(recipe))
    write_sidecar(target.path, recipe)
    return count


def in_rows(pictures: Sequence[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures of one size side by side in rows, reduced to `CELL` pixels of height, about as wide as high."""
    height, width = pictures[0].shape[:2]
    share = min(1.0, CELL / height)
    size = max(1, round(width * share)), max(1, round(height * share))
    cells = [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8) for one in pictures]
    columns = min(len(cells), max(1, round((len(cells) * size[1] / size[0] * 1.5) ** 0.5)))
    return contact_sheet(cells, columns, gap=0, paper=255)


def _recipe(given: Sequence[Path], config: PersonConfig) -> Recipe:
    options = config.for_recipe("model", "motion", "background")
    inputs = tuple(Input.of(path) for path in given)
    return Recipe("person", options, inputs, config.seed, diorama.__version__, {"engine": config.engine})
