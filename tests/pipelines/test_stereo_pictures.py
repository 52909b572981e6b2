"""Pictures go in and come out too: stills, animations, folders of numbered images."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from diorama.media.encoding import Encoding
from diorama.media.images import load_image
from diorama.media.read import open_media, open_video
from diorama.pipelines.presets import Clip, DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import StereoResult, stereo

MakeClip = Callable[..., Path]
MS = Fraction(1, 1000)
DEFAULT, FFV1 = Encoding(), Encoding("ffv1")
MIDDLE = Look(convergence="0.5")


def convert(
    clip: Path, target: Path, *, encoding: Encoding = DEFAULT, look: Look = MIDDLE, **options: Any
) -> StereoResult:
    """Convert with a depth that rises to the bottom, one map a frame; `options` are those of `Clip`."""
    chosen = Clip(**options)
    video = open_media(clip).video
    depth = target.with_name(target.name + ".npy")
    ramp = np.linspace(0, 1, video.height, dtype=np.float32)[:, None].repeat(video.width, axis=1)
    np.save(depth, np.broadcast_to(ramp, (len(video), *ramp.shape)))
    return stereo(clip, target, StereoConfig(look, DepthChoice(str(depth)), chosen, encoding))


def times(path: Path) -> list[Fraction]:
    """When each video frame is shown, as the container says."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_transparency_shows_the_background(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 4), np.uint8)
    image[:, 48:] = (200, 40, 40, 255)
    Image.fromarray(image).save(tmp_path / "cut.png")
    made = convert(tmp_path / "cut.png", tmp_path / "out.png", look=Look(divergence=0.0), background="#0000ff")
    picture = load_image(made.files[0])
    assert (picture[:, :48] == (0, 0, 255)).all()
    assert (picture[:, 48:96] == (200, 40, 40)).all()


def still(path: Path, dtype: type = np.uint8) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (48, 64, 3)).astype(dtype)
    if dtype == np.uint8:
        Image.fromarray(image).save(path)
    else:
        cv2.imwrite(str(path), image[..., ::-1])
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_in_a_picture_out(tmp_path: Path, dtype: type) -> None:
    image = still(tmp_path / "in.png", dtype)
    made = convert(tmp_path / "in.png", tmp_path / "out.png", look=Look(source_eye="left"))
    picture = load_image(made.files[0])
    assert picture.shape == (48, 128, 3)
    assert picture.dtype == dtype
    assert np.array_equal(picture[:, :64], image)
    assert not np.array_equal(picture[:, 64:], image)
    assert (tmp_path / "out.png.diorama.json").is_file()
    eyes = convert(tmp_path / "in.png", tmp_path / "eye.png", look=Look("eyes", source_eye="right"))
    assert [file.name for file in eyes.files] == ["eye_left.png", "eye_right.png"]
    assert np.array_equal(load_image(eyes.files[1]), image)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_other_kinds_of_pictures(tmp_path: Path, suffix: str) -> None:
    still(tmp_path / "in.png")
    made = convert(tmp_path / "in.png", tmp_path / f"out{suffix}")
    assert load_image(made.files[0]).shape == (48, 128, 3)


def test_a_video_of_one_frame_becomes_a_picture(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=8)
    made = convert(clip, tmp_path / "out.png", start="0.1", end="0.13")
    assert load_image(made.files[0]).shape == (64, 192, 3)


def test_a_picture_becomes_a_film(tmp_path: Path) -> None:
    still(tmp_path / "in.png")
    made = convert(tmp_path / "in.png", tmp_path / "out.mp4")
    assert made.frames == len(open_media(made.files[0]).video) == 1
    assert open_media(made.files[0]).video.seconds == 1


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures_keep_their_delays(tmp_path: Path, suffix: str) -> None:
    pages = [Image.fromarray(np.full((48, 64, 3), (60 * k, 200 - 40 * k, 90), np.uint8)) for k in range(4)]
    delays = [100, 40, 250, 120]
    pages[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=pages[1:], duration=delays, loop=0)
    made = convert(tmp_path / f"in{suffix}", tmp_path / "out.mp4")
    assert times(made.files[0]) == [t * MS for t in (0, 100, 140, 390)]
    assert open_media(made.files[0]).video.seconds == 510 * MS
    shades = open_media(made.files[0]).video.stack()[:, 24, 32, 0]
    assert np.abs(shades.astype(int) - [0, 60, 120, 180]).max() < 8


def test_a_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for k in (10, 2, 1):
        Image.fromarray(np.full((48, 64, 3), 20 * k, np.uint8)).save(folder / f"img_{k}.png")
    for fps, gap in ((None, Fraction(1, 25)), (10.0, Fraction(1, 10))):
        look = Look(divergence=0.0)
        made = convert(folder, tmp_path / f"out{fps}.mkv", encoding=FFV1, look=look, fps=fps).files[0]
        assert times(made) == [0, gap, 2 * gap]
        assert open_video(made).stack()[:, 0, 0, 0].tolist() == [20, 40, 200]
