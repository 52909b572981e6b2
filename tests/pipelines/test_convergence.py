"""What lies on the screen: chosen for each shot, kept through it, and nothing else crosses a cut either."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.pipelines.convergence import MARGIN, MOST_IN_FRONT, choose_convergence
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo

HEIGHT, WIDTH = 64, 96
FIRST, SECOND = 9, 8


def plane(value: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), value, np.float32)


def subject(near: float, far: float) -> np.ndarray:
    """Something near in the middle of something far."""
    depth = plane(far)
    depth[HEIGHT // 5 : -HEIGHT // 5, WIDTH // 5 : -WIDTH // 5] = near
    return depth


# The choice


@settings(max_examples=40, deadline=None)
@given(value=st.floats(0, 1, width=32), divergence=st.floats(0, 10))
def test_a_plane_lies_on_the_screen(value: float, divergence: float) -> None:
    assert choose_convergence([plane(value)] * 3, divergence) == pytest.approx(value, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), divergence=st.floats(0.1, 20))
def test_the_foreground_stays_within_its_share(seed: int, divergence: float) -> None:
    generator = np.random.default_rng(seed)
    maps = [cv2.resize(generator.random((5, 7), np.float32), (WIDTH, HEIGHT)) for _ in range(3)]
    chosen = choose_convergence(maps, divergence)
    assert 0 <= chosen <= 1
    for depth in maps:
        in_front = divergence * (np.percentile(depth[::2, ::2], 98) - chosen)
        assert in_front <= MOST_IN_FRONT + 1e-3 * divergence


def test_the_subject_lies_on_the_screen_and_more_strength_pushes_everything_back() -> None:
    depth = subject(0.7, 0.1)
    depth[:8, 40:60] = 1  # something small and nearer, away from the border
    assert choose_convergence([depth], 1.0) == pytest.approx(0.7, abs=0.01)
    chosen = [choose_convergence([depth], strength) for strength in (1.0, 4.0, 8.0, 20.0)]
    assert chosen == sorted(chosen)
    assert chosen[-1] > 0.9


def test_what_the_border_cuts_is_not_in_front_of_it() -> None:
    depth = subject(0.2, 0.2)
    depth[:, :3] = depth[:, -3:] = 0.8
    assert choose_convergence([depth], 1.0) == pytest.approx(0.8 - MARGIN, abs=0.01)


def test_no_strength_needs_no_limit() -> None:
    assert choose_convergence([subject(0.7, 0.1)], 0.0) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 5), (5, 4)])
def test_tiny_maps(size: tuple[int, int]) -> None:
    assert choose_convergence([np.full(size, 0.4, np.float32)], 2.5) == pytest.approx(0.4, abs=1e-4)


# Cuts


def two_shots(index: int, height: int, width: int) -> np.ndarray:
    """A red and black shot with a moving box, then a blue and white one: no colour in common."""
    ys, xs = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3), np.uint8)
    if index < FIRST:
        image[..., 0] = 90 + 80 * ((xs // 6 + ys // 9) % 2)
        image[height // 4 : height // 2, 30 + 2 * index : 46 + 2 * index] = (255, 0, 0)
    else:
        image[..., 2] = 120 + 100 * ((xs // 11 + ys // 4) % 2)
        image[height // 3 : 3 * height // 4, 20 + 3 * (index - FIRST) : 44 + 3 * (index - FIRST)] = (0, 255, 255)
    return image


def depths() -> np.ndarray:
    """The first shot is far with a box, the second near with a box."""
    maps = []
    for i in range(FIRST + SECOND):
        depth = plane(0.15 if i < FIRST else 0.6)
        if i < FIRST:
            depth[HEIGHT // 4 : HEIGHT // 2, 30 + 2 * i : 46 + 2 * i] = 0.8
        else:
            depth[HEIGHT // 3 : 3 * HEIGHT // 4, 20 + 3 * (i - FIRST) : 44 + 3 * (i - FIRST)] = 1
        maps.append(depth)
    maps[0][0, 0] = 0
    return np.stack(maps)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("cut")
    clip = make_clip(
        folder / "clip.mkv",
        frames=FIRST + SECOND,
        size=(HEIGHT, WIDTH),
        codec="ffv1",
        pix_fmt="bgr0",
        image=two_shots,
    )
    np.save(folder / "depth.npy", depths())
    return clip


def convert(cut: Path, target: Path, *, depth: str = "file", run: StereoRun | None = None, **look: Any) -> StereoResult:
    choice = DepthChoice(str(cut.with_name("depth.npy")) if depth == "file" else "embedded", people=False)
    config = StereoConfig(Look(**{"divergence": 6.0, **look}), choice, encoding=Encoding("ffv1"))
    return stereo(cut, target, config, run=run)


@pytest.fixture(scope="module")
def made(cut: Path, tmp_path_factory: pytest.TempPathFactory) -> StereoResult:
    return convert(cut, tmp_path_factory.mktemp("made") / "film.mkv", format="eyes", run=StereoRun(report=True))


def test_each_shot_has_its_own_convergence_and_keeps_it(made: StereoResult) -> None:
    shots = made.comfort["shots"]
    assert [(shot["first_frame"], shot["frames"]) for shot in shots] == [(0, FIRST), (FIRST, SECOND)]
    maps = depths()
    for shot, own in zip(shots, (maps[:FIRST], maps[FIRST:]), strict=True):
        assert shot["convergence"] == pytest.approx(choose_convergence(list(own), 6.0), abs=0.02)
    assert shots[1]["convergence"] > shots[0]["convergence"] + 0.2


@pytest.mark.parametrize("depth", ["file", "embedded"])
@pytest.mark.parametrize("fill", ["fast", "telea"])
def test_no_colour_crosses_the_cut(cut: Path, tmp_path: Path, depth: str, fill: str) -> None:
    film = convert(cut, tmp_path / "film.mkv", depth=depth, fill=fill, format="eyes", convergence="0.3")
    for file in film.files:
        pictures = open_video(file).stack()
        assert not pictures[:FIRST, ..., 1:].any(), "the first shot is red and black only"
        assert not pictures[FIRST:, ..., 0].any(), "the second shot has no red"


def test_each_shot_is_as_if_it_were_alone(cut: Path, tmp_path: Path, made: StereoResult) -> None:
    """Depth, convergence, history and fill of a shot depend on nothing but the shot."""
    config = StereoConfig(
        Look(divergence=6.0, format="eyes"),
        DepthChoice(str(cut.with_name("depth.npy"))),
        encoding=Encoding("ffv1"),
    )
    start = f"{FIRST / 24:.4f}"
    alone = stereo(cut, tmp_path / "alone.mkv", StereoConfig.from_options({**config.options(), "start": start}))
    for whole, part in zip(made.files, alone.files, strict=True):
        assert np.array_equal(open_video(whole).stack()[FIRST:], open_video(part).stack())


def test_a_fixed_convergence_holds_for_all_shots(cut: Path, tmp_path: Path) -> None:
    film = convert(cut, tmp_path / "film.mkv", convergence="0.25")
    assert {shot["convergence"] for shot in film.comfort["shots"]} == {0.25}


# Reports


def test_the_comfort_report_agrees_with_the_depth(made: StereoResult) -> None:
    written = json.loads((made.files[0].parent / "film.mkv.comfort.json").read_text())
    assert written["comfort"] == json.loads(json.dumps(made.comfort))
    assert written["comfort"]["frames"] == FIRST + SECOND
    overall = written["comfort"]["overall"]["percent"]
    assert list(overall) == ["p1", "p5", "p50", "p95", "p99"]
    assert list(overall.values()) == sorted(overall.values())
    assert overall["p99"] <= MOST_IN_FRONT + 0.1
    shots = written["comfort"]["shots"]
    for shot, far, near in zip(shots, (0.15, 0.6), (0.8, 1.0), strict=True):
        assert shot["percent"]["p1"] == pytest.approx(6 * (far - shot["convergence"]), abs=0.1)
        assert shot["percent"]["p99"] == pytest.approx(6 * (near - shot["convergence"]), abs=0.1)
        assert shot["start_seconds"] == pytest.approx(shot["first_frame"] / 24, abs=0.01)
    assert written["comfort"]["verdict"] in ("comfortable", "strong", "too strong")
    assert len(written["comfort"]["cut_jumps_degrees"]) == 1
    assert written["seconds"], "the time each stage took"


def test_strength_changes_the_verdict(cut: Path, tmp_path: Path) -> None:
    verdicts = [
        convert(cut, tmp_path / f"{strength}.mkv", divergence=strength, convergence="0").comfort["verdict"]
        for strength in (0.5, 20.0)
    ]
    assert verdicts == ["comfortable", "too strong"]


def test_the_chart_is_a_picture(made: StereoResult) -> None:
    chart = cv2.imread(str(made.files[0].parent / "film.mkv.comfort.png"))
    assert chart is not None
    assert min(chart.shape[:2]) > 100
    assert chart.std() > 5


def test_the_report_stands_alone(made: StereoResult) -> None:
    page = next(path for path in made.extras if path.suffix == ".html")
    text = page.read_text()
    assert page.name == "film.mkv.report.html"
    assert not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", text))
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert not re.search(r"<script[^>]+src|@import|url\((?!\s*['\"]?data:)", text)
    assert text.count("data:image/") >= 4
    assert len(text) < 4_000_000


def test_without_being_asked_no_page_is_written(cut: Path, tmp_path: Path) -> None:
    convert(cut, tmp_path / "film.mkv")
    names = {"film.mkv" + end for end in ("", ".diorama.json", ".comfort.json", ".comfort.png")}
    assert {path.name for path in tmp_path.iterdir()} == names
