"""People followed by a detector: drawn people, whose boxes and landmarks are known."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from diorama.core.person import LANDMARKS, PersonFrame, Points
from diorama.core.video import Frame
from diorama.perception.base import Tracked
from diorama.perception.people_detect import Region
from diorama.perception.people_follow import follow
from diorama.perception.people_frames import tracks
from diorama.perception.people_hub_detect import Found, HubDetector
from diorama.perception.people_hub_find import LEAST, START, SURE, HubFinder, HubRefiner
from diorama.perception.people_hub_mask import HubMasks
from diorama.perception.people_hub_pose import HubPose
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_points import COCO, to_landmarks
from diorama.perception.people_pose import Pose, PoseNetwork

H, W, T = 96, 200, 24
STANDING = {
    "nose": (0.5, 0.1), "left_eye": (0.55, 0.08), "right_eye": (0.45, 0.08), "left_ear": (0.6, 0.1),
    "right_ear": (0.4, 0.1), "left_shoulder": (0.75, 0.25), "right_shoulder": (0.25, 0.25), "left_elbow": (0.85, 0.4),
    "right_elbow": (0.15, 0.4), "left_wrist": (0.9, 0.55), "right_wrist": (0.1, 0.55), "left_hip": (0.65, 0.55),
    "right_hip": (0.35, 0.55), "left_knee": (0.65, 0.75), "right_knee": (0.35, 0.75), "left_ankle": (0.65, 0.95),
    "right_ankle": (0.35, 0.95),
}  # fmt: skip
RED, BLUE = (200, 40, 30), (30, 60, 200)


def standing(box: np.ndarray) -> Points:
    """The landmarks of somebody who stands upright in the box."""
    parts = np.array([STANDING[name] for name in sorted(COCO, key=COCO.__getitem__)])
    places = box[:2] + parts * (box[2:] - box[:2])
    return to_landmarks(np.concatenate([places, np.full((17, 1), 0.9)], axis=1), "test")


class Boxes(HubDetector):
    """Answers with the boxes of coloured rectangles, the blue before the red."""

    def __init__(self, batch: int = 4) -> None:
        self.network = SimpleNamespace(batch=batch)  # type: ignore[misc,assignment]
        self.asked: list[int] = []
        self.score = 0.9

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Found]]:
        self.asked.append(len(images))
        return [
            [Found(box, self.score) for color in (BLUE, RED) if (box := drawn(image, color)) is not None]
            for image in images
        ]

    def close(self) -> None:
        pass


def drawn(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray | None:
    rows, columns = np.nonzero((image == color).all(axis=-1))
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


class Standing(HubPose):
    """Everybody stands."""

    def __init__(self) -> None:
        pass

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> list[Points | None]:
        return [standing(box) for box in boxes]

    def close(self) -> None:
        pass


class Rectangles(HubMasks):
    """Everybody is a rectangle, but those whose box is left of 20 pixels."""

    def __init__(self) -> None:
        self.cuts = 0

    def __call__(self, image: np.ndarray, boxes: Any) -> dict[int, SoftMask | None]:
        out: dict[int, SoftMask | None] = {}
        for number, box in boxes.items():
            sides = box[2:] - box[:2]
            matrix = np.array([[sides[0] / 4, 0, box[0]], [0, sides[1] / 4, box[1]]])
            out[number] = None if box[0] < 20 else SoftMask(np.ones((4, 4), np.float32), matrix)
        return out

    def cut(self) -> None:
        self.cuts += 1

    def close(self) -> None:
        pass


class Space(PoseNetwork):
    """Mediapipe's part: agrees with what stands in its region, or sees somebody else far off, or nobody."""

    says = "agrees"

    def __call__(self, image: np.ndarray, region: Region) -> Pose | None:
        if self.says == "nobody":
            return None
        shift = 0 if self.says == "agrees" else 300
        box = np.array([region.x - 15, region.y - 30, region.x + 15, region.y + 30], np.float32)
        person = PersonFrame(box, 0.99, standing(box + shift), np.full((33, 3), self.metres, np.float32))
        return Pose(person, SoftMask(np.ones((2, 2), np.float32), np.eye(2, 3)), region, np.zeros(768, np.float32))

    metres = 1.0


def crossing() -> list[Tracked]:
    """Red walks right and blue walks left; they meet in the middle."""
    out = []
    for index in range(T):
        image = np.full((H, W, 3), 90, np.uint8)
        for color, left in ((BLUE, 150 - 5 * index), (RED, 30 + 5 * index)):
            cv2.rectangle(image, (left, 20), (left + 29, 79), color, -1)
        out.append(Tracked(Frame(image, index, 1, index), 0, index == 0, image))
    return out


def test_two_who_cross_keep_their_numbers_and_frames_are_looked_at_in_batches() -> None:
    detector = Boxes()
    frames = list(follow(crossing(), HubFinder(detector, Standing(), None, masks=False)))
    assert detector.asked == [4] * (T // 4)
    people = tracks(frames, least=LEAST, sure=SURE)
    assert [person.number for person in people] == [1, 2]
    blue, red = people
    assert len(red) == T
    assert (np.diff(red.boxes[:, 0]) >= 0).all()
    assert [blue.boxes[0, 0], blue.boxes[-1, 0]] == [150, 150 - 5 * (T - 1)]
    assert red.world is None
    order = [LANDMARKS.index(name) for name in COCO]
    assert (red.landmarks[:, order, 2] > 0.5).all()


def test_only_the_sure_are_somebody_new() -> None:
    detector = Boxes()
    finder, shots = HubFinder(detector, Standing(), None, masks=False), crossing()
    detector.score = START - 0.1
    assert finder(shots[0]).people == ()
    detector.score = START
    assert len(finder(shots[1]).people) == 2
    detector.score = START - 0.1  # who is known may be unsure
    assert [sighting.number for sighting in finder(shots[2]).people] == [1, 2]


def test_the_third_dimension_comes_from_who_agrees_and_lasts() -> None:
    network = Space()
    finder, shots = HubFinder(Boxes(), Standing(), network, masks=False), crossing()
    for says, metres in (("agrees", 1.0), ("nobody", 2.0), ("differs", 3.0)):
        network.says, network.metres = says, metres
        people = finder(shots[len(says)]).people if says != "agrees" else finder(shots[0]).people
        assert len(people) == 2
        for sighting in people:
            assert sighting.person.world is not None
            assert (sighting.person.world == 1.0).all()
    alone = HubFinder(Boxes(), None, network)  # without masks and landmarks of their own, who is not seen is left out
    network.says = "nobody"
    assert alone(shots[0]).people == ()


def test_what_the_networks_know_better_replaces_what_was_found() -> None:
    shots, masks = crossing(), Rectangles()
    finder = HubFinder(Boxes(), None, Space())
    plain = finder(shots[0])
    refined = HubRefiner(Standing(), masks)(shots[0], plain)
    assert masks.cuts == 1
    for before, after in zip(plain.people, refined.people, strict=True):
        assert after.number == before.number
        np.testing.assert_array_equal(after.person.box, before.person.box)
        bounds = after.mask.bounds()
        assert bounds is not None
        np.testing.assert_allclose(bounds, after.person.box, atol=1e-3)
        order = [LANDMARKS.index(name) for name in COCO]
        np.testing.assert_array_equal(after.person.landmarks[order], standing(after.person.box)[order])
        others = [k for k in range(33) if k not in order]
        assert not after.person.landmarks[others, 2].any()
        assert after.person.world is before.person.world


def test_who_has_an_outline_nowhere_is_left_out() -> None:
    moved = np.roll(crossing()[0].frame.image, -25, axis=1)  # red stands at 5 pixels now
    tracked = Tracked(Frame(moved, 0, 1, 0), 0, True, moved)
    frame = HubFinder(Boxes(), Standing(), None, masks=False)(tracked)
    assert len(frame.people) == 2
    (left,) = HubRefiner(None, Rectangles())(tracked, frame).people
    assert left.person.box[0] > 100
