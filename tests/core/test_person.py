"""People as values: what they refuse, gaps, and who is meant."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.person import BONES, LANDMARKS, PersonFrame, Track, subject
from diorama.errors import UsageError


def person(left: float = 10.0, size: float = 50.0) -> PersonFrame:
    points = np.full((33, 3), 0.5, np.float32)
    points[:, :2] += left
    return PersonFrame(np.array([left, 5, left + size, 5 + 2 * size], np.float32), 0.9, points, points - 0.5)


def test_landmarks_are_named_once_and_sides_alternate() -> None:
    assert len(set(LANDMARKS)) == 33
    assert [LANDMARKS[k] for k in (0, 7, 11, 16, 23, 28, 32)] == [
        *("nose", "left_ear", "left_shoulder", "right_wrist", "left_hip", "right_ankle", "right_toes"),
    ]
    assert max(max(pair) for pair in BONES) < 33


def test_a_track_gives_back_its_frames_and_says_where_it_is_away() -> None:
    track = Track.gather(3, {7: person(20), 2: person(), 3: person(12)})
    assert track.frames.tolist() == [2, 3, 7]
    assert track.gaps == ((4, 7),)
    assert track.at(5) is None
    assert track.at(9) is None
    seen = track.at(7)
    assert seen is not None
    np.testing.assert_array_equal(seen.box, person(20).box)
    assert seen.world is not None


def test_a_track_without_depth_everywhere_has_none() -> None:
    assert Track.gather(1, {0: person(), 1: replace(person(), world=None)}).world is None


BAD = [
    ({"box": np.array([5, 5, 5, 9], np.float32)}, "empty box"),
    ({"box": np.array([5, 5, np.nan, 9], np.float32)}, "boxes with NaN"),
    ({"score": 1.5}, "scores"),
    ({"landmarks": np.full((33, 3), np.inf, np.float32)}, "landmarks with NaN or infinity"),
    ({"landmarks": np.full((33, 3), 2, np.float32)}, "visibility"),
    ({"world": np.full((33, 3), np.nan, np.float32)}, "world with NaN"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_values_that_mean_nothing_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(person(), **change)  # type: ignore[arg-type]


def test_tracks_rise_and_their_arrays_are_equally_long() -> None:
    track = Track.gather(1, {0: person(), 1: person()})
    with pytest.raises(UsageError, match="do not rise"):
        replace(track, frames=track.frames[::-1].copy())
    with pytest.raises(UsageError, match="arrays of 0 frames"):
        Track(1, *(part[:0] for part in (track.frames, track.boxes, track.scores, track.landmarks)))
    with pytest.raises(UsageError, match="no frame"):
        Track.gather(1, {})


def test_the_subject_is_the_largest_or_the_one_named() -> None:
    small, large = Track.gather(1, {0: person()}), Track.gather(2, {0: person(size=99)})
    assert subject([small, large]) is large
    assert subject([small, large], 1) is small
    with pytest.raises(UsageError, match=r"no person 7.*1 \(frames 0\.\.0\), 2"):
        subject([small, large], 7)
    with pytest.raises(UsageError, match="no person found"):
        subject([])
