"""Reading from the middle gives the same frames as reading all: resuming and trimming depend on it."""

from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DamagedMediaError
from diorama.media.read import ReadOptions, open_media

OPEN = "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"
CODECS = {
    "h264": ("libx264", {"x264-params": OPEN}),
    "mpeg2": ("mpeg2video", {"g": "10", "bf": "2"}),
    "mpeg4": ("mpeg4", {"g": "10", "bf": "2"}),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_any_frame_may_come_first(make_clip, tmp_path: Path, suffix: str, codec: str) -> None:
    name, options = CODECS[codec]
    path = make_clip(tmp_path / f"in.{suffix}", frames=24, codec=name, codec_options=options)
    video = open_media(path).video
    whole = [frame.image for frame in video]
    assert len(whole) == len(video) == 24
    for start in (1, 8, 9, 10, 11, 12, 19, 20, 21, 23):
        frame = next(iter(video[start:]))
        assert frame.index == start
        np.testing.assert_array_equal(frame.image, whole[start])


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_deinterlacing_from_the_middle(make_clip, tmp_path: Path, suffix: str) -> None:
    options = {"x264-params": "tff=1:keyint=5"}
    path = make_clip(tmp_path / f"in.{suffix}", frames=14, codec_options=options)
    video = open_media(path, ReadOptions(deinterlace=True)).video
    whole = [frame.image for frame in video]
    for start in (4, 5, 6, 10, 12):
        np.testing.assert_array_equal(next(iter(video[start:])).image, whole[start])


def test_frames_come_in_order_of_display_without_a_clock(make_clip, tmp_path: Path) -> None:
    """AVI holds H.264 with B-frames, but not when they are shown."""
    source = make_clip(tmp_path / "in.mp4", frames=12, codec_options={"bf": "2", "crf": "4"})
    wanted = [frame.image.astype(int) for frame in open_media(source).video]
    path = make_clip(tmp_path / "in.avi", frames=12, codec_options={"bf": "2", "crf": "4"})
    for index, frame in enumerate(open_media(path).video):
        assert frame.index == index
        assert np.abs(frame.image - wanted[index]).mean() < 2


def test_what_is_tolerated_is_told(make_clip, tmp_path: Path) -> None:
    """Damage is told once, however often the clip is read, and only where frames are shown."""
    path = make_clip(tmp_path / "in.mp4", frames=48, codec_options={"g": "12", "crf": "10"})
    content = bytearray(path.read_bytes())
    for position in np.random.default_rng(5).integers(len(content) // 4, len(content) // 2, 200):
        content[position] ^= 0x5A
    path.write_bytes(content)
    with pytest.raises(DamagedMediaError, match=r"at \d\.\d+ s"):
        list(open_media(path).video)
    opened = open_media(path, ReadOptions(tolerant=True))
    assert opened.damage == ()
    assert list(opened.video)
    once = opened.damage
    assert any("at " in line for line in once)
    assert list(opened.video)
    assert opened.damage == once
    late = open_media(path, ReadOptions(tolerant=True))
    assert list(late.video[40:])
    assert late.damage == ()
