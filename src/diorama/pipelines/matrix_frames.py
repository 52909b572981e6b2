"""The generative stereo engine over a film: windows of a shot become frame matrices, and their paint becomes eyes.

Painting happens at the size the prior was made for. A finished window is kept on disk, so that a killed run goes on
after it; what was painted of its last frames is known to the next one.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.video import Pixels
from diorama.pipelines.eyes import Eyes
from diorama.pipelines.frames import Seen, Since, Viewed, geometry_of
from diorama.pipelines.matrix_config import Generative, Layout
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_store import WindowStore
from diorama.pipelines.matrix_views import Motions, Views, camera_shares, motions_of, warp_views
from diorama.pipelines.presets import Look

LAYOUTS: dict[str, Layout] = {"center": "middle", "left": "right", "right": "left"}
"""How cameras stand around the eye that the clip is."""
Paint = UInt8[np.ndarray, "v t h w 3"]
Small = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True, eq=False)
class Framed:
    """A frame with its geometry at full size."""

    seen: Seen
    inverse_depth: Float32[np.ndarray, "h w"]
    disparity: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class MatrixMaker:
    """Makes eyes by the frame matrix; a `diorama.pipelines.frames.Maker`.

    Attributes:
        painter: what paints.
        config: windows, and the width at which is painted.
        look: of the film.
        folder: where finished windows are kept.
    """

    painter: Painter
    config: Generative
    look: Look
    folder: Path

    def __call__(self, frames: Iterable[Seen], since: Since) -> Iterator[Viewed]:
        """The eyes of the frames from ``since.place`` on."""
        for _, shot in itertools.groupby(frames, key=lambda seen: seen.shot_start):
            yield from self._shot(shot, since)

    def _shot(self, frames: Iterable[Seen], since: Since) -> Iterator[Viewed]:
        store, held = WindowStore(self.folder), list[Framed]()
        carried: Paint | None = None
        for seen, last in _with_last(frames):
            held.append(Framed(seen, *geometry_of(seen, self.look)))
            if len(held) < self.config.window and not last:
                continue
            key, done = f"{seen.shot_start:07d}-{seen.place:07d}", 0 if carried is None else carried.shape[1]
            paint = None
            if seen.place >= since.place or store.has(key):
                window = _Window(self, held)
                paint = store.load(key)
                if paint is None:
                    paint = window.painted(carried)
                    store.save(key, paint)
                wanted = [i for i in range(done, len(held)) if held[i].seen.place >= since.place]
                yield from window.viewed(paint, wanted)
            kept = 0 if last else self.config.overlap
            carried = None if paint is None else paint[:, len(held) - kept :]
            held = held[len(held) - kept :]


class _Window:
    """Frames that are painted together, small."""

    def __init__(self, maker: MatrixMaker, held: Sequence[Framed]) -> None:
        self.maker, self.held = maker, list(held)
        settings = maker.painter.settings
        layout = LAYOUTS[maker.look.source_eye]
        self.shares, _ = camera_shares(layout, max(settings.num_views, maker.look.views))
        self.images = np.stack([framed.seen.tracked.frame.image for framed in held])
        height, width = self.images.shape[1:3]
        scale = min(1.0, (maker.config.working_width or max(maker.painter.prior.size)) / max(height, width))
        self.size = max(round(width * scale), 1), max(round(height * scale), 1)
        self.small = np.stack([_resized(_bytes(image), self.size) for image in self.images])
        self.motions: Motions | None = motions_of(self.small) if settings.borrows else None
        self.views = self._views(self.small, self.size, self.shares)

    def _views(self, frames: Small, size: tuple[int, int], shares: np.ndarray) -> Views:
        share = np.float32(size[0] / self.images.shape[2])
        disparity = np.stack([_resized(framed.disparity, size) for framed in self.held]) * share
        inverse = np.stack([_resized(framed.inverse_depth, size) for framed in self.held])
        warp = self.maker.painter.settings.warp
        return warp_views(frames, disparity, inverse, shares, warp=warp, motions=self.motions)

    def painted(self, carried: Paint | None) -> Paint:
        """The matrix with its holes painted; frames that the window before has painted stay as they are."""
        pictures, known = self.views.pictures.copy(), self.views.known.copy()
        if carried is not None:
            pictures[:, : carried.shape[1]], known[:, : carried.shape[1]] = carried, True
        numbers = [framed.seen.place for framed in self.held]
        return self.maker.painter.paint(pictures, known, source=self.views.source, numbers=numbers)

    def viewed(self, paint: Paint, wanted: Sequence[int]) -> Iterator[Viewed]:
        """The eyes of some frames at full size: every known pixel is the clip's own, bit for bit."""
        if not wanted:
            return
        shown = self._shown()
        full = self._views(self.images, self.images.shape[2:0:-1], self.shares[shown])
        for t in wanted:
            pictures, known = [], []
            for place, view in enumerate(shown):
                sure = full.known[place, t]
                change = paint[view, t].astype(np.int16) - self.views.pictures[view, t]
                pictures.append(_corrected(full.pictures[place, t], sure, change))
                known.append(sure)
            framed = self.held[t]
            yield Viewed(framed.seen, framed.inverse_depth, framed.disparity, Eyes(tuple(pictures), tuple(known)))

    def _shown(self) -> list[int]:
        """Views that the film shows, from left to right."""
        order = np.argsort(self.shares[:, 0], kind="stable").tolist()
        return order if self.maker.look.views > 2 else [order[0], order[-1]]


def _corrected(guess: Pixels, known: Bool[np.ndarray, "h w"], change: np.ndarray) -> Pixels:
    """What the small paint changed of the small guess, put over the full-size guess in the holes."""
    if known.all() or not change.any():
        return guess
    top = np.iinfo(guess.dtype).max
    large = cv2.resize(change, (guess.shape[1], guess.shape[0]), interpolation=cv2.INTER_LINEAR)
    painted = np.clip(guess.astype(np.int32) + large.astype(np.int32) * (top // 255), 0, top).astype(guess.dtype)
    return np.where(known[..., None], guess, painted)


def _bytes(image: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if values.shape[1::-1] == tuple(size):
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _with_last(frames: Iterable[Seen]) -> Iterator[tuple[Seen, bool]]:
    held: Seen | None = None
    for seen in frames:
        if held is not None:
            yield held, False
        held = seen
    if held is not None:
        yield held, True
