"""Unusual input that must simply work, with a word to the user where something is to be known (platform.md 4.3)."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from diorama.cli import main
from diorama.media.read import open_media

FRAMES = 6
OUT = "-o out.mp4 --no-people --preset ultrafast"
DEPTH = "-o out.mp4 --depth d.npy --preset ultrafast"
LOSSLESS = "-o out.mkv --codec ffv1 --no-people"


@dataclass(frozen=True)
class Film:
    """What lies in an output, as a player sees it."""

    size: tuple[int, int]
    pts: list[Fraction]
    stream: Any
    packets: dict[str, list[bytes]]
    starts: dict[str, Fraction]


def film(path: Path) -> Film:
    """Read an output back."""
    packets: dict[str, list[bytes]] = {}
    starts: dict[str, Fraction] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                packets.setdefault(packet.stream.type, []).append(bytes(packet))
                starts.setdefault(packet.stream.type, packet.pts * packet.time_base)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        context = video.codec_context
        stream = {
            "sar": context.sample_aspect_ratio or Fraction(1),
            "format": context.pix_fmt,
            "tags": (context.color_primaries, context.color_trc, context.colorspace),
            "rotation": frames[0].rotation,
        }
    return Film((frames[0].width, frames[0].height), [f.pts * f.time_base for f in frames], stream, packets, starts)


Make = Callable[[Path, Any], Any]
Check = Callable[[Path, str], None]


@dataclass(frozen=True)
class Case:
    """One row: what is made, the arguments after ``diorama stereo``, and what must hold afterwards."""

    row: str
    make: Make
    arguments: str | tuple[str, ...]
    check: Check

    @property
    def words(self) -> list[str]:
        return ["stereo", *(self.arguments.split() if isinstance(self.arguments, str) else self.arguments)]


def clip(name: str = "in.mp4", **how: Any) -> Make:
    return lambda folder, make: make(folder / name, **{"frames": FRAMES, **how})


def shows(*, frames: int = FRAMES, size: tuple[int, int] = (192, 64), note: str = "", name: str = "out.mp4") -> Check:
    """So many frames of this size (width, height), and a word among the notes."""

    def check(folder: Path, said: str) -> None:
        made = film(folder / name)
        assert (len(made.pts), made.size) == (frames, size)
        assert note in said

    return check


def has(**expected: Any) -> Check:
    """Facts of the stream."""

    def check(folder: Path, said: str) -> None:
        stream = film(folder / "out.mp4").stream
        assert {name: stream[name] for name in expected} == expected

    return check


def starts_at(*seconds: float) -> Check:
    """When each frame begins, exactly as in the source."""

    def check(folder: Path, said: str) -> None:
        assert [round(float(p), 3) for p in film(folder / "out.mp4").pts] == list(seconds)

    return check


def both(*checks: Check) -> Check:
    def check(folder: Path, said: str) -> None:
        for one in checks:
            one(folder, said)

    return check


def same_sound(folder: Path, said: str) -> None:
    before, after = film(folder / "in.mkv"), film(folder / "out.mkv")
    assert before.packets["audio"] == after.packets["audio"]
    assert len(after.packets["audio"]) > 3
    for kind in ("audio", "video"):
        assert before.starts[kind] == after.starts[kind]


def untouched(folder: Path, said: str) -> None:
    """Without parallax each eye is the source, bit for bit."""
    for made, source in zip(open_media(folder / "out.mkv").video, open_media(folder / "in.mkv").video, strict=True):
        np.testing.assert_array_equal(made.image[:, :96], source.image)
        np.testing.assert_array_equal(made.image[:, 96:], source.image)


def flat(folder: Path, said: str) -> None:
    """A constant depth has no parallax, and the user is told."""
    assert "flat" in said
    facts = json.loads((folder / "out.mp4.comfort.json").read_text())
    assert any("flat" in note for note in facts["notes"])


def animation(name: str, **options: Any) -> Make:
    """Three pictures shown for 100, 250 and 50 ms."""

    def make_it(folder: Path, make: Any) -> None:
        pages = [Image.effect_noise((96, 64), 60).convert("RGB") for _ in range(3)]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:], duration=[100, 250, 50], **options)

    return make_it


def still(name: str) -> Make:
    return lambda folder, _: Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(folder / name)


def numbered(folder: Path, make: Any) -> None:
    (folder / "in").mkdir()
    for number in (9, 10, 11):
        Image.new("RGB", (96, 64), (number * 20, 90, 0)).save(folder / "in" / f"f{number}.png")


def cut(name: str, share: float) -> Make:
    def make_it(folder: Path, make: Any) -> None:
        options = {"movflags": "faststart"} if name.endswith("mp4") else {}
        path = make(folder / name, frames=60, fps=30, options=options, codec_options={"g": "6", "bf": "0"})
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return make_it


def flipped(folder: Path, make: Any) -> None:
    path = make(folder / "in.mp4", frames=48, codec_options={"g": "12", "crf": "10"})
    content = bytearray(path.read_bytes())
    for position in np.random.default_rng(5).integers(len(content) // 4, len(content) // 2, 200):
        content[position] ^= 0x5A
    path.write_bytes(content)


def resized(folder: Path, make: Any) -> None:
    parts = [make(folder / f"{size[0]}.h264", frames=FRAMES, size=size) for size in ((64, 96), (96, 128))]
    (folder / "in.h264").write_bytes(b"".join(part.read_bytes() for part in parts))


def grey(width: int, height: int, pts: int) -> av.VideoFrame:
    """A plain frame, at 24 frames a second."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(b"\x80" * plane.buffer_size)
    frame.pts, frame.time_base = pts, Fraction(1, 24)
    return frame


def with_sound(*, start: float = 0.0, layout: str = "7.1", rate: int = 48000, seconds: float = 0.5) -> Make:
    """An MKV of six frames and longer sound, both from `start` seconds on."""

    def make_it(folder: Path, make: Any) -> None:
        with av.open(str(folder / "in.mkv"), "w") as out:
            video = out.add_stream("libx264", rate=24)
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
            sound = out.add_stream("flac", rate=rate, layout=layout)
            first = round(start * 24)
            for i in range(FRAMES):
                out.mux(video.encode(grey(96, 64, first + i)))
            out.mux(video.encode(None))
            samples = round(sound.codec_context.layout.nb_channels * rate * seconds)
            wave = np.random.default_rng(2).integers(-9000, 9000, (1, samples), np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
            out.mux(sound.encode(frame))
            out.mux(sound.encode(None))

    return make_it


def stalling_sound(folder: Path, make: Any) -> None:
    """Sound whose packets come in pairs of one time, as Matroska's milliseconds may bring it about."""
    source = make(folder / "sound.mp4", frames=FRAMES, audio=True)
    with av.open(str(source)) as old, av.open(str(folder / "in.mkv"), "w") as out:
        copies = {stream.index: out.add_stream_from_template(stream) for stream in old.streams}
        for packet in (packet for packet in old.demux() if packet.size):
            if packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts - packet.pts % 2048
            packet.stream = copies[packet.stream.index]
            out.mux(packet)


def all_sound(folder: Path, said: str) -> None:
    """No packet is lost, and each has a time of its own."""
    assert film(folder / "out.mp4").packets["audio"] == film(folder / "in.mkv").packets["audio"]
    with av.open(str(folder / "out.mp4")) as container:
        times = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert sorted(set(times)) == times


def two_videos(folder: Path, make: Any) -> None:
    """Two pictures of different size in one file."""
    with av.open(str(folder / "in.mkv"), "w") as out:
        streams = [out.add_stream("libx264", rate=24) for _ in range(2)]
        for stream, (width, height) in zip(streams, ((96, 64), (128, 96)), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(FRAMES):
            for stream in streams:
                out.mux(stream.encode(grey(stream.width, stream.height, i)))
        for stream in streams:
            out.mux(stream.encode(None))


def depth(value: float | None) -> Make:
    """A clip and depth that is `value` everywhere (None: from -1 to 1)."""

    def make_it(folder: Path, make: Any) -> None:
        make(folder / "in.mp4", frames=FRAMES)
        ramp = np.linspace(-1, 1, 96, dtype=np.float32) * np.ones((FRAMES, 64, 1), np.float32)
        np.save(folder / "d.npy", ramp if value is None else np.full_like(ramp, value))

    return make_it


def linked(folder: Path, make: Any) -> None:
    make(folder / "real.mp4", frames=FRAMES)
    (folder / "in.mp4").symlink_to("real.mp4")


NAMES = (
    "two words.mp4",
    'it\'s "quoted".mp4',
    "line\nbreak.mp4",
    "🎬 é.mp4",
    "a%20b?#&.mp4",
    "n" * 251 + ".mp4",
    "*.mp4",
)
PQ = (9, 16, 9, 1)
CASES = (
    Case("2 numbered images", numbered, f"in {OUT}", shows(frames=3, note="3 images")),
    Case(
        "6 cut in half, tolerant",
        cut("in.mp4", 0.5),
        f"in.mp4 {OUT} --tolerant",
        lambda f, said: shows(frames=len(film(f / "out.mp4").pts), note="of 60 frames")(f, said),
    ),
    Case(
        "6 cut in half, mkv, tolerant",
        cut("in.mkv", 0.5),
        f"in.mkv {OUT} --tolerant",
        lambda f, said: shows(frames=len(film(f / "out.mp4").pts), note="cut off")(f, said),
    ),
    Case("9 flipped bytes, tolerant", flipped, f"in.mp4 {OUT} --tolerant", shows(frames=48)),
    Case("12 one frame", clip(frames=1), f"in.mp4 {OUT}", shows(frames=1)),
    Case("12 two frames", clip(frames=2), f"in.mp4 {OUT}", shows(frames=2)),
    Case("13 a PNG", still("in.png"), f"in.png {OUT}", shows(frames=1, note="still image")),
    Case(
        "13 a JPEG named mp4",
        lambda f, m: shutil.move(still("a.jpg")(f, m) or f / "a.jpg", f / "in.mp4"),
        f"in.mp4 {OUT}",
        shows(frames=1, note="still image"),
    ),
    Case("14 GIF", animation("in.gif"), f"in.gif {OUT}", starts_at(0, 0.1, 0.35)),
    Case("14 WebP", animation("in.webp", lossless=True), f"in.webp {OUT}", starts_at(0, 0.1, 0.35)),
    Case("14 APNG", animation("in.png"), f"in.png {OUT}", starts_at(0, 0.1, 0.35)),
    Case(
        "15 variable rate",
        clip(pts=[0, 3, 10, 11, 30, 31], time_base=Fraction(1, 100)),
        f"in.mp4 {OUT}",
        starts_at(0, 0.03, 0.1, 0.11, 0.3, 0.31),
    ),
    Case(
        "15 variable rate, resampled",
        clip(pts=[0, 3, 10, 11, 30, 31], time_base=Fraction(1, 100)),
        f"in.mp4 {OUT} --fps 10",
        starts_at(0, 0.1, 0.2),
    ),
    Case("16 a late start, with sound", with_sound(start=1.5), "in.mkv -o out.mkv --no-people", same_sound),
    Case(
        "17 frames out of order",
        clip(codec_options={"bf": "3", "x264-params": "b-pyramid=normal"}),
        f"in.mp4 {OUT}",
        starts_at(*(round(i / 24, 3) for i in range(FRAMES))),
    ),
    Case("18 rotated by 90", clip(rotation=90), f"in.mp4 {OUT}", both(shows(size=(128, 96)), has(rotation=0))),
    Case("18 rotated by 180", clip(rotation=180), f"in.mp4 {OUT}", both(shows(), has(rotation=0))),
    Case("19 wide pixels", clip(sar=Fraction(4, 3)), f"in.mp4 {OUT}", has(sar=Fraction(4, 3))),
    Case(
        "20 odd sides",
        clip("in.mkv", size=(63, 95), codec="ffv1", pix_fmt="bgr0"),
        f"in.mkv {OUT}",
        lambda f, said: shows(size=film(f / "out.mp4").size)(f, said),
    ),
    Case(
        "26 10-bit PQ",
        clip(codec="libx265", pix_fmt="yuv420p10le", tags=PQ, size=(128, 128)),
        f"in.mp4 {OUT}",
        has(tags=PQ[:3], format="yuv420p10le"),
    ),
    Case("27 untagged", clip(), f"in.mp4 {OUT}", has(tags=(6, 6, 6))),
    Case("28 alpha", clip("in.mkv", codec="ffv1", pix_fmt="yuva420p"), f"in.mkv {OUT} --background white", shows()),
    Case("29 interlaced", clip(codec_options={"x264-params": "tff=1"}), f"in.mp4 {OUT}", shows(note="--deinterlace")),
    Case("29 deinterlaced", clip(codec_options={"x264-params": "tff=1"}), f"in.mp4 {OUT} --deinterlace", shows()),
    Case("30 another size in mid-stream, tolerant", resized, f"in.h264 {OUT} --tolerant", shows(frames=12)),
    Case("31 two pictures", two_videos, f"in.mkv {OUT}", shows(note="choose with --map")),
    Case("31 two pictures, the second", two_videos, f"in.mkv {OUT} --map 1", shows(size=(256, 96))),
    Case("32 eight channels, longer than the picture", with_sound(), "in.mkv -o out.mkv --no-people", same_sound),
    Case("32 an odd sample rate", with_sound(layout="mono", rate=11025), "in.mkv -o out.mkv --no-people", same_sound),
    *(Case(f"36 {name[:20]!r}", clip(name), (name, *OUT.split()), shows()) for name in NAMES),
    Case("36 a leading hyphen after --", clip("-leading.mp4"), f"{OUT} -- -leading.mp4", shows()),
    Case(
        "36 an output of 242 bytes",
        clip(),
        ("in.mp4", "--no-people", "-o", "o" * 238 + ".mp4"),
        shows(name="o" * 238 + ".mp4"),
    ),
    Case("32 sound that stalls", stalling_sound, f"in.mkv {OUT}", all_sound),
    Case("32 sound that goes on", with_sound(seconds=3), "in.mkv -o out.mkv --no-people", same_sound),
    Case("37 a link to a file", linked, f"in.mp4 {OUT}", shows()),
    Case("52 constant depth", depth(3.0), f"in.mp4 {DEPTH}", both(shows(), flat)),
    Case("52 depth of zeros", depth(0.0), f"in.mp4 {DEPTH}", both(shows(), flat)),
    Case("52 negative depth", depth(None), f"in.mp4 {DEPTH}", shows(note="negative")),
    Case(
        "53 no parallax", clip("in.mkv", codec="ffv1", pix_fmt="bgr0"), f"in.mkv {LOSSLESS} --divergence 0", untouched
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_accepted(case: Case, make_clip: Any, tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    case.make(tmp_path, make_clip)
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(case.words)
    said = capfd.readouterr()
    assert stop.value.code == 0, said.err
    assert all(line.startswith("note: ") for line in said.err.splitlines()), said.err
    assert not list(tmp_path.glob(".*")), "something hidden is left"
    case.check(tmp_path, said.err)


BOMB = """
import sys, psutil
from diorama.media.read import open_video
most = count = 0
for frame in open_video(sys.argv[1]):
    assert frame.image.shape == (4096, 4096, 3)
    most, count = max(most, psutil.Process().memory_info().rss), count + 1
print(count, most >> 20)
"""


def test_a_bomb_streams_in_bounded_memory(tmp_path: Path) -> None:
    """Row 23: a few kilobytes that unpack to 50 MB a frame."""
    path = tmp_path / "bomb.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width = stream.height = 4096
        stream.pix_fmt, stream.codec_context.options = "yuv420p", {"preset": "ultrafast", "tune": "zerolatency"}
        for i in range(12):
            out.mux(stream.encode(grey(4096, 4096, i)))
        out.mux(stream.encode(None))
    assert path.stat().st_size < 100_000
    done = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, check=True)
    frames, megabytes = map(int, done.stdout.split())
    assert frames == 12
    assert megabytes < 500
