"""The people of consecutive frames, told with a short delay: who is found late is traced back to where it came in."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from diorama.core.video import Frame
from diorama.perception.base import Tracked
from diorama.perception.people_find import PeopleFinder
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_pose import PoseNetwork
from diorama.perception.people_same import FORESEEN, KNOWN, Find, distinct_finds
from diorama.perception.shots import track

LOOK_BACK = 12  # frames that are held; the detector looks everywhere once in 24, at the whole picture once in 8
CERTAIN = 0.8  # score below which a trace ends


@runtime_checkable
class Finder(Protocol):
    """Names the people of one frame after the other: `PeopleFinder`, `people_given.GivenFinder`."""

    name: str

    def __call__(self, tracked: Tracked) -> PeopleFrame: ...

    def close(self) -> None: ...


@runtime_checkable
class BatchFinder(Protocol):
    """A finder that looks at several frames at once: `people_hub_find.HubFinder`."""

    def ahead(self, shots: Iterable[Tracked]) -> Iterator[Tracked]: ...


@runtime_checkable
class Refiner(Protocol):
    """Knows some things better than the finder: `people_hub_find.HubRefiner`."""

    def __call__(self, tracked: Tracked, frame: PeopleFrame) -> PeopleFrame: ...

    def close(self) -> None: ...


Held = deque[tuple[Tracked, PeopleFrame]]


def follow(
    shots: Iterable[Tracked],
    finder: Finder | None = None,
    *,
    look_back: int = LOOK_BACK,
    refiner: Refiner | None = None,
) -> Iterator[PeopleFrame]:
    """Everybody in each frame, in order, `look_back` frames late, so many frames being held.

    Args:
        shots: consecutive frames with their shots; a cut ends all tracks.
        finder: who finds; by default a `PeopleFinder`, which is closed at the end. One that is given stays open.
        look_back: frames; 0 answers at once and traces nobody back.
        refiner: goes over each frame when nothing more will be known of it; stays open.
    """
    finds = finder or PeopleFinder()
    held: Held = deque()
    try:
        for tracked in finds.ahead(shots) if isinstance(finds, BatchFinder) else shots:
            if tracked.first:
                yield from _released(held, 0, refiner)
            frame = finds(tracked)
            if isinstance(finds, PeopleFinder) and held:
                _trace_back(finds.network, held, frame)
            held.append((tracked, frame))
            yield from _released(held, look_back, refiner)
        yield from _released(held, 0, refiner)
    finally:
        if finder is None:
            finds.close()


def find_people(
    frames: Iterable[Frame], finder: Finder | None = None, *, look_back: int = LOOK_BACK
) -> Iterator[PeopleFrame]:
    """As `follow`, for frames whose cuts are still to be found."""
    return follow(track(frames), finder, look_back=look_back)


def _released(held: Held, left: int, refiner: Refiner | None) -> Iterator[PeopleFrame]:
    while len(held) > left:
        tracked, frame = held.popleft()
        yield frame if refiner is None else refiner(tracked, frame)


def _trace_back(network: PoseNetwork, held: Held, frame: PeopleFrame) -> None:
    """Follow those who were not in the frame before backwards, until they are lost or were seen already."""
    for sighting in frame.people:
        later = sighting
        for place in range(len(held) - 1, -1, -1):
            tracked, before = held[place]
            earlier = None if before.of(sighting.number) else _earlier(network, tracked, before, later)
            if earlier is None:
                break
            held[place] = tracked, before.joined(earlier)
            later = earlier


def _earlier(network: PoseNetwork, tracked: Tracked, before: PeopleFrame, later: Sighting) -> Sighting | None:
    """The same person one frame earlier; None where it is not there, or where somebody else is seen in its place."""
    pose = network(tracked.frame.image, later.pose.region)
    if pose is None or pose.person.score < CERTAIN or not pose.region.like(later.pose.region):
        return None
    others = [Find(other.pose, KNOWN) for other in before.people]
    found = distinct_finds([*others, Find(pose, FORESEEN)], tracked.frame.image.shape[:2])
    return Sighting(later.number, pose) if any(find.pose is pose for find in found) else None
