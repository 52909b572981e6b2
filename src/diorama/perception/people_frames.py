"""What is known about the people of each frame, and each one's way through the clip."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from diorama.core.person import PersonFrame, Track
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_pose import Pose

LEAST = 12  # frames: people of real clips were followed for 70 and more, scaffolding for 4, 10 and 22
SURE = 0.93  # mean score: of people 0.98 and more, of scaffolding 0.84, 0.96 and 0.91


@dataclass(frozen=True, eq=False)
class Sighting:
    """One person in one frame, named.

    Attributes:
        number: tells the person from others of the clip, from 1.
        pose: box, landmarks, mask, colours.
    """

    number: int
    pose: Pose

    @property
    def person(self) -> PersonFrame:
        """Box, score, landmarks."""
        return self.pose.person

    @property
    def mask(self) -> SoftMask:
        """The person's coverage, on its own grid."""
        return self.pose.mask


@dataclass(frozen=True, eq=False)
class PeopleFrame:
    """Everybody seen in one frame; empty where nobody is.

    Attributes:
        index: number of the frame in its source.
        shot: number of the shot, from 0.
        people: in the order of their numbers.
    """

    index: int
    shot: int
    people: tuple[Sighting, ...] = ()

    def of(self, number: int) -> Sighting | None:
        """The person called `number`, None where it is out of sight."""
        return next((sighting for sighting in self.people if sighting.number == number), None)

    def joined(self, sighting: Sighting) -> "PeopleFrame":
        """The frame with one more person."""
        people = sorted((*self.people, sighting), key=lambda s: s.number)
        return PeopleFrame(self.index, self.shot, tuple(people))


def ignore(_: PeopleFrame) -> None:
    """Keeps nothing of a frame."""


def tracks(
    found: Iterable[PeopleFrame],
    each: Callable[[PeopleFrame], None] = ignore,
    *,
    least: int = LEAST,
    sure: float | int = SURE,
) -> tuple[Track, ...]:
    """Everybody's way through the clip, in the order of their numbers; empty where nobody is seen.

    Patterns taken for people are seldom followed for long, or with certainty: they do not count. For people of files,
    whose scores are the file's, give 1 and 0.

    Args:
        found: from `people_follow.find_people`; read once, masks are not kept.
        each: receives every frame as it comes, with its masks, those of patterns too.
        least: frames in which somebody must be seen, or all of a shorter shot.
        sure: mean score that somebody must have, 0..1.
    """
    people: dict[int, dict[int, PersonFrame]] = {}
    shots, lengths = {}, Counter[int]()
    for frame in found:
        lengths[frame.shot] += 1
        for sighting in frame.people:
            people.setdefault(sighting.number, {})[frame.index] = sighting.person
            shots[sighting.number] = frame.shot
        each(frame)
    whole = [Track.gather(number, seen) for number, seen in sorted(people.items())]
    long = [track for track in whole if len(track) >= min(least, lengths[shots[track.number]])]
    return tuple(track for track in long if track.scores.mean() >= sure)
