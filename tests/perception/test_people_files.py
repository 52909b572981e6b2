"""People from files: what is read, and the one line that hostile files get."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from diorama.core.extras import available
from diorama.core.person import LANDMARKS
from diorama.core.video import Frame
from diorama.errors import MediaError, UsageError
from diorama.perception.base import Tracked
from diorama.perception.people_files import ClipSize, GivenPeople, MaskFile, read_boxes, read_landmarks
from diorama.perception.people_points import ORDERS, to_landmarks

SIZE = ClipSize(frames=4, height=120, width=200)


def test_boxes_of_every_kind_of_file_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "frame,left,top,right,bottom,person,score\n0,10,20,50,90,1,0.5\n\n2,12,20,52,90,1,1\n"
    )
    (tmp_path / "mot.csv").write_text("1,1,10,20,40,70,1,-1,-1,-1\n3,1,12,20,40,70,1,-1,-1,-1\n")
    entries = [{"frame": 0, "box": [10, 20, 50, 90], "person": 1}, {"frame": 2, "box": [12, 20, 52, 90.0], "person": 1}]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    coco = [{"image_id": 0, "track_id": 0, "bbox": [10, 20, 40, 70], "score": 0.5, "category_id": 1}]
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    found = [read_boxes(tmp_path / name, SIZE) for name in ("a.csv", "mot.csv", "a.json", "coco.json")]
    assert [sorted(people.frames) for people in found] == [[0, 2], [0, 2], [0, 2], [0]]
    for people in found:
        assert people.frames[0][0].box.tolist() == [10, 20, 50, 90]
        assert people.frames[0][0].number == 1
    assert found[0].frames[0][0].score == 0.5


HEAD = "frame,left,top,right,bottom\n"
BAD_TABLES = [
    (HEAD + "0,1,2,nan,4\n", "NaN.*line 2"),
    (HEAD + "0,10,2,3,4\n", "empty box.*line 2"),
    (HEAD + "9,1,2,3,4\n", "frame 9 of a clip of 4"),
    (HEAD + "0.5,1,2,3,4\n", "frame 0.5"),
    (HEAD + "0,0.1,0.2,0.3,0.4\n", "give pixels"),
    (HEAD + "0,500,2,900,40\n", "outside 200x120"),
    (HEAD + "0,10,2,9000,40\n", "far outside"),
    (HEAD + "0,1,2\n", "3 numbers, expected 5"),
    (HEAD + "0,1,2,x,4\n", "no number"),
    (HEAD, "nobody in any frame"),
    ("frame,left,top\n0,1,2\n", "no column right, bottom"),
    (HEAD.replace("\n", ",person\n") + "0,1,2,30,40,1\n0,2,2,30,40,1\n", "one person twice"),
    (HEAD + "0,1,2,30,40\n" * 70, "over the limit of 64"),
    ("\xff\xfe\x00", "number|table"),
]


@pytest.mark.parametrize(("text", "says"), BAD_TABLES)
def test_hostile_tables_get_one_clear_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=says) as caught:
        read_boxes(tmp_path / "a.csv", SIZE)
    assert "\n" not in str(caught.value)


BAD_JSON = [
    ("{}", "expected a list"),
    ("[{]", "not valid JSON"),
    ('[{"box": [1, 2, 3, 4]}]', "no frame or image_id"),
    ('[{"frame": 0}]', "no bbox"),
    ('[{"frame": 0, "box": [1, 2, 3]}]', "3 numbers, expected 4"),
    ('[{"frame": 0, "box": [1, 2, 3, "4"]}]', "expected a number"),
    ('[{"frame": 0, "box": [1, 2, 3, NaN]}]', "NaN is not a number"),
    ('[{"frame": 4, "box": [1, 2, 30, 40]}]', r"outside 0\.\.3"),
    ('[{"frame": 0, "person": 0, "box": [1, 2, 30, 40]}]', "people count from 1"),
]


@pytest.mark.parametrize(("text", "says"), BAD_JSON)
def test_hostile_documents_get_one_clear_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_boxes(tmp_path / "a.json", SIZE)


def body(count: int) -> np.ndarray:
    points = np.random.default_rng(count).random((count, 3))
    return points * [100, 80, 0.5] + [20, 20, 0.5]


@pytest.mark.parametrize("count", sorted(ORDERS))
def test_landmarks_find_their_names_in_every_order(count: int, tmp_path: Path) -> None:
    points = body(count)
    (tmp_path / "a.json").write_text(json.dumps([{"frame": 1, "person": 2, "keypoints": points.ravel().tolist()}]))
    (person,) = read_landmarks(tmp_path / "a.json", SIZE).frames[1]
    assert person.number == 2
    assert person.landmarks is not None
    for name in ("nose", "left_wrist", "right_ankle"):
        np.testing.assert_allclose(person.landmarks[LANDMARKS.index(name)], points[ORDERS[count][name]], rtol=1e-5)
    lacking = [k for k, name in enumerate(LANDMARKS) if name not in ORDERS[count]]
    assert (person.landmarks[lacking, 2] == 0).all()
    assert (person.box[:2] < person.landmarks[:, :2].min(0)).all()


def test_sides_are_not_mixed_up() -> None:
    """In every order a person seen from the front has its left side at larger x."""
    for order in ORDERS.values():
        assert {n.replace("left", "right") for n in order if "left" in n} == {n for n in order if "right" in n}
        assert len(set(order.values())) == len(order)


def test_openpose_writes_a_file_a_frame(tmp_path: Path) -> None:
    for index in range(SIZE.frames):
        people = [{"pose_keypoints_2d": body(25).ravel().tolist()}, {"pose_keypoints_2d": [0.0] * 75}][: index + 1]
        (tmp_path / f"clip_{index:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    assert [len(p) for p in read_landmarks(tmp_path, SIZE).frames.values()] == [1, 1, 1, 1]
    with pytest.raises(UsageError, match=r"4 files .* expected 7"):
        read_landmarks(tmp_path, ClipSize(7, 120, 200))


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (body(18), r"18 points, expected 17 \(COCO\)"),
        (np.full((17, 3), np.nan), "NaN"),
        (body(17) * [1, 1, -1], "confidence"),
        (body(17) * [1, 1, 0], "0 points of a person known"),
    ],
)
def test_points_that_mean_nothing_are_refused(points: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        to_landmarks(points, "file")


def test_landmarks_of_another_clip_are_refused(tmp_path: Path) -> None:
    for factor, says in ((100, "far outside"), (0.005, "within one pixel")):
        points = body(17) * [factor, factor, 1]
        (tmp_path / "a.json").write_text(json.dumps([{"frame": 0, "keypoints": points.tolist()}]))
        with pytest.raises(UsageError, match=says):
            read_landmarks(tmp_path / "a.json", SIZE)
    with pytest.raises(MediaError, match="no such file"):
        read_landmarks(tmp_path / "absent.json", SIZE)


def masks_in(folder: Path, count: int = SIZE.frames, size: tuple[int, int] = (60, 100)) -> Path:
    folder.mkdir()
    for index in range(count):
        mask = np.zeros(size, np.uint8)
        mask[10:50, 10 + 5 * index : 40 + 5 * index] = 255
        cv2.imwrite(str(folder / f"{index:04d}.png"), mask)
    return folder


def test_masks_of_half_the_size_land_in_the_frame(tmp_path: Path) -> None:
    masks = MaskFile(masks_in(tmp_path / "masks"), SIZE)
    whole = masks.at(2).whole(120, 200)
    assert whole[60, 70] == 1
    assert whole[60, 30] == 0
    bounds = masks.at(2).bounds()
    assert bounds is not None
    assert bounds.tolist() == [40, 20, 100, 100]
    masks.close()


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 masks, expected 4"):
        MaskFile(masks_in(tmp_path / "few", 3), SIZE)
    with pytest.raises(UsageError, match="expected the shape of 200x120"):
        MaskFile(masks_in(tmp_path / "square", size=(60, 60)), SIZE)
    np.save(tmp_path / "wild.npy", np.full((4, 60, 100), 7, np.float32))
    with pytest.raises(UsageError, match=r"outside 0\.\.1"):
        MaskFile(tmp_path / "wild.npy", SIZE).at(0)


@pytest.mark.skipif(not available("mediapipe"), reason="extra people not installed")
def test_people_of_files_keep_their_numbers_boxes_and_masks(tmp_path: Path) -> None:
    from diorama.perception.people_given import GivenFinder

    (tmp_path / "a.csv").write_text("frame,left,top,right,bottom,person\n0,10,20,50,90,7\n0,100,20,140,90,3\n")
    noise = np.random.default_rng(0).integers(0, 255, (120, 200, 3)).astype(np.uint8)
    tracked = [Tracked(Frame(noise, index, 1, index), 0, index == 0, noise) for index in range(4)]
    finder = GivenFinder(read_boxes(tmp_path / "a.csv", SIZE))
    assert [[s.number for s in finder(t).people] for t in tracked][1:] == [[], [], []]
    finder.close()
    masked = GivenFinder(None, {5: MaskFile(masks_in(tmp_path / "masks"), SIZE)})
    for t in tracked:
        for sighting in masked(t).people:
            assert sighting.number == 5
            assert sighting.person.box.tolist() == [20 + 10 * t.frame.index, 20, 80 + 10 * t.frame.index, 100]
    masked.close()


def test_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody"):
        GivenPeople({})
