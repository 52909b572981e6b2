"""The comfort report measures what it says, in the right sign and unit, and its chart shows it."""

import json
import time

import numpy as np
import pytest

from diorama.pipelines.chart import DARK, LIGHT, chart
from diorama.pipelines.comfort import LIMITS, FrameComfort, Viewing, measure, summarise


def frame(values: tuple[float, float, float, float, float], index: int = 0, shot: int = 0, violation: float = 0.0):
    return FrameComfort(index, index / 25, shot, values, violation, 0.5)


def flat(percent: float, index: int = 0, shot: int = 0) -> FrameComfort:
    return frame((percent,) * 5, index, shot)


def test_a_constant_picture_has_one_parallax() -> None:
    disparity = np.full((90, 160), 3.2, np.float32)
    record = measure(disparity, index=4, seconds=0.5, shot=1, convergence=0.25)
    assert record.percentiles == pytest.approx((2.0,) * 5)
    assert (record.index, record.seconds, record.shot, record.convergence) == (4, 0.5, 1, 0.25)
    wide = measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.0, width=320)
    assert wide.percentiles == pytest.approx((1.0,) * 5)


def test_percentiles_agree_with_numpy() -> None:
    disparity = np.random.default_rng(0).normal(0, 10, (1080, 1920)).astype(np.float32)
    record = measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.5)
    expected = np.percentile(disparity, [1, 5, 50, 95, 99]) / 19.2
    assert record.percentiles == pytest.approx(tuple(expected), abs=0.04)


def test_measuring_is_cheap() -> None:
    disparity = np.random.default_rng(0).normal(0, 10, (1080, 1920)).astype(np.float32)

    def once() -> float:
        start = time.perf_counter()
        measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.5)
        return time.perf_counter() - start

    assert min(once() for _ in range(20)) < 2e-3  # 0.2 ms on the machine it was written on


def test_window_violation_counts_the_border_in_front() -> None:
    disparity = np.full((100, 200), -5, np.float32)
    assert measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.0).window_violation == 0
    disparity[:, 90:110] = 20  # in front, but not at the border
    assert measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.0).window_violation == 0
    disparity[50:, :4] = 5  # half of the left border
    assert measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.0).window_violation == 0.25
    disparity[:] = 5
    assert measure(disparity, index=0, seconds=0.0, shot=0, convergence=0.0).window_violation == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    assert measure(np.zeros(size, np.float32), index=0, seconds=0.0, shot=0, convergence=0.0).percentiles == (0.0,) * 5


def test_degrees_and_percent_are_inverse_and_odd() -> None:
    viewing = Viewing()
    for percent in (-4.0, -0.1, 0.0, 0.5, 3.0, 100.0):
        assert viewing.percent(viewing.degrees(percent)) == pytest.approx(percent)
        assert viewing.degrees(-percent) == -viewing.degrees(percent)
    assert viewing.degrees(100.0) == pytest.approx(viewing.hfov_degrees)
    assert viewing.degrees(3.0) == pytest.approx(0.953, abs=1e-3)


def test_a_flat_picture_on_the_screen_is_comfortable() -> None:
    summary = summarise([flat(0.0, i) for i in range(5)])
    assert summary["verdict"] == "comfortable"
    assert summary["widest_screen_metres"] is None
    assert all(limit["kept"] for limit in summary["limits"])


@pytest.mark.parametrize(
    ("percent", "verdict"), [(0.9, "comfortable"), (-1.9, "comfortable"), (1.5, "strong"), (-2.5, "strong"),
                             (3.5, "too strong"), (-3.5, "too strong")]
)  # fmt: skip
def test_verdicts_follow_the_limits(percent: float, verdict: str) -> None:
    assert summarise([flat(percent)])["verdict"] == verdict


def test_a_single_bad_frame_is_not_averaged_away() -> None:
    records = [flat(0.0, i) for i in range(100)]
    records[40] = frame((-5.0, -1.0, 0.0, 1.0, 5.0), 40)
    summary = summarise(records)
    assert summary["overall"]["percent"] == {"p1": -5, "p5": -1, "p50": 0, "p95": 1, "p99": 5}
    assert summary["verdict"] == "too strong"
    assert summary["widest_screen_metres"] == pytest.approx(1.3)


def test_shots_are_told_apart() -> None:
    records = [flat(0.5, 0), flat(0.5, 1), flat(-1.0, 2, shot=1)]
    summary = summarise(records)
    assert [shot["frames"] for shot in summary["shots"]] == [2, 1]
    assert summary["shots"][1]["percent"]["p50"] == -1
    assert summary["cut_jumps_degrees"] == [pytest.approx(Viewing().degrees(-1.5), abs=1e-3)]


def test_window_violations_are_found() -> None:
    records = [frame((0.0,) * 5, i, violation=0.5 if i == 3 else 0.05) for i in range(6)]
    violations = summarise(records)["window_violations"]
    assert violations["frames"] == 1
    assert violations["worst_second"] == pytest.approx(0.12)


def test_the_report_is_json_and_names_its_sources() -> None:
    for records in ([], [flat(1.0)], [flat(1.0, i, shot=i) for i in range(4)]):
        assert json.loads(json.dumps(summarise(records), allow_nan=False))["frames"] == len(records)
    assert all(limit.source for limit in LIMITS)


def ink(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - color).max(axis=2) < 12


def test_the_chart_shows_the_band_where_it_is() -> None:
    records = [frame((-1.0, -1.0, 0.5, 1.0, 1.0), i) for i in range(50)]
    picture = chart(records, width=600, height=400)
    assert picture.shape == (400, 600, 3)
    above = chart([frame((1.5, 1.6, 2.0, 2.4, 2.5), i) for i in range(50)], width=600, height=400)
    rows = [np.nonzero(ink(p, LIGHT.core)[60:330].any(axis=1))[0].mean() for p in (picture, above)]
    assert rows[1] < rows[0]  # in front of the screen is drawn higher


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_chart_survives_every_length(palette) -> None:
    for count in (0, 1, 2, 3000):
        records = [flat(np.sin(i / 9), i, shot=i // 700) for i in range(count)]
        assert chart(records, width=300, height=200, palette=palette).shape == (200, 300, 3)


def test_violations_colour_the_strip() -> None:
    calm = [frame((0.0,) * 5, i) for i in range(30)]
    loud = [frame((0.0,) * 5, i, violation=1.0) for i in range(30)]
    assert not ink(chart(calm), LIGHT.warn).any()
    assert ink(chart(loud), LIGHT.warn).sum() > 1000
