"""People: masks are cleaned, follow the flow, and do not depend on what was before the shot."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diorama.core.extras import available
from diorama.core.video import Frame
from diorama.perception.base import PeopleSegmenter, Tracked
from diorama.perception.people import MediapipePeople, _quiet, clean, people_available
from diorama.perception.shots import track


def test_clean_drops_specks_and_keeps_parts() -> None:
    soft = np.zeros((100, 100), np.float32)
    soft[20:80, 30:60] = 0.9
    soft[85:95, 30:60] = 0.8
    soft[2:4, 2:4] = 1.0
    mask = clean(soft)
    assert mask is not None
    assert mask.sum() == 60 * 30 + 10 * 30


def test_nothing_of_size_is_nobody() -> None:
    soft = np.zeros((100, 100), np.float32)
    assert clean(soft) is None
    soft[5:8, 5:8] = 1
    assert clean(soft) is None


def test_available_is_whether_the_package_is_there() -> None:
    assert people_available() == available("mediapipe")


class FakePose:
    """Stands in for the network: finds whatever is bright, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def process(self, small: np.ndarray) -> "FakePose":
        self.calls += 1
        self.segmentation_mask = (small[..., 0] > 128).astype(np.float32)
        return self

    def close(self) -> None:
        self.calls = -1


def moving_square(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 90, (120, 200, 3)).astype(np.uint8)
    frames = []
    for i in range(count):
        image = ground.copy()
        image[30:100, 20 + 4 * i : 60 + 4 * i] = 160 + ground[30:100, 20:60]
        frames.append(Frame(image, i, 1, i))
    return frames


def test_masks_follow_the_flow_between_calls() -> None:
    people, pose = MediapipePeople(), FakePose()
    people._pose = pose
    tracked = list(track(moving_square(8)))
    for t in tracked:
        mask, truth = people(t), t.small[..., 0] > 128
        assert mask is not None
        assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert pose.calls == 2
    people.close()
    assert pose.calls == -1


def test_a_new_shot_starts_anew() -> None:
    people = MediapipePeople()
    people._pose = FakePose()
    tracked = list(track(moving_square(3)))
    again = [*tracked, *tracked]
    masks = [people(t) for t in again]
    for a, b in zip(masks[:3], masks[3:], strict=True):
        assert np.array_equal(a, b)


def test_the_error_stream_is_turned_away_by_one_thread_at_a_time_and_comes_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def speak(number: int) -> None:
        with _quiet():
            os.write(2, b"noise")
        if number == 0:
            raise ValueError

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(speak, number % 3) for number in range(60)]
    assert sum(isinstance(work.exception(), ValueError) for work in done) == 20
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.skipif(not people_available(), reason="extra people not installed")
def test_the_network_is_loaded_in_silence() -> None:
    code = (
        "import numpy as np\nfrom diorama.core.video import Frame\nfrom diorama.perception.base import Tracked\n"
        "from diorama.perception.people import MediapipePeople\n"
        "small = np.zeros((90, 160, 3), np.uint8)\npeople = MediapipePeople()\n"
        "people(Tracked(Frame(small, 0, 1, 0), 0, True, small))\nprint(people.release)\npeople.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("mediapipe-0.10.14\n", "")


@pytest.mark.skipif(not people_available(), reason="extra people not installed")
def test_the_astronaut_is_found_and_an_empty_wall_is_not() -> None:
    data = pytest.importorskip("skimage.data")
    people: PeopleSegmenter = MediapipePeople()
    photo = next(iter(track([Frame(data.astronaut(), 0, 1, 0)])))
    mask = people(photo)
    assert mask is not None
    assert mask.shape == photo.small.shape[:2]
    assert mask[140:160, 150:170].all()  # her face
    assert not mask[:100, :40].any()  # the flag behind her
    wall = Tracked(photo.frame, 1, True, np.full_like(photo.small, 128))
    assert people(wall) is None
