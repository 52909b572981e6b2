"""Windows: every frame covered, no seams, no cut crossed, and memory that does not grow with the clip."""

import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from diorama.diffusion.levels import CLEAN, Level, levels, schedule
from diorama.diffusion.sample import descend, sample
from diorama.diffusion.windows import Room, Window, WindowConfig, plan_windows, shifted, windowed
from diorama.errors import OutOfMemoryError, UsageError

LEVEL = Level(0.6, 0.8)
RELEASE = WindowConfig(24, 4, mode="release")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixing(spans: torch.Tensor) -> Any:
    """A denoiser whose frames see each other, and that knows their numbers."""

    def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
        numbers = spans.repeat_interleave(len(x) // len(spans), dim=0)[:, None, :, None, None]
        return torch.tanh(x + x.mean(dim=2, keepdim=True)) + 0.01 * numbers

    return denoise


def per_frame(spans: torch.Tensor) -> Any:
    """The same with frames that do not see each other: any windows give the same."""

    def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
        numbers = spans.repeat_interleave(len(x) // len(spans), dim=0)[:, None, :, None, None]
        return torch.tanh(x) * level.alpha + 0.01 * numbers

    return denoise


CONFIGS = [
    WindowConfig(),
    WindowConfig(8, 0),
    WindowConfig(8, 7),
    WindowConfig(1, 0),
    WindowConfig(8, 3, anchor=True),
    WindowConfig(8, 2, at_once=3),
    RELEASE,
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 25, 61])
def test_every_frame_is_covered_by_windows_of_the_length_asked_for(config: WindowConfig, count: int) -> None:
    for step in range(5):
        windows = plan_windows(count, config, step=step)
        assert {frame for window in windows for frame in window.frames} == set(range(count))
        assert all(len(window.frames) == min(config.length, count) for window in windows)
        assert all(len(set(window.frames)) == len(window.frames) for window in windows)
        x = normal(2, 3, count, 2, 2)
        room = Room(config.at_once)
        torch.testing.assert_close(windowed(per_frame, windows, room=room)(x, LEVEL), one_call(per_frame, x))


def one_call(bind: Any, x: torch.Tensor) -> torch.Tensor:
    return bind(torch.arange(x.shape[2])[None])(x, LEVEL)


def test_neighbours_share_what_was_asked_and_move_from_step_to_step() -> None:
    config = WindowConfig(16, 4)
    starts = [[window.frames[0] for window in plan_windows(100, config, step=step)] for step in range(4)]
    for each in starts:
        assert all(b - a <= 12 for a, b in pairwise(each))
        assert (each[0], each[-1]) == (0, 84)
    assert starts[3] == starts[0]
    seams = [set(each) - {0, 84} for each in starts[:3]]
    assert not (seams[0] & seams[1] | seams[1] & seams[2] | seams[0] & seams[2])


@pytest.mark.parametrize("config", [WindowConfig(16, 4), WindowConfig(8, 2, anchor=True)])
def test_no_window_crosses_a_cut(config: WindowConfig) -> None:
    cuts = (40, 13, 43)
    shots = [range(13), range(13, 40), range(40, 43), range(43, 90)]
    for step in range(4):
        windows = plan_windows(90, config, step=step, cuts=cuts)
        assert all(any(set(window.frames) <= set(shot) for shot in shots) for window in windows)
        long = [w for w in windows if w.frames[0] >= 43]
        assert len(long) > 1
        if config.anchor:
            assert all(window.frames[0] == 43 for window in long)
    x = normal(1, 2, 90, 2, 2)
    denoise = windowed(mixing, plan_windows(90, config, cuts=cuts))
    changed = x.clone()
    changed[:, :, :13] += 1
    assert torch.equal(denoise(changed, LEVEL)[:, :, 13:], denoise(x, LEVEL)[:, :, 13:])


def test_an_anchor_is_seen_in_every_window_and_made_by_the_first() -> None:
    windows = plan_windows(60, WindowConfig(8, 2, anchor=True), step=1)
    assert all(window.frames[0] == 0 for window in windows)
    assert [window.frames[1] for window in windows][:2] == [1, 2]
    assert all(window.weights[0] == 0 for window in windows[1:])
    x, far = normal(1, 2, 60, 2, 2), normal(1, 2, 60, 2, 2, seed=1)
    far[:, :, 1:] = x[:, :, 1:]
    denoise = windowed(mixing, windows)
    assert not torch.equal(denoise(far, LEVEL)[:, :, 50:], denoise(x, LEVEL)[:, :, 50:])


@pytest.mark.parametrize(
    "config", [WindowConfig(16, 0), WindowConfig(16, 4), WindowConfig(16, 4, anchor=True), RELEASE]
)
def test_one_window_is_no_window(config: WindowConfig) -> None:
    x = normal(2, 3, 16, 2, 2)
    (window,) = plan_windows(16, config, step=3)
    assert window.frames == tuple(range(16))
    assert torch.equal(windowed(mixing, [window])(x, LEVEL), one_call(mixing, x))


def test_a_constant_prediction_stays_constant() -> None:
    x = normal(1, 2, 45, 2, 2)
    for config in CONFIGS:
        bind: Any = lambda spans: lambda x, level: torch.full_like(x, 0.7)  # noqa: E731
        out = windowed(bind, plan_windows(45, config, step=2), room=Room(config.at_once))(x, LEVEL)
        torch.testing.assert_close(out, torch.full_like(x, 0.7))


def test_release_windows_are_those_of_mimo() -> None:
    windows = plan_windows(150, RELEASE, step=5)  # mimo.md 1.9
    assert [window.frames[0] for window in windows] == [0, 20, 40, 60, 80, 100, 120, 140]
    assert windows[-1].frames == (*range(140, 150), *range(14))
    assert sum(len(window.frames) for window in windows) / 150 == 1.28
    assert len(plan_windows(25, RELEASE)) == 2
    assert sum(len(window.frames) for window in plan_windows(25, RELEASE)) / 25 == 1.92
    assert len(plan_windows(24, RELEASE)) == 1
    assert all(set(window.weights) == {1.0} for window in windows)
    assert plan_windows(150, RELEASE, step=0) == windows


@pytest.mark.parametrize("count", [24, 25, 150])
def test_release_windows_are_a_plain_average(count: int) -> None:
    x = normal(2, 3, count, 2, 2)
    total, times = torch.zeros_like(x), torch.zeros(count)
    for start in range(0, count, 20) if count > 24 else (0,):
        index = [(start + i) % count for i in range(24)]
        total[:, :, index] += mixing(torch.tensor([index]))(x[:, :, index], LEVEL)
        times[index] += 1
    out = windowed(mixing, plan_windows(count, RELEASE))(x, LEVEL)
    torch.testing.assert_close(out, total / times[:, None, None])


@pytest.mark.parametrize("at_once", [2, 3, 99])
def test_windows_at_once_give_the_same(at_once: int) -> None:
    x, windows = normal(2, 3, 61, 2, 2), plan_windows(61, WindowConfig(16, 4), step=1, cuts=(10, 40))
    seen = []

    def bind(spans: torch.Tensor) -> Any:
        seen.append(tuple(spans.shape))
        return mixing(spans)

    together = windowed(bind, windows, room=Room(at_once))(x, LEVEL)
    torch.testing.assert_close(together, windowed(mixing, windows)(x, LEVEL), rtol=1e-5, atol=1e-5)
    assert sum(k for k, _ in seen) == len(windows) > len(seen)
    assert max(k for k, _ in seen) <= at_once


def test_a_batch_is_its_items() -> None:
    x, windows = normal(3, 2, 40, 2, 2), plan_windows(40, WindowConfig(16, 4), step=1)
    batch = windowed(mixing, windows, room=Room(2))(x, LEVEL)
    for item in range(3):
        alone = windowed(mixing, windows, room=Room(2))(x[item : item + 1], LEVEL)
        torch.testing.assert_close(alone[0], batch[item], rtol=1e-5, atol=1e-5)


def test_a_plan_takes_other_windows_at_each_step() -> None:
    seen: list[set[int]] = []

    def bind(spans: torch.Tensor) -> Any:
        seen[-1].add(int(spans[0, 0]))
        return per_frame(spans)

    config, ladder, x = WindowConfig(16, 4), levels(schedule(), 3), normal(1, 2, 60, 2, 2)
    moving = shifted(bind, 60, config, steps=3)
    plan = descend(ladder, [lambda x, level, one=one: (seen.append(set()), one(x, level))[1] for one in moving])
    end = sample(plan, x)
    assert len({frozenset(starts) for starts in seen}) == 3
    whole = per_frame(torch.arange(60)[None])
    torch.testing.assert_close(end, sample(descend(ladder, whole), x), rtol=1e-5, atol=1e-5)


def _limited(most: int, seen: list[tuple[int, ...]], error: type[BaseException] = torch.OutOfMemoryError) -> Any:
    def bind(spans: torch.Tensor) -> Any:
        def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
            if x.shape[0] * x.shape[2] > most:
                raise error("DefaultCPUAllocator: can't allocate memory")
            seen.append(tuple(spans.shape))
            return per_frame(spans)(x, level)

        return denoise

    return bind


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_runs_fewer_windows_then_shorter_ones_and_says_so(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    x, windows = normal(1, 2, 61, 2, 2), plan_windows(61, WindowConfig(16, 4))
    whole = one_call(per_frame, x)
    for most, widest in ((64, (4, 16)), (40, (2, 16)), (16, (1, 16)), (9, (1, 8)), (3, (1, 2)), (1, (1, 1))):
        caplog.clear()
        seen: list[tuple[int, ...]] = []
        room = Room(4)
        denoise = windowed(_limited(most, seen, error), windows, room=room)
        with caplog.at_level(logging.WARNING):
            torch.testing.assert_close(denoise(x, LEVEL), whole)
        assert max(seen) == widest
        assert ("out of memory" in caplog.text) == (most < 64)
        said = len(caplog.records)
        denoise(x, LEVEL)
        assert len(caplog.records) == said  # remembered: it does not fail again
    with pytest.raises(OutOfMemoryError, match="one frame"):
        windowed(_limited(0, []), windows)(x, LEVEL)


def test_what_fits_is_remembered_by_later_steps(caplog: pytest.LogCaptureFixture) -> None:
    x = normal(1, 2, 61, 2, 2)
    moving = shifted(_limited(20, []), 61, WindowConfig(16, 4, at_once=8), steps=4)
    with caplog.at_level(logging.WARNING):
        sample(descend(levels(schedule(), 4), moving), x)
    assert [record.getMessage()[-1] for record in caplog.records] == ["2", "1"]  # of 5, of 2


def test_other_errors_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="mat1"):
        windowed(_limited(0, [], lambda text: RuntimeError("mat1")), plan_windows(30, WindowConfig()))(  # type: ignore[arg-type]
            normal(1, 2, 30, 2, 2), LEVEL
        )


def _peak() -> int:
    """The largest resident memory since `_forget`, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _forget() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not tell the peak of memory")


def test_ten_thousand_frames_run_in_the_memory_of_a_hundred() -> None:
    longest = 0

    def bind(spans: torch.Tensor) -> Any:
        def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
            nonlocal longest
            longest = max(longest, x.shape[0] * x.shape[2])
            wide = x.repeat(1, 64, 1, 1, 1)  # activations: for all frames at once, 655 MB
            return wide.square_().unflatten(1, (64, -1)).mean(dim=1)

        return denoise

    used = []
    for count in (100, 10_000):
        x = normal(1, 4, count, 8, 8)
        at = shifted(bind, count, WindowConfig(16, 4, at_once=2), steps=3)[1]
        _forget()
        before = _peak()
        out = at(x, LEVEL)
        used.append(_peak() - before - out.nbytes)
        assert longest == 32
        torch.testing.assert_close(out[:, :, -3:], x[:, :, -3:].square())
    assert used[1] < max(used[0], 0) + 24 * 2**20


@pytest.mark.parametrize(
    "bad",
    [
        lambda: WindowConfig(0),
        lambda: WindowConfig(8, 8),
        lambda: WindowConfig(8, -1),
        lambda: WindowConfig(8, 2, at_once=0),
        lambda: WindowConfig(8, 7, anchor=True),
        lambda: WindowConfig(8, 2, anchor=True, mode="release"),
        lambda: WindowConfig(33, 4).fits(32),
        lambda: plan_windows(0, WindowConfig()),
        lambda: plan_windows(10, WindowConfig(), cuts=(10,)),
        lambda: plan_windows(10, WindowConfig(), cuts=(0,)),
        lambda: Window((), ()),
        lambda: Window((0, 1), (1.0,)),
        lambda: Window((-1,), (1.0,)),
        lambda: Window((0,), (-1.0,)),
    ],
)
def test_windows_that_cannot_be_are_refused(bad: Any) -> None:
    with pytest.raises(UsageError):
        bad()


def test_a_length_within_the_table_of_positions_passes() -> None:
    config = WindowConfig(32, 4)
    assert config.fits(32) is config


def test_windows_of_another_video_and_denoisers_of_another_shape_are_refused() -> None:
    windows = plan_windows(30, WindowConfig())
    with pytest.raises(UsageError, match="up to frame 27 of 20"):
        windowed(per_frame, windows)(normal(1, 2, 20, 2, 2), LEVEL)
    with pytest.raises(UsageError, match="covers frame 30"):
        windowed(per_frame, windows)(normal(1, 2, 31, 2, 2), LEVEL)
    with pytest.raises(UsageError, match="gave"):
        windowed(lambda spans: lambda x, level: x[:, :1], windows)(normal(1, 2, 30, 2, 2), CLEAN)


def test_triangles_peak_in_the_middle_and_never_vanish() -> None:
    (window,) = plan_windows(7, WindowConfig(8, 2))
    assert list(window.weights) == sorted(window.weights[:4]) + sorted(window.weights[4:], reverse=True)
    assert math.isclose(max(window.weights), 1)
    assert min(window.weights) > 0
