"""Depth out of EXR files: as FFmpeg writes them, as renderers name them, and damaged."""

import contextlib
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError
from diorama.media import exr
from diorama.media.safe import Limits

H, W = 36, 64
RAMP = np.add.outer(np.arange(H), 2.0 * np.arange(W)).astype(np.float32)


def write_exr(path: Path, values: np.ndarray, compression: str = "zip16", kind: str = "float") -> None:
    """An EXR as FFmpeg writes it: one float channel."""
    encoder = av.CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt = values.shape[1], values.shape[0], "grayf32le"
    encoder.time_base, encoder.options = Fraction(1, 25), {"compression": compression, "format": kind}
    frame = av.VideoFrame.from_ndarray(values, format="grayf32le")
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))


@pytest.mark.parametrize("compression", ["none", "rle", "zip1", "zip16"])
@pytest.mark.parametrize("kind", ["half", "float"])
def test_exr_files_written_by_ffmpeg_are_read_exactly(compression: str, kind: str, tmp_path: Path) -> None:
    values = RAMP + np.random.default_rng(0).random((H, W), np.float32) * (RAMP > 90)
    write_exr(tmp_path / "d.exr", values, compression, kind)
    read = exr.read_depth(tmp_path / "d.exr")
    np.testing.assert_allclose(read, values, rtol=0 if kind == "float" else 2**-10)


def multi_channel_exr(path: Path, values: np.ndarray) -> None:
    """Uncompressed, channels A (half) and layer.Z (float), as a renderer writes them."""
    height, width = values.shape
    box = np.array([0, 0, width - 1, height - 1], "<i4").tobytes()
    entry = np.array([0, 1, 1], "<i4").tobytes()
    channels = b"A\0" + np.int32(1).tobytes() + entry + b"layer.Z\0" + np.int32(2).tobytes() + entry + b"\0"
    attributes = [
        (b"channels", b"chlist", channels),
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", box),
    ]
    head = b"\x76\x2f\x31\x01\x02\0\0\0" + b"".join(
        name + b"\0" + kind + b"\0" + np.int32(len(data)).tobytes() + data for name, kind, data in attributes
    )
    head += b"\0"
    rows = [np.zeros(width, "<f2").tobytes() + row.astype("<f4").tobytes() for row in values]
    blocks = [np.array([y, len(row)], "<i4").tobytes() + row for y, row in enumerate(rows)]
    starts = len(head) + 8 * height + np.cumsum([0, *(len(block) for block in blocks[:-1])])
    path.write_bytes(head + starts.astype("<u8").tobytes() + b"".join(blocks))


def test_exr_depth_is_the_channel_called_z_of_any_layer(tmp_path: Path) -> None:
    multi_channel_exr(tmp_path / "d.exr", RAMP)
    np.testing.assert_array_equal(exr.read_depth(tmp_path / "d.exr"), RAMP)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_damaged_exr_files_end_in_a_typed_error_or_a_map(seed: int, flips: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.exr"
        write_exr(path, RAMP)
        data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
        for _ in range(flips):
            data[rng.integers(len(data) if flips % 2 else 400)] = rng.integers(256)
        path.write_bytes(bytes(data[: rng.integers(8, len(data))] if flips % 3 == 0 else data))
        with contextlib.suppress(DioramaError):
            assert exr.read_depth(path).ndim == 2


def edited(folder: Path, name: bytes, data: bytes) -> Path:
    """An EXR whose attribute `name` holds `data`."""
    path = folder / "d.exr"
    write_exr(path, RAMP)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"\0", raw.index(name + b"\0") + len(name) + 1) + 5
    raw[start : start + len(data)] = data
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("position", [2**63, 2**64 - 1, 2**32, 10**6])
def test_blocks_beyond_the_file_are_damage(position: int, tmp_path: Path) -> None:
    write_exr(tmp_path / "d.exr", RAMP)
    data, start = bytearray((tmp_path / "d.exr").read_bytes()), exr.read_header(tmp_path / "d.exr").offset
    data[start : start + 8] = position.to_bytes(8, "little")
    (tmp_path / "d.exr").write_bytes(bytes(data))
    with pytest.raises(DamagedMediaError, match="outside the file"):
        exr.read_depth(tmp_path / "d.exr")


def test_the_pixel_budget_is_the_callers(tmp_path: Path) -> None:
    write_exr(tmp_path / "d.exr", RAMP)
    assert exr.read_header(tmp_path / "d.exr", Limits(frame_pixels=W * H)).width == W
    with pytest.raises(LimitError, match="64x36"):
        exr.read_depth(tmp_path / "d.exr", Limits(frame_pixels=W * H - 1))


def test_what_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="PIZ"):
        exr.read_depth(edited(tmp_path, b"compression", b"\4"))
    huge = np.array([0, 0, 99999, 99999], "<i4").tobytes()
    with pytest.raises(LimitError, match="over the limit"):
        exr.read_depth(edited(tmp_path, b"dataWindow", huge))
    with pytest.raises(MediaError, match="display window"):
        exr.read_depth(edited(tmp_path, b"dataWindow", np.array([1, 1, W - 1, H - 1], "<i4").tobytes()))
    (tmp_path / "d.exr").write_bytes(b"\x76\x2f\x31\x01\x02\x02\0\0")
    with pytest.raises(MediaError, match="tiled"):
        exr.read_depth(tmp_path / "d.exr")
    (tmp_path / "d.exr").write_bytes(b"GIF89a")
    with pytest.raises(MediaError, match="not an OpenEXR"):
        exr.read_depth(tmp_path / "d.exr")
