"""Depth files made to hurt: whatever is in them, one typed line comes out."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DamagedMediaError, DioramaError, MediaError
from diorama.perception.depth_maps import open_maps

VALUES = np.random.default_rng(0).integers(0, 99, (3, 20, 30)).astype(np.float32)


def hostile_npy(header: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "d.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(99))
        return folder / "d.npy"

    return make


open_ended_npy = hostile_npy(b"{'descr': (")
endless_npy = hostile_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999999)}")


def edited_npz(offset_here: int, offset_there: int, value: int) -> Callable[[Path], Path]:
    """An NPZ with one field changed, in the file's local header and in the archive's directory."""

    def make(folder: Path) -> Path:
        path = folder / "d.npz"
        np.savez_compressed(path, depth=VALUES)
        data = bytearray(path.read_bytes())
        data[offset_here] = data[data.index(b"PK\x01\x02") + offset_there] = value
        path.write_bytes(bytes(data))
        return path

    return make


encrypted_npz = edited_npz(6, 8, 1)
unknown_method_npz = edited_npz(8, 10, 97)
lzma_npz = edited_npz(8, 10, 14)
strange_flags_npz = edited_npz(6, 8, 0x20)


def scrambled_npz(folder: Path) -> Path:
    path = folder / "d.npz"
    np.savez_compressed(path, depth=VALUES)
    data = bytearray(path.read_bytes())
    data[50:150] = b"\xff" * 100
    path.write_bytes(bytes(data))
    return path


def folder_of_folders(folder: Path) -> Path:
    (folder / "0001.png").mkdir()
    return folder


BAD: list[tuple[Callable[[Path], Path], type[DioramaError], str]] = [
    (open_ended_npy, MediaError, "not a plain NPY"),
    (endless_npy, DamagedMediaError, "shorter"),
    (encrypted_npz, MediaError, "encrypted"),
    (unknown_method_npz, MediaError, "method 97"),
    (lzma_npz, MediaError, "method 14"),
    (strange_flags_npz, DamagedMediaError, "damaged"),
    (scrambled_npz, DamagedMediaError, "damaged"),
    (folder_of_folders, MediaError, "a folder, where a file"),
]


@pytest.mark.parametrize(("make", "error", "says"), BAD, ids=range(len(BAD)))
def test_hostile_files_get_one_clear_line(
    make: Callable[[Path], Path], error: type[DioramaError], says: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(error, match=says) as caught:
        list(open_maps(path).read(0, 3))
    assert "\n" not in str(caught.value)
