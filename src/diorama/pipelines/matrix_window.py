"""One window of the generative engine: frames painted small, and their eyes at full size (S2VG; s2vg.md 1.5 to 1.7)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int16, UInt8

from diorama.core.video import Pixels
from diorama.perception.extend import edge_fill
from diorama.pipelines.eyes import PLACES, Eyes
from diorama.pipelines.frames import Seen, Viewed
from diorama.pipelines.matrix_config import Layout, MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_steady import steadied
from diorama.pipelines.matrix_store import Painted
from diorama.pipelines.matrix_views import Motions, Views, camera_shares, motions_of, warp_frame, warp_views
from diorama.pipelines.presets import Look

LAYOUTS: dict[str, Layout] = {"center": "middle", "left": "right", "right": "left"}
"""How cameras stand around the eye that the clip is."""
STEP = 8
"""Pixels in which the clip is continued beyond its sides."""
WIDEST = 0.25
"""Of the width, beyond each side at most."""
Small = UInt8[np.ndarray, "_ h _ 3"]
Maps = Float32[np.ndarray, "_ _ _"]


@dataclass(frozen=True, eq=False)
class Framed:
    """A frame with its geometry at full size."""

    seen: Seen
    inverse_depth: Float32[np.ndarray, "h w"]
    disparity: Float32[np.ndarray, "h w"]


def row_of(look: Look, settings: MatrixSettings) -> Float[np.ndarray, "v 2"]:
    """Where cameras stand: those of the film, the clip's own, and others between two eyes."""
    layout = LAYOUTS[look.source_eye]
    if look.views == 2:
        return camera_shares(layout, max(settings.num_views, 3 if layout == "middle" else 2))[0]
    places = sorted({*_of_film(look), 0.0}, reverse=layout == "left")
    return np.stack([np.array(places), np.zeros(len(places))], axis=1)


def _of_film(look: Look) -> list[float]:
    """The cameras that the film shows, from left to right, where the fast engine has them."""
    left, right = PLACES[look.source_eye]
    return [float(place) for place in np.linspace(left, right, look.views)]


@dataclass(frozen=True, eq=False)
class Window:
    """Frames that are painted together.

    Attributes:
        held: the frames.
        painter, look: what paints, and for which film.
        width: at which is painted, pixels of the longer side; 0: what the prior was made for.
        outpaints: whether the clip is continued beyond its sides first.
    """

    held: Sequence[Framed]
    painter: Painter
    look: Look
    width: int
    outpaints: bool

    @cached_property
    def shares(self) -> Float[np.ndarray, "v 2"]:
        """Where the cameras stand."""
        return row_of(self.look, self.painter.settings)

    @cached_property
    def images(self) -> np.ndarray:
        """The frames at full size."""
        return np.stack([framed.seen.tracked.frame.image for framed in self.held])

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height at which is painted."""
        height, width = self.held[0].seen.tracked.frame.image.shape[:2]
        scale = min(1.0, (self.width or max(self.painter.prior.size)) / max(height, width))
        return max(round(width * scale), 1), max(round(height * scale), 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its paint, v t h w 3."""
        return (len(self.shares), len(self.held), self.size[1], self.size[0], 3)

    @cached_property
    def small(self) -> Small:
        """The frames at that size, 8 bits."""
        return np.stack([_resized(_bytes(image), self.size) for image in self.images])

    @cached_property
    def motions(self) -> Motions | None:
        """How the small frames lead to each other; None where the quality does not ask."""
        return motions_of(self.small) if self.painter.settings.follows else None

    @cached_property
    def views(self) -> Views:
        """The small frames from all cameras, holes filled by guess."""
        settings, maps = self.painter.settings, self._maps(self.size)
        return warp_views(self.small, *maps, self.shares, warp=settings.warp, motions=self._borrowed)

    def painted(self, before: Painted | None) -> Painted:
        """The matrix without holes; frames that the window before has painted stay as they are."""
        wide, beyond = self.views, None
        if self.outpaints and not self.views.known.all():
            wide, beyond = self._beyond(None if before is None else before.beyond)
        pictures, known = wide.pictures.copy(), wide.known.copy()
        done = 0 if before is None else before.paint.shape[1]
        if before is not None:
            pictures[:, :done], known[:, :done] = before.paint, True
        made = self.painter.paint(pictures, known, source=self.views.source, numbers=self._numbers)
        if self.painter.settings.steadies and self.motions is not None:
            made = steadied(made, wide, self.motions, self._maps(self.size)[0], fixed=done)
        return Painted(made, beyond)

    @property
    def _numbers(self) -> list[int]:
        return [framed.seen.place for framed in self.held]

    def _maps(self, size: tuple[int, int]) -> tuple[Maps, Maps]:
        """Disparity in pixels of a size, and inverse depth."""
        share = np.float32(size[0] / self.images.shape[2])
        disparity = np.stack([_resized(framed.disparity, size) for framed in self.held]) * share
        return disparity, np.stack([_resized(framed.inverse_depth, size) for framed in self.held])

    @property
    def _borrowed(self) -> Motions | None:
        return self.motions if self.painter.settings.borrows else None

    def _beyond(self, before: Small | None) -> tuple[Views, Small]:
        """The clip continued beyond its sides by the prior, and what all cameras see of that (s2vg.md 1.7)."""
        disparity, inverse = self._maps(self.size)
        reach = float(np.abs(disparity).max() * np.abs(self.shares[:, 0]).max())
        pad = int(-(-min(reach, WIDEST * self.size[0]) // STEP) * STEP)
        wide = [(0, 0), (0, 0), (pad, pad)]
        known = np.pad(np.ones(self.small.shape[:3], bool), wide)
        black = np.pad(self.small, [*wide, (0, 0)])
        guess = np.stack([edge_fill(frame, sure) for frame, sure in zip(black, known, strict=True)])
        if before is not None:
            guess[: len(before)], known[: len(before)] = _fitted(before, guess.shape[2]), True
        whole = replace(self.painter, settings=replace(self.painter.settings, crops=False))  # strips alone tell little
        made = whole.paint(guess[None], known[None], source=None, numbers=self._numbers)[0]
        far, near = (np.pad(each, wide, mode="edge") for each in (disparity, inverse))
        settings = self.painter.settings
        motions = motions_of(made) if settings.borrows else None
        found = warp_views(made, far, near, self.shares, warp=settings.warp, motions=motions)
        inner = (slice(None), slice(None), slice(None), slice(pad, pad + self.size[0]))
        masks = found.known[inner], found.shown[inner]
        return Views(found.shares, found.pictures[inner], *masks, found.source), made

    def viewed(self, painted: Painted, wanted: Sequence[int]) -> Iterator[Viewed]:
        """The eyes of some frames at full size: every known pixel is the clip's own, bit for bit."""
        if not wanted:
            return
        height, width = self.images.shape[1:3]
        maps, settings = self._maps((width, height)), self.painter.settings
        for t in wanted:
            pictures, known = [], []
            for view in self._shown():
                share = self.shares[view, 0], self.shares[view, 1]
                guess, sure, own = warp_frame(self.images, t, *maps, share, warp=settings.warp, motions=self._borrowed)
                if settings.steadies:  # what was borrowed small as well was averaged with the paint
                    small = self.views.known[view, t] & ~self.views.shown[view, t]
                    sure = own | (sure & ~_enlarged(small, (width, height)))
                change = painted.paint[view, t].astype(np.int16) - self.views.pictures[view, t]
                pictures.append(_corrected(guess, sure, change))
                known.append(sure)
            framed = self.held[t]
            yield Viewed(framed.seen, framed.inverse_depth, framed.disparity, Eyes(tuple(pictures), tuple(known)))

    def _shown(self) -> list[int]:
        """Views that the film shows, from left to right."""
        places = self.shares[:, 0].tolist()
        return [places.index(place) for place in _of_film(self.look)]


def _corrected(guess: Pixels, known: Bool[np.ndarray, "h w"], change: Int16[np.ndarray, "sh sw 3"]) -> Pixels:
    """What the small paint changed of the small guess, put over the full-size guess in the holes."""
    if known.all() or not change.any():
        return guess
    top = np.iinfo(guess.dtype).max
    large = np.asarray(cv2.resize(change, (guess.shape[1], guess.shape[0]), interpolation=cv2.INTER_LINEAR))
    painted = np.clip(guess.astype(np.int32) + large.astype(np.int32) * (top // 255), 0, top).astype(guess.dtype)
    return np.where(known[..., None], guess, painted)


def _enlarged(mask: Bool[np.ndarray, "sh sw"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    return np.asarray(cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)) > 0


def _bytes(image: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if values.shape[1::-1] == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _fitted(frames: Small, width: int) -> Small:
    """Frames cut or continued at both sides to a width: near things come and go from window to window."""
    more = (width - frames.shape[2]) // 2
    if more < 0:
        return frames[:, :, -more : frames.shape[2] + more]
    return np.pad(frames, [(0, 0), (0, 0), (more, more), (0, 0)], mode="edge")
