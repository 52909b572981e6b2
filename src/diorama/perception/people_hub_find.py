"""People followed by a detector of the hub, and what other answers know replaced by what networks of the hub say.

`HubFinder` takes the place of the embedded search: the detector looks at every frame as a whole, so that nobody has to
be traced back, and the tracker names whom it finds by place, pose and colours. `HubRefiner` goes over what any finder
found. Where mediapipe is installed it adds the third dimension to poses that it agrees with: the networks of the hub
have none. Without it a body is fitted to what the picture shows alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
from jaxtyping import Float32

from diorama.core.person import BONES, Box, PersonFrame, Points
from diorama.core.video import Pixels
from diorama.perception.base import Tracked
from diorama.perception.people_detect import Region
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_given import around_box, completed
from diorama.perception.people_hub_detect import Found, HubDetector
from diorama.perception.people_hub_mask import HubMasks
from diorama.perception.people_hub_pose import HubPose
from diorama.perception.people_mask import SoftMask, cut_out, region_matrix
from diorama.perception.people_pose import BINS, LIGHT_BINS, SIZE, TRUNK, Look, Pose, PoseNetwork, look_of
from diorama.perception.people_same import SAME_POSE
from diorama.perception.people_track import Seen, Tracker, pose_overlap

START = 0.5  # score of somebody new
LEAST, SURE = 6, 0.5  # frames, and mean score, of somebody who counts
DRAWN = 0.3  # confidence of landmarks by which a body's colours are found
LIMB = 0.08  # of the side of the region around a body: how thick a limb is drawn for that


class HubFinder:
    """Finds and follows people by a detector; frames of a shot come in order, every shot starts anew.

    Args:
        detector: finds boxes.
        pose: gives landmarks; None: `network` does.
        network: mediapipe's, for the third dimension, for masks, and for landmarks without `pose`; None: not installed
            and not needed.
        masks: whether masks are its task too; else `HubRefiner` finds them.

    Raises (when called):
        ModelError: a network cannot be loaded or used.
    """

    name = "hub"
    belief = LEAST, SURE

    def __init__(
        self, detector: HubDetector, pose: HubPose | None, network: PoseNetwork | None, *, masks: bool = True
    ) -> None:
        self.detector, self.pose, self.network, self.masks = detector, pose, network, masks
        self.tracker = Tracker()
        self._found: dict[int, list[Found]] = {}
        self._regions: dict[int, Region] = {}
        self._worlds: dict[int, Points] = {}

    def ahead(self, shots: Iterable[Tracked]) -> Iterator[Tracked]:
        """The same frames, looked at a batch at a time before they are handed on."""
        frames = iter(shots)
        while first := next(frames, None):
            batch = [first, *islice(frames, self.detector.network.batch - 1)]
            found = self.detector([tracked.frame.image for tracked in batch])
            self._found |= {tracked.frame.index: people for tracked, people in zip(batch, found, strict=True)}
            yield from batch

    def __call__(self, tracked: Tracked) -> PeopleFrame:
        """Everybody in the frame."""
        if tracked.first:
            self.tracker.cut()
            self._regions, self._worlds = {}, {}
        image, index = tracked.frame.image, tracked.frame.index
        found = self._found.pop(index, None)
        people = self.detector([image])[0] if found is None else found
        posed = [(one, pose) for one, pose in zip(people, self._poses(image, people), strict=True) if pose is not None]
        numbers = self.tracker.step(
            [Seen(pose.person, pose.look if pose.look.any() else None, one.score >= START) for one, pose in posed]
        )
        named = [(n, pose) for n, (_, pose) in zip(numbers, posed, strict=True) if n is not None]
        self._regions = {number: pose.region for number, pose in named}
        seen = [Sighting(n, self._in_space(n, pose)) for n, pose in sorted(named, key=lambda pair: pair[0])]
        return PeopleFrame(index, tracked.shot, tuple(seen))

    def close(self) -> None:
        """Free the networks; a later call loads them again."""
        for network in (self.detector, self.pose, self.network):
            if network is not None:
                network.close()

    def _poses(self, image: Pixels, people: list[Found]) -> list[Pose | None]:
        boxes = np.stack([one.box for one in people]) if people else np.zeros((0, 4), np.float32)
        points: list[Points | None] = [None] * len(people) if self.pose is None else self.pose(image, boxes)
        return [self._posed(image, one, there) for one, there in zip(people, points, strict=True)]

    def _posed(self, image: Pixels, found: Found, points: Points | None) -> Pose | None:
        """What is known of somebody; None where nothing tells its outline, or its landmarks."""
        around = around_box(found.box)
        region = next((known for known in self._regions.values() if known.like(around)), around)
        own = None if self.network is None else self.network(image, region)
        if own is None and (self.masks or self.pose is None):
            return None
        if points is None:
            points = _nowhere(found.box) if own is None or self.pose is not None else own.person.landmarks
        elif own is not None:
            points = completed(points, own.person.landmarks)
        agreed = own is not None and (self.pose is None or _agree(own.person.landmarks, points, found.box))
        world = own.person.world if own is not None and agreed else None
        mask = SoftMask(np.zeros((1, 1), np.float32), np.eye(2, 3)) if own is None else own.mask
        here = own.region if own is not None and agreed else around
        look = look_at(image, around, points)
        return Pose(PersonFrame(found.box, found.score, points, world), mask, here, look)

    def _in_space(self, number: int, pose: Pose) -> Pose:
        """The pose with the third dimension last known where it has none: a track has it in all frames or in none."""
        world = pose.person.world if pose.person.world is not None else self._worlds.get(number)
        if world is not None:
            self._worlds[number] = world
        return replace(pose, person=replace(pose.person, world=world))


class HubRefiner:
    """Replaces landmarks and masks by those of networks of the hub; frames come in order.

    Args:
        pose: gives landmarks; None: they stay.
        masks: outlines people; None: masks stay.

    Raises (when called):
        ModelError: a network cannot be loaded or used.
    """

    def __init__(self, pose: HubPose | None, masks: HubMasks | None) -> None:
        self.pose, self.masks = pose, masks

    def __call__(self, tracked: Tracked, frame: PeopleFrame) -> PeopleFrame:
        """The frame with what the networks know better; without those whose outline is nowhere."""
        image, people = tracked.frame.image, frame.people
        if self.pose is not None and people:
            points = self.pose(image, np.stack([sighting.person.box for sighting in people]))
            people = tuple(_repositioned(s, there) for s, there in zip(people, points, strict=True))
        if self.masks is not None:
            if tracked.first:
                self.masks.cut()
            outlines = self.masks(image, {sighting.number: sighting.person.box for sighting in people})
            changed = (_outlined(sighting, outlines[sighting.number]) for sighting in people)
            people = tuple(sighting for sighting in changed if sighting.mask.bounds() is not None)
        return replace(frame, people=people)

    def close(self) -> None:
        """Free the networks; a later call loads them again."""
        for network in (self.pose, self.masks):
            if network is not None:
                network.close()


def look_at(image: Pixels, region: Region, landmarks: Points) -> Look:
    """Colours of a person without a mask: along the limbs, as `people_pose.look_of`; all 0 where no trunk is seen."""
    if landmarks[list(TRUNK), 2].min() <= DRAWN:
        return np.zeros(3 * LIGHT_BINS * BINS**2, np.float32)
    inverse = cv2.invertAffineTransform(region_matrix(region, SIZE))
    points = landmarks.astype(np.float64).copy()
    points[:, :2] = points[:, :2] @ inverse[:, :2].T + inverse[:, 2]
    return look_of(cut_out(image, region, SIZE), _figure(points.astype(np.float32)), points)


def _figure(points: Points) -> Float32[np.ndarray, "s s"]:
    """A body drawn by its landmarks, 0 or 1."""
    drawn, places = np.zeros((SIZE, SIZE), np.uint8), np.rint(points[:, :2]).astype(np.int32)
    corners = places[[TRUNK[0], TRUNK[1], TRUNK[3], TRUNK[2]]]
    cv2.fillConvexPoly(drawn, corners, 1)
    for first, second in BONES:
        if min(points[first, 2], points[second, 2]) > DRAWN:
            one, other = ([int(v) for v in places[k]] for k in (first, second))
            cv2.line(drawn, one, other, 1, max(1, round(LIMB * SIZE)))
    return drawn.astype(np.float32)


def _nowhere(box: Box) -> Points:
    """Landmarks of which nothing is known."""
    middle = (box[:2] + box[2:]) / 2
    return np.concatenate([np.tile(middle, (33, 1)), np.zeros((33, 1))], axis=1).astype(np.float32)


def _agree(one: Points, other: Points, box: Box) -> bool:
    return pose_overlap(one, other, float(np.prod(box[2:] - box[:2]))) > SAME_POSE


def _repositioned(sighting: Sighting, points: Points | None) -> Sighting:
    """With other landmarks, where there are any."""
    if points is None:
        return sighting
    person = sighting.person
    landmarks = completed(points, person.landmarks)
    return replace(sighting, pose=replace(sighting.pose, person=replace(person, landmarks=landmarks)))


def _outlined(sighting: Sighting, mask: SoftMask | None) -> Sighting:
    """With another mask, where there is one."""
    return sighting if mask is None else replace(sighting, pose=replace(sighting.pose, mask=mask))
