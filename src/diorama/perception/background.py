"""The scene behind people, in every frame: what other frames show of it, steady and sharp, and made up where none does.

Two passes. The first follows the camera and keeps key frames on disk. The second completes the key frames it comes to
(people replaced by what most of the other key frames agree on, the rest made up once and handed on) and lets every
frame borrow from the two nearest ones. Pixels outside the hole are never changed.
"""

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from diorama.core.video import Pixels
from diorama.errors import MediaError, UsageError
from diorama.media.npy import open_array
from diorama.perception._background_align import NONE, SEEN, Borrowed, State, Still, Target, borrow, lit
from diorama.perception._background_box import Box, boxes_of, either, largest, spread
from diorama.perception._background_invent import invent
from diorama.perception._background_keys import Keys, KeyView, check_frame, key_file, open_keys, save
from diorama.perception._background_plate import Plate, make_plate
from diorama.perception.base import Tracked
from diorama.perception.camera_motion import CameraMotion, Homography, regridded, shift, widened
from diorama.perception.shrink import shrink

__all__ = ["Background", "KeyFrames", "Keys", "invent", "open_keys"]

EVERY = 8
"""Frames between key frames; fewer where the camera moves much."""
MOVED = 0.06
"""Picture sides by which the camera may move between key frames."""
HELD = 4
"""Plates kept in memory, and parts of them where the camera stands still."""
MARGIN = 0.025
"""Picture sides around a hole that are looked at."""
FADE = 0.4
"""Part of the way from key frame to key frame on which both are seen."""
RIM = 96
"""Pixels of the longer side of the picture in which the light at the rim is measured."""
MISFIT = 14.0
"""Levels of 255: larger differences at the rim are another content, and count less."""
TRUST = (1 / (1 + (np.arange(256) / MISFIT) ** 2)).astype(np.float32)
"""Weight of a difference at the rim."""

Mask = Bool[np.ndarray, "mh mw"]
Hole = Bool[np.ndarray, "h w"]


class KeyFrames:
    """The first pass: keeps key frames, and where people and the camera were.

    Args:
        folder: for the key frames (3 bytes a pixel each, 6 above 8 bits); made if need be, and left there.
        every: frames between them.

    Raises:
        UsageError: the folder cannot be made, or `every` is not above 0.
    """

    def __init__(self, folder: Path, *, every: int = EVERY) -> None:
        if every < 1:
            raise UsageError(f"a key frame every {every} frames", "every", "give 1 or more")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot be made ({error.strerror})", folder, "choose another work folder") from error
        self._folder, self._every, self._motion = folder, every, CameraMotion()
        self._start, self._shape, self._small = 0, (0, 0), (0, 0)
        self._shots: list[int] = []
        self._poses: list[Homography] = []
        self._keys: list[int] = []
        self._people: list[np.ndarray] = []
        self._holes: list[np.ndarray] = []
        self._passed = np.zeros((0, 0), bool)  # of the last key: where people were since the key before

    def see(self, tracked: Tracked, people: Mask | None = None, step: Homography | None = None) -> None:
        """The next frame.

        Args:
            tracked: consecutive frames with their shots, from any one on.
            people: where people are, all of them, any size; widened here. None: nowhere.
            step: from this frame to the one before it, pixels; measured by default (`camera_motion.CameraMotion`).

        Raises:
            UsageError: frames that are not consecutive or of one size.
            LimitError: the disk is full.
        """
        if step is None:
            step = self._motion(tracked, people)
        self._check(tracked)
        mask = np.zeros(self._small, bool) if people is None else widened(people, *self._small)
        self._shots.append(tracked.shot)
        self._poses.append(np.eye(3) if tracked.first else chained(self._poses[-1], step))
        last = self._keys[-1] if self._keys else 0
        moved = np.eye(3) if tracked.first else chained(np.linalg.inv(self._poses[last]), self._poses[-1])
        here = len(self._shots) - 1
        far = here - last >= self._every or (here - last >= 2 and shift(moved, self._shape) > MOVED * max(self._shape))
        if not tracked.first:
            self._passed |= self._carried(mask, moved)
        if tracked.first or far:
            self._keep(tracked, mask, moved)

    def finish(self) -> Keys:
        """Write the tables beside the key frames, so that `open_keys` finds them; what `Background` works from.

        Raises:
            UsageError: no frame was seen.
        """
        if not self._shots:
            raise UsageError("no frame was seen", "KeyFrames", "call see() with every frame first")
        holes = [*self._holes, self._packed(self._passed)]
        keys = Keys(
            self._folder,
            self._start,
            np.array(self._shots, np.int64),
            np.stack(self._poses),
            np.array(self._keys, np.int64),
            np.stack(self._people),
            np.stack(holes),
            self._shape,
            self._small,
        )
        keys.store()
        return keys

    def _check(self, tracked: Tracked) -> None:
        shape, index = tracked.frame.image.shape[:2], tracked.frame.index
        if not self._shots:
            self._start, self._shape, self._small = index, shape, tracked.small.shape[:2]
            if not tracked.first:
                raise UsageError(f"frame {index} does not start its shot", "KeyFrames", "begin with the first frame")
        expected = self._start + len(self._shots)
        if index != expected or shape != self._shape:
            given = f"frame {index} of {shape[1]}x{shape[0]}, expected {expected} of {self._shape[1]}x{self._shape[0]}"
            raise UsageError(given, "KeyFrames", "give consecutive frames of one clip")

    def _keep(self, tracked: Tracked, mask: Mask, moved: Homography) -> None:
        if self._keys:
            self._holes.append(self._packed(self._passed))
        save(key_file(self._folder, len(self._keys)), tracked.frame.image)
        passed = mask if tracked.first else self._carried(self._passed, np.linalg.inv(moved)) | mask
        self._passed = passed.copy()
        self._keys.append(len(self._shots) - 1)
        self._people.append(self._packed(mask))

    def _carried(self, mask: Mask, matrix: Homography) -> Mask:
        """A reduced mask where the camera at the other end of `matrix` would see it."""
        if np.array_equal(matrix, np.eye(3)):
            return mask
        moved = regridded(matrix, self._shape, self._small)
        return np.asarray(cv2.warpPerspective(mask.view(np.uint8), moved, self._small[::-1], flags=0)) > 0

    @staticmethod
    def _packed(mask: Mask) -> np.ndarray:
        return np.packbits(mask)


class Background:
    """The second pass: fills holes in frames of the clip, in any order, in order quickest; for several threads.

    Args:
        keys: from `KeyFrames.finish` or `open_keys`. Completed key frames are kept beside them.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._plates: OrderedDict[int, Plate] = OrderedDict()
        self._stills: OrderedDict[tuple[int, Box], Still] = OrderedDict()
        self._one = threading.RLock()

    def behind(self, image: Pixels, hole: Bool[np.ndarray, "hh hw"], index: int) -> tuple[Pixels, Hole]:
        """A frame without what is in the hole.

        Args:
            image: the frame, uint8 or uint16.
            hole: its pixels to be filled: all people, widened by a rim.
            index: number of the frame in its source.

        Returns:
            The frame, outside the hole bit for bit as it was; and the pixels of the hole that were seen by the camera
            in another frame (the others are made up).

        Raises:
            UsageError: a frame that the first pass did not see, or of another size.
            DamagedMediaError: a key frame is missing.
        """
        frame = check_frame(self._keys, image, index)
        if hole.shape != image.shape[:2]:
            given = f"a hole of {hole.shape[1]}x{hole.shape[0]} in a frame of {image.shape[1]}x{image.shape[0]}"
            raise UsageError(given, "hole", "give one value a pixel")
        out, borrowed = image.copy(), np.zeros(hole.shape, bool)
        margin = max(12, round(MARGIN * max(hole.shape)))
        for box in boxes_of(hole, margin=margin):
            part = np.ascontiguousarray(hole[box.cut])
            filled, seen = self._filled(np.ascontiguousarray(image[box.cut]), part, box, frame)
            out[box.cut] = either(part, filled, out[box.cut])
            borrowed[box.cut] = seen & part
        return out, borrowed

    def plate(self, key: int) -> Plate:
        """A completed key frame: from memory, from disk, or made."""
        with self._one:
            return self._plate(key)

    def _plate(self, key: int) -> Plate:
        if key in self._plates:
            self._plates.move_to_end(key)
            return self._plates[key]
        first, _ = self._keys.of_shot(key)
        start = key
        while start > first and start - 1 not in self._plates and not self._stored(start - 1):
            start -= 1
        for number in range(start, key + 1):
            self._held(number, self._made(number, first))
        return self._plates[key]

    def _made(self, key: int, first: int) -> Plate:
        stored = self._read(key)
        if stored is not None:
            return stored
        before = None if key == first else self.plate(key - 1)
        plate = make_plate(self._keys, key, before)
        image, state = self._files(key)
        save(state, np.concatenate([_corners(plate.box), plate.state.ravel()]))
        save(image, plate.image)
        return plate

    def _held(self, key: int, plate: Plate) -> None:
        self._plates[key] = plate
        while len(self._plates) > HELD:
            self._plates.popitem(last=False)

    def _files(self, key: int) -> tuple[Path, Path]:
        name = f"plate-{key:06d}"
        return self._keys.folder / f"{name}.npy", self._keys.folder / f"{name}-state.npy"

    def _stored(self, key: int) -> bool:
        return self._files(key)[0].is_file()

    def _read(self, key: int) -> Plate | None:
        """A plate of an earlier run; None where there is none, or none that fits."""
        if not self._stored(key):
            return None
        try:
            image, packed = (np.array(open_array(file)) for file in self._files(key))
        except MediaError:
            return None
        return _unpacked(KeyView(self._keys, key), image, packed)

    def _filled(self, image: Pixels, hole: Hole, box: Box, frame: int) -> tuple[Pixels, Hole]:
        target = Target.of(box, image, ~hole)
        fill, state = self._faded(target, hole, frame)
        wanted = hole & (state == NONE)
        if wanted.any():
            fill = invent(np.where(hole[..., None], fill, image), ~wanted, wanted)
        return _matched(fill, target), state == SEEN

    def _faded(self, target: Target, hole: Hole, frame: int) -> tuple[Pixels, State]:
        """What the nearer plate shows, faded into the other one half-way between them, and filled up from it."""
        before, after = self._keys.around(frame)
        near, far = self._keys.frames[before], self._keys.frames[after]
        share = 0.0 if before == after else float((frame - near) / (far - near))
        fade = min(1.0, max(0.0, (share - 0.5) / FADE + 0.5))
        key, other = (before, after) if fade < 0.5 else (after, before)
        one = self._brought(target, key, frame)
        lacks = one is None or bool((hole & (one.state != SEEN)).any())
        if key == other or (fade in (0, 1) and not lacks):
            return _blended(one, None, 0.0, target.image)
        return _blended(one, self._brought(target, other, frame), min(fade, 1 - fade), target.image)

    def _brought(self, target: Target, key: int, frame: int) -> Borrowed | None:
        matrix = self._keys.between(frame, int(self._keys.frames[key]))
        plate = self.plate(key)
        if np.array_equal(matrix, np.eye(3)):
            return self._still(plate, key, target).borrowed(target)
        return borrow(target, plate, matrix)

    def _still(self, plate: Plate, key: int, target: Target) -> Still:
        """A plate's part, which serves for all frames around it while people stay in the same box."""
        with self._one:
            found = self._stills.pop((key, target.box), None) or Still.of(plate, target.box, target.free.shape)
            self._stills[key, target.box] = found
            while len(self._stills) > HELD:
                self._stills.popitem(last=False)
        return found


def chained(pose: Homography, step: Homography) -> Float64[np.ndarray, "3 3"]:
    """First `step`, then `pose`; where one is the identity exactly the other."""
    if np.array_equal(step, np.eye(3)):
        return pose
    matrix = pose @ step
    return np.asarray(matrix / matrix[2, 2])


def _blended(one: Borrowed | None, two: Borrowed | None, share: float, like: Pixels) -> tuple[Pixels, State]:
    """Both plates' views faded into each other; `share` of the second."""
    if one is None or two is None or one is two:
        only = one if two is None else two
        if only is None:
            return like.copy(), np.zeros(like.shape[:2], np.uint8)
        return _lit(only), only.state
    first, second = _lit(one), _lit(two)
    state = np.maximum(one.state, two.state)
    mixed = cv2.addWeighted(first, 1 - share, second, share, 0)
    if (one.state != two.state).any():
        mixed = either(one.state > two.state, first, mixed)
        mixed = either(two.state > one.state, second, mixed)
    return np.asarray(mixed), state


def _lit(borrowed: Borrowed) -> Pixels:
    """The colours in this frame's light."""
    if np.abs(borrowed.gain - 1).max() < 0.002:
        return borrowed.image
    return lit(borrowed.image, borrowed.gain)


def _matched(fill: Pixels, target: Target) -> Pixels:
    """The fill in the light that the frame has at the hole's rim, carried smoothly into it."""
    small = shrink(fill, *target.free.shape)
    gap = cv2.subtract(target.small, small, dtype=cv2.CV_32F)
    apart = largest(cv2.absdiff(target.small, small))
    trust = np.where(target.free > 0, TRUST[apart], np.float32(0))
    high, wide = trust.shape
    share = min(1.0, RIM / max(high, wide))
    size = max(1, round(wide * share)), max(1, round(high * share))
    sums = cv2.resize(gap * trust[..., None], size, interpolation=cv2.INTER_AREA)
    area = np.asarray(cv2.resize(trust, size, interpolation=cv2.INTER_AREA), np.float32)
    smooth = spread(np.asarray(sums / np.maximum(area, 1e-6)[..., None], np.float32), area)
    if fill.dtype == np.uint16:
        smooth *= np.float32(257)
    offset = cv2.resize(smooth, fill.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(fill, offset, dtype=cv2.CV_8U if fill.dtype == np.uint8 else cv2.CV_16U))


def _corners(box: Box) -> np.ndarray:
    return np.array([box.top, box.left, box.bottom, box.right], np.uint16).view(np.uint8)


def _unpacked(view: KeyView, image: np.ndarray, packed: np.ndarray) -> Plate | None:
    """A plate from its two arrays; None where they do not fit together."""
    if packed.ndim != 1 or packed.dtype != np.uint8 or len(packed) < 8:
        return None
    box = Box(*(int(value) for value in packed[:8].copy().view(np.uint16)))
    state = packed[8:]
    fits = 0 <= box.top <= box.bottom <= view.shape[0] and 0 <= box.left <= box.right <= view.shape[1]
    if not fits or len(state) != box.height * box.width or image.shape != (box.height, box.width, 3):
        return None
    if image.dtype not in (np.uint8, np.uint16) or (len(state) and state.max() > SEEN):
        return None
    return Plate(view, box, image, state.reshape(box.height, box.width))
