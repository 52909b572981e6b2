"""What a clip carries besides its pictures survives: sound, clocks, subtitles, colours, rotation, pixel shape."""

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from diorama.core.video import ColorTags
from diorama.media.encoding import Encoding
from diorama.media.read import OpenedVideo, open_media, open_video
from diorama.pipelines.presets import Clip, DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo

MakeClip = Callable[..., Path]
DEFAULT, FFV1 = Encoding(), Encoding("ffv1")
MIDDLE = Look(convergence="0.5")
MS = Fraction(1, 1000)


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


def packets(path: Path, kind: str = "audio", number: int = 0) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][number]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size and p.pts is not None]


def moved(source: Path, target: Path, seconds: Fraction) -> Path:
    """The same packets, shown `seconds` later."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.size:
                offset = round(seconds / packet.time_base)
                packet.pts += offset
                packet.dts = packet.pts if packet.dts is None else packet.dts + offset
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return target


def opened(made: StereoResult) -> OpenedVideo:
    return open_media(made.files[0])


# Sound


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_is_copied_bit_for_bit_and_stays_in_time(make_clip: MakeClip, tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=12, audio=True)
    made = convert(clip, tmp_path / f"out{suffix}").files[0]
    before, after = packets(clip), packets(made)
    assert [data for data, _ in after] == [data for data, _ in before]
    late = times(made)[0] - times(clip)[0]
    tick = MS if suffix == ".mkv" else Fraction(1, 16000)
    assert all(abs(b - late - a) <= tick for (_, a), (_, b) in zip(before, after, strict=True))


@pytest.mark.parametrize(("source", "suffix"), [(".mkv", ".mkv"), (".mkv", ".mp4"), (".mp4", ".mp4"), (".ts", ".mp4")])
def test_a_start_offset_is_kept_with_its_sound(make_clip: MakeClip, tmp_path: Path, source: str, suffix: str) -> None:
    first = make_clip(tmp_path / f"first{source}", frames=12, audio=True, codec_options={"bf": "0"})
    clip = moved(first, tmp_path / f"clip{source}", Fraction(5, 4))
    assert times(clip)[0] > 1
    made = convert(clip, tmp_path / f"out{suffix}").files[0]
    gaps = [packets(path)[0][1] - times(path)[0] for path in (clip, made)]
    assert abs(gaps[0] - gaps[1]) <= 2 * MS
    assert [t - times(made)[0] for t in times(made)] == pytest.approx([t - times(clip)[0] for t in times(clip)])
    assert float(times(made)[0]) == pytest.approx(float(times(clip)[0]), abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("offset", [Fraction(0), Fraction(3, 4)])
def test_a_part_starts_at_zero_with_its_own_sound(
    make_clip: MakeClip, tmp_path: Path, suffix: str, offset: Fraction
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=36, audio=True)
    clip = moved(whole, tmp_path / "clip.mp4", offset)
    made = convert(clip, tmp_path / f"out{suffix}", start="0.5", end="1.25", encoding=Encoding(preset="ultrafast"))
    shown = times(made.files[0])
    assert made.frames == len(shown) == 18
    source = times(clip)
    steps = [float(t - source[12]) for t in source[12:30]]
    assert [float(t - shown[0]) for t in shown] == pytest.approx(steps, abs=2e-3)
    assert float(shown[0]) == pytest.approx(0, abs=0.065)  # MKV has no negative times: sound may begin a packet earlier
    places = dict(packets(clip))
    heard = packets(made.files[0])
    assert all(float(at - shown[0]) == pytest.approx(float(places[data] - source[12]), abs=2e-3) for data, at in heard)
    span = heard[-1][1] - heard[0][1]
    assert 0.65 < span < 0.85
    assert heard[0][1] - shown[0] <= 0.001, "sound covers the first picture"


def test_sound_longer_than_the_picture_and_two_languages(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = two_sounds(make_clip, tmp_path)
    made = convert(clip, tmp_path / "out.mkv").files[0]
    with av.open(str(made)) as container:
        languages = [stream.metadata.get("language") for stream in container.streams.audio]
    assert languages == ["eng", "deu"]
    for number in (0, 1):
        assert [d for d, _ in packets(made, number=number)] == [d for d, _ in packets(clip, number=number)]


def two_sounds(make_clip: MakeClip, folder: Path) -> Path:
    one = make_clip(folder / "one.mkv", frames=12, audio=True)
    other = make_clip(folder / "two.mkv", frames=18, audio=True)
    clip = folder / "both.mkv"
    with av.open(str(one)) as a, av.open(str(other)) as b, av.open(str(clip), "w") as out:
        video = out.add_stream_from_template(a.streams.video[0])
        sounds = [out.add_stream_from_template(source.streams.audio[0]) for source in (a, b)]
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        pairs = [(a, a.streams.video[0], video), (a, a.streams.audio[0], sounds[0]), (b, b.streams.audio[0], sounds[1])]
        for container, stream, copy in pairs:
            container.seek(0)
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
    return clip


def test_map_keeps_the_named_streams(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = two_sounds(make_clip, tmp_path)
    made = convert(clip, tmp_path / "out.mkv", map="0,2").files[0]
    with av.open(str(made)) as container:
        assert [s.metadata.get("language") for s in container.streams.audio] == ["deu"]
    silent = convert(clip, tmp_path / "silent.mkv", map="0").files[0]
    with av.open(str(silent)) as container:
        assert [s.type for s in container.streams] == ["video"]


# Subtitles, chapters, tags


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory, make_clip: MakeClip) -> Path:
    """36 frames with subtitles, two chapters and a title."""
    folder = tmp_path_factory.mktemp("annotated")
    plain, clip = make_clip(folder / "plain.mkv", frames=36, audio=True), folder / "clip.mkv"
    with av.open(str(plain)) as source, av.open(str(clip), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        text = out.add_mux_stream("subrip")
        out.metadata["title"] = "A day out"
        spans = [(0, 700, "one"), (700, 1500, "two")]
        out.set_chapters(
            [
                {"id": i + 1, "start": a, "end": b, "time_base": MS, "metadata": {"title": name}}
                for i, (a, b, name) in enumerate(spans)
            ]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
        for data, at in ((b"hello", 100), (b"still here", 900)):
            line = av.Packet(data)
            line.stream, line.pts, line.dts, line.duration, line.time_base = text, at, at, 300, MS
            out.mux(line)
    return clip


def chapters(path: Path) -> list[tuple[str, float, float]]:
    with av.open(str(path)) as container:
        return [
            (c["metadata"]["title"], float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]))
            for c in container.chapters()
        ]


def test_subtitles_chapters_and_title_are_kept(annotated: Path, tmp_path: Path) -> None:
    made = convert(annotated, tmp_path / "out.mkv").files[0]
    assert packets(made, "subtitle") == [(b"hello", Fraction(1, 10)), (b"still here", Fraction(9, 10))]
    assert chapters(made) == [("one", 0.0, 0.7), ("two", 0.7, 1.5)]
    with av.open(str(made)) as container:
        assert {k.lower(): v for k, v in container.metadata.items()}["title"] == "A day out"


def test_a_part_keeps_its_subtitles_and_chapters(annotated: Path, tmp_path: Path) -> None:
    made = convert(annotated, tmp_path / "out.mkv", start="0.5").files[0]
    begin = times(made)[0]
    ((data, at),) = packets(made, "subtitle")
    assert data == b"still here"
    assert float(at - begin) == pytest.approx(0.4, abs=2e-3)
    (one, two) = chapters(made)
    assert one == ("one", pytest.approx(0, abs=0.07), pytest.approx(0.2, abs=0.07))
    assert two == ("two", pytest.approx(0.2, abs=0.07), pytest.approx(1.0, abs=0.07))


def test_what_a_container_cannot_hold_is_told(annotated: Path, tmp_path: Path) -> None:
    made = convert(annotated, tmp_path / "out.mp4")
    assert any("subrip" in note and ".mkv" in note for note in made.notes)
    assert [name for name, *_ in chapters(made.files[0])] == ["one", "two"]
    web = convert(annotated, tmp_path / "out.webm")
    assert any("aac" in note for note in web.notes)


# Clocks

UNEVEN = [0, 40, 90, 91, 200, 333, 334, 500]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".mkv", "libx264"), (".mkv", "ffv1"), (".mp4", "libx265"), (".webm", "libsvtav1")],
)
def test_uneven_frames_keep_their_times(make_clip: MakeClip, tmp_path: Path, suffix: str, codec: str) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=8, pts=UNEVEN, time_base=MS)
    made = convert(clip, tmp_path / f"out{suffix}", encoding=Encoding(codec)).files[0]
    assert times(made) == [t * MS for t in UNEVEN]
    assert list(open_video(made).durations)[:-1] == list(np.diff(open_video(made).pts))


def test_fine_ticks_survive_in_mp4(make_clip: MakeClip, tmp_path: Path) -> None:
    ticks = [0, 3003, 6007, 9009, 12011, 15015]
    base = Fraction(1, 90000)
    clip = make_clip(tmp_path / "clip.mp4", frames=6, pts=ticks, time_base=base)
    assert times(clip) == [t * base for t in ticks]
    assert times(convert(clip, tmp_path / "out.mp4").files[0]) == [t * base for t in ticks]


@pytest.mark.parametrize("fps", [12.0, 29.97])
def test_another_rate_on_request(make_clip: MakeClip, tmp_path: Path, fps: float) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=24, audio=True)
    made = convert(clip, tmp_path / "out.mp4", fps=fps, encoding=Encoding(preset="ultrafast"))
    shown = times(made.files[0])
    assert made.frames == len(shown) == round(fps)
    assert [float(t) for t in shown] == pytest.approx([k / fps for k in range(len(shown))], abs=1e-4)
    assert [data for data, _ in packets(made.files[0])] == [data for data, _ in packets(clip)]
    source, frames = open_video(clip).stack(), open_video(made.files[0]).stack()
    for k in (0, len(shown) // 2, len(shown) - 1):  # the frame on show at that time
        errors = [np.abs(frames[k, :, :96].astype(int) - image).mean() for image in source]
        assert int(np.argmin(errors)) == pytest.approx(int(k / fps * 24 + 1e-6), abs=0)


# Shapes


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied_and_its_tag_is_gone(make_clip: MakeClip, tmp_path: Path, rotation: int) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=2, rotation=rotation)
    upright = open_video(clip).stack()
    made = convert(clip, tmp_path / "out.mkv", encoding=FFV1, look=Look(divergence=0.0)).files[0]
    assert np.array_equal(open_video(made).stack(), np.concatenate([upright, upright], axis=2))
    film = convert(clip, tmp_path / "out.mp4").files[0]
    for path in (made, film):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            assert frame.rotation == 0
            assert not any(item.type.name == "DISPLAYMATRIX" for item in frame.side_data)


@pytest.mark.parametrize("turned", [False, True])
def test_pixel_shape_is_kept_where_it_can_be_said(make_clip: MakeClip, tmp_path: Path, turned: bool) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=2, sar=Fraction(4, 3), rotation=90 * turned)
    shape = Fraction(3, 4) if turned else Fraction(4, 3)
    height, width = (96, 64) if turned else (64, 96)
    for codec in ("libx264", "libx265"):
        kept = opened(convert(clip, tmp_path / f"{codec}.mp4", encoding=Encoding(codec)))
        assert (kept.sar, kept.video.height, kept.video.width) == (shape, height, 2 * width)
    for suffix, codec in ((".mkv", "ffv1"), (".mkv", "libsvtav1")):
        square = opened(convert(clip, tmp_path / f"{codec}{suffix}", encoding=Encoding(codec)))
        assert (square.sar, square.video.height, square.video.width) == (1, height, 2 * round(width * shape))


def test_the_default_codec_keeps_pixel_shape(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=2, sar=Fraction(4, 3))
    kept = opened(convert(clip, tmp_path / "out.mp4"))
    assert (kept.sar, kept.video.width) == (Fraction(4, 3), 192)
    sphere = opened(convert(clip, tmp_path / "sphere.mp4", look=Look("vr180", convergence="0.5")))
    assert sphere.sar == 1


@pytest.mark.parametrize(("scale", "size"), [(0.5, (32, 48)), (2.0, (128, 192)), (0.77, (50, 74))])
def test_scale(make_clip: MakeClip, tmp_path: Path, scale: float, size: tuple[int, int]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=2)
    video = opened(convert(clip, tmp_path / "out.mp4", scale=scale)).video
    assert (video.height, video.width) == (size[0], 2 * size[1])


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "auto"), (".mp4", "libx265"), (".mkv", "ffv1"), (".webm", "libsvtav1")]
)
def test_the_shortest_clips(make_clip: MakeClip, tmp_path: Path, frames: int, suffix: str, codec: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=frames)
    config = StereoConfig(depth=DepthChoice(people=False), encoding=Encoding(codec))
    for attempt in range(2):  # x265 gives such clips undefined times, which are sometimes right
        made = stereo(clip, tmp_path / f"{attempt}{suffix}", config)
        assert made.frames == len(opened(made).video) == frames


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "libx264"), (".mp4", "libx265"), (".mkv", "libx265"), (".webm", "libsvtav1")]
)
def test_pieces_join_without_a_seam(make_clip: MakeClip, tmp_path: Path, suffix: str, codec: str) -> None:
    """Also where the last piece is shorter than an encoder's delay."""
    clip = make_clip(tmp_path / "clip.mkv", frames=8, pts=UNEVEN, time_base=MS)
    config = StereoConfig(depth=DepthChoice(people=False), encoding=Encoding(codec))
    for piece in (3, 7, 1):
        made = stereo(clip, tmp_path / f"{piece}{suffix}", config, run=StereoRun(piece_frames=piece))
        assert made.frames == 8
        assert times(made.files[0]) == [t * MS for t in UNEVEN]


# Colours


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "auto"), (".mkv", "libx264"), (".webm", "libsvtav1")])
def test_hdr_stays_hdr(make_clip: MakeClip, tmp_path: Path, transfer: int, suffix: str, codec: str) -> None:
    clip = make_clip(
        tmp_path / "clip.mkv",
        frames=3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags=(9, transfer, 9, 1),
        codec_options={"x265-params": "log-level=none"},
    )
    made = convert(clip, tmp_path / f"out{suffix}", encoding=Encoding(codec))
    video = opened(made).video
    assert (video.bits, video.color) == (10, ColorTags(9, transfer, 9, False))
    source = open_video(clip).stack().astype(np.int64)
    flat = convert(clip, tmp_path / f"flat{suffix}", encoding=Encoding(codec, crf=4), look=Look(divergence=0.0))
    for half in np.split(opened(flat).video.stack().astype(np.int64), 2, axis=2):
        assert np.abs(half - source).mean() / 65535 < 0.012
        assert abs(half.mean() - source.mean()) / 65535 < 0.002


def test_sixteen_bit_lossless(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=2, codec="ffv1", pix_fmt="yuv444p10le", tags=(9, 16, 9, 1))
    made = convert(clip, tmp_path / "out.mkv", encoding=FFV1, look=Look("eyes", source_eye="left"))
    video = opened(made).video
    assert (video.color.primaries, video.color.transfer, video.color.matrix) == (9, 16, 0)
    assert np.array_equal(video.stack(), open_video(clip).stack())


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (1, 1, 1, 2), (5, 6, 5, 1), (6, 6, 6, 1)])
def test_colour_tags_and_range_are_kept(make_clip: MakeClip, tmp_path: Path, tags: tuple[int, int, int, int]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=2, tags=tags)
    made = convert(clip, tmp_path / "out.mp4", look=Look(divergence=0.0), encoding=Encoding(crf=4))
    assert opened(made).video.color == ColorTags(*tags[:3], tags[3] == 2)
    source, half = open_video(clip).stack().astype(int), opened(made).video.stack()[:, :, :96].astype(int)
    assert np.abs(half.mean(axis=(0, 1, 2)) - source.mean(axis=(0, 1, 2))).max() < 1.5, "no colour cast"


# Other


def test_deinterlacing(make_clip: MakeClip, tmp_path: Path) -> None:
    def woven(i: int, height: int, width: int) -> np.ndarray:
        """Two moments in one frame: the odd lines show a bar that has moved on."""
        image = np.full((height, width, 3), 40, np.uint8)
        image[0::2, 10 + 8 * i : 26 + 8 * i] = 220
        image[1::2, 14 + 8 * i : 30 + 8 * i] = 220
        return image

    clip = make_clip(tmp_path / "clip.mkv", frames=6, codec="ffv1", pix_fmt="yuv420p", image=woven)
    look = Look(divergence=0.0)
    combed = opened(convert(clip, tmp_path / "a.mkv", encoding=FFV1, look=look)).video.stack()
    whole = opened(convert(clip, tmp_path / "b.mkv", encoding=FFV1, look=look, deinterlace=True)).video
    assert len(whole) == 6
    assert list(whole.pts) == list(open_video(clip).pts)

    def combing(frames: np.ndarray) -> float:
        return float(np.abs(np.diff(frames[2:4, :, :96, 1].astype(int), axis=1)).mean())

    assert combing(whole.stack()) < 0.5 * combing(combed)


def test_names_that_are_hard_to_type(make_clip: MakeClip, tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner – ö"
    folder.mkdir()
    clip = folder / "-clip [1] %d 'é'.mp4"
    shutil.copy(make_clip(tmp_path / "clip.mp4", frames=2), clip)
    made = convert(clip, folder / "out: 3D %05d.mp4")
    assert [f.name for f in made.files] == ["out: 3D %05d.mp4"]
    assert len(opened(made).video) == 2
