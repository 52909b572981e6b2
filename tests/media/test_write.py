"""Encoding and joining: what was written is what is read, to the tick and to the tag."""

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.core.video import ColorTags
from diorama.errors import UsageError
from diorama.media.encoding import Encoding
from diorama.media.mux import Assembly, Piece, assemble
from diorama.media.read import open_media, open_video
from diorama.media.write import FrameWriter, StreamSpec


def patches(height: int = 96, width: int = 128) -> np.ndarray:
    """Flat 16-pixel squares of random colours: what survives chroma subsampling."""
    colors = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3))
    return np.kron(colors, np.ones((16, 16, 1))).astype(np.uint8)


CASES = [
    ("libx264", 8, False, ColorTags(1, 1, 1)),
    ("libx264", 8, True, ColorTags(6, 6, 6)),
    ("libx264", 8, False, ColorTags(1, 1, 1, True)),
    ("libx264", 16, False, ColorTags(1, 1, 1)),
    ("libx265", 8, False, ColorTags(1, 1, 1)),
    ("libx265", 16, False, ColorTags(9, 16, 9)),
    ("libsvtav1", 16, False, ColorTags(9, 18, 9)),
    ("ffv1", 8, False, ColorTags(1, 1, 1)),
    ("ffv1", 16, False, ColorTags(9, 16, 9)),
]


def write_waves(path: Path, codec: str) -> str:
    """The digest of the stream of smooth colours that move: their macroblock tree once read unwritten memory."""
    y, x = np.mgrid[:64, :192].astype(np.float32)
    spec = StreamSpec(192, 64, Fraction(1, 24), Fraction(24))
    with FrameWriter(path, spec, Encoding(codec).resolved(".mkv", 8)) as writer:
        for i in range(5):
            blue = 128 + 90 * np.sin((x + 6 * i) / 11) * np.cos(y / 8)
            writer.write(np.stack([x + 3 * i, y * 4, blue], axis=-1).clip(0, 255).astype(np.uint8), i)
    with av.open(str(path)) as container:
        return hashlib.sha256(b"".join(bytes(packet) for packet in container.demux(video=0))).hexdigest()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_the_same_frames_make_the_same_stream(tmp_path: Path, codec: str) -> None:
    """Whatever memory held before: glibc fills it with the byte we name."""
    call = [sys.executable, __file__, str(tmp_path / "a.mkv"), codec]
    made = {
        subprocess.run(call, env=os.environ | {"MALLOC_PERTURB_": byte}, check=True, capture_output=True).stdout
        for byte in ("1", "255")
    }
    assert len(made) == 1


@pytest.mark.parametrize(("codec", "bits", "full_chroma", "tags"), CASES)
def test_colours_and_tags_survive(tmp_path: Path, codec, bits, full_chroma, tags) -> None:
    image = patches() if bits == 8 else patches().astype(np.uint16) * 257
    spec = StreamSpec(128, 96, Fraction(1, 24), Fraction(24), bits, tags, Fraction(4, 3), full_chroma)
    path = tmp_path / "a.mkv"
    with FrameWriter(path, spec, Encoding(codec).resolved(".mkv", bits)) as writer:
        for i in range(6):
            writer.write(image, i)
    opened = open_media(path)
    read = opened.video.stack()[2]
    inner = (np.arange(96) % 16 > 3) & (np.arange(96) % 16 < 12)
    columns = (np.arange(128) % 16 > 3) & (np.arange(128) % 16 < 12)
    error = np.abs(read.astype(int) - image)[inner][:, columns] / (1 if bits == 8 else 257)
    assert error.mean() < (0.01 if codec == "ffv1" else 2.0)
    if Encoding(codec).keeps_pixel_shape:
        assert opened.sar == Fraction(4, 3)
    read_tags = opened.video.color
    if codec == "ffv1":
        assert read_tags.matrix == 0
        assert (read_tags.primaries, read_tags.transfer) == (tags.primaries, tags.transfer)
        assert np.array_equal(read, image)
    else:
        assert read_tags == tags


def test_pieces_join_with_exact_times_and_audio(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "source.mp4", frames=30, audio=True)
    video = open_video(source)
    spec = StreamSpec(video.width, video.height, video.time_base, video.fps)
    encoding = Encoding("libx264").resolved(".mp4", 8)
    pieces = []
    for k in range(3):
        path = tmp_path / f"piece{k}.mkv"
        window = video[10 * k : 10 * k + 10]
        with FrameWriter(path, spec, encoding) as writer:
            for frame in window:
                writer.write(frame.image, frame.pts)
        pieces.append(Piece(path, tuple(writer.packet_pts)))
    for suffix in (".mp4", ".mov"):
        target = tmp_path / f"whole{suffix}"
        assert assemble(Assembly(tuple(pieces), video.time_base, source), target) == ()
        joined = open_video(target)
        assert [f.pts * joined.time_base for f in joined] == [p * video.time_base for p in video.pts]
        assert audio_packets(target) == audio_packets(source)


def audio_packets(path: Path) -> list[tuple[bytes, float]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(bytes(p), float(p.pts * p.time_base)) for p in container.demux(stream) if p.size]


def test_subtitles_and_chapters_pass(tmp_path: Path, make_clip) -> None:
    source = tmp_path / "source.mkv"
    make_clip(tmp_path / "video.mkv", frames=24)
    with av.open(str(tmp_path / "video.mkv")) as video, av.open(str(source), "w") as out:
        copy = out.add_stream_from_template(video.streams.video[0])
        text = out.add_mux_stream("subrip")
        out.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        for packet in video.demux(video.streams.video[0]):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
        line = av.Packet(b"hello")
        line.stream, line.pts, line.dts, line.duration, line.time_base = text, 100, 100, 400, Fraction(1, 1000)
        out.mux(line)
    opened = open_video(source)
    piece = tmp_path / "piece.mkv"
    with FrameWriter(
        piece, StreamSpec(96, 64, opened.time_base, opened.fps), Encoding("libx264").resolved(".mkv", 8)
    ) as w:
        for frame in opened:
            w.write(frame.image, frame.pts)
    whole = Piece(piece, tuple(w.packet_pts))
    target = tmp_path / "whole.mkv"
    assert assemble(Assembly((whole,), opened.time_base, source), target) == ()
    with av.open(str(target)) as container:
        assert [c["metadata"]["title"] for c in container.chapters()] == ["one"]
        lines = [bytes(p) for p in container.demux(container.streams.subtitles[0]) if p.size]
    assert lines == [b"hello"]
    notes = assemble(Assembly((whole,), opened.time_base, source), tmp_path / "whole.mp4")
    assert "subrip" in notes[0]
    assert "use .mkv" in notes[0]


def test_what_containers_and_codecs_refuse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        Encoding("ffv1").resolved(".mp4", 8)
    with pytest.raises(UsageError, match="unknown output format"):
        Encoding().resolved(".xyz", 8)
    with pytest.raises(UsageError, match="preset"):
        Encoding("libsvtav1", preset="fast").resolved(".mkv", 8)
    with pytest.raises(UsageError, match="crf"):
        Encoding(crf=-1)
    spec = StreamSpec(33, 33, Fraction(1, 24), Fraction(24))
    with pytest.raises(UsageError, match="odd"):
        FrameWriter(tmp_path / "a.mkv", spec, Encoding("libx264").resolved(".mkv", 8))


def test_auto_codec_goes_by_depth_and_container() -> None:
    assert Encoding().resolved(".mp4", 8).codec == "libx264"
    assert Encoding().resolved(".mp4", 10).codec == "libx265"
    assert Encoding().resolved(".webm", 8).codec == "libsvtav1"


if __name__ == "__main__":
    sys.stdout.write(write_waves(Path(sys.argv[1]), sys.argv[2]))
