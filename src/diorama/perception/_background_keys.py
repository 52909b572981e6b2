"""Key frames of a clip on disk: pictures, where people are in them, and where the camera stood in every frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from diorama.core.video import Pixels
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.media.atomic import atomic_path
from diorama.media.npy import open_array
from diorama.perception._background_align import NONE, SEEN, State
from diorama.perception._background_box import Box, boxes_of

FRAMES, MASKS, HOLES, SIZE = "frames.npy", "people.npy", "holes.npy", "size.npy"
Homography = Float64[np.ndarray, "3 3"]
SmallMask = Bool[np.ndarray, "sh sw"]


def key_file(folder: Path, number: int) -> Path:
    """Where a key frame's picture is; `number` counts keys."""
    return folder / f"key-{number:06d}.npy"


def save(path: Path, array: np.ndarray) -> None:
    """An NPY file that appears whole."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.save(file, array)


@dataclass(frozen=True, eq=False)
class Keys:
    """What the first pass over a clip found.

    Attributes:
        folder: of the pictures.
        start: index of the first frame in its source.
        shots: number of each frame's shot.
        poses: from each frame to the first one of its shot, pixels.
        frames: the frames, counted from `start`, that are keys.
        people, holes: of each key, packed bits of the reduced picture: where people are in it, and where they are in
            it or in the frames from the key before to the key after.
        shape, small: rows and columns of frames and of reduced pictures.
    """

    folder: Path
    start: int
    shots: Int64[np.ndarray, "t"]
    poses: Float64[np.ndarray, "t 3 3"]
    frames: Int64[np.ndarray, "k"]
    people: UInt8[np.ndarray, "k n"]
    holes: UInt8[np.ndarray, "k n"]
    shape: tuple[int, int]
    small: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def shot_of(self) -> Int64[np.ndarray, "k"]:
        """The shot of each key."""
        return np.asarray(self.shots[self.frames])

    def between(self, frame: int, other: int) -> Homography:
        """From pixels of one frame to pixels of another of the same shot; exactly the identity between equals."""
        if np.array_equal(self.poses[frame], self.poses[other]):
            return np.eye(3)
        matrix = np.linalg.solve(self.poses[other], self.poses[frame])
        return np.asarray(matrix / matrix[2, 2])

    def around(self, frame: int) -> tuple[int, int]:
        """The keys at or before and after a frame in its shot; twice the same where there is none after."""
        before = int(np.searchsorted(self.frames, frame, side="right")) - 1
        after = before + 1
        return before, after if after < len(self) and self.shot_of[after] == self.shot_of[before] else before

    def of_shot(self, key: int) -> tuple[int, int]:
        """The first key of a key's shot and the one past the last."""
        shot = self.shot_of[key]
        return int(np.searchsorted(self.shot_of, shot)), int(np.searchsorted(self.shot_of, shot, side="right"))

    def mask(self, key: int, *, of: str = "people") -> SmallMask:
        """One of the key's masks, `of` "people" or "holes", reduced."""
        packed = self.people[key] if of == "people" else self.holes[key]
        high, wide = self.small
        return np.asarray(np.unpackbits(packed, count=high * wide).reshape(high, wide).view(bool))

    def boxes(self, key: int, *, margin: int) -> list[Box]:
        """The parts of a key's picture that people pass."""
        holes = cv2.resize(self.mask(key, of="holes").view(np.uint8), self.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return boxes_of(holes.view(bool), margin=margin)

    def image(self, key: int) -> Pixels:
        """A key's picture, mapped; raises `DamagedMediaError`."""
        file, fix = key_file(self.folder, key), "start anew without the work folder"
        try:
            picture = open_array(file)
        except MediaError as error:
            raise DamagedMediaError(
                f"no key frame ({error.what})", file, "start anew without the work folder"
            ) from error
        if picture.shape != (*self.shape, 3) or picture.dtype not in (np.uint8, np.uint16):
            given = f"a key frame of {picture.shape} {picture.dtype}, expected {(*self.shape, 3)}"
            raise DamagedMediaError(given, file, fix)
        return picture

    def store(self) -> None:
        """Write everything but the pictures; the table of frames comes last."""
        save(self.folder / SIZE, np.array([*self.shape, *self.small, self.start], np.int64))
        save(self.folder / MASKS, self.people)
        save(self.folder / HOLES, self.holes)
        keyed = np.isin(np.arange(len(self.shots)), self.frames)
        save(self.folder / FRAMES, np.c_[self.shots, keyed, self.poses.reshape(-1, 9)].astype(np.float64))


@dataclass(frozen=True, eq=False)
class KeyView:
    """A key's picture and where it shows background, as a source to borrow from."""

    keys: Keys
    key: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        return self.keys.shape

    @cached_property
    def _parts(self) -> tuple[Pixels, SmallMask]:
        return self.keys.image(self.key), self.keys.mask(self.key)

    def part(self, box: Box) -> tuple[Pixels, State]:
        """A copy of a part of the picture, and the state of its pixels."""
        image, people = self._parts
        states = np.where(people, np.uint8(NONE), np.uint8(SEEN))
        return np.array(image[box.cut]), enlarged(states, box, self.keys.shape)


def enlarged(
    mask: SmallMask | UInt8[np.ndarray, "sh sw"], box: Box, shape: tuple[int, int]
) -> Bool[np.ndarray, "bh bw"] | UInt8[np.ndarray, "bh bw"]:
    """A part of a reduced mask, or of states, at full size."""
    rows = (np.arange(box.top, box.bottom) * mask.shape[0] + mask.shape[0] // 2) // shape[0]
    columns = (np.arange(box.left, box.right) * mask.shape[1] + mask.shape[1] // 2) // shape[1]
    return mask[:, columns.clip(0, mask.shape[1] - 1)][rows.clip(0, len(mask) - 1)]  # whole rows are copied quickest


def open_keys(folder: Path) -> Keys:
    """What `Keys.store` wrote.

    Raises:
        MediaError: the first pass was not finished, or these are other files.
        DamagedMediaError: its tables do not fit together.
    """
    size, people, holes, table = (np.array(open_array(folder / name)) for name in (SIZE, MASKS, HOLES, FRAMES))
    problem = next(_problems(size, people, holes, table), None)
    if problem is not None:
        raise DamagedMediaError(problem, folder, "start anew without the work folder")
    high, wide, small_high, small_wide, start = (int(value) for value in size)
    return Keys(
        folder,
        start,
        table[:, 0].astype(np.int64),
        np.ascontiguousarray(table[:, 2:]).reshape(-1, 3, 3),
        np.flatnonzero(table[:, 1]).astype(np.int64),
        people,
        holes,
        (high, wide),
        (small_high, small_wide),
    )


def _problems(size: np.ndarray, people: np.ndarray, holes: np.ndarray, table: np.ndarray) -> Iterator[str]:
    """What is wrong with the tables of a folder."""
    if size.shape != (5,) or size.dtype != np.int64 or not 1 <= size[:4].min() <= size[:4].max() <= 1 << 16:
        yield f"sizes {size.tolist() if size.size < 9 else size.shape}, expected five numbers"
        return
    if table.ndim != 2 or table.shape[1] != 11 or table.dtype != np.float64 or not np.isfinite(table).all():
        yield f"a table of frames of {table.shape} {table.dtype}, expected (t, 11) float64"
        return
    shots, keyed, poses = table[:, 0], table[:, 1] != 0, table[:, 2:].reshape(-1, 3, 3)
    firsts = np.flatnonzero(np.diff(shots, prepend=-1)) if len(shots) else np.zeros(0, int)
    if (
        (np.diff(shots) < 0).any()
        or not keyed[firsts].all()
        or (len(shots) and not np.isclose(shots[0], round(shots[0])))
    ):
        yield "shots that do not rise, or start without a key frame"
    if (np.abs(np.linalg.det(poses)) < 1e-12).any():
        yield "a camera pose that cannot be undone"
    expected = (int(keyed.sum()), -(-int(size[2]) * int(size[3]) // 8))
    if {people.shape, holes.shape} != {expected} or {people.dtype, holes.dtype} != {np.dtype(np.uint8)}:
        yield f"masks of {people.shape} and {holes.shape}, expected {expected}"


def check_frame(keys: Keys, image: Pixels, index: int) -> int:
    """The number of a frame in the tables; raises `UsageError` for a frame of another clip."""
    if image.shape[:2] != keys.shape:
        given = f"a frame of {image.shape[1]}x{image.shape[0]}, the key frames are {keys.shape[1]}x{keys.shape[0]}"
        raise UsageError(given, "image", "give frames of the clip that the key frames are from")
    frame = index - keys.start
    if not 0 <= frame < len(keys.shots):
        last = keys.start + len(keys.shots) - 1
        raise UsageError(f"frame {index}, the first pass saw {keys.start} to {last}", "index", "give one of those")
    return frame
