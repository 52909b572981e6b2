"""Laws of the container tags: FFmpeg reads what was written, and pictures and sound stay as they were."""

import hashlib
import io
import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.errors import MediaError, UsageError
from diorama.media.boxes import VR180_SPHERE, StereoTags, inject, read_tags
from diorama.media.formats import Rig, container_tags
from diorama.media.mp4 import find_moov, tracks
from diorama.media.tags import tag_boxes

SBS = container_tags("sbs", rig=Rig(hfov=63.4, baseline=0.0192, adjustment=-150)).mp4
ALL = [container_tags(name).mp4 for name in ("sbs", "tb", "cross-eye", "vr180")]
STEREO3D = struct.Struct("<4iI4i")
"""AVStereo3D: type, flags, view, primary eye, baseline, adjustment (num, den), field of view (num, den)."""
SPHERICAL = struct.Struct("<4i5I")
"""AVSphericalMapping: projection, yaw, pitch, roll, bounds left, top, right, bottom, padding."""


def clip(
    path: Path, *, codec: str = "libx264", video: dict | None = None, sound_first: bool = False, **extra: object
) -> Path:
    """A second of noise with a tone; `extra`: movflags, stereo_mode, audio."""
    options = {"movflags": str(extra["movflags"])} if "movflags" in extra else {}
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w", options=options) as out:
        order = ("audio", "video") if sound_first else ("video", "audio")
        made = {
            kind: out.add_stream(*((codec, 25) if kind == "video" else ("aac", 44100)))
            for kind in order
            if extra.get("audio", True) or kind == "video"
        }
        stream, sound = made["video"], made.get("audio")
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 32, "yuv420p", {**quiet, **(video or {})}
        if codec == "libx265":
            stream.codec_context.codec_tag = "hvc1"
        if "stereo_mode" in extra:
            stream.metadata["stereo_mode"] = str(extra["stereo_mode"])
        random = np.random.default_rng(0)
        for number in range(12):
            image = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if sound is not None:
                wave = np.sin(np.arange(number * 1764, (number + 1) * 1764) / 20, dtype=np.float32)
                tone = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
                tone.sample_rate, tone.pts = 44100, number * 1764
                out.mux(sound.encode(tone))
        for one in made.values():
            out.mux(one.encode(None))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    kinds: dict[str, dict] = {
        "h264": {},
        "h264-faststart": {"movflags": "faststart"},
        "hevc": {"codec": "libx265"},
        "hevc-faststart": {"codec": "libx265", "movflags": "faststart"},
        "sound-first": {"sound_first": True, "movflags": "faststart"},
        "silent": {"audio": False},
        "fragments": {"movflags": "frag_keyframe+empty_moov"},
    }
    made = {name: clip(folder / f"{name}.mp4", **kind) for name, kind in kinds.items()}
    made["mov"] = clip(folder / "clip.mov", movflags="faststart")
    made["mkv"] = clip(folder / "clip.mkv")
    return made


WHOLE = ["h264", "h264-faststart", "hevc", "hevc-faststart", "sound-first", "silent", "mov"]


def contents(path: Path) -> tuple[list[str], dict[str, str]]:
    """Hash of every decoded frame, and of all packets with their times by kind of stream."""
    with av.open(str(path)) as file:
        frames = [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in file.decode(video=0)]
    packets: dict[str, str] = {}
    with av.open(str(path)) as file:
        for kind in {stream.type for stream in file.streams}:
            file.seek(0)
            digest = hashlib.sha256()
            for packet in file.demux(**{kind: 0}):
                digest.update(bytes(packet) + repr((packet.pts, packet.dts, packet.duration)).encode())
            packets[kind] = digest.hexdigest()
    return frames, packets


def side_data(path: Path) -> dict[str, bytes]:
    """Side data of the first decoded frame, by its name in FFmpeg."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        return {item.type.name: bytes(item) for item in frame.side_data}


@pytest.mark.parametrize("name", WHOLE)
def test_frames_and_packets_are_untouched(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    before = contents(clips[name])
    assert len(before[0]) == 12
    for number, tags in enumerate(ALL):
        target = tmp_path / f"{number}{clips[name].suffix}"
        inject(clips[name], target, tags)
        assert contents(target) == before
        assert read_tags(target) == tags


@pytest.mark.parametrize("name", WHOLE)
def test_ffmpeg_sees_both_eyes(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    assert "STEREO3D" not in side_data(clips[name])
    inject(clips[name], tmp_path / "out.mp4", SBS)
    seen = STEREO3D.unpack(side_data(tmp_path / "out.mp4")["STEREO3D"])
    assert seen == (1, 0, 0, 1, 19_200, -150, 10_000, 63_400, 1000)


@pytest.mark.parametrize(
    ("name", "swap", "kind", "flags"),
    [("sbs", False, 1, 0), ("sbs", True, 1, 1), ("cross-eye", False, 1, 1), ("tb", False, 2, 0), ("tb", True, 2, 1)],
)
def test_ffmpeg_sees_which_eye_comes_first(
    clips: dict[str, Path], tmp_path: Path, name: str, swap: bool, kind: int, flags: int
) -> None:
    inject(clips["silent"], tmp_path / "out.mp4", container_tags(name, swap=swap).mp4)
    assert STEREO3D.unpack(side_data(tmp_path / "out.mp4")["STEREO3D"])[:2] == (kind, flags)


@pytest.mark.parametrize(("layout", "kind"), [("mono", 0), ("top-bottom", 2), ("left-right", 1)])
def test_st3d_alone_is_read(clips: dict[str, Path], tmp_path: Path, layout: str, kind: int) -> None:
    inject(clips["silent"], tmp_path / "out.mp4", StereoTags(layout=layout))
    assert STEREO3D.unpack(side_data(tmp_path / "out.mp4")["STEREO3D"])[0] == kind


def test_sphere_alone_is_read_with_its_bounds(clips: dict[str, Path], tmp_path: Path) -> None:
    inject(clips["silent"], tmp_path / "out.mp4", StereoTags(sphere=VR180_SPHERE))
    projection, *_, left, top, right, bottom, _ = SPHERICAL.unpack(side_data(tmp_path / "out.mp4")["SPHERICAL"])
    assert (projection, left, top, right, bottom) == (2, 0x4000_0000, 0, 0x4000_0000, 0)  # 2: part of equirectangular


@pytest.mark.parametrize(("name", "projection"), [("vr180", 3), ("sbs", 4)])
def test_apple_projection_is_read(clips: dict[str, Path], tmp_path: Path, name: str, projection: int) -> None:
    inject(clips["silent"], tmp_path / "out.mp4", container_tags(name).mp4)
    assert SPHERICAL.unpack(side_data(tmp_path / "out.mp4")["SPHERICAL"])[0] == projection  # half sphere; flat


@pytest.mark.parametrize("name", ["h264", "h264-faststart"])
def test_tags_replace_earlier_tags(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    steps = [tmp_path / f"{number}.mp4" for number in range(4)]
    inject(clips[name], steps[0], ALL[3])
    inject(steps[0], steps[1], SBS)
    inject(clips[name], steps[2], SBS)
    assert steps[1].read_bytes() == steps[2].read_bytes()
    inject(steps[1], steps[3], StereoTags())
    assert steps[3].read_bytes() == clips[name].read_bytes()
    assert read_tags(steps[3]) is None


def test_other_tracks_and_other_bytes_are_untouched(clips: dict[str, Path], tmp_path: Path) -> None:
    inject(clips["h264"], tmp_path / "out.mp4", SBS)
    data, made = clips["h264"].read_bytes(), (tmp_path / "out.mp4").read_bytes()
    growth = len(tag_boxes(SBS))
    assert len(made) == len(data) + growth
    moov = find_moov(io.BytesIO(data), len(data))
    assert made[: moov.start] == data[: moov.start]  # the samples come first in this layout
    sound = next(track for track in tracks(data[moov.start :]) if track.handler == b"soun")
    first, last = moov.start + sound.chain[0].start, moov.start + sound.chain[0].end
    assert made[first + growth : last + growth] == data[first:last]


def top_boxes(data: bytes) -> list[bytes]:
    boxes, position = [], 0
    while position < len(data):
        size = struct.unpack_from(">I", data, position)[0]
        boxes.append(data[position : position + size])
        position += size
    return boxes


def wide_header(item: bytes) -> bytes:
    """The box with a 64-bit size."""
    return struct.pack(">I4sQ", 1, item[4:8], len(item) + 8) + item[8:]


def open_ended(item: bytes) -> bytes:
    """The box with size zero: it ends with the file."""
    return bytes(4) + item[4:]


@pytest.mark.parametrize("last", [lambda item: item, wide_header, open_ended])
@pytest.mark.parametrize("name", ["h264", "h264-faststart"])
def test_every_form_of_box_size(clips: dict[str, Path], tmp_path: Path, name: str, last) -> None:
    boxes = top_boxes(clips[name].read_bytes())
    spare = next(number for number, item in enumerate(boxes) if item[4:8] == b"free")
    assert boxes[spare + 1][4:8] == b"mdat"
    if boxes[-1][4:8] == b"mdat" and last is not open_ended:
        boxes[spare : spare + 2] = [wide_header(boxes[spare + 1])]  # its eight bytes come from the free box
    else:
        boxes[-1] = last(boxes[-1])
    source = tmp_path / "source.mp4"
    source.write_bytes(b"".join(boxes))
    before = contents(clips[name])
    assert contents(source) == before
    inject(source, tmp_path / "out.mp4", SBS)
    assert contents(tmp_path / "out.mp4") == before
    assert read_tags(tmp_path / "out.mp4") == SBS


@pytest.mark.parametrize("name", ["fragments", "mkv"])
def test_other_containers_are_refused_with_a_reason(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    match = "fragmented" if name == "fragments" else "not an MP4|damaged"
    for work in (lambda: inject(clips[name], tmp_path / "out.mp4", SBS), lambda: read_tags(clips[name])):
        with pytest.raises(MediaError, match=match):
            work()
    assert not list(tmp_path.iterdir())


def test_missing_files_folders_and_the_source_itself(clips: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        inject(tmp_path / "none.mp4", tmp_path / "out.mp4", SBS)
    with pytest.raises(MediaError, match="not a regular file"):
        read_tags(tmp_path)
    with pytest.raises(MediaError, match="cannot be read"):
        read_tags(tmp_path / ("x" * 300))
    with pytest.raises(UsageError, match="file that is read"):
        inject(clips["h264"], clips["h264"], SBS)
    link = tmp_path / "link.mp4"
    link.symlink_to(clips["h264"])
    with pytest.raises(UsageError, match="file that is read"):
        inject(clips["h264"], link, SBS)
    with pytest.raises(UsageError, match="folder"):
        inject(clips["h264"], tmp_path / "none" / "out.mp4", SBS)


def test_memory_does_not_grow_with_the_film(clips: dict[str, Path], tmp_path: Path) -> None:
    source = tmp_path / "long.mp4"
    with source.open("wb") as file:
        file.write(clips["h264"].read_bytes() + struct.pack(">I4s", 64 << 20, b"free"))
        file.truncate(file.tell() - 8 + (64 << 20))
    tracemalloc.start()
    inject(source, tmp_path / "out.mp4", SBS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert contents(tmp_path / "out.mp4") == contents(clips["h264"])


@pytest.mark.parametrize(("name", "kind"), [("sbs", 1), ("half-sbs", 1), ("tb", 2), ("half-tb", 2)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frame_packing_message_is_read_by_the_decoder(tmp_path: Path, name: str, kind: int, suffix: str) -> None:
    params = container_tags(name).x264
    assert params is not None
    path = clip(tmp_path / f"out.{suffix}", video={"x264-params": params}, audio=False)
    assert STEREO3D.unpack(side_data(path)["STEREO3D"])[:2] == (kind, 0)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("mkv", "libx265"), ("mkv", "ffv1"), ("webm", "libvpx-vp9")]
)
@pytest.mark.parametrize(
    ("name", "swap", "kind", "flags"),
    [("sbs", False, 1, 0), ("cross-eye", False, 1, 1), ("tb", False, 2, 0), ("tb", True, 2, 1)],
)
def test_matroska_stereo_mode_is_read(
    tmp_path: Path, suffix: str, codec: str, name: str, swap: bool, kind: int, flags: int
) -> None:
    mode = container_tags(name, swap=swap).matroska
    fast = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
    path = clip(tmp_path / f"out.{suffix}", codec=codec, video=fast, audio=False, stereo_mode=mode)
    assert STEREO3D.unpack(side_data(path)["STEREO3D"])[:2] == (kind, flags)
    with av.open(str(path)) as file:
        assert file.streams.video[0].metadata["stereo_mode"] == mode


def test_matroska_names_an_anaglyph(tmp_path: Path) -> None:
    mode = container_tags("anaglyph").matroska
    path = clip(tmp_path / "out.mkv", audio=False, stereo_mode=mode)
    with av.open(str(path)) as file:
        assert file.streams.video[0].metadata["stereo_mode"] == "anaglyph_cyan_red"


def test_message_and_boxes_agree(tmp_path: Path) -> None:
    tags = container_tags("sbs")
    plain = clip(tmp_path / "plain.mp4", video={"x264-params": tags.x264})
    inject(plain, tmp_path / "out.mp4", tags.mp4)
    assert STEREO3D.unpack(side_data(tmp_path / "out.mp4")["STEREO3D"])[:2] == (1, 0)
    assert contents(tmp_path / "out.mp4") == contents(plain)
