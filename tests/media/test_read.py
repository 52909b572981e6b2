"""Opening files: clocks, colours, rotation and damage."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from diorama.core.video import ColorTags
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.read import ReadOptions, open_media, open_video
from diorama.media.safe import Limits


def test_frames_carry_the_packets_clock(make_clip, tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "a.mp4", frames=20))
    frames = list(video)
    assert len(frames) == len(video) == 20
    assert [f.pts for f in frames] == list(video.pts)
    assert [f.index for f in frames] == list(range(20))
    assert abs(video.fps - 24) < 0.01


def test_a_window_equals_the_same_frames_of_the_whole(make_clip, tmp_path: Path) -> None:
    video = open_video(make_clip(tmp_path / "a.mp4", frames=40, codec_options={"g": "8", "bf": "3"}))
    whole = video.stack()
    for start, stop in ((0, 5), (7, 9), (13, 31), (39, 40), (8, 16)):
        window = list(video[start:stop])
        assert [f.index for f in window] == list(range(start, stop))
        assert np.array_equal(np.stack([f.image for f in window]), whole[start:stop])


def test_variable_frame_rate_is_kept(make_clip, tmp_path: Path) -> None:
    pts = [0, 40, 90, 91, 200, 333, 334, 500]
    path = make_clip(tmp_path / "a.mkv", frames=8, pts=pts, time_base=Fraction(1, 1000))
    video = open_video(path)
    assert [f.pts - int(video.pts[0]) for f in video] == pts
    assert not video.constant_rate


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_once(make_clip, tmp_path: Path, rotation: int) -> None:
    flat = open_video(make_clip(tmp_path / "flat.mp4", frames=1)).stack()[0]
    video = open_video(make_clip(tmp_path / "turned.mp4", frames=1, rotation=rotation))
    turned = video.stack()[0]
    assert (video.height, video.width) == turned.shape[:2]
    assert np.array_equal(turned, np.rot90(flat, rotation // 90))


def test_tags_and_pixel_shape(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", tags=(9, 16, 9, 1), pix_fmt="yuv420p10le", codec="libx265", sar=Fraction(4, 3))
    opened = open_media(path)
    assert opened.video.color == ColorTags(9, 16, 9, False)
    assert opened.video.color.hdr
    assert opened.video.bits == 10
    assert opened.sar == Fraction(4, 3)
    assert next(iter(opened.video)).image.dtype == np.uint16


@pytest.mark.parametrize(("height", "matrix"), [(96, 6), (720, 1)])
def test_untagged_colours_go_by_height(make_clip, tmp_path: Path, height: int, matrix: int) -> None:
    video = open_video(make_clip(tmp_path / "a.mp4", frames=1, size=(height, 96)))
    assert video.color == ColorTags(matrix, matrix, matrix, False)


def test_ten_bits_span_sixteen(make_clip, tmp_path: Path) -> None:
    def grey(index: int, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), 255, np.uint8)

    path = make_clip(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt="yuv444p10le", image=grey)
    assert open_video(path).stack().min() > 65000


def test_alpha_is_kept(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="yuva420p")
    video = open_video(path)
    assert video.has_alpha
    frame = next(iter(video))
    assert frame.alpha is not None
    assert frame.alpha.shape == frame.image.shape[:2]


def test_deinterlacing_keeps_count_and_clock(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=9)
    plain, woven = open_video(path), open_video(path, ReadOptions(deinterlace=True))
    assert [f.pts for f in woven] == [f.pts for f in plain]


def test_cut_file_is_refused_with_what_is_there(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60, options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedMediaError, match=r"of 60 frames"):
        open_media(path)
    opened = open_media(path, ReadOptions(tolerant=True))
    assert 0 < len(list(opened.video)) < 60
    assert "damaged" in opened.notes[0]


def test_missing_index_is_named(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=30)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match="moov"):
        open_media(path)


@pytest.mark.parametrize("given", ["http://127.0.0.1:1/a.mp4", "concat:a|b", "pipe:0", "subfile:a", "rtmp://x/y"])
def test_protocols_are_not_paths(given: str) -> None:
    with pytest.raises(UsageError, match="protocol"):
        open_media(given)


def test_playlists_are_not_followed(make_clip, tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.mp4")
    for text in ("ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"):
        trap = tmp_path / "trap.mp4"
        trap.write_text(text)
        with pytest.raises(MediaError, match="not a recognised"):
            open_media(trap)


def test_pixel_budget_holds_before_decoding(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=2, size=(128, 128))
    with pytest.raises(LimitError, match="Mpx"):
        open_media(path, ReadOptions(limits=Limits(frame_pixels=1000)))


def test_length_budgets(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=24)
    with pytest.raises(LimitError, match="24 frames"):
        open_media(path, ReadOptions(limits=Limits(frames=10)))
    with pytest.raises(LimitError, match=r"1\.0 s"):
        open_media(path, ReadOptions(limits=Limits(seconds=0.5)))


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"found: audio"):
        open_media(path)


class TestImages:
    def test_still(self, tmp_path: Path) -> None:
        Image.new("RGB", (40, 30), (10, 20, 30)).save(tmp_path / "a.png")
        opened = open_media(tmp_path / "a.png")
        assert opened.video.stack().tolist() == np.full((1, 30, 40, 3), (10, 20, 30)).tolist()
        assert "one frame" in opened.notes[0]

    def test_sixteen_bits_survive(self, tmp_path: Path) -> None:
        import cv2

        wanted = np.arange(40 * 30 * 3, dtype=np.uint16).reshape(30, 40, 3) * 17
        cv2.imwrite(str(tmp_path / "a.png"), wanted[..., ::-1])
        assert np.array_equal(open_video(tmp_path / "a.png").stack()[0], wanted)

    @pytest.mark.parametrize("kind", ["gif", "webp", "png"])
    def test_animation_keeps_delays(self, tmp_path: Path, kind: str) -> None:
        pages = [Image.new("RGB", (40, 30), (60 * i, 0, 0)) for i in range(3)]
        path = tmp_path / f"a.{kind}"
        pages[0].save(path, save_all=True, append_images=pages[1:], duration=[100, 250, 40], lossless=True)
        video = open_video(path)
        assert list(video.durations) == [100, 250, 40]
        assert [f.pts for f in video] == [0, 100, 350]

    def test_numbered_folder(self, tmp_path: Path) -> None:
        for i in (10, 9, 1, 2):
            Image.new("RGB", (40, 30), (i, 0, 0)).save(tmp_path / f"frame{i}.png")
        assert [f.image[0, 0, 0] for f in open_video(tmp_path)] == [1, 2, 9, 10]

    def test_folder_of_different_sizes_is_refused(self, tmp_path: Path) -> None:
        Image.new("RGB", (40, 30)).save(tmp_path / "1.png")
        Image.new("RGB", (41, 30)).save(tmp_path / "2.png")
        with pytest.raises(MediaError, match="41x30 among images of 40x30"):
            list(open_video(tmp_path))

    def test_exif_rotation(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (40, 30))
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.jpg", exif=exif)
        assert open_video(tmp_path / "a.jpg").stack().shape == (1, 40, 30, 3)

    def test_palette_and_cmyk(self, tmp_path: Path) -> None:
        Image.new("P", (40, 30)).save(tmp_path / "p.png")
        Image.new("CMYK", (40, 30)).save(tmp_path / "c.jpg")
        for name in ("p.png", "c.jpg"):
            assert open_video(tmp_path / name).stack().shape == (1, 30, 40, 3)

    def test_bomb_and_truncation(self, tmp_path: Path) -> None:
        Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
        with pytest.raises(LimitError):
            open_media(tmp_path / "bomb.png")
        Image.effect_noise((200, 200), 90).save(tmp_path / "cut.png")
        data = (tmp_path / "cut.png").read_bytes()
        (tmp_path / "cut.png").write_bytes(data[: len(data) // 3])
        with pytest.raises(MediaError):
            open_media(tmp_path / "cut.png")
