"""Laws of Video: windows, clocks, and nothing decoded before it is asked for."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diorama.core.video import ArraySource, ColorTags, Frame, FrameSource, Video
from diorama.errors import UsageError


def numbered(count: int = 10, dtype: type = np.uint8) -> np.ndarray:
    return np.arange(count, dtype=dtype)[:, None, None, None] + np.zeros((1, 4, 6, 3), dtype)


def at(pts: list[int], *, base: Fraction = Fraction(1, 1000), last: int = 40) -> Video:
    ticks = np.array(pts, np.int64)
    durations = np.append(np.diff(ticks), last).astype(np.int64)
    return Video(ArraySource(numbered(len(pts)), ticks, durations), ticks, durations, base, 4, 6)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_from_array(dtype: type, bits: int) -> None:
    video = Video.from_array(numbered(dtype=dtype), fps=Fraction(24000, 1001))
    assert (len(video), video.height, video.width, video.bits) == (10, 4, 6, bits)
    assert video.fps == Fraction(24000, 1001)
    assert video.seconds == Fraction(10010, 24000)
    assert video.color == ColorTags(1, 1, 1)
    assert video.constant_rate
    assert isinstance(video.source, FrameSource)
    assert np.array_equal(video.stack(), numbered(dtype=dtype))


@given(start=st.integers(-12, 12), stop=st.integers(-12, 12), again=st.integers(-5, 5))
def test_windows_are_those_of_a_list(start: int, stop: int, again: int) -> None:
    video, items = Video.from_array(numbered()), list(range(10))
    window, part = video[start:stop], items[start:stop]
    assert [frame.index for frame in window] == part
    assert len(window) == len(part)
    assert [frame.index for frame in window[again:]] == part[again:]
    assert [int(p) for p in window.pts] == [frame.pts for frame in window]


def test_windows_keep_their_own_clock() -> None:
    video = at([100, 140, 190, 191, 400], last=80)
    assert video.seconds == Fraction(380, 1000)
    assert video[1:4].seconds == Fraction(260, 1000)
    assert video[1:4].times() == [0.14, 0.19, 0.191]
    assert [frame.pts for frame in video[1:4]] == [140, 190, 191]
    assert not video.constant_rate
    assert float(video.fps) == pytest.approx(5 / 0.38)


def test_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="step 2"):
        Video.from_array(numbered())[::2]


def test_empty_windows() -> None:
    empty = Video.from_array(numbered())[4:4]
    assert (len(empty), list(empty), empty.seconds, empty.fps) == (0, [], 0, 25)
    assert empty.constant_rate
    assert empty.times() == []


@pytest.mark.parametrize(
    ("pts", "constant"),
    [([0, 33, 67, 100, 133], True), ([0, 40, 80, 120], True), ([0, 40, 90, 130], False), ([5], True), ([5, 90], True)],
)
def test_rounded_ticks_still_count_as_constant(pts: list[int], constant: bool) -> None:
    assert at(pts).constant_rate == constant


def test_iterating_decodes_only_what_is_asked_for() -> None:
    read: list[int] = []

    class Counted:
        def read(self, start: int, stop: int) -> Iterator[Frame]:
            for i in range(start, stop):
                read.append(i)
                yield Frame(np.zeros((4, 6, 3), np.uint8), i, 1, i)

    ticks = np.arange(1000, dtype=np.int64)
    video = Video(Counted(), ticks, np.ones_like(ticks), Fraction(1, 25), 4, 6)
    assert (len(video), video.fps, read) == (1000, 25, [])
    frames = iter(video[500:])
    assert next(frames).index == 500
    assert read == [500]


def test_hdr_is_pq_or_hlg() -> None:
    assert [ColorTags(9, transfer, 9).hdr for transfer in (1, 13, 14, 16, 18)] == [False, False, False, True, True]
    assert ColorTags() == ColorTags(2, 2, 2, False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 0}, "0x"),
        ({"time_base": Fraction(0)}, "time base"),
        ({"pts": np.array([0, 2, 2], np.int64)}, "frame 2"),
    ],
)
def test_what_no_clip_can_be_is_refused(changes: dict, says: str) -> None:
    video = Video.from_array(np.zeros((3, 4, 5, 3), np.uint8))
    with pytest.raises(UsageError, match=says):
        replace(video, **changes)
