"""Finding and following people: the logic with a stand-in for the networks, and the networks on a photo."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import pi

import cv2
import numpy as np
import pytest

from diorama.core.extras import available
from diorama.core.person import PersonFrame
from diorama.core.video import Frame, Pixels
from diorama.perception.base import Tracked
from diorama.perception.people_detect import Candidate, Part, PeopleDetector, Region, around, distinct, parts_of
from diorama.perception.people_find import PeopleFinder
from diorama.perception.people_follow import find_people, follow
from diorama.perception.people_frames import PeopleFrame, tracks
from diorama.perception.people_mask import SoftMask, cut_out, region_matrix
from diorama.perception.people_pose import Pose, PoseNetwork
from diorama.perception.shots import track

needs_mediapipe = pytest.mark.skipif(not available("mediapipe"), reason="extra people not installed")


def test_a_region_holds_the_body_upright() -> None:
    upright = around((50.0, 80.0), (50.0, 40.0))
    assert (upright.x, upright.y, upright.turn) == (50, 80, 0)
    assert upright.side == pytest.approx(100)
    assert around((50.0, 80.0), (90.0, 80.0)).turn == pytest.approx(pi / 2)  # head to the right
    assert abs(around((50.0, 80.0), (50.0, 99.0)).turn) == pytest.approx(pi)


@pytest.mark.parametrize("shape", [(216, 384), (384, 216), (384, 384), (24, 384), (5, 384), (1, 1)])
def test_parts_cover_the_picture_and_are_few(shape: tuple[int, int]) -> None:
    seen = np.zeros(shape, bool)
    parts = parts_of(*shape)
    for left, top, width, height in parts[1:] or parts:
        assert left + width <= shape[1]
        assert top + height <= shape[0]
        seen[top : top + height, left : left + width] = True
    assert parts[0] == (0, 0, shape[1], shape[0])
    assert len(parts) <= 10
    assert len(parts) == 7 or seen.all()  # strips: at most six, wherever they are


def test_of_candidates_that_mean_one_person_the_surest_stays() -> None:
    one = Candidate(Region(100, 100, 80), 100, 70, 0.5)
    again = replace(one, region=Region(104, 98, 90), score=0.9)
    crossing = Candidate(Region(104, 98, 90), 70, 70, 0.3)
    assert distinct([one, crossing, again]) == [again, crossing]


def test_a_region_cut_out_and_put_back_is_where_it_was() -> None:
    y, x = np.mgrid[:120, :200]
    image = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)
    for region in (Region(90, 60, 64), Region(90, 60, 64, 0.5), Region(100, 60, 256), Region(-10, 10, 64, 2.0)):
        cut = cut_out(image, region, 64)
        np.testing.assert_array_equal(cut, cut_out(image.astype(np.uint16) * 256, region, 64))
        inside = cut_out(np.full_like(image, 255), region, 64)[..., 0].astype(np.float32) / 255
        matrix = region_matrix(region, 64)
        places = np.stack([cut[..., 0], cut[..., 1]], -1).astype(np.float32) + 0.5
        v, u = np.mgrid[:64, :64] + 0.5
        true = np.stack([u, v], -1) @ matrix[:, :2].T + matrix[:, 2]
        margin = cv2.erode(inside, np.ones((5, 5))) > 0.99
        assert np.abs(places - true)[margin].max() < 2
        back = SoftMask(inside, matrix).whole(120, 200)
        assert back.shape == (120, 200)
        assert back.max() <= 1


def test_bounds_of_a_mask_are_exact_on_straight_grids() -> None:
    values = np.zeros((10, 20), np.float32)
    assert SoftMask(values, np.eye(2, 3)).bounds() is None
    values[2:5, 3:9] = 1
    bounds = SoftMask(values, np.array([[2.0, 0, 7], [0, 2, 1]])).bounds()
    assert bounds is not None
    assert bounds.tolist() == [13, 5, 25, 11]


RED, GREEN = (220, 30, 30), (30, 220, 30)


@dataclass
class Blocks:
    """Stands in for both networks: people are upright blocks of one bright channel on a dark ground."""

    false_alarm: bool = False
    calls: int = 0
    closed: list[str] = field(default_factory=list)

    def detect(self, image: np.ndarray, parts: list[Part] | None = None) -> list[Candidate]:
        found = [] if parts and len(parts) < 4 and self.false_alarm else [self._candidate(image, c) for c in (0, 1)]
        wall = [Candidate(Region(300, 100, 60), 300, 80, 0.9)] if self.false_alarm and len(parts or []) > 1 else []
        return [c for c in found if c is not None] + wall

    def _candidate(self, image: np.ndarray, channel: int) -> Candidate | None:
        rows, columns = np.nonzero(image[..., channel] > 150)
        if len(rows) < 200:
            return None
        region = Region(float(columns.mean()), float(rows.mean()), 1.25 * float(np.ptp(rows) + 1))
        return Candidate(region, region.x, float(rows.min()), 0.9)

    def look(self, image: Pixels, region: Region) -> Pose | None:
        self.calls += 1
        reach = region.side / 2
        top, left = (max(0, int(v - reach)) for v in (region.y, region.x))
        part = image[top : int(region.y + reach), left : int(region.x + reach)]
        channels = sorted((0, 1), key=lambda c: -int((part[..., c] > 150).sum()))
        rows, columns = np.nonzero(part[..., channels[0]] > 150)
        wall = self.false_alarm and abs(region.x - 300) < 9
        if len(rows) < 200 and not wall:
            return None
        box = np.array([285, 70, 315, 130] if wall else [*_low(left, top, columns, rows)], np.float32)
        look = np.eye(8, dtype=np.float32)[5 if wall else channels[0]]
        points = np.ones((33, 3), np.float32)
        points[:, 0] = np.linspace(box[0], box[2], 33)
        points[:, 1] = np.linspace(box[1], box[3], 33)
        points[0, :2] = (box[0] + box[2]) / 2, box[1]
        mask = np.zeros(image.shape[:2], np.float32)
        mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 1
        center = (box[:2] + box[2:]) / 2
        following = Region(float(center[0]), float(center[1]), 1.25 * float(box[3] - box[1]))
        return Pose(PersonFrame(box, 0.99, points), SoftMask(mask, np.eye(2, 3)), following, look)

    def finder(self) -> PeopleFinder:
        blocks = self

        class Detector(PeopleDetector):
            def __call__(self, image: np.ndarray, parts: list[Part] | None = None) -> list[Candidate]:
                return blocks.detect(image, parts)

        class Network(PoseNetwork):
            def __call__(self, image: Pixels, region: Region) -> Pose | None:
                return blocks.look(image, region)

            def close(self) -> None:
                blocks.closed.append("network")

        return PeopleFinder(Detector(), Network())


def _low(left: int, top: int, columns: np.ndarray, rows: np.ndarray) -> Iterator[float]:
    yield from (left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1)


def scene(reds: list[float | None], greens: list[float | None], *, cut: int = -1) -> list[Frame]:
    """Frames of 384 x 216 with a red block and a green one behind it, each at its x or absent."""
    rng = np.random.default_rng(0)
    grounds = [rng.integers(0, high, (216, 384, 3)).astype(np.uint8) for high in (60, 120)]
    frames = []
    for index, (red, green) in enumerate(zip(reds, greens, strict=True)):
        image = grounds[int(0 <= cut <= index)].copy()
        for x, color in ((green, GREEN), (red, RED)):
            if x is not None:
                image[50:150, max(0, int(x) - 20) : max(0, int(x) + 20)] = color
        frames.append(Frame(image, index, 1, index))
    return frames


def shots(frames: list[Frame], starts: tuple[int, ...] = (0,)) -> Iterator[Tracked]:
    for frame in frames:
        shot = sum(start <= frame.index for start in starts) - 1
        yield Tracked(frame, shot, frame.index in starts, np.asarray(frame.image))


def numbers(found: list[PeopleFrame]) -> list[list[int]]:
    return [[s.number for s in frame.people] for frame in found]


def color_of(frame: PeopleFrame, number: int) -> int | None:
    sighting = frame.of(number)
    return None if sighting is None else int(np.argmax(sighting.pose.look))


def test_two_who_cross_keep_their_numbers() -> None:
    frames = scene([60 + 6 * t for t in range(40)], [300 - 6 * t for t in range(40)])
    found = list(follow(shots(frames), Blocks().finder()))
    assert [frame.index for frame in found] == list(range(40))
    first, last = found[0], found[-1]
    assert numbers([first, last]) == [[1, 2], [1, 2]]
    assert [color_of(first, n) for n in (1, 2)] == [color_of(last, n) for n in (1, 2)]
    assert max(max(row, default=0) for row in numbers(found)) == 2


def test_who_comes_in_is_traced_back_to_the_edge() -> None:
    greens: list[float | None] = [None] * 9 + [340 - 3.0 * t for t in range(21)]
    frames = scene([60.0] * 30, greens)
    late = tracks(follow(shots(frames), Blocks(false_alarm=False).finder(), look_back=0))
    early = tracks(follow(shots(frames), Blocks().finder()))
    assert len(late) == len(early) == 2
    assert early[1].frames[0] == 9 <= late[1].frames[0]


def test_who_returns_has_the_same_number_and_a_cut_ends_all() -> None:
    reds: list[float | None] = [100.0] * 10 + [None] * 12 + [130.0] * 12
    found = list(follow(shots(scene(reds, [None] * 34)), Blocks().finder()))
    assert {n for row in numbers(found) for n in row} == {1}
    assert numbers(found)[15] == []
    cut = list(follow(shots(scene([100.0] * 10, [None] * 10), (0, 5)), Blocks().finder()))
    assert numbers(cut) == [[1]] * 5 + [[2]] * 5


def test_whom_the_detector_never_proposes_again_is_dropped() -> None:
    found = list(follow(shots(scene([None] * 40, [None] * 40)), Blocks(false_alarm=True).finder(), look_back=0))
    seen = tracks(found, least=1)
    assert len(seen) == 1
    assert len(seen[0]) < 30
    assert numbers(found)[-1] == []
    assert tracks(found, least=30) == tracks(found, least=1, sure=1) == ()
    assert len(tracks(found[:3], least=30)) == 1  # there is no more of the shot


def test_one_person_costs_one_look_a_frame() -> None:
    blocks = Blocks()
    list(follow(shots(scene([100.0] * 30, [None] * 30)), blocks.finder()))
    assert blocks.calls <= 33


def test_nobody_is_an_empty_answer_and_tiny_frames_are_no_fault() -> None:
    assert tracks(follow(shots(scene([None] * 5, [None] * 5)), Blocks().finder())) == ()
    assert tracks([]) == ()
    for height, width in ((1, 1), (2, 300), (16, 16)):
        image = np.zeros((height, width, 3), np.uint8)
        found = list(find_people([Frame(image, k, 1, k) for k in range(3)], Blocks().finder()))
        assert numbers(found) == [[], [], []]


def test_a_finder_that_is_lent_stays_open() -> None:
    blocks = Blocks()
    list(follow(shots(scene([100.0], [None])), blocks.finder()))
    assert blocks.closed == []


def astronauts(count: int) -> list[Frame]:
    """The photo twice side by side, one mirrored, drifting apart by 2 pixels a frame; colours differ."""
    data = pytest.importorskip("skimage.data")
    photo = cv2.resize(data.astronaut(), (300, 300), interpolation=cv2.INTER_AREA)
    other = np.ascontiguousarray(photo[:, ::-1, ::-1])
    frames = []
    for index in range(count):
        image = np.full((300, 700, 3), 90, np.uint8)
        image[:, 40 - 2 * index : 340 - 2 * index] = photo
        image[:, 360 + 2 * index : 660 + 2 * index] = other
        frames.append(Frame(image, index, 1, index))
    return frames


@needs_mediapipe
def test_two_in_a_photo_are_found_followed_and_masked() -> None:
    frames = astronauts(6)
    masks = []
    seen = tracks(find_people(frames), lambda f: masks.append(sum(s.mask.whole(300, 700) for s in f.people)))
    assert [len(t) for t in seen] == [6, 6]
    left, right = sorted(seen, key=lambda t: float(t.boxes[0, 0]))
    assert np.abs(left.landmarks[0, 0, :2] - [40 + 130, 70]).max() < 15  # her nose
    assert right.landmarks[-1, 0, 0] - right.landmarks[0, 0, 0] == pytest.approx(10, abs=5)
    assert left.landmarks[0, 11, 0] > left.landmarks[0, 12, 0]  # her left shoulder is on the right
    assert left.world is not None
    shoulders = np.linalg.norm(left.world[:, 11] - left.world[:, 12], axis=-1)
    assert ((shoulders > 0.2) & (shoulders < 0.5)).all()  # metres
    assert (left.world[:, 0, 1] < left.world[:, 11, 1]).all()  # the nose above the shoulders, y down
    assert masks[0][65:80, 165:180].min() > 0.8
    assert masks[0][65:80, 515:530].min() > 0.8
    assert masks[0][:40, 345:355].max() < 0.2


@needs_mediapipe
def test_the_same_picture_and_region_give_the_same_pose_at_any_depth() -> None:
    (frame,) = astronauts(1)
    network, region = PoseNetwork(), Region(170, 220, 380)
    one, two = network(frame.image, region), network(frame.image.astype(np.uint16) * 257, region)
    turned = network(np.ascontiguousarray(np.rot90(frame.image, -1)), Region(300 - 220, 170, 380, pi / 2))
    assert one is not None
    assert two is not None
    assert turned is not None
    np.testing.assert_array_equal(one.person.landmarks, two.person.landmarks)
    x, y, _ = one.person.landmarks[0]
    np.testing.assert_allclose(turned.person.landmarks[0, :2], [300 - y, x], atol=4)
    assert turned.person.world is not None
    assert turned.person.world[0, 0] > 0.3  # the head lies to the right of the hips
    assert network(np.full_like(frame.image, 90), region) is None
    network.close()


@needs_mediapipe
def test_the_networks_are_loaded_in_silence() -> None:
    code = (
        "import numpy as np\nfrom diorama.core.video import Frame\n"
        "from diorama.perception.people_follow import find_people\n"
        "from diorama.perception.people_detect import Region\n"
        "from diorama.perception.people_pose import PoseNetwork\n"
        "image = np.zeros((90, 160, 3), np.uint8)\nlist(find_people([Frame(image, 0, 1, 0)]))\n"
        "PoseNetwork(0.0)(image, Region(80, 45, 90))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


@needs_mediapipe
def test_a_cut_in_frames_is_found_and_numbers_go_on() -> None:
    frames = astronauts(2)
    dark = [Frame(255 - frame.image[::-1].copy(), 2 + k, 1, 2 + k) for k, frame in enumerate(frames)]
    assert [t.shot for t in track([*frames, *dark])] == [0, 0, 1, 1]
    found = list(find_people([*frames, *dark]))
    first = {n for row in numbers(found[:2]) for n in row}
    assert first == {1, 2}
    assert not first & {n for row in numbers(found[2:]) for n in row}
