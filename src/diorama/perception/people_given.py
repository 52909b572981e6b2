"""People whose places, landmarks or masks come from files; the landmark network adds what the files leave out."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from diorama.core.person import LANDMARKS, Box, PersonFrame, Points
from diorama.perception.base import Tracked
from diorama.perception.people_detect import Region
from diorama.perception.people_files import GivenPeople, GivenPerson, MaskFile
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_pose import Pose, PoseNetwork
from diorama.perception.people_track import Seen, Tracker

ROOM = 1.25  # side of a region over the longer side of a box


class GivenFinder:
    """Answers with the people of files, a `PeopleFinder` in all else; frames come in order.

    Who has a number in the file keeps it. The others are told apart by place, pose and colours, as found people are,
    and their numbers follow the largest of the file. Landmarks, masks and the third dimension come from the network
    where the files have none; where the network sees nothing in a box either, the person is left out of the frame.

    Args:
        given: boxes or landmarks by frame; None: the people of `masks`.
        masks: masks by number of a person; frames with an empty mask show the person not.
        network: looks into every box, whether it believes in a person or not.

    Raises (when called):
        ModelError: mediapipe is needed and not installed.
        UsageError: a mask file that does not fit.
    """

    name = "file"

    def __init__(
        self,
        given: GivenPeople | None,
        masks: Mapping[int, MaskFile] | None = None,
        network: PoseNetwork | None = None,
    ) -> None:
        self.given, self.masks = given, dict(masks or {})
        self.network = network or PoseNetwork(least=0.0)
        numbers = [p.number or 0 for people in (given.frames.values() if given else ()) for p in people]
        self.tracker = Tracker(max([0, *numbers, *self.masks]) + 1)
        self._regions: dict[int, Region] = {}

    def __call__(self, tracked: Tracked) -> PeopleFrame:
        """Everybody in the frame."""
        if tracked.first:
            self.tracker.cut()
            self._regions = {}
        index = tracked.frame.index
        masks = {number: file.at(index) for number, file in self.masks.items()}
        people = self._people(index, masks)
        found = [(p, pose) for p in people if (pose := self._pose(tracked, p, masks)) is not None]
        unnamed = [(p, pose) for p, pose in found if p.number is None]
        numbers = self.tracker.step([Seen(pose.person, pose.look) for _, pose in unnamed])
        named = [(p.number, pose) for p, pose in found if p.number is not None]
        named += [(n, pose) for n, (_, pose) in zip(numbers, unnamed, strict=True) if n is not None]
        self._regions |= {number: pose.region for number, pose in named}
        ordered = sorted(named, key=lambda pair: pair[0])
        return PeopleFrame(index, tracked.shot, tuple(Sighting(n, pose) for n, pose in ordered))

    def close(self) -> None:
        """Free the network and the files; a later call opens them again."""
        self.network.close()
        for file in self.masks.values():
            file.close()

    def _people(self, index: int, masks: Mapping[int, SoftMask]) -> tuple[GivenPerson, ...]:
        if self.given is not None:
            return self.given.frames.get(index, ())
        bounds = {number: mask.bounds() for number, mask in masks.items()}
        return tuple(GivenPerson(box, number) for number, box in bounds.items() if box is not None)

    def _pose(self, tracked: Tracked, person: GivenPerson, masks: Mapping[int, SoftMask]) -> Pose | None:
        """The network's answer in the box, with whatever the files know better."""
        around = around_box(person.box)
        before = self._regions.get(person.number or 0)
        region = before if before is not None and before.like(around) else around
        pose = self.network(tracked.frame.image, region)
        if pose is None:
            return None
        mask = masks.get(person.number or 0, pose.mask)
        score = person.score if person.landmarks is None else float(person.landmarks[:, 2].mean())
        own = pose.person
        landmarks = own.landmarks if person.landmarks is None else completed(person.landmarks, own.landmarks)
        known = PersonFrame(person.box, score, landmarks, own.world)
        return replace(pose, person=known, mask=mask)


def around_box(box: Box) -> Region:
    """Where the landmark network looks for somebody whose box is known."""
    center, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    return Region(float(center[0]), float(center[1]), ROOM * float(sides.max()))


def completed(given: Points, others: Points) -> Points:
    """The landmarks given, and those that they lack from others, unseen: fingers, mouth."""
    missing = given[:, 2] <= 0
    joined = np.where(missing[:, None], others, given)
    joined[missing, 2] = 0
    assert joined.shape == (len(LANDMARKS), 3)
    return joined.astype(np.float32)
