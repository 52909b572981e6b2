"""Gaussians come back from every format within its steps; GLB as the Khronos validator wants it; hostile files."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.core.gaussians import Gaussians
from diorama.core.rotations import multiply, normalize, to_matrix
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.mesh._gltf_file import BUDGETS, FILE_BYTES
from diorama.media.splat import (
    _numbers,
    glb,
    read_dot_splat,
    read_splat_glb,
    read_splat_ply,
    read_splats,
    write_dot_splat,
    write_splat_glb,
    write_splat_ply,
)

MODULES = [os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]
NAMES = ("means", "quats", "scales", "opacities", "colors")
Change = Callable[[dict[str, Any]], None]


def some(count: int = 50, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    quats = normalize(rng.normal(size=(count, 4))).astype(np.float32)
    shares = rng.choice([0, 0.3, 0.999, 1, 0.5], (count, 4)).astype(np.float32)
    scales = np.exp(rng.normal(-4, 3, (count, 3))).astype(np.float32)
    means = rng.normal(0, 10, (count, 3)).astype(np.float32)
    return Gaussians(means, quats, scales, shares[:, 3].copy(), shares[:, :3].copy())


def apart(a: Gaussians, b: Gaussians) -> dict[str, float]:
    """How far two are apart: metres, degrees, shares of a scale, opacities, colours."""
    along = np.abs((a.quats.astype(float) * b.quats).sum(axis=1)).clip(0, 1)
    found = {name: float(np.abs(getattr(a, name) - getattr(b, name)).max()) for name in NAMES}
    turns = float(np.degrees(2 * np.arccos(along)).max())
    return found | {"quats": turns, "scales": float(np.abs(a.scales / b.scales - 1).max())}


FORMATS = {
    "a.ply": (write_splat_ply, (0, 0.1, 3e-6, 1.1e-6, 1e-6)),
    "a.splat": (write_dot_splat, (0, 1.0, 0, 0.5001 / 255, 0.5001 / 255)),
    "a.glb": (write_splat_glb, (0, 0.1, 1e-6, 0, 1e-6)),
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_they_come_back_within_the_steps_of_the_format(name: str, seed: int, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("round") / name
    write, steps = FORMATS[name]
    before = some(seed=seed)
    write(path, before)
    after = read_splats(path)  # by what is in it
    assert isinstance(after, Gaussians)
    for (what, found), most in zip(apart(after, before).items(), steps, strict=True):
        assert found <= most, what
    first = path.read_bytes()
    write(path, before)
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_read_is_written_the_same(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    write(tmp_path / name, some())
    write(tmp_path / f"again-{name}", once := read_splats(tmp_path / name))
    twice = read_splats(tmp_path / f"again-{name}")
    assert isinstance(once, Gaussians)
    assert isinstance(twice, Gaussians)
    assert max(value for key, value in apart(once, twice).items() if key != "quats") < 1e-5


def test_ply_is_what_the_reference_writes(tmp_path: Path) -> None:
    one = some(1)
    write_splat_ply(tmp_path / "a.ply", one)
    head, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    assert head.startswith(b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n")
    numbers = np.frombuffer(body, "<f4")
    assert len(numbers) == 17
    assert numbers[6:9] == pytest.approx((one.colors[0] - 0.5) / 0.2820948, abs=1e-5)
    assert numbers[10:13] == pytest.approx(np.log(one.scales[0]), rel=1e-5)
    assert numbers[13:] == pytest.approx(one.quats[0])


def ply(columns: dict[str, float], count: int = 1, order: str = "binary_little_endian", more: str = "") -> bytes:
    lines = ["ply", f"format {order} 1.0", f"element vertex {count}", *(f"property float {name}" for name in columns)]
    body = struct.pack(f"<{len(columns)}f", *columns.values())
    return "\n".join([*lines, *([more] if more else []), "end_header", ""]).encode() + body


PLAIN = {"x": 1.0, "y": 2.0, "z": 3.0, **{f"f_dc_{i}": 0.0 for i in range(3)}, "opacity": 0.0}
PLAIN |= {**{f"scale_{i}": -1.0 for i in range(3)}, "rot_0": 2.0, "rot_1": 0.0, "rot_2": 0.0, "rot_3": 0.0}


def test_ply_of_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.ply").write_bytes(ply({"label": 7.0, **PLAIN, "f_rest_0": 9.0}))
    found = read_splat_ply(tmp_path / "a.ply")
    assert found.means.tolist() == [[1, 2, 3]]
    assert found.quats.tolist() == [[1, 0, 0, 0]]
    assert found.opacities.tolist() == [0.5]
    assert "from all sides" in caplog.text
    (tmp_path / "a.ply").write_bytes(ply({**PLAIN, "f_dc_0": 9.0, "f_dc_1": -9.0}))
    assert read_splat_ply(tmp_path / "a.ply").colors.tolist() == [[1, 0, 0.5]]  # fits overshoot


@pytest.mark.parametrize(
    ("data", "fault", "message"),
    [
        (b"", MediaError, "empty file"),
        (b"plyx", MediaError, "nothing that holds"),
        (b"ply\n", DamagedMediaError, "no end of the header"),
        (b"ply\nend_header\n", MediaError, "format"),
        (ply(PLAIN, order="ascii"), MediaError, "'ascii'"),
        (ply(PLAIN)[:-1], DamagedMediaError, "cut off"),
        (ply(PLAIN) + b"x", DamagedMediaError, "longer"),
        (ply(PLAIN, count=0)[:-56], MediaError, "no Gaussians"),
        (ply(PLAIN, count=10**9), LimitError, "the limit"),
        (ply(PLAIN).replace(b"vertex 1", b"vertex -1"), DamagedMediaError, "-1 rows"),
        (ply(PLAIN).replace(b"vertex 1", b"vertex"), DamagedMediaError, "header"),
        (ply({key: PLAIN[key] for key in PLAIN if key != "rot_3"}), MediaError, "without rot_3"),
        (ply(PLAIN, more="property float x"), DamagedMediaError, "twice"),
        (ply(PLAIN, more="property list uchar int y"), DamagedMediaError, "list' is unknown"),
        (ply(PLAIN, more="element chunk 3"), MediaError, "chunk"),
        (ply(PLAIN, more="nonsense"), DamagedMediaError, "nonsense"),
        (ply(PLAIN | {"x": np.nan}), DamagedMediaError, "not finite"),
        (ply(PLAIN | {"f_dc_0": np.inf}), DamagedMediaError, "not finite"),
        (ply(PLAIN | {"opacity": np.nan}), DamagedMediaError, "not finite"),
        (ply(PLAIN | {"scale_0": 1000.0}), DamagedMediaError, "not finite"),
        (ply(PLAIN | {"scale_0": -1000.0}), DamagedMediaError, "scale of 0"),
        (ply(PLAIN | {"rot_0": 0.0}), DamagedMediaError, "no length"),
    ],
)
def test_broken_ply(data: bytes, fault: type[DioramaError], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(fault, match=message):
        read_splats(tmp_path / "a.ply")


def test_broken_dot_splat(tmp_path: Path) -> None:
    path = tmp_path / "a.splat"
    write_dot_splat(path, some(3))
    whole = path.read_bytes()
    for change, message in (
        (whole[:-1], "95 bytes"),
        (whole[:4] * 3 + whole[12:28] + bytes([128] * 4), "no length"),
        (struct.pack("<f", np.nan) + whole[4:], "not finite"),
        (whole[:12] + bytes(12) + whole[24:], "scale of 0"),
    ):
        path.write_bytes(change)
        with pytest.raises(DamagedMediaError, match=message):
            read_dot_splat(path)


def test_no_gaussians_and_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dot_splat(tmp_path / "b.splat", some(5))
    for name, (write, _) in FORMATS.items():
        with pytest.raises(UsageError, match="0 Gaussians"):
            write(tmp_path / name, some(0))
        assert not (tmp_path / name).exists()
    monkeypatch.setattr(_numbers, "MOST", 4)
    with pytest.raises(LimitError, match="5 Gaussians, the limit is 4"):
        read_splats(tmp_path / "b.splat")
    monkeypatch.setattr(_numbers, "MOST_BYTES", 100)
    with pytest.raises(LimitError, match="the limit"):
        read_splats(tmp_path / "b.splat")


@pytest.mark.parametrize("name", FORMATS)
def test_what_may_be_written_may_be_read_and_no_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, _ = FORMATS[name]
    monkeypatch.setattr(_numbers, "MOST", 4)
    monkeypatch.setitem(BUDGETS, "vertices", 3)  # meshes have a limit of their own
    write(tmp_path / name, some(4))
    found = read_splats(tmp_path / name)
    assert isinstance(found, Gaussians)
    assert len(found) == 4
    with pytest.raises(UsageError, match="give 1 to 4"):
        write(tmp_path / name, some(5))
    monkeypatch.setattr(_numbers, "MOST", 3)
    with pytest.raises(LimitError, match="4 Gaussians, the limit is 3"):
        read_splats(tmp_path / name)


def test_the_largest_glb_fits_what_any_glb_may_hold() -> None:
    numbers = 3 + 4 + 3 + 1 + 3
    assert _numbers.MOST * numbers <= BUDGETS["numbers in accessors"]
    assert _numbers.MOST * (4 * numbers + 4 * 2) <= FILE_BYTES - 4096  # plain colours are 16-bit


@pytest.mark.parametrize("name", FORMATS)
def test_files_cut_and_changed_anywhere_are_read_or_refused(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    path, rng = tmp_path / name, np.random.default_rng(3)
    write(path, some(4))
    whole = path.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 5)):
            data[place] = rng.integers(256)
        path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data))
        with suppress(DioramaError):
            read_splats(path)


def validated(path: Path) -> list[dict[str, Any]]:
    """The validator's messages; skips where it is not installed."""
    node = shutil.which("node")
    found = [folder for folder in MODULES if folder and (Path(folder) / "gltf-validator").is_dir()]
    if node is None or not found:
        pytest.skip("gltf-validator (npm) is not installed")
    script = Path(__file__).with_name("validate_gltf.js")
    environment = {**os.environ, "NODE_PATH": str(Path(found[0]).resolve())}
    run = subprocess.run([node, script, path], env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)["messages"]


def test_the_validator_objects_to_nothing_but_what_it_does_not_know_yet(tmp_path: Path) -> None:
    """Version 2.0.0-dev.3.10 is older than the extension, and than names of attributes with a colon."""
    write_splat_glb(tmp_path / "a.glb", some())
    known = "MESH_PRIMITIVE_INVALID_ATTRIBUTE", "UNSUPPORTED_EXTENSION"
    for message in validated(tmp_path / "a.glb"):
        assert message["code"] in known, message
        assert glb.EXTENSION in message["pointer"] + message["message"], message


def document(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[20 + length :]


def rewritten(path: Path, change: Change) -> None:
    text, rest = document(path)
    change(text)
    raw = json.dumps(text).encode()
    raw += b" " * (-len(raw) % 4)
    head = struct.pack("<5I", 0x46546C67, 2, 20 + len(raw) + len(rest), len(raw), 0x4E4F534A)
    path.write_bytes(head + raw + rest)


def test_glb_has_y_up_and_follows_its_nodes(tmp_path: Path) -> None:
    before, path = some(4), tmp_path / "a.glb"
    write_splat_glb(path, before)
    text, _ = document(path)
    low = text["accessors"][text["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]["min"]
    assert low[1] == pytest.approx(-before.means[:, 1].max())
    assert low[2] == pytest.approx(-before.means[:, 2].max())
    turn = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])  # about z of glTF, which is -z of ours
    rewritten(path, lambda text: text["nodes"][0].update(rotation=turn[[1, 2, 3, 0]].tolist(), scale=[2, 2, 2]))
    after, ours = read_splat_glb(path), np.array([np.sqrt(0.5), 0, 0, -np.sqrt(0.5)])
    assert after.means == pytest.approx(2 * before.means @ to_matrix(ours).T, abs=1e-4)
    assert after.scales == pytest.approx(2 * before.scales, rel=1e-5)
    assert np.abs((after.quats * multiply(ours, before.quats)).sum(axis=1)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "fault", "message"),
    [
        (lambda p, d: p.update(mode=4), DamagedMediaError, "not points"),
        (lambda p, d: p["extensions"][glb.EXTENSION].update(kernel="cone"), MediaError, "kernel 'cone'"),
        (lambda p, d: p["extensions"][glb.EXTENSION].update(extensions={}), MediaError, "compressed"),
        (lambda p, d: p["attributes"].pop(f"{glb.EXTENSION}:SCALE"), DamagedMediaError, "SCALE' is missing"),
        (lambda p, d: p.pop("extensions"), MediaError, "no Gaussians"),
        (lambda p, d: d["nodes"][0].update(scale=[1, 2, 1]), DamagedMediaError, "unevenly"),
        (lambda p, d: d["nodes"][0].update(scale=[-1, 1, 1]), DamagedMediaError, "mirrors"),
        (lambda p, d: d["nodes"][0].update(scale=[0, 0, 0]), DamagedMediaError, "unevenly"),
        (lambda p, d: d["accessors"][2].update(count=2), DamagedMediaError, "2 elements"),
        (lambda p, d: d.update(extensionsUsed=[]), MediaError, "nothing that holds"),
    ],
)
def test_broken_glb(
    change: Callable[[Any, Any], None], fault: type[DioramaError], message: str, tmp_path: Path
) -> None:
    write_splat_glb(tmp_path / "a.glb", some(4))
    rewritten(tmp_path / "a.glb", lambda text: change(text["meshes"][0]["primitives"][0], text))
    with pytest.raises(fault, match=message):
        read_splats(tmp_path / "a.glb")


def test_many_primitives_are_counted_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_splat_glb(tmp_path / "a.glb", some(4))
    rewritten(tmp_path / "a.glb", lambda text: text["meshes"][0].update(primitives=4 * text["meshes"][0]["primitives"]))
    counted: list[int] = []
    count = glb.checked_count

    def counting(number: int, where: object) -> int:
        counted.append(number)
        return count(number, where)

    looked, length = [0], Gaussians.__len__

    def looking(self: Gaussians) -> int:
        looked[0] += 1
        return length(self)

    monkeypatch.setattr(glb, "checked_count", counting)
    assert len(read_splat_glb(tmp_path / "a.glb")) == 16
    assert counted == [4, 8, 12, 16]
    monkeypatch.setattr(Gaussians, "__len__", looking)
    read_splat_glb(tmp_path / "a.glb")
    assert looked[0] == 4  # not each of those before, over and over
    monkeypatch.setattr(glb, "checked_count", count)
    monkeypatch.setitem(BUDGETS, "primitives", 3)
    with pytest.raises(LimitError, match="more than 3 primitives"):
        read_splat_glb(tmp_path / "a.glb")


def test_nothing_that_holds_gaussians(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 64)
    for path in (tmp_path / "a.txt", tmp_path / "none.ply", tmp_path):
        with pytest.raises(MediaError):
            read_splats(path)
    for read in map(partial, (read_splat_ply, read_dot_splat, read_splat_glb)):
        with pytest.raises(UsageError, match="protocol"):
            read(Path("http:/example.com/a.ply"))
