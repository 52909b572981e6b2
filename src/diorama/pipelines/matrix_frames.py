"""The generative stereo engine over a film: windows of a shot become frame matrices, and their paint becomes eyes.

Painting happens at the size the prior was made for. A finished window is kept on disk, so that a killed run goes on
after it; what was painted of its last frames is known to the next one.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from diorama.pipelines.frames import Seen, Since, Viewed, geometry_of
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_store import Painted, WindowStore
from diorama.pipelines.matrix_window import Framed, Window
from diorama.pipelines.presets import Look

BEHIND = 16
"""Windows that are kept on disk: more than a piece and the frames that are under way."""


@dataclass(frozen=True, eq=False)
class MatrixMaker:
    """Makes eyes by the frame matrix; a `diorama.pipelines.frames.Maker`.

    Attributes:
        painter: what paints.
        config: windows, the width at which is painted, and whether beyond the sides.
        look: of the film.
        folder: where finished windows are kept.
    """

    painter: Painter
    config: Generative
    look: Look
    folder: Path

    def __call__(self, frames: Iterable[Seen], since: Since) -> Iterator[Viewed]:
        """The eyes of the frames from ``since.place`` on; no window crosses a cut."""
        for _, shot in itertools.groupby(frames, key=lambda seen: seen.shot_start):
            yield from self._shot(shot, since)

    def _shot(self, frames: Iterable[Seen], since: Since) -> Iterator[Viewed]:
        store, held = WindowStore(self.folder, BEHIND * self.config.window), list[Framed]()
        before: Painted | None = None
        for seen, last in _with_last(frames):
            held.append(Framed(seen, *geometry_of(seen, self.look)))
            if len(held) < self.config.window and not last:
                continue
            done = 0 if before is None else before.paint.shape[1]
            window = Window(held, self.painter, self.look, self.config.working_width, self._outpaints)
            painted = store.load(seen.place, window.shape)
            if seen.place >= since.place:  # of windows that are over, only what they hand on is wanted
                if painted is None:
                    painted = window.painted(before)
                    store.save(seen.place, painted)
                yield from window.viewed(painted, [i for i in range(done, len(held)) if self._wanted(held[i], since)])
            kept = 0 if last else self.config.overlap
            before = None if painted is None or not kept else painted.last(kept)
            held = held[len(held) - kept :]

    @property
    def _outpaints(self) -> bool:
        asked = self.config.outpaint
        return self.painter.settings.outpaints if asked == "auto" else asked == "on"

    @staticmethod
    def _wanted(framed: Framed, since: Since) -> bool:
        return framed.seen.place >= since.place


def _with_last(frames: Iterable[Seen]) -> Iterator[tuple[Seen, bool]]:
    held: Seen | None = None
    for seen in frames:
        if held is not None:
            yield held, False
        held = seen
    if held is not None:
        yield held, True
