"""A key frame without people: joined from itself and the keys that show what people hide in it."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from diorama.core.video import Pixels
from diorama.perception._background_align import (
    INVENTED,
    NONE,
    SEEN,
    Borrowed,
    Source,
    State,
    Target,
    borrow,
)
from diorama.perception._background_box import Box, either
from diorama.perception._background_invent import invent
from diorama.perception._background_join import join
from diorama.perception._background_keys import Keys, KeyView, SmallMask, enlarged
from diorama.perception.camera_motion import regridded, shift
from diorama.perception.completion import completed

VIEWS = 8
"""Key frames that are joined, the key's own not counted."""
WORTH = np.array([1.0, 0.8, 0.6, 0.3, 0.15, 0.05, 0.0], np.float32)
"""Of one more view of a pixel that so many show already."""
USEFUL = 0.004
"""Worth of a view that is too little, of all pixels' being shown for the first time."""
FORGET = 60.0
"""Keys after which a view is worth half."""
SCANNED = 240
"""Key frames of a shot that are considered: the nearest, and others spread over it."""
AWAY = 0.05
"""Picture sides of camera movement after which it is worth half: what is near and far moves apart."""
COARSE = 96  # pixels of the longer side of the masks that are compared
MARGIN = 0.012
"""Picture sides around what people pass."""
LARGE, SIDE = 0.004, 320
"""Part of the surroundings from which on holes are worth patches, and the size at which these are sought."""
PRECISE = 3.0
"""Levels of 255 by which aligned pictures differ for noise alone; a view's vote falls with the square beyond."""


@dataclass(frozen=True, eq=False)
class Plate:
    """A key frame's background.

    Attributes:
        view: the key frame itself.
        box: what was replaced.
        image, state: of the box.
    """

    view: KeyView
    box: Box
    image: Pixels
    state: State

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        return self.view.shape

    def part(self, box: Box) -> tuple[Pixels, State]:
        """A copy of a part of the picture without people, and the state of its pixels."""
        image, state = self.view.part(box)
        common = box.common(self.box)
        if common is not None:
            image[common.within(box)] = self.image[common.within(self.box)]
            state[common.within(box)] = self.state[common.within(self.box)]
        return image, state


def make_plate(keys: Keys, key: int, before: Plate | None) -> Plate:
    """The background of a key frame.

    Args:
        keys: of the clip.
        key: which one.
        before: the plate of the key before in the same shot: what was made up there is kept.
    """
    view, side = KeyView(keys, key), max(keys.shape)
    boxes = keys.boxes(key, margin=max(8, round(MARGIN * side)))
    if not boxes:
        image, state = view.part(Box(0, 0, 0, 0))
        return Plate(view, Box(0, 0, 0, 0), image, state)
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.around(box)
    image, state = view.part(whole)
    chosen = useful_keys(keys, key)
    for box in boxes:
        image[box.within(whole)], state[box.within(whole)] = _joined(keys, view, chosen, box, before)
    plate = Plate(view, whole, image, state)
    return _invented(plate) if (state == NONE).any() else plate


def useful_keys(keys: Keys, key: int) -> list[int]:
    """The keys that show what people hide in this one or pass beside it, most useful first; `VIEWS` at most."""
    first, last = keys.of_shot(key)
    share = min(1.0, COARSE / max(keys.small))
    size = max(1, round(keys.small[1] * share)), max(1, round(keys.small[0] * share))
    hole = _coarse(keys.mask(key, of="holes"), size) > 0
    others = _scanned(key, first, last)
    if not hole.any() or not others:
        return []
    shown = np.stack([_shown(keys, key, other, size)[hole] for other in others]).astype(np.float32)
    nearness = np.array([1 / (1 + abs(other - key) / FORGET + _moved(keys, key, other) / AWAY) for other in others])
    views = (_coarse(keys.mask(key), size) == 0)[hole].astype(int)
    chosen: list[int] = []
    for _ in range(min(VIEWS, len(others))):
        gains = shown @ WORTH[np.minimum(views, len(WORTH) - 1)]
        best = int(np.argmax(gains * nearness))
        if gains[best] < USEFUL * len(views):
            break
        chosen.append(best)
        views += shown[best].astype(int)
        nearness[best] = 0
    return [others[place] for place in chosen]


def _moved(keys: Keys, key: int, other: int) -> float:
    """By how many picture sides the camera moves the picture's corners between two keys, 10 at most."""
    matrix = keys.between(int(keys.frames[key]), int(keys.frames[other]))
    return min(10.0, shift(matrix, keys.shape) / max(keys.shape))


def _scanned(key: int, first: int, last: int) -> list[int]:
    """Keys of the shot other than `key`, by distance from it."""
    others = np.array([k for k in range(first, last) if k != key], np.int64)
    others = others[np.argsort(np.abs(others - key), kind="stable")]
    if len(others) <= SCANNED:
        return [int(k) for k in others]
    near, far = others[: SCANNED // 2], others[SCANNED // 2 :]
    return [int(k) for k in np.r_[near, far[np.linspace(0, len(far) - 1, SCANNED // 2).astype(int)]]]


def _coarse(mask: SmallMask, size: tuple[int, int]) -> Float32[np.ndarray, "ch cw"]:
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def _shown(keys: Keys, key: int, other: int, size: tuple[int, int]) -> Bool[np.ndarray, "ch cw"]:
    """Where on this key's coarse grid the other one shows background."""
    free = (_coarse(keys.mask(other), size) == 0).astype(np.uint8)
    matrix = keys.between(int(keys.frames[key]), int(keys.frames[other]))
    if np.array_equal(matrix, np.eye(3)):
        return free > 0
    moved = regridded(matrix, keys.shape, size[::-1])
    return np.asarray(cv2.warpPerspective(free, moved, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)) > 0


def _joined(keys: Keys, view: KeyView, chosen: list[int], box: Box, before: Plate | None) -> tuple[Pixels, State]:
    """One box of a plate; what no key shows is taken from the plate before where that has it."""
    image, state = view.part(box)
    target, frame = Target.of(box, image, state == SEEN), int(keys.frames[view.key])

    def brought(source: Source, key: int) -> Borrowed | None:
        return borrow(target, source, keys.between(frame, int(keys.frames[key])))

    own = Borrowed(image, state, np.ones(3, np.float32), 0.0)
    found = [own, *(b for b in (brought(KeyView(keys, key), key) for key in chosen) if b is not None)]
    # Only where people pass; a little more, because the holes of frames may be wider than the masks here.
    passed = cv2.dilate(keys.mask(view.key, of="holes").view(np.uint8), np.ones((7, 7), np.uint8)).view(bool)
    wanted = enlarged(passed, box, keys.shape)
    joined, seen = join(
        np.stack([b.image for b in found]),
        np.stack([b.state == SEEN for b in found]) & wanted,
        np.stack([b.gain for b in found]),
        np.array([vote(b.error) for b in found], np.float32),
    )
    out = either(seen, joined, image)
    seen |= state == SEEN
    state = np.where(seen, np.uint8(SEEN), np.uint8(NONE))
    if before is not None and not seen.all():
        older = brought(before, before.view.key)
        if older is not None:
            _keep(out, state, older)
    return out, state


def vote(error: float) -> float:
    """The weight of a view with so large a difference beside the hole, levels of 255."""
    return 1.0 / (1.0 + max(0.0, error / PRECISE - 1.0) ** 2)


def _keep(out: Pixels, state: State, older: Borrowed) -> None:
    """Take over what the plate before has where nothing is seen."""
    taken = (state == NONE) & (older.state != NONE)
    if taken.any():
        top = np.iinfo(out.dtype).max
        lit = older.image[taken] * older.gain + np.float32(0.5)
        out[taken] = lit.clip(0, top).astype(out.dtype)
        state[taken] = INVENTED


def _invented(plate: Plate) -> Plate:
    """With what nobody shows made up from the picture around it."""
    box = plate.box.grown(plate.box.height // 4, plate.box.width, plate.shape)
    image, state = plate.part(box)
    inner = plate.box.within(box)
    wanted = np.zeros(state.shape, bool)
    wanted[inner] = plate.state == NONE
    if image.dtype == np.uint8 and wanted.mean() > LARGE and not (state == NONE).all():
        made = completed(image, state == NONE, side=SIDE)
        filled = np.where(wanted[..., None], made, image)[inner]
    else:
        filled = invent(image, state == SEEN, wanted)[inner]
    return Plate(plate.view, plate.box, filled, np.where(plate.state == NONE, np.uint8(INVENTED), plate.state))
