"""One subject of any picture or clip, cut out on white in a steady square, as the generator of parts wants it.

What says where it is, in this order: a mask that is given; a transparent background; a plain one; a person whom the
people finder sees; SAM 2 where the user names it, else GrabCut, for everything else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.progress import Progress, Silent
from diorama.errors import UsageError
from diorama.media.decode import ReadOptions
from diorama.media.read import open_media
from diorama.perception.depth_maps import open_maps
from diorama.perception.object_hub import ObjectMasks
from diorama.perception.people import people_available
from diorama.perception.people_files import ClipSize, MaskFile
from diorama.pipelines import _cutout_hub as network
from diorama.pipelines import _cutout_object as thing
from diorama.pipelines import _cutout_people as people
from diorama.pipelines._cutout_clip import Clip, View, choose
from diorama.pipelines._cutout_frame import FILL, SOLID, Piece, framed, main_piece, piece_of, square_around
from diorama.pipelines._cutout_plain import Backdrop, backdrop_of, keyed
from diorama.pipelines.cutout_config import CutoutConfig

CLEAR = 0.02
"""Share of a picture that must be transparent, else it is taken for one that is not."""
SMALLEST, LARGEST = 16, 1024
"""Pixels of a side of the pictures that are made."""
SPARE = 0.5
"""Size of a subject, of what it is brought to, below which it is called small."""

Alpha = Float32[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Found = Iterator[tuple[View, Alpha | None]]


@dataclass(frozen=True, eq=False)
class Cutouts:
    """A subject on white.

    Attributes:
        frames: RGB; the longest side of the box around the subject in all frames is `FILL` of the side.
        alpha: its coverage, 0..1.
        crop: left, top and side of the square in pixels of the file, upright and square; it may reach beyond.
        fps: frames a second.
        notes: who was chosen, what was assumed.
    """

    frames: UInt8[np.ndarray, "t size size 3"]
    alpha: Float32[np.ndarray, "t size size"]
    crop: tuple[float, float, float]
    fps: float
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frames)


def cutouts(
    source: str | Path, config: CutoutConfig | None = None, *, size: int = 128, progress: Progress | None = None
) -> Cutouts:
    """Cut the subject out of a picture, a clip or a folder of numbered pictures.

    Args:
        source: the file or folder.
        config: which subject, of which frames.
        size: pixels of a side of the pictures that are made, 16 to 1024.
        progress: told of steps and notes.

    Raises:
        UsageError: nothing to cut out, a mask that does not fit, a tiny picture; says what to give.
        MediaError, DamagedMediaError, LimitError: the file is none, damaged or too large.
        ModelError: a person is asked for, and mediapipe is not installed or not usable; a segmenter that is not here,
            is none, or does not load.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"pictures of {size} pixels", "size", f"give {SMALLEST} to {LARGEST}")
    config, told = config or CutoutConfig(), Silent() if progress is None else progress
    opened = open_media(source, ReadOptions(tolerant=config.tolerant))
    clip = choose(opened, config, told)
    found, said = _searched(clip, config, told, str(source))
    told.begin("cut out", len(clip.picks))
    pieces: list[Piece | None] = []
    for view, alpha in found:
        pieces.append(None if alpha is None else piece_of(view.image, alpha))
        told.advance()
    kept = _longest_run(pieces)
    if not kept:
        raise UsageError("no subject", source, "give its coverage by --mask")
    square = square_around(kept)
    shown = [framed(piece, square, size) for piece in kept]
    left, top, side = (value / clip.scale for value in square)
    notes = (*clip.notes, *said, *_doubts(kept, len(pieces), size), *opened.damage)
    for note in notes:
        told.note(f"{Path(source).name}: {note}")
    images, covered = np.stack([image for image, _ in shown]), np.stack([alpha for _, alpha in shown])
    return Cutouts(images, covered, (left, top, side), clip.fps, notes)


def _searched(clip: Clip, config: CutoutConfig, told: Progress, where: str) -> tuple[Found, list[str]]:
    """The chosen frames with the subject's coverage; the notes are complete when all were read."""
    notes: list[str] = []
    masks = ObjectMasks(config.segmenter, note=told.note) if config.segmenter else None
    if config.mask:
        return _given(clip, config.mask, notes), notes
    first = clip.first()
    if _transparent(first, where):
        notes.append("the subject is what is not transparent")
        return _told_apart(clip, lambda view: view.alpha, notes), notes
    asked = config.subject == "person" or config.person is not None
    backdrop = None if asked else backdrop_of(_opaque(first).image)
    if backdrop is not None:
        within = "" if config.box is None else " in the box"
        notes.append(f"the subject is what differs from the plain {backdrop.name} background{within}")
        return _before(backdrop, clip, config.box, where, notes), notes
    free = config.subject == "auto" and config.box is None
    if asked or (free and people_available() and people.anybody(clip)):
        seen = people.follow_person(clip, config.person, told, where)
        notes.extend(seen.notes)
        return ((view, people.outlined(seen, view)) for view in clip.views(clip.picks)), notes
    if masks is not None:
        box = network.start_box(_opaque(first), config.box)
        which = "the box" if config.box is not None else "the box around what GrabCut finds: look at it"
        notes.append(f"the subject is what SAM 2 outlines in {which}")
        views = (_opaque(view) for view in clip.views(clip.looks()))
        return network.outlined(views, set(clip.picks), masks, box, notes), notes
    start = thing.first_held(_opaque(first).image, config.box)
    notes.append("the subject is what differs from what lies along the border, by GrabCut: look at it")
    return _followed(clip, start, notes), notes


def _given(clip: Clip, mask: str, notes: list[str]) -> Found:
    """Coverage by files; one picture for a clip is followed."""
    frames, height, width = clip.full
    alone = frames > 1 and open_maps(mask).count == 1
    file = MaskFile(mask, ClipSize(1 if alone else frames, height, width))

    def at(index: int) -> Alpha:
        values = file.at(index).values
        smaller = values.size > clip.height * clip.width
        way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(values, (clip.width, clip.height), interpolation=way), np.float32)

    try:
        if alone:
            first = clip.first()
            small = thing.reduced(_opaque(first).image)
            solid = cv2.resize(at(0), (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA) >= SOLID
            if not solid.any():
                raise UsageError("an empty mask", mask, "give coverage, white where the subject is")
            notes.append("one mask is given: from there the subject is followed")
            yield from _followed(clip, thing.held(small, solid), notes)
            return
        empty = True
        for view in clip.views(clip.picks):
            alpha = at(view.index)
            empty = empty and not (alpha >= SOLID).any()
            yield _opaque(view), alpha
        if empty:
            raise UsageError("an empty mask", mask, "give coverage, white where the subject is")
    finally:
        file.close()


def _transparent(view: View, where: str) -> bool:
    """Whether a picture's own coverage says what the subject is."""
    if view.alpha is None:
        return False
    if not (view.alpha >= SOLID).any():
        raise UsageError("a picture that is transparent everywhere", where, "save it with the subject in it")
    return float((view.alpha < SOLID).mean()) >= CLEAR


def _opaque(view: View) -> View:
    """The picture over white, where it is transparent in places that do not count."""
    if view.alpha is None:
        return view
    share = view.alpha[..., None]
    return replace(view, image=np.rint(view.image * share + 255 * (1 - share)).astype(np.uint8), alpha=None)


def _before(
    first: Backdrop, clip: Clip, box: tuple[float, float, float, float] | None, where: str, notes: list[str]
) -> Found:
    """What stands before a background that is plain in the first frame, and may change slowly.

    A box holds it in the first of the chosen frames; from there it is followed.
    """

    def cover(view: View) -> Alpha | None:
        image = _opaque(view).image
        alpha = keyed(image, backdrop_of(image) or first)
        if alpha is None or box is None or view.index != clip.picks[0]:
            return alpha
        height, width = alpha.shape
        left, right = (round(end * width) for end in box[::2])
        top, bottom = (round(end * height) for end in box[1::2])
        held = np.zeros_like(alpha)
        held[top:bottom, left:right] = alpha[top:bottom, left:right]
        if not (held >= SOLID).any():  # or another subject would be followed
            raise UsageError(f"nothing but the {first.name} background in the box", where, "move --box")
        return held

    seen = False
    for view, alpha in _told_apart(clip, cover, notes):
        seen = seen or alpha is not None
        yield view, alpha
    if not seen:
        fix = "give the subject's coverage by --mask, or a picture before another background"
        raise UsageError(f"nothing differs from the {first.name} background", where, fix)


def _told_apart(clip: Clip, cover: Callable[[View], Alpha | None], notes: list[str]) -> Found:
    """Of several subjects the largest, the same one in all frames."""
    last: Mask | None = None
    told = False
    for view in clip.views(clip.picks):
        alpha = cover(view)
        if alpha is None or not (alpha >= SOLID).any():
            yield view, None
            continue
        alpha, more = main_piece(alpha, last)
        last = alpha >= SOLID
        if more and not told:
            notes.append("there are several subjects: the largest is taken; say which one by --mask or --box")
            told = True
        yield view, alpha


def _followed(clip: Clip, start: thing.Held, notes: list[str]) -> Found:
    """A subject from frame to frame, also through those between the chosen ones."""
    chosen, state = set(clip.picks), start
    for place, raw in enumerate(clip.views(clip.looks())):
        view = _opaque(raw)
        following = state if place == 0 else thing.next_held(view.image, state)
        if following is None:
            notes.append(view.lost)
            return
        state = following
        if view.index in chosen:
            yield view, thing.soft(view.image, state)


def _longest_run(pieces: list[Piece | None]) -> list[Piece]:
    """The longest of the runs of frames that show the subject: time goes on evenly in it."""
    runs: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece is None:
            runs.append([])
        else:
            runs[-1].append(piece)
    return max(runs, key=len)


def _doubts(kept: list[Piece], asked: int, size: int) -> Iterator[str]:
    """What the user should know of the result."""
    if len(kept) < asked:
        yield f"the subject is seen in {len(kept)} of {asked} frames on end: those are used"
    sides = sorted({side for piece in kept for side in piece.cut})
    if sides:
        yield f"the subject is cut by the picture's border ({', '.join(sides)})"
    longest = max(max(p.solid[2] - p.solid[0], p.solid[3] - p.solid[1]) for p in kept)
    if longest < SPARE * FILL * size:
        yield f"the subject measures {longest} pixels only: it is enlarged"
