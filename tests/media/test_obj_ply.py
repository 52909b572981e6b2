"""OBJ and PLY files, sound and broken."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DioramaError, LimitError
from diorama.media.mesh import _limits, obj, ply, read_obj, read_ply

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
HEADER = "ply\nformat {}\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n{}element face 1\n"
HEADER += "property list uchar int vertex_indices\nend_header\n"
CORNERS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]


def test_a_square_with_coordinates_and_negative_indices(tmp_path: Path) -> None:
    text = SQUARE + "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n# a remark\nusemtl x\nf 1/1 2/2 3/3 4/4\nf -4/-4 -3/-3 -2/-2\n"
    (tmp_path / "a.obj").write_text(text)
    mesh = read_obj(tmp_path / "a.obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert mesh.uvs is not None
    assert mesh.uvs[0].tolist() == [0, 1]  # v runs downwards here


def test_colours_of_vertices(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1//1 2//2 3//3\n")
    colors = read_obj(tmp_path / "a.obj").colors
    assert colors is not None
    assert colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("v 0 0 0\nf 1 1 2\n", "line 2"),
        (SQUARE, "no faces"),
        ("v 0 0\n", "line 1"),
        ("v 0 nan 0\n", "not finite"),
        (SQUARE + "f 1 2\n", "2 corners"),
        (SQUARE + "f 0 1 2\n", "index 0"),
        (SQUARE + "f 1 2 x\n", "line 5"),
        (SQUARE + "f " + "1 " * 300, "300 corners"),
        ("v " + "1 " * 40_000, "characters"),
    ],
)
def test_broken_obj(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(DioramaError, match=message):
        read_obj(tmp_path / "a.obj")


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_in_every_order(order: str, tmp_path: Path) -> None:
    colors = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    head = HEADER.format(f"{order} 1.0", colors).encode()
    if order == "ascii":
        rows = "".join(f"{x} {y} {z} 10 20 30\n" for x, y, z in CORNERS)
        body = f"{rows}4 0 1 2 3\n".encode()
    else:
        sign = "<" if order.endswith("little_endian") else ">"
        body = b"".join(struct.pack(f"{sign}3f3B", *corner, 10, 20, 30) for corner in CORNERS)
        body += struct.pack(f"{sign}B4i", 4, 0, 1, 2, 3)
    (tmp_path / "a.ply").write_bytes(head + body)
    mesh = read_ply(tmp_path / "a.ply")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert np.array_equal(mesh.vertices, np.array(CORNERS, np.float32))
    assert mesh.colors is not None
    assert (mesh.colors == [10, 20, 30]).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"ply\n", "header"),
        (b"ply\nformat ascii 1.0\nelement vertex -3\nend_header\n", "-3 rows"),
        (b"ply\nformat ascii 1.0\nelement vertex 999999999\nproperty float x\nend_header\n", "rows in a file"),
        (b"ply\nformat morse 1.0\nend_header\n", "morse"),
        (HEADER.format("binary_little_endian 1.0", "").encode() + bytes(20), "cut short"),
        (HEADER.format("ascii 1.0", "").encode() + b"0 0 0\n" * 4 + b"3 0 1 9\n", "vertex 9 of 4"),
        (HEADER.format("ascii 1.0", "").encode() + b"0 0 0\n" * 4 + b"3 0 1\n", "cannot be read"),
        (HEADER.format("ascii 1.0", "").encode() + b"0 0 0\n" * 4 + b"900 0 1 2\n", "900 corners"),
        (HEADER.format("ascii 1.0", "").encode() + b"0 nan 0\n" * 4 + b"3 0 1 2\n", "not finite"),
    ],
)
def test_broken_ply(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(DioramaError, match=message):
        read_ply(tmp_path / "a.ply")


def test_colours_as_bytes_and_columns_apart_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v\t0 0 0 255 0 0\nv\t1 0 0 0 9 0\nv\t1 1 0 0 0 1\nf\t1 2 3\n")
    colors = read_obj(tmp_path / "a.obj").colors
    assert colors is not None
    assert colors.tolist() == [[255, 0, 0], [0, 9, 0], [0, 0, 1]]


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_ply_with_tables_between_and_faces_of_several_kinds(order: str, tmp_path: Path) -> None:
    colors = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    more = colors + "element note 1\nproperty list uchar short words\nproperty uchar end\n"
    head = HEADER.format(f"{order} 1.0", more).replace("element face 1\n", "element face 2\nproperty uchar kind\n")
    if order == "ascii":
        body = "".join(f"{x} {y} {z} 1 0 1\n" for x, y, z in CORNERS) + "2 5 6 7\n0 4 0 1 2 3\n9 3 2 1 0\n"
        data = head.encode() + body.encode()
    else:
        rows = b"".join(struct.pack("<3f3B", *corner, 1, 0, 1) for corner in CORNERS)
        faces = struct.pack("<BB4i", 0, 4, 0, 1, 2, 3) + struct.pack("<BB3i", 9, 3, 2, 1, 0)
        data = head.encode() + rows + struct.pack("<B2hB", 2, 5, 6, 7) + faces
    (tmp_path / "a.ply").write_bytes(data)
    mesh = read_ply(tmp_path / "a.ply")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [2, 1, 0]]
    assert mesh.colors is not None
    assert (mesh.colors == [1, 0, 1]).all()  # bytes, not shares


def test_meshes_beyond_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.obj").write_text(SQUARE + "f 1 2 3 4\n")
    (tmp_path / "a.ply").write_text(HEADER.format("ascii 1.0", "") + "0 0 0\n" * 4 + "4 0 1 2 3\n")
    for module, read, path in ((obj, read_obj, tmp_path / "a.obj"), (ply, read_ply, tmp_path / "a.ply")):
        for name in ("VERTICES", "FACES"):
            with monkeypatch.context() as patch:
                patch.setattr(module, name, 1)
                with pytest.raises(LimitError, match="the limit is 1"):
                    read(path)
        with monkeypatch.context() as patch:
            patch.setattr(_limits, "FILE_BYTES", 10)
            with pytest.raises(LimitError, match="a file of"):
                read(path)


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_flipped_bytes_end_in_a_typed_error_or_a_mesh(suffix: str, tmp_path: Path) -> None:
    path, rng = tmp_path / f"a.{suffix}", np.random.default_rng(0)
    good = (SQUARE + "vt 0 0\nf 1/1 2/1 3/1 4/1\n").encode()
    if suffix == "ply":
        rows = b"".join(struct.pack("<3f", *corner) for corner in CORNERS)
        good = HEADER.format("binary_little_endian 1.0", "").encode() + rows + struct.pack("<B4i", 4, 0, 1, 2, 3)
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 2):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with suppress(DioramaError):
            (read_obj if suffix == "obj" else read_ply)(path)
