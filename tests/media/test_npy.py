"""NPY files are mapped, and whatever a header says ends in one typed error."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.errors import DamagedMediaError, MediaError
from diorama.media.npy import open_array


def npy(folder: Path, header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> Path:
    """An NPY file with a header made by hand."""
    raw = header.encode("latin-1")
    size = struct.pack("<H" if version == (1, 0) else "<I", len(raw))
    path = folder / "d.npy"
    path.write_bytes(b"\x93NUMPY" + bytes(version) + size + raw + data)
    return path


def said(descr: str = "'<f4'", shape: str = "(2, 3)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (3,), (), (0, 7)])
def test_arrays_come_back_mapped(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    values = np.random.default_rng(0).random(shape).astype(">f8")
    np.save(tmp_path / "d.npy", np.asarray(values, order=order))  # type: ignore[call-overload]
    found = open_array(tmp_path / "d.npy")
    assert isinstance(found, np.memmap)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_later_versions_of_the_format_are_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    for version in ((2, 0), (3, 0)):
        np.testing.assert_array_equal(open_array(npy(tmp_path, said(), values.tobytes(), version)), values)


HOSTILE = [
    "{'descr': (",
    "{",
    "",
    "\n",
    said(descr="()"),
    said(descr="[('a',)]"),
    said(descr="{'names': 5}"),
    said(descr="'|O'"),
    said(descr="'no such'"),
    said(shape="(-1, 3)"),
    said(shape="('a',)"),
    said(shape="(True, 1.5)"),
    said(order="'maybe'"),
    said(shape="(" * 900 + ")" * 900),
    said(shape="-" * 5000 + "1"),
    said(shape=f"(0, {10**30})"),
    said().replace("fortran_order", "order"),
]


@pytest.mark.parametrize("header", HOSTILE, ids=range(len(HOSTILE)))
def test_headers_that_are_none_get_one_clear_line(tmp_path: Path, header: str) -> None:
    with pytest.raises(MediaError, match="not a plain NPY array") as caught:
        open_array(npy(tmp_path, header, bytes(64)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", ["(2, 4)", "(99999999999, 99999999999)", f"({2**63}, 1)", f"({10**40},)"])
def test_shapes_beyond_the_file_are_cut_files(tmp_path: Path, shape: str) -> None:
    with pytest.raises(DamagedMediaError, match="shorter than its header"):
        open_array(npy(tmp_path, said(shape=shape), bytes(24)))


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x09\x09", b"PK\x03\x04" + bytes(60), b"text"])
def test_what_is_no_npy(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.npy").write_bytes(data)
    with pytest.raises(MediaError, match="not a plain NPY"):
        open_array(tmp_path / "d.npy")
    with pytest.raises(MediaError, match="cannot be read"):
        open_array(tmp_path / "nothing.npy")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_flipped_bytes_end_in_a_typed_error_or_an_array(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int
) -> None:
    rng = np.random.default_rng(seed)
    path = npy(tmp_path_factory.getbasetemp(), said(), bytes(24))
    data = bytearray(path.read_bytes())
    for _ in range(flips):
        data[rng.integers(len(data))] = rng.integers(256)
    path.write_bytes(bytes(data))
    with contextlib.suppress(MediaError, DamagedMediaError):
        assert open_array(path).size >= 0
