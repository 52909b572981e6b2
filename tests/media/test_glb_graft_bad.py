"""Files and figures from which no grafted file is made: one error of ours each, and nothing is written."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.mesh import _gltf_file, read_glb, write_glb
from diorama.media.mesh.glb_graft import graft_glb

Change = Callable[[dict[str, Any]], object]


def strip(shift: float = 0.0) -> Figure:
    """Two triangles, two joints."""
    vertices = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], np.float32) + np.float32(shift)
    mesh = Mesh(vertices, np.array([(0, 1, 2), (1, 3, 2)], np.int32))
    rest = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    rest[1, 1, 3] = 0.5
    skeleton = Skeleton(("low", "high"), np.array([-1, 0], np.int32), rest)
    joints, weights = np.tile(np.array([1, 0], np.int32), (4, 1)), np.full((4, 2), 0.5, np.float32)
    return Figure(skeleton, mesh, joints, weights, ("all",), np.zeros(2, np.int32))


def still(skeleton: Skeleton, fps: float = 10.0) -> Motion:
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (3, len(skeleton), 1))
    return Motion(skeleton, turns, np.zeros((3, 3), np.float32), fps)


def source(folder: Path, change: Change | None = None) -> Path:
    """The surface alone in a file, changed."""
    write_glb(folder / "source.glb", strip().mesh)
    if change is not None:
        document, binary = opened((folder / "source.glb").read_bytes())
        change(document)
        (folder / "source.glb").write_bytes(closed(json.dumps(document), binary))
    return folder / "source.glb"


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def closed(text: str, binary: bytes) -> bytes:
    data = text.encode() + b" " * (-len(text.encode()) % 4)
    chunks = struct.pack("<2I", len(data), 0x4E4F534A) + data + struct.pack("<2I", len(binary), 0x004E4942) + binary
    return struct.pack("<3I", 0x46546C67, 2, 12 + len(chunks)) + chunks


def attributes(document: dict[str, Any]) -> dict[str, Any]:
    return document["meshes"][0]["primitives"][0]["attributes"]


BAD: dict[str, tuple[Change, type[DioramaError], str]] = {
    "draco": (lambda d: d.update(extensionsUsed=["KHR_draco_mesh_compression"]), MediaError, "with KHR_draco"),
    "meshopt": (lambda d: d.update(extensionsRequired=["EXT_meshopt_compression"]), MediaError, "needs EXT_meshopt"),
    "unknown": (lambda d: d.update(extensionsRequired=["ACME_secret"]), MediaError, "ACME_secret"),
    "instances": (lambda d: d.update(extensionsUsed=["EXT_mesh_gpu_instancing"]), MediaError, "instancing"),
    "joints": (lambda d: attributes(d).update(JOINTS_0=0), UsageError, "already present"),
    "weights": (lambda d: attributes(d).update(WEIGHTS_0=0), UsageError, "already present"),
    "outside": (lambda d: d["buffers"][0].update(uri="../secret.bin"), MediaError, "outside"),
    "network": (lambda d: d["buffers"][0].update(uri="https://example.com/a.bin"), MediaError, "outside"),
    "missing": (lambda d: d["buffers"][0].update(uri="gone.bin"), MediaError, "no such file"),
    "no picture": (lambda d: d.update(images=[{"uri": "gone.png"}]), MediaError, "no such file"),
    "odd picture": (lambda d: d.update(images=[{"uri": "source.glb"}]), MediaError, "unknown kind"),
    "no data": (lambda d: d["buffers"].append({"byteLength": 4}), DamagedMediaError, "no data"),
    "long": (lambda d: d["buffers"][0].update(byteLength=1 << 40), DamagedMediaError, "bytes of"),
    "beyond": (lambda d: d["bufferViews"].append({"buffer": 0, "byteLength": 1 << 30}), DamagedMediaError, "beyond"),
    "no buffer": (lambda d: d["bufferViews"].append({"buffer": -1, "byteLength": 1}), DamagedMediaError, "buffers"),
    "cycle": (lambda d: d["nodes"].extend([{"children": [2]}, {"children": [1]}]), DamagedMediaError, "ancestors"),
    "two parents": (lambda d: d["nodes"].extend([{"children": [0]}] * 2), DamagedMediaError, "two parents"),
    "other scene": (lambda d: d["scenes"].append({"nodes": [99]}), DamagedMediaError, r"nodes\[99\]"),
    "scenes": (lambda d: d["scenes"].extend([{}] * 300), LimitError, "301 scenes"),
    "channel": (lambda d: d.update(animations=[{"channels": [{}]}]), DamagedMediaError, "target"),
    "animation": (lambda d: d.update(animations=[3]), DamagedMediaError, "no object"),
    "not finite": (lambda d: d.update(extras=float("nan")), DamagedMediaError, "breaks the rules"),
    "uri": (lambda d: d.update(images=[{"uri": 3}]), DamagedMediaError, "breaks the rules"),
    "far": (lambda d: d["nodes"][0].update(translation=[1e20, 0, 0]), DamagedMediaError, "farther"),
    "large": (lambda d: d["nodes"][0].update(scale=[1.0, 1.0, 1e60]), DamagedMediaError, "too large"),
    "skins": (lambda d: d.update(skins={}), DamagedMediaError, "breaks the rules"),
    "lines": (lambda d: d["meshes"][0]["primitives"][0].update(mode=1), UsageError, "no triangles"),
    "moved": (lambda d: d["nodes"][0].update(translation=[0.1, 0, 0]), UsageError, r"0\.1 from the file's"),
    "twice": (lambda d: (d["nodes"].append({"mesh": 0}), d["scenes"][0]["nodes"].append(1)), UsageError, "4 vertices"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_cannot_be_grafted(name: str, tmp_path: Path) -> None:
    change, kind, message = BAD[name]
    path = source(tmp_path, change)
    with pytest.raises(kind, match=message):
        graft_glb(path, tmp_path / "a.glb", strip())
    assert not (tmp_path / "a.glb").exists()


def test_a_second_skeleton(tmp_path: Path) -> None:
    graft_glb(source(tmp_path), tmp_path / "a.glb", strip())
    with pytest.raises(UsageError, match="already present"):
        graft_glb(tmp_path / "a.glb", tmp_path / "b.glb", strip())
    assert not (tmp_path / "b.glb").exists()


def test_figures_that_do_not_fit(tmp_path: Path) -> None:
    path, target, figure = source(tmp_path), tmp_path / "a.glb", strip()
    other = replace(figure.skeleton, names=("a", "b"))
    with pytest.raises(UsageError, match="8 vertices in the figures, 4 in the file"):
        graft_glb(path, target, [figure, figure])
    with pytest.raises(UsageError, match="from the file's"):
        graft_glb(path, target, strip(0.001))
    with pytest.raises(UsageError, match="different skeletons"):
        graft_glb(path, target, figure, {"x": still(other)})
    with pytest.raises(UsageError, match="no figure"):
        graft_glb(path, target, [])
    with pytest.raises(UsageError, match="clock"):
        graft_glb(path, target, figure, {"x": still(figure.skeleton, 1e60)})
    with pytest.raises(UsageError, match="folder does not exist"):
        graft_glb(path, tmp_path / "none/a.glb", figure)
    with pytest.raises(MediaError, match="no such file"):
        graft_glb(tmp_path / "gone.glb", target, figure)
    assert not target.exists()


def outcome(path: Path, target: Path) -> None:
    """Either an error of ours, or a file that reads if its source does: materials are not looked at."""
    target.unlink(missing_ok=True)
    try:
        graft_glb(path, target, strip())
    except DioramaError:
        assert not target.exists()
        return
    try:
        read_glb(path)
    except DioramaError:
        return
    assert len(read_glb(target).figures[0].mesh.vertices) == 4


def test_files_cut_short_and_deep_and_flipped(tmp_path: Path) -> None:
    path = source(tmp_path, lambda d: d.update(extras="here"))
    good, target = path.read_bytes(), tmp_path / "a.glb"
    for length in (0, 3, 19, 40, 400, len(good) - 5):
        path.write_bytes(good[:length])
        with pytest.raises(DioramaError):
            graft_glb(path, target, strip())
    document, binary = opened(good)
    for depth in range(100, 1000, 100):
        path.write_bytes(closed(json.dumps(document).replace('"here"', "[" * depth + "]" * depth), binary))
        outcome(path, target)
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(good)
        for place in rng.integers(12, len(data), 2):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        outcome(path, target)


@pytest.mark.parametrize("what", ["vertices", "primitives", "joints"])
def test_a_file_is_not_read_beyond_its_budget(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source(tmp_path)
    monkeypatch.setitem(_gltf_file.BUDGETS, what, 0)
    with pytest.raises(LimitError, match=f"more than 0 {what}"):
        graft_glb(path, tmp_path / "a.glb", strip())
