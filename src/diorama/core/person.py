"""People of a clip: where each is in a frame, and each one's way through the frames of a shot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from diorama.errors import UsageError

LANDMARKS = (
    "nose",
    *("left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right"),
    *(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist") for side in ("left", "right")),
    *(f"{side}_{finger}" for finger in ("little", "index", "thumb") for side in ("left", "right")),
    *(f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "heel", "toes") for side in ("left", "right")),
)
"""The 33 landmarks of a body in order (BlazePose, Bazarevsky et al. 2020); left is the person's own left."""

BONES = (
    *((11, 12), (11, 23), (12, 24), (23, 24), (11, 13), (13, 15), (12, 14), (14, 16)),
    *((23, 25), (25, 27), (24, 26), (26, 28), (27, 29), (29, 31), (28, 30), (30, 32)),
    *((15, 17), (15, 19), (15, 21), (16, 18), (16, 20), (16, 22), (0, 7), (0, 8)),
)
"""Pairs of landmarks that are joined when a body is drawn."""

Box = Float32[np.ndarray, "4"]
Points = Float32[np.ndarray, "33 3"]


@dataclass(frozen=True, eq=False)
class PersonFrame:
    """One person in one frame.

    Attributes:
        box: left, top, right, bottom in pixels; right and bottom are outside. May reach beyond the picture.
        score: how sure the finder is that this is a person, 0..1.
        landmarks: in the order of `LANDMARKS`: x, y in pixels (beyond the picture where a limb is) and visibility 0..1;
            visibility 0 where the source does not know the point.
        world: the same points in metres about the middle of the hips, x to the right of the picture, y down, z away
            from the camera (OpenCV's axes, not a camera's place); None where the source has no third dimension.

    Raises:
        UsageError: values that are not finite or out of range, an empty box.
    """

    box: Box
    score: float
    landmarks: Points
    world: Points | None = None

    def __post_init__(self) -> None:
        world = None if self.world is None else self.world[None]
        _check("PersonFrame", self.box[None], np.array([self.score], np.float32), self.landmarks[None], world)


@dataclass(frozen=True, eq=False)
class Track:
    """One person over the frames of one shot.

    Attributes:
        number: tells this person from others of the clip, from 1; a new shot has new numbers.
        frames: numbers of the frames it is seen in, rising; others between them are those it is out of sight in.
        boxes, scores, landmarks, world: as in `PersonFrame`, one a frame of `frames`.

    Raises:
        UsageError: no frame, frames that do not rise, arrays of unequal length, values that `PersonFrame` refuses.
    """

    number: int
    frames: Int64[np.ndarray, "t"]
    boxes: Float32[np.ndarray, "t 4"]
    scores: Float32[np.ndarray, "t"]
    landmarks: Float32[np.ndarray, "t 33 3"]
    world: Float32[np.ndarray, "t 33 3"] | None = None

    def __post_init__(self) -> None:
        name = f"Track {self.number}"
        world = [] if self.world is None else [self.world]
        lengths = {len(part) for part in (self.frames, self.boxes, self.scores, self.landmarks, *world)}
        if len(lengths) > 1 or 0 in lengths:
            counts = ", ".join(map(str, sorted(lengths)))
            raise UsageError(f"arrays of {counts} frames, expected equally many of each and one at least", name)
        if self.frames[0] < 0 or (np.diff(self.frames) <= 0).any():
            raise UsageError("frame numbers do not rise from 0 on", name, "give each frame once, in order")
        _check(name, self.boxes, self.scores, self.landmarks, self.world)

    @classmethod
    def gather(cls, number: int, people: Mapping[int, PersonFrame]) -> "Track":
        """The track of one person from its frames by number; without `world` where one frame has none."""
        frames = sorted(people)
        seen = [people[frame] for frame in frames]
        if not seen:
            raise UsageError("no frame", f"Track {number}", "leave out people who are never seen")
        depths = [person.world for person in seen if person.world is not None]
        return cls(
            number,
            np.array(frames, np.int64),
            np.stack([person.box for person in seen]),
            np.array([person.score for person in seen], np.float32),
            np.stack([person.landmarks for person in seen]),
            np.stack(depths) if len(depths) == len(seen) else None,
        )

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, frame: int) -> PersonFrame | None:
        """The person in frame number `frame`; None where it is out of sight."""
        place = int(np.searchsorted(self.frames, frame))
        if place == len(self) or self.frames[place] != frame:
            return None
        world = None if self.world is None else self.world[place]
        return PersonFrame(self.boxes[place], float(self.scores[place]), self.landmarks[place], world)

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Windows (first frame, frame after the last) between its frames in which the person is out of sight."""
        ends = np.flatnonzero(np.diff(self.frames) > 1)
        return tuple((int(self.frames[k]) + 1, int(self.frames[k + 1])) for k in ends)


def subject(tracks: Iterable[Track], number: int | None = None) -> Track:
    """The track called `number`, by default the one that fills most of the clip (box areas summed over frames).

    Raises:
        UsageError: nobody is there, or nobody of that number; says who is.
    """
    known = {track.number: track for track in tracks}
    if not known:
        raise UsageError("no person found", "clip", "give --boxes FILE, or choose a clip that shows a person")
    if number is None:
        return max(known.values(), key=filling)
    if number not in known:
        there = ", ".join(f"{t.number} (frames {t.frames[0]}..{t.frames[-1]})" for t in list(known.values())[:8])
        raise UsageError(f"no person {number}", "clip", f"people: {there}")
    return known[number]


def filling(track: Track) -> float:
    """How much of the clip a person fills: box areas summed over frames, square pixels."""
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    return float(sides.prod(axis=1, dtype=np.float64).sum())


def _check(
    name: str,
    boxes: Float32[np.ndarray, "t 4"],
    scores: Float32[np.ndarray, "t"],
    landmarks: Float32[np.ndarray, "t 33 3"],
    world: Float32[np.ndarray, "t 33 3"] | None,
) -> None:
    parts = {"boxes": boxes, "scores": scores, "landmarks": landmarks} | ({} if world is None else {"world": world})
    for part, values in parts.items():
        if not np.isfinite(values).all():
            bad = int(np.argwhere(~np.isfinite(values))[0][0])
            raise UsageError(f"{part} with NaN or infinity (entry {bad})", name, "leave out frames that are not known")
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise UsageError("an empty box", name, "boxes are left, top, right, bottom in pixels")
    for part, values in (("scores", scores), ("visibility", landmarks[..., 2])):
        if values.min() < 0 or values.max() > 1:
            raise UsageError(f"{part} {values.min():.3g}..{values.max():.3g}, expected 0..1", name)
