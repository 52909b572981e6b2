"""Windows on disk are not believed: what a file claims is checked before memory is asked for."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diorama.pipelines.matrix_store import Painted, WindowStore

SHAPE = (2, 3, 8, 12, 3)
NUMBER = 7


def array(shape: tuple[int, ...], data: bytes, descr: str = "|u1") -> bytes:
    """A file of numpy that claims a shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def headed(header: str) -> bytes:
    """A file of numpy with any header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def written(folder: Path, members: dict[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> WindowStore:
    with zipfile.ZipFile(folder / f"window-{NUMBER:09d}.npz", "w", way) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return WindowStore(folder)


def found(store: WindowStore) -> Painted | None:
    """What is read; little memory is asked for on the way."""
    tracemalloc.start()
    try:
        painted = store.load(NUMBER, SHAPE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    return painted


SOUND = bytes(range(256)) * 7  # beyond what a window of SHAPE holds
PAINT = array(SHAPE, SOUND[: 2 * 3 * 8 * 12 * 3])
BAD: dict[str, dict[str, bytes]] = {
    "terabytes": {"paint.npy": array((2, 3, 1 << 20, 1 << 20, 3), b"")},
    "terabytes beyond": {"paint.npy": PAINT, "beyond.npy": array((3, 8, 1 << 40, 3), b"")},
    "a bomb": {"paint.npy": PAINT + bytes(50_000_000)},
    "a bomb beyond": {"paint.npy": PAINT, "beyond.npy": array((3, 8, 100_000, 3), bytes(3 * 8 * 100_000 * 3))},
    "a long header": {"paint.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(1000)},
    "less than claimed": {"paint.npy": PAINT[:-1]},
    "objects": {"paint.npy": array(SHAPE, b"", "|O")},
    "floats": {"paint.npy": array(SHAPE, bytes(8 * 1728), "<f8")},
    "another height beyond": {"paint.npy": PAINT, "beyond.npy": array((3, 9, 12, 3), bytes(3 * 9 * 12 * 3))},
    "narrower beyond": {"paint.npy": PAINT, "beyond.npy": array((3, 8, 11, 3), bytes(3 * 8 * 11 * 3))},
    "open brackets": {"paint.npy": headed("(" * 5000)},
    "many signs": {"paint.npy": headed("-" * 9000 + "1")},
    "keys of several types": {"paint.npy": headed("{1: 2, 'a': 3}")},
    "a key that is a list": {"paint.npy": headed("{[]: 1}")},
    "lines that do not line up": {"paint.npy": headed("\n  a\n b\n")},
    "no type": {"paint.npy": headed("{'descr': (), 'fortran_order': False, 'shape': (2,), }")},
    "a cut header": {"paint.npy": PAINT[:9]},
    "nothing": {},
    "no array": {"paint.npy": b"hello"},
}


@pytest.mark.parametrize("what", BAD)
def test_hostile_and_damaged_windows_are_none(tmp_path: Path, what: str) -> None:
    assert found(written(tmp_path, BAD[what])) is None


def test_other_ways_to_pack_are_none(tmp_path: Path) -> None:
    assert found(written(tmp_path, {"paint.npy": PAINT}, zipfile.ZIP_STORED)) is not None
    assert found(written(tmp_path, {"paint.npy": PAINT}, zipfile.ZIP_LZMA)) is None


@pytest.mark.parametrize("width", [12, 16, 24, 64])
def test_what_lies_beyond_comes_back_whatever_its_width(tmp_path: Path, width: int) -> None:
    rng = np.random.default_rng(0)
    paint, beyond = (rng.integers(0, 256, shape).astype(np.uint8) for shape in (SHAPE, (3, 8, width, 3)))
    store = WindowStore(tmp_path)
    store.save(NUMBER, Painted(paint, beyond))
    again = found(store)
    assert again is not None
    assert np.array_equal(again.paint, paint)
    assert np.array_equal(again.beyond, beyond)
    assert np.array_equal(again.last(2).paint, paint[:, 1:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_is_no_other_picture(tmp_path: Path, place: int, value: int) -> None:
    """Any damage gives the same pictures (a byte that says nothing), or none; never an error."""
    rng = np.random.default_rng(0)
    paint = rng.integers(0, 256, SHAPE).astype(np.uint8)
    store = WindowStore(tmp_path)
    store.save(NUMBER, Painted(paint, paint[0]))
    path = next(tmp_path.glob("*.npz"))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    path.write_bytes(data)
    again = store.load(NUMBER, SHAPE)
    assert again is None or np.array_equal(again.paint, paint)
