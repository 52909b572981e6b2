"""Priors are opened where they can run, and asked for no more than they can tell apart."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from diorama.errors import UsageError
from diorama.pipelines import matrix_open
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.matrix_frames import MatrixMaker
from diorama.pipelines.matrix_open import Opening, check_reach
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import stereo

ABSENT = ["cuda:63", *([] if torch.backends.mps.is_available() else ["mps"])]


@dataclass
class Short:
    """A prior that is only asked what it is; its latent frames stand for some pictures each, but the first."""

    longest: int
    rows: bool = True
    pictures: int = 1
    name = "short"
    size = (48, 64)
    multiple = 8
    shortest = 1
    reads_guess = True
    device = torch.device("cpu")
    ladder = encode = decode = denoiser = lambda *_: None

    def fitting(self, count: int) -> int:
        return 1 + self.pictures * -(-(count - 1) // self.pictures)


def opened(monkeypatch: pytest.MonkeyPatch, made: Short, config: Generative, look: Look, folder: Path) -> MatrixMaker:
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: made)
    return Opening(config, "cpu", lambda _: None).maker(look, folder)


def generative(**look: Any) -> Look:
    return Look(engine="generative", **look)


@pytest.mark.parametrize(("pictures", "most"), [(1, 21), (4, 81)])
def test_a_window_is_as_long_as_the_prior_can_tell_frames_apart(pictures: int, most: int) -> None:
    known = Short(21, pictures=pictures)
    check_reach(known, Generative(window=most), 3)
    with pytest.raises(UsageError, match=rf"windows of {most + 1} .*short.* {most} .*--window.*at most {most}"):
        check_reach(known, Generative(window=most + 1), 3)


@pytest.mark.parametrize(("views", "eye", "cameras"), [(16, "left", 16), (15, "center", 15), (16, "center", 17)])
def test_a_row_has_as_many_views_as_the_prior_can_tell_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, views: int, eye: Any, cameras: int
) -> None:
    look = generative(views=views, source_eye=eye)
    opened(monkeypatch, Short(cameras), Generative(window=4, overlap=1), look, tmp_path)
    with pytest.raises(UsageError, match=rf"{cameras} views side by side.* {cameras - 1} apart.*--views"):
        opened(monkeypatch, Short(cameras - 1), Generative(window=4, overlap=1), look, tmp_path)
    opened(monkeypatch, Short(4, rows=False), Generative(window=4, overlap=1), look, tmp_path)  # none side by side


def test_cameras_of_a_quality_count_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = Generative("svg-release", window=4, overlap=1)
    with pytest.raises(UsageError, match=r"8 views side by side.*--quality"):
        opened(monkeypatch, Short(7), config, generative(source_eye="left"), tmp_path)


def test_it_is_told_before_depth_or_paint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    def looked(*_: Any) -> None:
        raise AssertionError("depth was looked for")

    monkeypatch.setattr("diorama.perception.depth.EmbeddedDepth.__call__", looked)
    clip = make_clip(tmp_path / "clip.mkv", frames=3)
    config = StereoConfig(generative(), DepthChoice(people=False, device="cpu"), generative=Generative(window=128))
    with pytest.raises(UsageError, match=r"windows of 128 frames for scene-s, which tells 32 apart.*--window"):
        stereo(clip, tmp_path / "out.mkv", config)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


@pytest.mark.parametrize("device", ABSENT)
def test_a_device_that_is_not_there_is_told_in_one_line(device: str) -> None:
    with pytest.raises(UsageError, match=f"no device '{device}' — --device — ") as told:
        Opening(Generative(), device, lambda _: None).prior()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("quality", ["svg-release", "balanced"])
def test_the_schedule_of_released_networks_is_told_with_the_embedded_one(
    monkeypatch: pytest.MonkeyPatch, quality: str
) -> None:
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: Short(32))
    told: list[str] = []
    Opening(Generative(quality=quality), "cpu", told.append).prior()
    assert len(told) == (quality == "svg-release")
    assert all("gets noisy" in words for words in told)
