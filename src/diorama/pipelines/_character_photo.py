"""A person in a picture file: found, cut out with whatever it wears, and brought to the size that is worked on.

Who is where comes from the landmark network or from files, where the outline runs from the picture (`matting`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.person import PersonFrame, Points
from diorama.core.video import Frame
from diorama.errors import UsageError
from diorama.perception.matting import refined, resized
from diorama.perception.people_detect import Region
from diorama.perception.people_files import ClipSize, GivenPeople, GivenPerson, MaskFile, read_boxes
from diorama.perception.people_find import PeopleFinder
from diorama.perception.people_follow import Finder, find_people
from diorama.perception.people_frames import Sighting
from diorama.perception.people_given import GivenFinder
from diorama.perception.people_mask import SoftMask

LEAST = 64
"""Pixels that somebody must measure in the file."""
ENOUGH = 480
"""Pixels to which smaller people are enlarged, so that what is left out along edges is small against them."""
ROOM = 0.12
"""Of the person's longer side, left around it."""


Crop = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the file."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person in the part of a picture around it.

    Attributes:
        photo: RGB.
        crop: of the picture, in its pixels.
        mask: coverage 0..1.
        points: the network's landmarks in pixels of `photo`, with visibility.
        world: metres about the hips, camera axes; None where not known.
        camera: of an ordinary lens before the whole picture, for this part of it.
        beyond: landmarks outside of the picture.
        notes: what the user should know.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    crop: Crop
    mask: Float32[np.ndarray, "h w"]
    points: Points
    world: Points | None
    camera: Cameras
    beyond: Bool[np.ndarray, "33"]
    notes: tuple[str, ...]


def portrait_of(
    frame: Frame,
    coverage: Float32[np.ndarray, "h w"] | None,
    *,
    person: int | None = None,
    boxes: str = "",
    mask: str = "",
    side: int = 1280,
    where: str = "",
) -> Portrait:
    """The person of a picture.

    Args:
        frame: the picture, 8 bits.
        coverage: where it is not transparent; None where it is nowhere.
        person: which of several, counted from 1 from the left, or as the file of boxes numbers them.
        boxes: a file that says where people are, instead of the detector.
        mask: a picture of the person's coverage, instead of the network's mask and the picture's own.
        side: pixels of the longer side of the portrait, at most.
        where: the file, for messages.

    Raises:
        UsageError: nobody there, or too small to see; options that do not fit.
        ModelError: mediapipe is not installed or not usable.
    """
    from diorama.figures.observation import guessed_camera
    from diorama.figures.show import cropped

    coverage = _coverage_of(mask, frame) if mask else coverage
    people, notes = _people(frame, coverage, boxes=boxes, whole=bool(mask), where=where)
    chosen, more = _chosen(people, person, where)
    solid = SoftMask(coverage, np.eye(2, 3)).bounds() if coverage is not None and len(people) == 1 else None
    box = chosen.person.box if solid is None else solid
    tall = float((box[2:] - box[:2]).max())
    if tall < LEAST:
        what = f"the person measures {tall:.0f} pixels, {LEAST} or more are needed"
        raise UsageError(what, where, "give a larger photo of the person")
    crop, scale = _framed(box, frame, side)
    inner = np.s_[crop[1] : crop[3], crop[0] : crop[2]]
    photo = resized(frame.image[inner], scale)
    own, others = _masks(chosen, people, crop, scale, photo.shape[:2])
    if coverage is None:
        found = refined(photo, own, others, tall * scale)
    else:
        found = resized(coverage[inner], scale).clip(0, 1)
        found = np.where((others > own) & (len(people) > 1), 0, found).astype(np.float32)
    points, (height, width) = chosen.person.landmarks.copy(), frame.image.shape[:2]
    beyond = ((points[:, :2] < 0) | (points[:, :2] >= [width, height])).any(axis=1)
    points[:, :2] = (points[:, :2] - crop[:2]) * scale
    camera = cropped(guessed_camera(height, width), crop).scaled(*photo.shape[:2])
    return Portrait(photo, crop, found, points, chosen.person.world, camera, np.asarray(beyond, bool), (*notes, *more))


def _coverage_of(mask: str, frame: Frame) -> Float32[np.ndarray, "h w"]:
    height, width = frame.image.shape[:2]
    file = MaskFile(mask, ClipSize(1, height, width))
    try:
        soft = file.at(0)
    finally:
        file.close()
    if not (soft.values > 0.5).any():
        raise UsageError("an empty mask", mask, "give coverage, white where the person is")
    return soft.whole(height, width)


def _people(
    frame: Frame, coverage: Float32[np.ndarray, "h w"] | None, *, boxes: str, whole: bool, where: str
) -> tuple[list[Sighting], tuple[str, ...]]:
    """Everybody, numbered; `whole`: the coverage is one person's."""
    height, width = frame.image.shape[:2]
    numbered = replace(frame, index=0)
    if boxes:
        found = _found(numbered, GivenFinder(read_boxes(boxes, ClipSize(1, height, width))))
        if not found:
            raise UsageError("nothing like a person in the boxes", boxes, "draw them around people")
        return found, ()
    found = [] if whole else _found(numbered, PeopleFinder())
    found = sorted(found, key=lambda s: float(s.person.box[0] + s.person.box[2]))
    found = [Sighting(number, sighting.pose) for number, sighting in enumerate(found, 1)]
    if found or coverage is None:
        if not found:
            fix = "give a clearer or larger photo of one person, or one that is transparent around it"
            raise UsageError("nobody is found in the picture", where, fix)
        return found, ()
    box = SoftMask(coverage, np.eye(2, 3)).bounds()
    assert box is not None
    found = _found(numbered, GivenFinder(GivenPeople({0: (GivenPerson(box, 1),)}, where)))
    if not found:
        raise UsageError("nothing like a person in what the mask shows", where, "give a photo of a person")
    return found, () if whole else ("no person is found for certain: all that is not transparent is taken for one",)


def _found(frame: Frame, finder: PeopleFinder | GivenFinder) -> list[Sighting]:
    """Everybody a finder sees in one picture; boxes are looked at once more where the network says the body is."""
    network: Finder = finder
    try:
        (seen,) = find_people([frame], network, look_back=0)
        if isinstance(finder, PeopleFinder):
            return list(seen.people)
        return [_settled(finder, frame, sighting) for sighting in seen.people]
    finally:
        finder.close()


def _settled(finder: GivenFinder, frame: Frame, sighting: Sighting) -> Sighting:
    region: Region = sighting.pose.region
    again = finder.network(frame.image, region)
    if again is None or again.person.landmarks[:, 2].sum() <= sighting.person.landmarks[:, 2].sum():
        return sighting
    known = PersonFrame(sighting.person.box, sighting.person.score, again.person.landmarks, again.person.world)
    return Sighting(sighting.number, replace(again, person=known))


def _chosen(people: Sequence[Sighting], person: int | None, where: str) -> tuple[Sighting, tuple[str, ...]]:
    """The person asked for, else the largest."""
    numbers = ", ".join(str(sighting.number) for sighting in people)
    if person is not None:
        for sighting in people:
            if sighting.number == person:
                return sighting, ()
        raise UsageError(f"no person {person}", where, f"people in the picture, from the left: {numbers}")
    largest = max(people, key=lambda s: float((s.person.box[2:] - s.person.box[:2]).prod()))
    if len(people) == 1:
        return largest, ()
    note = f"{len(people)} people in the picture (from the left: {numbers}): {largest.number}, the largest, is taken"
    return largest, (note,)


def _framed(box: Float32[np.ndarray, "4"], frame: Frame, side: int) -> tuple[Crop, float]:
    """The part of the picture around a box, and by how much it is enlarged."""
    height, width = frame.image.shape[:2]
    longer = float((box[2:] - box[:2]).max())
    low, high = np.floor(box[:2] - ROOM * longer), np.ceil(box[2:] + ROOM * longer)
    left, top = (int(np.clip(low[i], 0, size - 1)) for i, size in enumerate((width, height)))
    right, bottom = (int(np.clip(high[i], 1, size)) for i, size in enumerate((width, height)))
    crop = left, top, max(right, left + 1), max(bottom, top + 1)
    most = side / max(crop[2] - crop[0], crop[3] - crop[1])
    return crop, min(max(1.0, ENOUGH / longer), most)


def _masks(
    chosen: Sighting, people: Sequence[Sighting], crop: Crop, scale: float, size: tuple[int, ...]
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """The network's masks of the person and of all others, on the portrait."""

    def on_portrait(mask: SoftMask) -> Float32[np.ndarray, "h w"]:
        moved = mask.to_frame.copy()
        moved[:, 2] -= crop[:2]
        return replace(mask, to_frame=moved).whole(size[0], size[1], scale=scale)

    rest = [on_portrait(other.mask) for other in people if other.number != chosen.number]
    none = np.zeros(size[:2], np.float32)
    return on_portrait(chosen.mask), np.maximum.reduce([none, *rest])
