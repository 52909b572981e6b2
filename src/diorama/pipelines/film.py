"""Frames of a recipe to a film file: encoded in pieces, so that a stopped run goes on, with sound, clock and tags."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diorama.core.layers import LayeredVideo
from diorama.core.progress import Progress
from diorama.core.video import Frame, Video
from diorama.errors import LimitError, OutOfMemoryError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.formats import ContainerTags
from diorama.media.mux import Assembly, assemble
from diorama.media.read import OpenedVideo
from diorama.media.recipe import Recipe, embed_text, read_recipe
from diorama.media.write import StreamSpec
from diorama.pipelines.output import Target, already_done, publish
from diorama.pipelines.work import Done, PieceWriter, Shown, WorkFolder

PIECE_FRAMES = 120


@dataclass(frozen=True, eq=False)
class Stage:
    """Where a film is set.

    Attributes:
        layers: from far to near; everybody who may be replaced has one.
        opened: the clip whose pixels stay where nobody comes, of the same frames.
        sound: a file whose sound is kept; None: silence.
    """

    layers: LayeredVideo
    opened: OpenedVideo
    sound: Path | None = None

    @property
    def source(self) -> Video:
        """The clip."""
        return self.opened.video


@dataclass(frozen=True, eq=False)
class Film:
    """A film that is to be made.

    Attributes:
        stage: with the clock, the size and the sound.
        frames: yields all frames from a given one on; called once, and not for a film that is complete.
        target, encoding: where and how.
        recipe: how it comes about; a stopped run goes on under the same one only.
        progress: told of frames.
    """

    stage: Stage
    frames: Callable[[int], Iterator[Frame]]
    target: Target
    encoding: Encoding
    recipe: Recipe
    progress: Progress

    def make(self, *, anew: bool = False) -> int:
        """Make it; returns the number of frames. A finished film is left alone where the target says to resume.

        Args:
            anew: throw an unfinished run away, as where the output is replaced.

        Raises:
            UsageError: it was begun or finished with other options, or is unfinished and nothing says what to do.
            DioramaError: whatever `frames` raises; nothing appears under the film's name.
        """
        count, suffix = len(self.stage.source), self.target.path.suffix.lower()
        if self.target.resume and already_done(self.target):
            if read_recipe(self.target.files[0]).identity != self.recipe.identity:
                raise UsageError("the finished film was made with other options", self.target.path, "--overwrite")
            self.progress.note("already complete, nothing to do")
            return count
        identity = hashlib.blake2b(_text(self.recipe).encode()).hexdigest()
        work = WorkFolder(self.target.path, identity, resume=self.target.resume, anew=anew or self.target.overwrite)
        try:
            pieces = self._pieces(work, self.encoding.resolved(suffix, self.stage.source.bits))
        except BaseException as error:
            passing = isinstance(error, KeyboardInterrupt | LimitError | OutOfMemoryError)
            if not passing or not work.done(1):
                work.remove()  # a rerun would fail again, or there is nothing to go on with
            raise
        made = work.path / f"whole{suffix}"
        for message in assemble(self._assembly(work, pieces), made):
            self.progress.note(message)
        publish(made, self.target.files[0], ContainerTags(), self.recipe, overwrite=True)
        work.remove()
        return count

    def _pieces(self, work: WorkFolder, encoding: Encoding) -> list[Done]:
        before, source = work.done(1), self.stage.source
        start = before[-1].last_index + 1 if before else 0
        if before:
            self.progress.note(f"going on at frame {start} of {len(source)}")
        if start >= len(source):
            return before
        frames, spec = self.frames(start), self._spec(encoding)
        self.progress.begin(self.recipe.command, len(source))
        self.progress.advance(start)
        writer = PieceWriter(work, (spec,), encoding, PIECE_FRAMES)
        return writer.run(_shown(frames, start, spec, self._began), before, self.progress)

    def _spec(self, encoding: Encoding) -> StreamSpec:
        source = self.stage.source
        step = 1 if encoding.codec == "ffv1" else 2  # 4:2:0 needs even sizes
        high, wide = (side + -side % step for side in (source.height, source.width))
        if (high, wide) != (source.height, source.width):
            self.progress.note(f"{source.width}x{source.height} is odd: the last row or column is repeated")
        bits = 8 if source.bits == 8 else 16
        return StreamSpec(wide, high, source.time_base, source.fps, bits, source.color, self.stage.opened.sar)

    @property
    def _began(self) -> int:
        """Ticks by which the film begins earlier than the clip: it is a part of it that moves to time 0."""
        return int(self.stage.source.pts[0]) if self.stage.source.start else 0

    def _assembly(self, work: WorkFolder, pieces: list[Done]) -> Assembly:
        source = self.stage.source
        first, last = (ticks * source.time_base for ticks in (int(source.pts[0]), int(source.pts[-1])))
        end = last + int(source.durations[-1]) * source.time_base
        return Assembly(
            work.pieces(pieces, 0),
            source.time_base,
            self.stage.sound,
            None,
            -self._began * source.time_base,
            (first, end) if source.start else (None, end),
            {"comment": embed_text(self.recipe)},
            last_duration=int(source.durations[-1]),
        )


def _text(recipe: Recipe) -> str:
    return json.dumps([recipe.identity, recipe.version])


def _shown(frames: Iterator[Frame], start: int, spec: StreamSpec, began: int) -> Iterator[Shown]:
    for index, frame in enumerate(frames, start):
        rows, columns = spec.height - frame.image.shape[0], spec.width - frame.image.shape[1]
        image = np.pad(frame.image, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else frame.image
        yield Shown((image,), frame.pts - began, index, 0, 0, {})
