"""Laws of editing MP4 bytes: offsets follow the data, and a hostile file is refused, cheaply and with a reason."""

import io
import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.errors import LimitError, MediaError
from diorama.media.boxes import inject, read_tags
from diorama.media.formats import container_tags
from diorama.media.mp4 import box, find_moov, read_moov, tracks
from diorama.media.mp4_edit import replace_in_entries
from diorama.media.tags import tag_boxes

SBS = container_tags("sbs").mp4


def clip(path: Path, *, movflags: str = "", codec: str = "libx264") -> Path:
    """Twelve frames of noise in two tracks of pictures, so that there are several offset tables."""
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as out:
        streams = [out.add_stream(codec, 25) for _ in range(2)]
        random = np.random.default_rng(0)
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
            stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for _ in range(12):
            image = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            for stream in streams:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "h264": clip(folder / "h264.mp4"),
        "h264-faststart": clip(folder / "fast.mp4", movflags="faststart"),
        "hevc-faststart": clip(folder / "hevc.mp4", movflags="faststart", codec="libx265"),
    }


def offsets_of(moov: bytes) -> list[tuple[bytes, np.ndarray]]:
    found = []
    for track in tracks(moov):
        for kind, width in ((b"stco", 4), (b"co64", 8)):
            if kind in track.tables:
                body = track.tables[kind].body
                count = int.from_bytes(moov[body + 4 : body + 8], "big")
                found.append((kind, np.frombuffer(moov, f">u{width}", count, body + 8).astype(np.int64)))
    return found


def moved_to(moov: bytes, add: int) -> bytes:
    """`moov` with every 32-bit chunk offset moved by `add`."""
    data = bytearray(moov)
    for track in tracks(moov):
        body = track.tables[b"stco"].body
        count = int.from_bytes(moov[body + 4 : body + 8], "big")
        values = np.frombuffer(moov, ">u4", count, body + 8) + np.uint32(add)
        data[body + 8 : body + 8 + 4 * count] = values.astype(">u4").tobytes()
    return bytes(data)


@pytest.mark.parametrize("near", [False, True])
def test_offsets_past_four_gigabytes_get_wider(clips: dict[str, Path], near: bool) -> None:
    data = clips["h264-faststart"].read_bytes()
    place = find_moov(io.BytesIO(data), len(data))
    moov = read_moov(io.BytesIO(data), place)
    largest = max(int(values.max()) for _, values in offsets_of(moov))
    moov = moved_to(moov, 2**32 - 1 - largest if near else 1000)
    made = replace_in_entries(moov, place.end, new=tag_boxes(SBS), drop=frozenset())
    growth = len(made) - len(moov)
    kinds = set()
    for (_, old), (kind, new) in zip(offsets_of(moov), offsets_of(made), strict=True):
        kinds.add(kind)
        assert (new - old == growth).all()
    assert (b"co64" in kinds) == near
    assert struct.unpack_from(">I", made)[0] == len(made)


def test_offsets_before_the_header_stay(clips: dict[str, Path]) -> None:
    data = clips["h264"].read_bytes()
    place = find_moov(io.BytesIO(data), len(data))
    moov = read_moov(io.BytesIO(data), place)
    made = replace_in_entries(moov, place.end, new=tag_boxes(SBS), drop=frozenset())
    for (_, old), (_, new) in zip(offsets_of(moov), offsets_of(made), strict=True):
        assert (new == old).all()


def test_a_quicktime_end_mark_stays_last(clips: dict[str, Path]) -> None:
    """QuickTime closes a sample description with four zero bytes, which must stay behind the new boxes."""
    data = clips["h264"].read_bytes()
    place = find_moov(io.BytesIO(data), len(data))
    plain = read_moov(io.BytesIO(data), place)
    marked = replace_in_entries(plain, place.end, new=bytes(4), drop=frozenset())
    made = replace_in_entries(marked, place.end, new=tag_boxes(SBS), drop=frozenset())
    assert made == replace_in_entries(plain, place.end, new=tag_boxes(SBS) + bytes(4), drop=frozenset())


def patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """`data` with `new` at `offset` bytes after the first `mark`."""
    at = data.index(mark) + offset
    return data[:at] + new + data[at + len(new) :]


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = struct.pack(">I4s", 8 + len(data), b"moov") + data
    return data


BIG = b"\xff\xff\xff\xff"
HOSTILE = {
    "empty": (lambda d: b"", "moov"),
    "text": (lambda d: b"This is not a film at all.", "damaged|not an MP4"),
    "cut in the samples": (lambda d: d[:2000], "damaged"),
    "cut before the header": (lambda d: d[: d.index(b"moov") - 4], "moov"),
    "cut in the header": (lambda d: d[:-20], "damaged"),
    "box smaller than its header": (lambda d: patched(d, b"trak", -4, b"\0\0\0\7"), "damaged"),
    "box larger than its parent": (lambda d: patched(d, b"trak", -4, BIG), "damaged"),
    "64-bit size that overflows": (lambda d: patched(d, b"moov", -4, b"\0\0\0\1moov" + BIG * 2), "damaged"),
    "64-bit size below its header": (lambda d: patched(d, b"trak", -4, b"\0\0\0\1trak" + bytes(7) + b"\7"), "damaged"),
    "box of size zero": (lambda d: patched(d, b"stbl", -4, bytes(4)), "stbl"),
    "many sample descriptions": (lambda d: patched(d, b"stsd", 8, BIG), "sample descriptions"),
    "wrong count of descriptions": (lambda d: patched(d, b"stsd", 8, b"\0\0\0\2"), "sample descriptions"),
    "short sample description": (lambda d: patched(d, b"stsd", 12, b"\0\0\0\x20"), "damaged|sample desc"),
    "many chunk offsets": (lambda d: patched(d, b"stco", 8, BIG), "chunk offsets"),
    "no video": (lambda d: d.replace(b"vide", b"text"), "no video"),
    "two headers": (lambda d: d + d[d.index(b"moov") - 4 :], "two headers"),
    "two offset tables": (lambda d: patched(d, b"stsc", 0, b"stco"), "two|chunk offsets"),
    "encrypted": (lambda d: patched(d, b"stsz", 0, b"saio"), "encrypted"),
    "deep nesting": (lambda d: d[: d.index(b"moov") - 4] + nested(20_000), "no video"),
    "many boxes": (lambda d: d[: d.index(b"moov") - 4] + b"\0\0\0\x08free" * 5000, "moov|boxes"),
    "many children": (lambda d: d[: d.index(b"moov") - 4] + box(b"moov", b"\0\0\0\x08free" * 5000), "boxes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    change, match = HOSTILE[name]
    source, target = tmp_path / "source.mp4", tmp_path / "out.mp4"
    source.write_bytes(change(clips["h264"].read_bytes()))
    target.write_bytes(b"earlier")
    with pytest.raises((MediaError, LimitError), match=match) as caught:
        inject(source, target, SBS)
    assert str(source) in caught.value.where
    assert target.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "source.mp4"]


def test_a_header_too_large_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 1 << 30, b"moov"))
        file.truncate(16 + (1 << 30))  # sparse
    tracemalloc.start()
    with pytest.raises(LimitError, match="header"):
        read_tags(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def mutated(data: bytes, random: np.random.Generator, first: int, last: int) -> bytes:
    """`data` cut off, or with some bytes between `first` and `last` changed, or with a box size replaced."""
    kind = random.integers(4)
    if kind == 0:
        return data[: random.integers(len(data))]
    changed = bytearray(data)
    for _ in range(random.integers(1, 9)):
        at = int(random.integers(first, last))
        if kind == 1:
            changed[at] ^= 1 << int(random.integers(8))
        elif kind == 2:
            changed[at] = random.choice([0, 1, 0x7F, 0xFF])
        else:
            changed[at : at + 4] = struct.pack(">I", int(random.choice([0, 1, 7, 8, 9, 2**31, 2**32 - 1])))
    return bytes(changed)


@pytest.mark.parametrize("name", ["h264", "hevc-faststart"])
def test_mutations_succeed_or_raise_a_typed_error(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    inject(clips[name], tmp_path / "whole.mp4", container_tags("vr180").mp4)
    data = (tmp_path / "whole.mp4").read_bytes()
    moov = find_moov(io.BytesIO(data), len(data))
    random, source, target = np.random.default_rng(7), tmp_path / "source.mp4", tmp_path / "out.mp4"
    outcomes = {"done": 0, "refused": 0}
    for number in range(100):
        span = (0, len(data) - 4) if number % 4 == 0 else (moov.start, moov.end - 4)
        source.write_bytes(mutated(data, random, *span))
        for work in (lambda: inject(source, target, SBS), lambda: read_tags(source)):
            try:
                work()
                outcomes["done"] += 1
            except (MediaError, LimitError):
                outcomes["refused"] += 1
        target.unlink(missing_ok=True)
    assert min(outcomes.values()) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mp4", "whole.mp4"]
