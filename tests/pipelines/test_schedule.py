"""Laws of trimming, resampling and resizing: which frame is shown when."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.core.video import ArraySource, ColorTags, Video
from diorama.errors import UsageError
from diorama.pipelines.presets import Clip
from diorama.pipelines.schedule import MIN_SIDE, Schedule, schedule


def clip_of(frames: int, *, fps: int = 25, height: int = 40, width: int = 60) -> Video:
    """Every pixel of frame n is n."""
    images = np.arange(frames, dtype=np.uint8)[:, None, None, None] + np.zeros((1, height, width, 3), np.uint8)
    return Video.from_array(images, fps=fps)


def uneven(pts: list[int], *, last: int = 40) -> Video:
    """One frame at each time in milliseconds."""
    ticks = np.array(pts, np.int64)
    durations = np.append(np.diff(ticks), last).astype(np.int64)
    images = np.arange(len(pts), dtype=np.uint8)[:, None, None, None] + np.zeros((1, 40, 60, 3), np.uint8)
    source = ArraySource(images, ticks, durations)
    return Video(source, ticks, durations, Fraction(1, 1000), 40, 60, 8, ColorTags(1, 1, 1))


def shown(plan: Schedule, since: int = 0) -> list[tuple[int, int, int]]:
    """(position, source frame, pts) of each frame that comes out."""
    return [(place, int(frame.image[0, 0, 0]), frame.pts) for place, frame in plan.frames(since)]


def test_without_options_every_frame_keeps_its_time() -> None:
    video = uneven([1200, 1240, 1290, 1291, 1400])
    plan = schedule(video, Clip())
    assert shown(plan) == [(i, i, int(t)) for i, t in enumerate(video.pts)]
    assert (plan.time_base, plan.trimmed, plan.shift) == (video.time_base, False, 0)
    assert (plan.first, plan.end) == (Fraction(6, 5), Fraction(36, 25))


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        ("0.2", "", range(5, 25)),
        ("", "0.2", range(5)),
        ("0.2", "0.4", range(5, 10)),
        ("0.199", "0.201", range(5, 6)),
        ("0:00.2", "0:00:00.4", range(5, 10)),
        ("0", "1000", range(25)),
        ("0.97", "", range(25, 25)),
    ],
)
def test_a_part_is_the_frames_that_start_in_it(start: str, end: str, frames: range) -> None:
    if not frames:
        with pytest.raises(UsageError, match=r"no frame between .* 1\.00 s long"):
            schedule(clip_of(25), Clip(start=start, end=end))
        return
    plan = schedule(clip_of(25), Clip(start=start, end=end))
    assert [frame for _, frame, _ in shown(plan)] == list(frames)
    assert shown(plan)[0][2] == 0
    assert plan.trimmed == (len(frames) < 25)
    assert plan.shift == (-Fraction(frames[0], 25) if plan.trimmed else 0)


def test_times_are_counted_from_the_first_frame() -> None:
    plan = schedule(uneven([5000, 5100, 5200, 5300]), Clip(start="0.1", end="0.3"))
    assert shown(plan) == [(0, 1, 0), (1, 2, 100)]
    assert plan.shift == -Fraction(51, 10)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    fps=st.sampled_from([1.0, 7.5, 12.0, 24.0, 23.976, 60.0]),
    offset=st.integers(0, 3000),
)
def test_resampling_shows_the_frame_that_is_on(gaps: list[int], fps: float, offset: int) -> None:
    video = uneven([offset, *(offset + np.cumsum(gaps)).tolist()])
    plan = schedule(video, Clip(fps=fps))
    rate = 1 / plan.time_base
    assert float(rate) == pytest.approx(fps, rel=1e-4)
    assert len(plan) == max(1, round(video.seconds * rate))
    seen = shown(plan)
    assert [place for place, _, _ in seen] == list(range(len(plan)))
    for place, frame, _ in seen:
        at = offset + place / float(rate) * 1000
        on = max(i for i, t in enumerate(video.pts) if t <= at + 1e-3)
        assert frame == on
    assert np.all(np.diff([pts for _, _, pts in seen]) == 1)


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (25.0, Fraction(25)),
        (12.5, Fraction(25, 2)),
        (0.1, Fraction(1, 10)),
        (1000.0, Fraction(1000)),
    ],
)
def test_rates_are_what_people_mean(fps: float, rate: Fraction) -> None:
    assert 1 / schedule(clip_of(30), Clip(fps=fps)).time_base == rate


def test_images_without_a_clock_are_all_shown() -> None:
    plan = schedule(clip_of(9), Clip(fps=10.0, start="0.2"), clocked=False)
    assert shown(plan) == [(i, i + 2, i) for i in range(7)]
    assert plan.time_base == Fraction(1, 10)
    assert len(schedule(clip_of(9), Clip(fps=10.0))) == 4, "a clip with a clock is resampled"


@pytest.mark.parametrize("clip", [Clip(), Clip(fps=60.0), Clip(fps=8.0), Clip(start="0.2", end="0.9")])
@pytest.mark.parametrize("since", [0, 1, 5, 1000])
def test_starting_later_gives_the_same_frames(clip: Clip, since: int) -> None:
    plan = schedule(clip_of(25), clip)
    assert shown(plan, since) == shown(plan)[since:]


def test_the_last_frame_lasts_as_long_as_it_did() -> None:
    assert schedule(uneven([0, 100, 140], last=700), Clip()).last_duration == 700
    assert schedule(uneven([50], last=1000), Clip()).last_duration == 1000
    assert schedule(uneven([0, 100, 140], last=700), Clip(end="0.11")).last_duration == 40
    assert schedule(clip_of(25), Clip(fps=10.0)).last_duration == 1


def test_the_rate_for_headers() -> None:
    assert schedule(clip_of(25), Clip()).fps == 25
    assert schedule(clip_of(25), Clip(start="0.2", end="0.4")).fps == 25
    assert float(schedule(uneven([0, 100, 200], last=100), Clip()).fps) == pytest.approx(10)


@pytest.mark.parametrize(
    ("scale", "widen", "size"),
    [
        (1.0, Fraction(1), (45, 61)),
        (0.75, Fraction(1), (34, 46)),
        (2.0, Fraction(1), (90, 122)),
        (1.0, Fraction(4, 3), (45, 82)),
        (0.8, Fraction(16, 11), (36, 70)),
    ],
)
def test_scaled_sides_are_even_and_others_untouched(scale: float, widen: Fraction, size: tuple[int, int]) -> None:
    plan = schedule(clip_of(2, height=45, width=61), Clip(scale=scale), widen)
    assert (plan.height, plan.width) == size
    assert all(frame.image.shape == (*size, 3) for _, frame in plan.frames())


def test_resizing_keeps_flat_colours_and_kinds() -> None:
    images = np.full((1, 48, 64, 3), 41234, np.uint16)
    for scale in (0.7, 1.5):
        ((_, frame),) = schedule(Video.from_array(images), Clip(scale=scale)).frames()
        assert frame.image.dtype == np.uint16
        assert np.abs(frame.image.astype(int) - 41234).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(MIN_SIDE - 1, 60), (60, MIN_SIDE - 1)])
def test_frames_too_small_for_two_eyes(height: int, width: int) -> None:
    with pytest.raises(UsageError, match="too small"):
        schedule(clip_of(1, height=height, width=width), Clip())
    schedule(clip_of(1, height=height, width=width), Clip(scale=2.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("background", ["black", "white", "#336699"])
def test_transparent_pixels_show_the_background(dtype: type, background: str) -> None:
    top = np.iinfo(dtype).max
    images, clip = np.full((1, 40, 60, 3), top // 3, dtype), Clip(background=background)
    alpha = np.linspace(0, top, 60).astype(dtype)[None].repeat(40, axis=0)
    video = Video.from_array(images)

    class Cut:
        def read(self, start: int, stop: int):
            for frame in video.source.read(start, stop):
                yield type(frame)(frame.image, frame.pts, frame.duration, frame.index, alpha)

    cut = Video(Cut(), video.pts, video.durations, video.time_base, 40, 60, video.bits, video.color, has_alpha=True)
    ((_, frame),) = schedule(cut, clip).frames()
    ground = np.array(clip.background_rgb) * (top // 255)
    share = alpha[..., None] / top
    assert np.abs(frame.image - (share * (top // 3) + (1 - share) * ground)).max() <= 0.51
    assert frame.alpha is None
    assert (frame.image[:, 0] == ground).all()
    assert (frame.image[:, -1] == top // 3).all()
