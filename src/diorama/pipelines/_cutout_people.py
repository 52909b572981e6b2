"""A person of a picture or clip, outlined: found and followed as everywhere, with the edge that the picture shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import Float32

from diorama.core.person import Box
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.perception.base import Tracked
from diorama.perception.matting import refined
from diorama.perception.people_follow import find_people, follow
from diorama.perception.people_frames import LEAST, SURE, PeopleFrame, Sighting, tracks
from diorama.perception.people_mask import SoftMask
from diorama.perception.shots import reduce
from diorama.pipelines._cutout_clip import Clip, View

LOOKED = 3
"""Frames of a clip in which somebody is looked for before an object is taken."""
FILLS = 0.25
"""Longer side of somebody who fills enough of the picture, of the picture's shorter side."""
LEAST_TALL = 32.0
"""Pixels that somebody must measure."""
KEPT = 4
"""People of a frame whose masks are held, the largest."""
ROOM = 0.12
"""Of the person's longer side, looked at around it."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Somebody of a clip: masks by the numbers of chosen frames; `others` of all others."""

    masks: dict[int, SoftMask]
    boxes: dict[int, Box]
    others: dict[int, tuple[SoftMask, ...]]
    notes: tuple[str, ...]


def anybody(clip: Clip) -> bool:
    """Whether somebody who fills enough of the picture is seen in one of a few frames.

    Raises:
        ModelError: mediapipe is not usable.
    """
    count = len(clip.picks)
    some = sorted({clip.picks[place * (count - 1) // max(LOOKED - 1, 1)] for place in range(LOOKED)})
    enough = max(FILLS * min(clip.height, clip.width), LEAST_TALL)
    for view in clip.views(some):
        (found,) = find_people([replace(view.frame, index=0)], look_back=0)
        if any(s.person.score >= SURE and _tall(s.person.box) >= enough for s in found.people):
            return True
    return False


def follow_person(clip: Clip, person: int | None, told: Progress, where: str) -> Seen:
    """One person's masks in the chosen frames.

    Args:
        clip: one shot.
        person: which of several, from 1 at the left; the one that fills most of the clip by default.
        told: of frames.
        where: the file, for messages.

    Raises:
        UsageError: nobody, nobody of this number, or somebody too small.
        ModelError: mediapipe is not installed or not usable.
    """
    looks, chosen = clip.looks(), set(clip.picks)
    told.begin("people", len(looks))
    held: dict[int, tuple[Sighting, ...]] = {}

    def keep(frame: PeopleFrame) -> None:
        told.advance()
        if frame.index in chosen:
            held[frame.index] = tuple(sorted(frame.people, key=lambda s: -_area(s.person.box))[:KEPT])

    single = len(looks) == 1
    found = follow(_tracked(clip, looks), look_back=0 if single else min(LEAST, len(looks)))
    known = tracks(found, keep, least=min(LEAST, max(1, len(looks) // 4)), sure=0.0 if single else SURE)
    numbers = {track.number for track in known}
    shown = {i: tuple(s for s in people if s.number in numbers) for i, people in held.items()}
    return _one(shown, person, where)


def _tracked(clip: Clip, looks: Sequence[int]) -> Iterator[Tracked]:
    for place, view in enumerate(clip.views(looks)):
        yield Tracked(view.frame, 0, place == 0, reduce(view.image))


def _one(shown: dict[int, tuple[Sighting, ...]], person: int | None, where: str) -> Seen:
    """The person asked for among those seen, else who fills most."""
    areas: dict[int, float] = {}
    across: dict[int, list[float]] = {}
    for people in shown.values():
        for sighting in people:
            box = sighting.person.box
            areas[sighting.number] = areas.get(sighting.number, 0.0) + _area(box)
            across.setdefault(sighting.number, []).append(float(box[0] + box[2]))
    if not areas:
        fix = "give --subject object, or the person's coverage by --mask"
        raise UsageError("nobody is found", where, fix)
    order = sorted(areas, key=lambda number: float(np.mean(across[number])))
    if person is not None and person > len(order):
        raise UsageError(f"no person {person}", where, f"{len(order)} found; they count from 1 from the left")
    number = max(areas, key=lambda n: areas[n]) if person is None else order[person - 1]
    own = {i: s for i, people in shown.items() for s in people if s.number == number}
    tall = max(_tall(sighting.person.box) for sighting in own.values())
    if tall < LEAST_TALL:
        what = f"the person measures {tall:.0f} pixels, {LEAST_TALL:.0f} or more are needed"
        raise UsageError(what, where, "give a larger picture of the person")
    others = {i: tuple(s.mask for s in people if s.number != number) for i, people in shown.items()}
    place = order.index(number) + 1
    note = "a person" if len(order) == 1 else f"person {place} of {len(order)} from the left"
    note += ", who fills most of the picture" if len(order) > 1 and person is None else ""
    masks, boxes = {i: s.mask for i, s in own.items()}, {i: s.person.box for i, s in own.items()}
    return Seen(masks, boxes, others, (f"the subject is {note}",))


def outlined(seen: Seen, view: View) -> Float32[np.ndarray, "h w"] | None:
    """The person's coverage in a frame, None where it is not seen."""
    mask = seen.masks.get(view.index)
    if mask is None:
        return None
    height, width = view.image.shape[:2]
    box, tall = seen.boxes[view.index], _tall(seen.boxes[view.index])
    bounds = mask.bounds()
    low, high = (box[:2], box[2:]) if bounds is None else (np.minimum(box, bounds)[:2], np.maximum(box, bounds)[2:])
    left, top = (int(v) for v in np.clip(np.floor(low - ROOM * tall), 0, [width - 1, height - 1]))
    right, bottom = (int(v) for v in np.clip(np.ceil(high + ROOM * tall), 1, [width, height]))
    inner = np.s_[top : max(bottom, top + 1), left : max(right, left + 1)]
    photo = np.ascontiguousarray(view.image[inner])

    def here(one: SoftMask) -> Float32[np.ndarray, "ch cw"]:
        moved = one.to_frame.copy()
        moved[:, 2] -= (left, top)
        return replace(one, to_frame=moved).whole(*photo.shape[:2])

    others = [here(other) for other in islice(seen.others.get(view.index, ()), KEPT)]
    whole = np.zeros((height, width), np.float32)
    whole[inner] = refined(photo, here(mask), np.maximum.reduce([np.zeros(photo.shape[:2], np.float32), *others]), tall)
    return whole


def _tall(box: Box) -> float:
    return float((box[2:] - box[:2]).max())


def _area(box: Box) -> float:
    return float((box[2:] - box[:2]).prod())
