"""People of a clip, frame by frame: found, followed through crossings and absences, with landmarks and masks.

The landmark network runs once a frame for everybody known, on a region that follows the body; the detector looks at
one part of the picture every few frames, and at all of it where a shot begins. Whom it proposes must convince the
landmark network, which is asked again at the place it corrected to: on people the second answer confirms the first,
on scaffolding and pillows it hardly ever does.
"""

from dataclasses import dataclass
from math import hypot

from diorama.core.parallel import aside
from diorama.core.video import Pixels
from diorama.perception.base import Tracked
from diorama.perception.people_detect import Candidate, Part, PeopleDetector, Region, parts_of
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_pose import Pose, PoseNetwork
from diorama.perception.people_same import FORESEEN, KNOWN, PROPOSED, Find, distinct_finds
from diorama.perception.people_track import Seen, Tracker

SEARCH, SEARCH_HARDER = 4, 2  # frames from one look of the detector to the next; where somebody is missing
MISSED = 40  # frames for which somebody away is searched harder
AGAIN, PATIENCE = 3, 24  # frames: how often, and how long, somebody unseen is looked for at the foreseen place
FIRST_TRIES, TRIES = 8, 2  # candidates that are looked at, of the first frame and of others
SURE = 0.92  # score of the second and the third look at a candidate
MOST = 12  # people followed at a time
PROBATION, ASKED = 6, 3  # frames, and looks of the detector, in which somebody new must prove true


@dataclass(frozen=True)
class _Search:
    """Where the detector looked (left, top, right, bottom) and what it proposed, in pixels of the frame."""

    candidates: list[Candidate]
    areas: list[tuple[float, float, float, float]]

    def covers(self, x: float, y: float) -> bool:
        """Whether the place was looked at."""
        return any(left <= x < right and top <= y < bottom for left, top, right, bottom in self.areas)


@dataclass(frozen=True)
class _Trial:
    """How somebody new does: sum of scores over the first frames, and how often the detector was asked and agreed."""

    frames: int = 0
    scores: float = 0.0
    asked: int = 0
    again: int = 0

    def after(self, score: float, *, asked: bool, again: bool) -> "_Trial":
        """The trial with one frame more; nothing counts after its end."""
        frames, asks = int(self.frames < PROBATION), int(asked and self.asked < ASKED)
        return _Trial(
            self.frames + frames, self.scores + frames * score, self.asked + asks, self.again + asks * int(again)
        )

    @property
    def failed(self) -> bool:
        """Whether the trial has ended badly."""
        unsure = self.frames == PROBATION and self.scores < SURE * PROBATION
        return unsure or (self.asked == ASKED and not self.again)


class PeopleFinder:
    """Finds and follows people; frames of a shot come in order, every shot starts anew.

    The state is small: a pose and colours for each person. Nothing is loaded before the first call; `close` frees the
    networks. Numbers of people rise over the whole clip.

    Raises (when called):
        ModelError: mediapipe is not installed or not usable.
    """

    name = "mediapipe"

    def __init__(self, detector: PeopleDetector | None = None, network: PoseNetwork | None = None) -> None:
        self.detector, self.network = detector or PeopleDetector(), network or PoseNetwork()
        self.tracker = Tracker()
        self._regions: dict[int, Region] = {}
        self._trials: dict[int, _Trial] = {}
        self._age = 0
        self._turn = 0

    def __call__(self, tracked: Tracked) -> PeopleFrame:
        """Everybody in the frame."""
        if tracked.first:
            self.tracker.cut()
            self._regions, self._trials, self._age, self._turn = {}, {}, 0, 0
        finds, searched = self._finds(tracked)
        seen = [Seen(find.pose.person, find.pose.look, find.origin == PROPOSED) for find in finds]
        numbers = self.tracker.step(seen)
        named = sorted(((n, f.pose) for n, f in zip(numbers, finds, strict=True) if n is not None), key=lambda x: x[0])
        self._regions |= {number: pose.region for number, pose in named}
        self._doubt(named, searched)
        self._age += 1
        people = tuple(Sighting(number, pose) for number, pose in named)
        return PeopleFrame(tracked.frame.index, tracked.shot, people)

    def close(self) -> None:
        """Free the networks; a later call loads them again."""
        self.detector.close()
        self.network.close()

    def _finds(self, tracked: Tracked) -> tuple[list[Find], _Search]:
        image = tracked.frame.image
        missing = not self.tracker.known or any(0 < known.away < MISSED for known in self.tracker.known)
        due = self._due(missing=missing)
        searched = aside(lambda: self._search(tracked)) if due else None  # both networks are busy in native code
        try:
            finds = distinct_finds(self._expected(image), image.shape[:2])
        finally:
            search = searched() if searched else _Search([], [])
        if not due and not finds and self._due(missing=True):
            search = self._search(tracked)
        strange = [c for c in search.candidates if not any(_is_known(c, find.pose) for find in finds)]
        tried = [self._confirmed(tracked, c) for c in strange[: FIRST_TRIES if self._age == 0 else TRIES]]
        new = [Find(pose, PROPOSED) for pose in tried if pose is not None]
        return (distinct_finds(finds + new, image.shape[:2]) if new else finds)[:MOST], search

    def _expected(self, image: Pixels) -> list[Find]:
        """Those known who are seen where they should be now."""
        finds = []
        for known in self.tracker.known:
            if known.away == 0 or (known.away <= PATIENCE and known.away % AGAIN == 0):
                pose = self.network(image, self._regions[known.number].moved(*map(float, known.shift)))
                if pose is not None:
                    finds.append(Find(pose, FORESEEN if known.away else KNOWN))
        return finds

    def _due(self, *, missing: bool) -> bool:
        """Whether the detector looks at this frame."""
        return self._age % (SEARCH_HARDER if missing else SEARCH) == 0

    def _search(self, tracked: Tracked) -> _Search:
        parts = self._parts(tracked)
        scale = tracked.frame.image.shape[1] / tracked.small.shape[1]
        found = self.detector(tracked.small, parts)
        areas = [(left * scale, top * scale, (left + w) * scale, (top + h) * scale) for left, top, w, h in parts]
        return _Search([_scaled(candidate, scale) for candidate in found], areas)

    def _doubt(self, named: list[tuple[int, Pose]], search: _Search) -> None:
        """Drop those among the new of whom the network is not sure, or whom the detector does not propose again.

        Only at first: later both may well miss people who are followed, when they lie, bend or turn cartwheels.
        """
        for number, pose in named:
            trial, nose = self._trials.get(number, _Trial()), pose.person.landmarks[0]
            asked = bool(self._age) and search.covers(float(nose[0]), float(nose[1]))
            again = asked and any(_is_known(candidate, pose) for candidate in search.candidates)
            self._trials[number] = trial.after(pose.person.score, asked=asked, again=again)
        self.tracker.forget(number for number, _ in named if self._trials[number].failed)

    def _parts(self, tracked: Tracked) -> list[Part]:
        """Where to search in this frame: everywhere at first, then one part after the other."""
        parts = parts_of(*tracked.small.shape[:2])
        if self._age == 0:
            return parts
        self._turn += 1
        # The whole picture every second time: it shows people who fill it, the parts show smaller ones.
        return [parts[0]] if self._turn % 2 or len(parts) == 1 else [parts[1 + self._turn // 2 % (len(parts) - 1)]]

    def _confirmed(self, tracked: Tracked, candidate: Candidate) -> Pose | None:
        """The pose of a candidate after two corrections of its region, None where that does not settle."""
        pose = self.network(tracked.frame.image, candidate.region)
        for _ in range(2):
            again = None if pose is None else self.network(tracked.frame.image, pose.region)
            if pose is None or again is None or again.person.score < SURE or not pose.region.like(again.region):
                return None
            pose = again
        return pose


def _is_known(candidate: Candidate, pose: Pose) -> bool:
    """Whether the detector means somebody who is already followed: head near head, and about as large."""
    x, y, _ = pose.person.landmarks[0]
    nose = hypot(float(x) - candidate.x, float(y) - candidate.y) < 0.2 * pose.region.side
    return nose and candidate.region.like(pose.region)


def _scaled(candidate: Candidate, scale: float) -> Candidate:
    return Candidate(candidate.region.scaled(scale), candidate.x * scale, candidate.y * scale, candidate.score)
