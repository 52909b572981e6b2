"""Bad input: one clear line, the right exit code, and nothing left behind or overwritten (platform.md 4.3)."""

import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from diorama.cli import main

FRAMES = 6
Make = Callable[[Path, Any], Any]
CENC = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 31 + "1", "encryption_kid": "0" * 31 + "2"}


@dataclass(frozen=True)
class Case:
    """One row: the file "in.mp4" (or another) is made in an empty folder, then the command runs there.

    Attributes:
        row: of platform.md 4.3, and what it is in words.
        make: writes the input into a folder; given the clip factory.
        code: the exit code.
        word: in the one line on standard error.
        arguments: of ``diorama``; words split at blanks, or a tuple of them.
    """

    row: str
    make: Make
    code: int
    word: str
    arguments: str | tuple[str, ...] = "stereo in.mp4 -o out.mp4"

    @property
    def words(self) -> list[str]:
        return self.arguments.split() if isinstance(self.arguments, str) else list(self.arguments)


def clip(name: str = "in.mp4", **how: Any) -> Make:
    """A sound clip."""
    return lambda folder, make: make(folder / name, **{"frames": FRAMES, **how})


def nothing(folder: Path, make: Any) -> None:
    """No input at all."""


def data(content: bytes, name: str = "in.mp4") -> Make:
    """A file of these bytes."""
    return lambda folder, _: (folder / name).write_bytes(content)


def cut(share: float, *, name: str = "in.mp4", fast: bool = True) -> Make:
    """A clip of 60 frames that ends early; `fast` has its index at the front."""

    def make_it(folder: Path, make: Any) -> None:
        options = {"movflags": "faststart"} if fast and name.endswith("mp4") else {}
        path = make(folder / name, frames=60, fps=30, options=options, codec_options={"g": "6", "bf": "0"})
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return make_it


def flipped(name: str = "in.mp4", *, count: int = 200) -> Make:
    """A clip with bytes changed in the middle of its pictures."""

    def make_it(folder: Path, make: Any) -> None:
        path = make(folder / name, frames=48, codec_options={"g": "12", "crf": "10"})
        content = bytearray(path.read_bytes())
        where = np.random.default_rng(5).integers(len(content) // 4, len(content) // 2, count)
        for position in where:
            content[position] ^= 0x5A
        path.write_bytes(content)

    return make_it


def sound_only(folder: Path, make: Any) -> None:
    with av.open(str(folder / "in.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def no_frames(folder: Path, make: Any) -> None:
    with av.open(str(folder / "in.mkv"), "w") as out:
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.open()
        out.start_encoding()


def resized(folder: Path, make: Any) -> None:
    """Two sizes one after the other, as a broadcast may switch."""
    parts = [make(folder / f"{size[0]}.h264", frames=FRAMES, size=size) for size in ((64, 96), (96, 128))]
    (folder / "in.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def patched(name: str, old: bytes, new: bytes, **how: Any) -> Make:
    """A sound clip with bytes replaced everywhere."""

    def make_it(folder: Path, make: Any) -> None:
        path = make(folder / name, frames=FRAMES, **how)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return make_it


def special(kind: str) -> Make:
    """A FIFO, a socket or a link under the name in.mp4."""

    def make_it(folder: Path, make: Any) -> None:
        path = folder / "in.mp4"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            here = os.getcwd()
            os.chdir(folder)  # socket addresses are short
            socket.socket(socket.AF_UNIX).bind("in.mp4")
            os.chdir(here)
        else:
            path.symlink_to(kind)

    return make_it


def both(*makes: Make) -> Make:
    """Several files."""

    def make_it(folder: Path, make: Any) -> None:
        for one in makes:
            one(folder, make)

    return make_it


def depth(values: Callable[[np.ndarray], np.ndarray], name: str = "d.npy") -> Make:
    """A sound clip and a depth array made from a smooth one."""

    def make_it(folder: Path, make: Any) -> None:
        ramp = np.linspace(0, 1, 96, dtype=np.float32) * np.ones((FRAMES, 64, 1), np.float32)
        np.save(folder / name, values(ramp))

    return both(clip(), make_it)


def with_nan(maps: np.ndarray) -> np.ndarray:
    maps[3, 10, 10] = np.nan
    return maps


def image(name: str, size: tuple[int, int]) -> Make:
    """A still picture."""
    return lambda folder, _: Image.new("1", size).save(folder / name)


def folder_of(*sizes: tuple[int, int]) -> Make:
    """A folder "in.mp4" of numbered images."""

    def make_it(folder: Path, make: Any) -> None:
        (folder / "in.mp4").mkdir()
        for number, size in enumerate(sizes):
            Image.new("RGB", size).save(folder / "in.mp4" / f"f_{number:03d}.png")

    return make_it


def recipe(**changes: Any) -> Make:
    """A sidecar in.mp4.diorama.json of a clip in.mp4, with changes."""

    def make_it(folder: Path, make: Any) -> None:
        path = make(folder / "in.mp4", frames=FRAMES)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        fields = {
            "diorama_recipe": 1,
            "command": "stereo",
            "options": {"people": False},
            "inputs": [{"name": "in.mp4", "bytes": len(content), "sha256": digest}],
            "seed": 0,
            "version": "0.1.0",
            "models": {},
        }
        (folder / "r.diorama.json").write_text(json.dumps({**fields, **changes}))

    return make_it


def input_named(name: str) -> dict[str, Any]:
    return {"inputs": [{"name": name, "bytes": 1, "sha256": "0" * 64}]}


PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
REPRODUCE = "reproduce r.diorama.json -o out.mp4"
DEPTH = "stereo in.mp4 -o out.mp4 --depth d.npy"
PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
    "ffconcat": b"ffconcat version 1.0\nfile other.mp4\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}
CASES = (
    Case("1 missing", nothing, 3, "no such file — in.mp4"),
    Case("1 missing, in a missing folder", nothing, 3, "no such file", "stereo no/in.mp4 -o out.mp4"),
    Case("1 a pattern that fits nothing", nothing, 3, "pattern", ("stereo", "*.mp4", "-o", "outs")),
    Case("1 a missing depth file", clip(), 3, "no such depth file", DEPTH),
    Case("2 an empty folder", lambda f, _: (f / "in.mp4").mkdir(), 3, "folder without"),
    Case("2 images of two sizes", folder_of((96, 64), (64, 96)), 3, "64x96"),
    Case("3 empty", data(b""), 3, "empty file"),
    Case("4 text", data(b"Once upon a time there was a film.\n" * 40), 3, "not a recognised video"),
    Case("5 random bytes", data(np.random.default_rng(1).bytes(20_000)), 3, "not a recognised video"),
    Case("6 cut in half", cut(0.5), 4, "of 60 frames"),
    Case("6 cut in half, mkv", cut(0.5, name="in.mkv"), 4, "frames", "stereo in.mkv -o out.mp4"),
    Case("6 cut in half, mpegts", cut(0.5, name="in.ts"), 4, "damaged", "stereo in.ts -o out.mp4"),
    Case("7 cut to a stub", cut(0.01), 3, "no video stream"),
    Case("7 cut to a stub, mkv", cut(0.01, name="in.mkv"), 3, "video", "stereo in.mkv -o out.mp4"),
    Case("8 cut before the index", cut(0.8, fast=False), 3, "moov"),
    Case("9 flipped bytes", flipped(), 4, " s "),
    Case("9 flipped bytes, mkv", flipped("in.mkv"), 4, " s ", "stereo in.mkv -o out.mp4"),
    Case("10 sound only", sound_only, 3, "no video stream (found: audio)"),
    Case("11 no frames", no_frames, 3, "before its first frame", "stereo in.mkv -o out.mp4"),
    Case("13 a cut PNG", data(PNG_HEAD + bytes(30), "in.png"), 3, "image", "stereo in.png -o out.mp4"),
    Case("13 a huge PNG", image("in.png", (9000, 9000)), 5, "9000x9000", "stereo in.png -o out.mp4"),
    Case("21 1x1", clip("in.mkv", size=(1, 1), codec="ffv1", pix_fmt="bgr0"), 2, "too small", "stereo in.mkv -o o.mp4"),
    Case("21 2x2", clip(size=(2, 2)), 2, "too small"),
    Case("21 16x16", clip(size=(16, 16)), 2, "too small"),
    Case("21 scaled to nothing", clip(), 2, "too small", "stereo in.mp4 -o out.mp4 --scale 0.1"),
    Case(
        "22 16384x16384, y4m",
        data(b"YUV4MPEG2 W16384 H16384 F25:1 C420\nFRAME\n" + bytes(99), "in.y4m"),
        5,
        "16384x16384",
        "stereo in.y4m -o out.mp4",
    ),
    Case(
        "22 16384x16384, mkv",
        patched(
            "in.mkv",
            b"\xb0\x82\x01\x2c\xba\x82\x01\x2c",
            b"\xb0\x82\x40\0\xba\x82\x40\0",
            size=(300, 300),
            codec="ffv1",
            pix_fmt="bgr0",
        ),
        5,
        "16384x16384",
        "stereo in.mkv -o out.mp4",
    ),
    Case("23 over --max-pixels", clip(), 5, "--max-pixels", "stereo in.mp4 -o out.mp4 --max-pixels 1000"),
    Case("23 over --max-frames", clip(), 5, "--max-frames", "stereo in.mp4 -o out.mp4 --max-frames 3"),
    Case("23 over --max-frames, cut", clip(), 5, "--max-frames", "stereo in.mp4 -o o.mp4 --end 0.1 --max-frames 3"),
    Case("23 over --max-seconds", clip(), 5, "--max-seconds", "stereo in.mp4 -o out.mp4 --max-seconds 0.1"),
    Case("25 a synthetic source", nothing, 3, "no such file", "stereo testsrc -o out.mp4"),
    Case("25 a synthetic source by name", nothing, 2, "local files", "stereo lavfi:testsrc -o out.mp4"),
    Case("25 a device", nothing, 3, "not a regular file", "stereo /dev/zero -o out.mp4"),
    Case("30 another size in mid-stream", resized, 4, "size changes", "stereo in.h264 -o out.mp4"),
    Case("31 no such stream", clip(), 2, "no stream 7", "stereo in.mp4 -o out.mp4 --map 7"),
    Case("31 not a stream number", clip(), 2, "--map", "stereo in.mp4 -o out.mp4 --map video"),
    Case("33 encrypted", clip(options=CENC), 3, "encrypted"),
    Case("33 encrypted, by name only", patched("in.mp4", b"avc1\0", b"encv\0"), 3, "encrypted"),
    *(
        Case(f"34 {kind}", both(data(text), clip("other.mp4")), 3, "not a recognised video")
        for kind, text in PLAYLISTS.items()
    ),
    *(
        Case(f"35 {url.partition(':')[0]}:", clip(), 2, "local files", ("stereo", url, "-o", "out.mp4"))
        for url in (
            "http://127.0.0.1:9/a.mp4",
            "concat:in.mp4|in.mp4",
            "pipe:0",
            "subfile,,start,0,end,9,,:in.mp4",
            "file:in.mp4",
            "https+tls://example.invalid/a",
        )
    ),
    Case("35 a protocol as output", clip(), 2, "local files", "stereo in.mp4 -o tcp://127.0.0.1:9/out.mp4"),
    Case("36 a leading hyphen is an option", nothing, 2, "-leading.mp4", "stereo -leading.mp4 -o out.mp4"),
    Case("36 a leading hyphen after --", nothing, 3, "no such file", "stereo -o out.mp4 -- -leading.mp4"),
    Case("36 over 255 bytes", nothing, 2, "255 bytes", ("stereo", "é" * 130 + ".mp4", "-o", "out.mp4")),
    Case("36 over 4096 bytes", nothing, 2, "too long", ("stereo", "a/" * 3000 + "in.mp4", "-o", "out.mp4")),
    Case("36 an output of 255 bytes", clip(), 2, "too long", ("stereo", "in.mp4", "-o", "o" * 251 + ".mp4")),
    Case("36 no room for the usual ending", clip("n" * 251 + ".mp4"), 2, "bytes", ("stereo", "n" * 251 + ".mp4")),
    Case("36 nothing", nothing, 2, "empty path", ("stereo", "", "-o", "out.mp4")),
    Case("36 NUL", nothing, 2, "NUL", ("stereo", "in\0.mp4", "-o", "out.mp4")),
    Case("36 line breaks", nothing, 3, r"in\n\u2028\x1b[31m.mp4", ("stereo", "in\n\u2028\x1b[31m.mp4", "-o", "o.mp4")),
    Case("37 a link to a device", special("/dev/zero"), 3, "not a regular file"),
    Case("37 a link to a text", special("/etc/passwd"), 3, "not a recognised video"),
    Case("37 a link to itself", special("in.mp4"), 3, "cannot be read"),
    Case("37 a dangling link", special("nowhere"), 3, "no such file"),
    Case("37 a FIFO", special("fifo"), 3, "not a regular file"),
    Case("37 a socket", special("socket"), 3, "not a regular file"),
    Case("38 output = input", clip(), 2, "the output is the input", "stereo in.mp4 -o ./in.mp4 --overwrite"),
    Case(
        "38 output = input by a link",
        both(clip(), lambda f, _: os.link(f / "in.mp4", f / "same.mp4")),
        2,
        "the output is the input",
        "stereo in.mp4 -o same.mp4 --overwrite",
    ),
    Case(
        "38 output = the depth file",
        both(clip(), clip("d.mp4")),
        2,
        "the output is the input",
        "stereo in.mp4 --depth d.mp4 -o d.mp4 --overwrite",
    ),
    Case(
        "38 output = input by an extra",
        image("out.mp4.comfort.png", (96, 64)),
        2,
        "the output is the input",
        "stereo out.mp4.comfort.png -o out.mp4 --overwrite",
    ),
    Case("39 a file as output folder", both(clip(), data(b"", "file")), 2, "folder", "stereo in.mp4 -o file/out.mp4"),
    Case(
        "39 a file as outer output folder",
        both(clip(), data(b"", "file")),
        2,
        "folder",
        "stereo in.mp4 -o file/sub/out.mp4",
    ),
    Case("40 the output exists", both(clip(), data(b"precious", "out.mp4")), 2, "exists"),
    Case(
        "40 one of the eyes exists",
        both(clip(), data(b"precious", "out_right.mp4")),
        2,
        "exists",
        "stereo in.mp4 -o out.mp4 --format eyes",
    ),
    Case(
        "40 a failed run replaces nothing",
        both(flipped(), data(b"precious", "out.mp4")),
        4,
        " s ",
        "stereo in.mp4 -o out.mp4 --overwrite",
    ),
    Case("39 a folder nobody can write to", clip(), 2, "not writable", "stereo in.mp4 -o /proc/self/out.mp4"),
    Case("52 depth with NaN", depth(with_nan), 2, "NaN", DEPTH),
    Case("52 depth with infinity", depth(lambda m: np.full_like(m, np.inf)), 2, "infinity", DEPTH),
    Case("52 depth of another shape", depth(lambda m: m[:, :, :60]), 2, "60x64", DEPTH),
    Case("52 depth for too few frames", depth(lambda m: m[:4]), 2, "4 maps, expected 6", DEPTH),
    Case("52 depth in colour", depth(lambda m: np.stack([m, 1 - m, m], -1)), 2, "shape", DEPTH),
    Case("52 depth that is text", both(clip(), data(b"0.5 0.6", "d.npy")), 3, "NPY", DEPTH),
    Case("52 depth cut off", both(depth(np.copy), lambda f, _: os.truncate(f / "d.npy", 9000)), 4, "shorter", DEPTH),
    Case("53 disparity over the width", clip(), 5, "wider", "stereo in.mp4 -o out.mp4 --divergence 101"),
    Case("53 negative divergence", clip(), 2, "--divergence", "stereo in.mp4 -o out.mp4 --divergence -1"),
    Case("58 divergence NaN", clip(), 2, "--divergence", "stereo in.mp4 -o out.mp4 --divergence nan"),
    Case("58 convergence of 2", clip(), 2, "--convergence", "stereo in.mp4 -o out.mp4 --convergence 2"),
    Case("58 a word for a number", clip(), 2, "--divergence", "stereo in.mp4 -o out.mp4 --divergence much"),
    Case("58 an unknown option", clip(), 2, "--divergense", "stereo in.mp4 -o out.mp4 --divergense 2"),
    Case("58 an unknown command", clip(), 2, "sterio", "sterio in.mp4 -o out.mp4"),
    Case("58 an option without value", clip(), 2, "-o", "stereo in.mp4 -o"),
    Case("58 an unknown codec", clip(), 2, "invalid choice 'h266'", "stereo in.mp4 -o out.mp4 --codec h266"),
    Case("58 an unknown format", clip(), 2, "invalid choice '4d'", "stereo in.mp4 -o out.mp4 --format 4d"),
    Case("58 an unknown container", clip(), 2, "unknown output format '.xyz'", "stereo in.mp4 -o out.xyz"),
    Case("58 a codec the container lacks", clip(), 2, "cannot hold ffv1", "stereo in.mp4 -o out.mp4 --codec ffv1"),
    Case("58 a depth model nobody knows", clip(), 6, "no depth model", "stereo in.mp4 -o out.mp4 --depth crystal-ball"),
    Case("58 end before start", clip(), 2, "--end", "stereo in.mp4 -o out.mp4 --start 0.2 --end 0.1"),
    Case("58 start after the end", clip(), 2, "no frame between", "stereo in.mp4 -o out.mp4 --start 99"),
    Case("58 many frames into one still", clip(), 2, "one image", "stereo in.mp4 -o out.png"),
    Case("58 recipe: an unknown option", recipe(options={"shell": "true"}), 2, "options.shell", REPRODUCE),
    Case("58 recipe: a wrong type", recipe(options={"divergence": "2"}), 2, "options.divergence", REPRODUCE),
    Case("58 recipe: a negative seed", recipe(seed=-1), 2, "seed", REPRODUCE),
    Case("58 recipe: a key too many", recipe(macros=[]), 2, "macros", REPRODUCE),
    Case("58 recipe: no input", recipe(inputs=[]), 2, "without an input", REPRODUCE),
    Case("58 recipe: nested deeply", data(b"[" * 200_000, "r.diorama.json"), 2, "nested", REPRODUCE),
    Case("58 recipe: 10 MB", data(b'{"a":"' + b"x" * 10_000_000 + b'"}', "r.diorama.json"), 2, "limit", REPRODUCE),
    Case("58 recipe: YAML", data(b"a: &a [1]\nb: [*a, *a]\n", "r.diorama.json"), 2, "JSON", REPRODUCE),
    Case("59 recipe: a path upwards", recipe(**input_named("../in.mp4")), 2, "plain file name", REPRODUCE),
    Case("59 recipe: an absolute path", recipe(**input_named("/etc/passwd")), 2, "plain file name", REPRODUCE),
    Case("59 recipe: a variable", recipe(**input_named("${HOME}")), 3, "${HOME}", REPRODUCE),
    Case("59 recipe: a template", recipe(options={"depth": "{{ 7 * 7 }}"}), 2, "{{ 7 * 7 }}", REPRODUCE),
    Case("59 recipe: depth by a path", recipe(options={"depth": "/etc/passwd"}), 2, "depth", REPRODUCE),
    Case("62 no such device", clip(), 2, "--device", "stereo in.mp4 -o out.mp4 --device abacus"),
)


def listing(folder: Path) -> dict[str, object]:
    """What lies in a folder: names with contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A case that hangs fails instead."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError("the case hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(180)  # the first use of a kernel compiles it
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_refused(case: Case, make_clip: Any, tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    case.make(tmp_path, make_clip)
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(case.words)
    said = capfd.readouterr()
    errors = [line for line in said.err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1, said.err
    assert errors[0].startswith("error: ")
    assert case.word in errors[0]
    assert stop.value.code == case.code
    assert said.out == ""
    assert listing(tmp_path) == before
