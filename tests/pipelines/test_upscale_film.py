"""``--upscale`` over whole films: sizes, tags of the source eye, and runs that were stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diorama.core.progress import Silent
from diorama.errors import InterruptedRunError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.reproduce import reproduce
from diorama.pipelines.stereo import StereoRun, stereo
from diorama.pipelines.upscale_config import Upscale

FRAMES, HEIGHT, WIDTH = 7, 48, 64


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=FRAMES, size=(HEIGHT, WIDTH))


def config(times: int = 2, **look: object) -> StereoConfig:
    chosen = Look(**{"divergence": 4.0, "convergence": "0.4", **look})
    return StereoConfig(chosen, DepthChoice(people=False), encoding=Encoding("ffv1"), larger=Upscale(times))


class Stops(Silent):
    """Interrupts the run at a frame."""

    def __init__(self, frame: int) -> None:
        super().__init__()
        self.left = frame

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("times", "eye"), [(2, "center"), (2, "left"), (4, "right")])
def test_films_grow(clip: Path, tmp_path: Path, times: int, eye: str) -> None:
    made = stereo(clip, tmp_path / "large.mkv", config(times, source_eye=eye))
    frames = open_video(made.files[0]).stack()
    assert frames.shape == (FRAMES, times * HEIGHT, 2 * times * WIDTH, 3)
    plain = open_video(stereo(clip, tmp_path / "plain.mkv", config(1, source_eye=eye)).files[0]).stack()
    small = frames.reshape(FRAMES, HEIGHT, times, 2 * WIDTH, times, 3).mean(axis=(2, 4))
    assert np.abs(small - plain).mean() < 4


def test_a_stopped_run_gives_the_same_frames(clip: Path, tmp_path: Path) -> None:
    run = StereoRun(piece_frames=3)
    whole = open_video(stereo(clip, tmp_path / "whole.mkv", config(), run=run).files[0]).stack()
    with pytest.raises(InterruptedRunError):
        stereo(clip, tmp_path / "out.mkv", config(), run=run, progress=Stops(5))
    again = stereo(clip, tmp_path / "out.mkv", config(), run=replace(run, resume=True))
    assert np.array_equal(open_video(again.files[0]).stack(), whole)
    made = reproduce(tmp_path / "whole.mkv", tmp_path / "same.mkv", given={"clip.mp4": clip})
    assert open_video(made.files[0]).stack().shape == whole.shape


def test_only_two_eyes_are_upscaled() -> None:
    for look in ({"views": 4, "format": "eyes"}, {"format": "rgbd"}):
        with pytest.raises(UsageError, match="two eyes"):
            config(**look)
