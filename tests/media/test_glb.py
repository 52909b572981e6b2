"""GLB files: what the Khronos validator says, both ways, and files from strangers."""

import base64
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import DioramaError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.pose import animate
from diorama.media.mesh import read_glb, write_glb

MODULES = [os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]


@cache
def person() -> Figure:
    cast = load_cast()
    figure = cast.figure(cast.people[2].name)
    texture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    return replace(figure, mesh=replace(figure.mesh, texture=texture))


def turned(skeleton: Skeleton, frames: int = 7, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    quats = np.concatenate([np.ones((frames, len(skeleton), 1)), rng.normal(0, 0.3, (frames, len(skeleton), 3))], -1)
    quats /= np.linalg.norm(quats, axis=-1, keepdims=True)
    return Motion(skeleton, quats.astype(np.float32), rng.normal(size=(frames, 3)).astype(np.float32), 12.0)


def finger(turn: float = 0.0) -> Figure:
    """Two joints whose frames are turned, and a strip of four triangles."""
    rest = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    c, s = np.cos(turn), np.sin(turn)
    rest[1, :3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    rest[1, :3, 3] = 0, 1, 0
    y = np.repeat(np.linspace(0, 2, 3), 2)
    vertices = np.stack([np.tile([-0.2, 0.2], 3), y, np.zeros(6)], axis=1).astype(np.float32)
    faces = np.array([(0, 1, 3), (0, 3, 2), (2, 3, 5), (2, 5, 4)], np.int32)
    weights = np.stack([1 - y / 2, y / 2], axis=1).astype(np.float32)
    joints = np.tile(np.array([0, 1], np.int32), (6, 1))
    skeleton = Skeleton(("base", "tip"), np.array([-1, 0], np.int32), rest)
    return Figure(skeleton, Mesh(vertices, faces), joints, weights, ("base", "tip"), np.array([0, 1], np.int32))


def validated(*paths: Path) -> list[dict[str, Any]]:
    """The validator's findings; skips where it is not installed."""
    node = shutil.which("node")
    found = [folder for folder in MODULES if folder and (Path(folder) / "gltf-validator").is_dir()]
    if node is None or not found:
        pytest.skip("gltf-validator (npm) is not installed")
    script = Path(__file__).with_name("validate_gltf.js")
    environment = {**os.environ, "NODE_PATH": str(Path(found[0]).resolve())}
    run = subprocess.run([node, script, *paths], env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_the_validator_has_nothing_to_say(tmp_path: Path) -> None:
    figure, small = person(), finger(0.7)
    paths = [tmp_path / f"{name}.glb" for name in ("person", "still", "two", "small", "mesh")]
    write_glb(paths[0], figure, {"wild": turned(figure.skeleton), "one": turned(figure.skeleton, 1)})
    write_glb(paths[1], figure)
    write_glb(paths[2], [figure, replace(figure, mesh=replace(figure.mesh, texture=None))])
    write_glb(paths[3], small, {"bend": turned(small.skeleton)})
    write_glb(paths[4], Mesh(small.mesh.vertices, small.mesh.faces, colors=np.full((6, 3), 9, np.uint8)))
    for path, issues in zip(paths, validated(*paths), strict=True):
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), (path.name, issues["messages"][:5])
        assert issues["numInfos"] == (path.stem == "two"), issues["messages"]  # coordinates kept without a texture


def test_a_figure_comes_back(tmp_path: Path) -> None:
    figure = person()
    motion = turned(figure.skeleton)
    write_glb(tmp_path / "a.glb", figure, {"wild": motion})
    asset = read_glb(tmp_path / "a.glb")
    (back,), again = asset.figures, asset.motions["wild"]
    assert back.skeleton.names == figure.skeleton.names
    assert np.array_equal(back.skeleton.parents, figure.skeleton.parents)
    assert np.abs(back.skeleton.rest - figure.skeleton.rest).max() < 1e-6
    assert np.array_equal(back.mesh.vertices[back.mesh.faces], figure.mesh.vertices[figure.mesh.faces])
    assert back.mesh.uvs is not None
    assert figure.mesh.uvs is not None
    assert np.array_equal(back.mesh.uvs[back.mesh.uv_faces], figure.mesh.uvs[figure.mesh.uv_faces])
    assert np.array_equal(back.mesh.texture, figure.mesh.texture)
    assert np.abs(back.dense_weights[back.mesh.faces] - figure.dense_weights[figure.mesh.faces]).max() < 1e-6
    assert again.fps == 12
    assert np.abs(np.abs((again.rotations * motion.rotations).sum(-1)) - 1).max() < 1e-5
    assert np.abs(again.root - motion.root).max() < 1e-5
    moved = animate(back, again)[:, back.mesh.faces] - animate(figure, motion)[:, figure.mesh.faces]
    assert np.abs(moved).max() < 1e-5


def test_turned_joints_come_back(tmp_path: Path) -> None:
    figure = finger(0.7)
    motion = turned(figure.skeleton)
    write_glb(tmp_path / "a.glb", figure, {"bend": motion})
    asset = read_glb(tmp_path / "a.glb")
    moved = animate(asset.figures[0], asset.motions["bend"])
    assert np.abs(moved - animate(figure, motion)).max() < 1e-5


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    figure = person()
    for name in "ab":
        write_glb(tmp_path / name, figure, {"wild": turned(figure.skeleton)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pictures_in_which_each_face_has_its_own_place_are_not_reduced(tmp_path: Path) -> None:
    mesh = load_cast().figure("Hana").mesh
    faces = np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3)
    alone = replace(
        mesh, uvs=np.zeros((faces.size, 2), np.float32), uv_faces=faces, texture=np.zeros((8, 8, 3), np.uint8)
    )
    for given, smaller in ((alone, 9729), (replace(alone, uvs=alone.uvs[:3], uv_faces=faces * 0), 9987)):
        write_glb(tmp_path / "a.glb", given)
        data = (tmp_path / "a.glb").read_bytes()
        document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
        assert document["samplers"][document["textures"][0]["sampler"]]["minFilter"] == smaller


def test_bodies_and_clothes_share_a_texture(tmp_path: Path) -> None:
    figure = person()
    write_glb(tmp_path / "one.glb", figure)
    write_glb(tmp_path / "two.glb", [figure, figure])
    document, _ = opened((tmp_path / "two.glb").read_bytes())
    assert len(document["images"]) == len(document["skins"]) == 1
    (both,) = read_glb(tmp_path / "two.glb").figures
    assert both.mesh.texture is not None
    assert len(both.mesh.faces) == 2 * len(figure.mesh.faces)


def test_models_that_cannot_be_written(tmp_path: Path) -> None:
    figure, other = person(), finger()
    with pytest.raises(UsageError, match="no figure"):
        write_glb(tmp_path / "a.glb", [])
    with pytest.raises(UsageError, match="different skeletons"):
        write_glb(tmp_path / "a.glb", figure, {"x": turned(other.skeleton)})
    with pytest.raises(UsageError, match="no skeleton"):
        write_glb(tmp_path / "a.glb", figure.mesh, {"x": turned(figure.skeleton)})
    flat = Mesh(other.mesh.vertices, np.zeros((1, 3), np.int32))
    with pytest.raises(UsageError, match="three corners"):
        write_glb(tmp_path / "a.glb", flat)
    with pytest.raises(UsageError, match="farther"):
        write_glb(tmp_path / "a.glb", replace(other.mesh, vertices=np.full((6, 3), 1e20, np.float32)))
    fast = replace(turned(other.skeleton, 3), fps=1e60)
    with pytest.raises(UsageError, match="clock"):
        write_glb(tmp_path / "a.glb", other, {"x": fast})
    assert not list(tmp_path.iterdir())


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The document and the binary chunk of our own files."""
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def closed(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<2I", len(text), 0x4E4F534A) + text + struct.pack("<2I", len(binary), 0x004E4942) + binary
    return struct.pack("<3I", 0x46546C67, 2, 12 + len(chunks)) + chunks


@cache
def small() -> bytes:
    path = Path(os.environ.get("PYTEST_TMP", "/tmp")) / f"diorama-small-{os.getpid()}.glb"
    figure = finger(0.4)
    write_glb(path, figure, {"bend": turned(figure.skeleton)})
    data = path.read_bytes()
    path.unlink()
    return data


Change = Callable[[dict[str, Any]], object]


def put(*keys: str | int, value: object) -> Change:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


BROKEN: dict[str, tuple[Change, str]] = {
    "far": (put("nodes", 0, "translation", value=[1e20, 0, 0]), "farther"),
    "old version": (put("asset", "version", value="1.0"), "glTF version '1.0'"),
    "unknown extension": (put("extensionsRequired", value=["KHR_draco_mesh_compression"]), "KHR_draco"),
    "beyond the buffer": (put("bufferViews", 0, "byteLength", value=1 << 40), "beyond its buffer"),
    "beyond the view": (put("accessors", 0, "count", value=100_000), "beyond its buffer view"),
    "too many": (put("accessors", 0, "count", value=1 << 50), "limit"),
    "negative count": (put("accessors", 0, "count", value=-1), "-1 elements"),
    "unknown type": (put("accessors", 0, "componentType", value=9999), "9999"),
    "negative index": (put("nodes", 2, "mesh", value=-1), "meshes"),
    "two parents": (put("nodes", 1, "children", value=[1]), "two parents"),
    "cycle": (
        lambda d: [
            put("nodes", 0, "children", value=[])(d),
            put("nodes", 1, "children", value=[0])(d),
            put("nodes", 0, "children", value=[1])(d),
        ],
        "ancestors",
    ),
    "joint out of range": (put("skins", 0, "joints", value=[0]), "joint 1 of 1"),
    "joint twice": (put("skins", 0, "joints", value=[0, 0]), "twice"),
    "no joints": (put("skins", 0, "joints", value=[]), "no joints"),
    "outside": (put("buffers", 0, "uri", value="../secret.bin"), "outside its own folder"),
    "absolute": (put("buffers", 0, "uri", value="/etc/passwd"), "outside its own folder"),
    "escaped": (put("buffers", 0, "uri", value="%2e%2e/secret.bin"), "outside its own folder"),
    "network": (put("buffers", 0, "uri", value="https://example.com/a.bin"), "outside its own folder"),
    "missing file": (put("buffers", 0, "uri", value="gone.bin"), "gone.bin"),
    "nan": (put("nodes", 0, "translation", value=[float("nan"), 0, 0]), "not finite"),
    "no rotation": (put("nodes", 1, "rotation", value=[0, 0, 0, 0]), "no length"),
    "flat": (put("nodes", 1, "scale", value=[0, 1, 1]), "flat"),
    "sheared": (put("nodes", 0, "scale", value=[3, 1, 1]), "sheared"),
    "list for a dictionary": (put("nodes", 0, value=[]), "no object"),
    "strange interpolation": (put("animations", 0, "samplers", 0, "interpolation", value="WILD"), "WILD"),
    "missing attribute": (put("meshes", 0, "primitives", 0, "attributes", value={}), "POSITION"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_break_the_rules(name: str, tmp_path: Path) -> None:
    change, message = BROKEN[name]
    document, binary = opened(small())
    change(document)
    path = tmp_path / "a.glb"
    path.write_bytes(closed(document, binary))
    with pytest.raises(DioramaError, match=r"a\.glb|gone\.bin") as caught:
        read_glb(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("length", [0, 3, 11, 19, 40, 400, -5])
def test_files_cut_short(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(small()[:length])
    with pytest.raises(DioramaError):
        read_glb(path)


def test_no_glb_at_all(tmp_path: Path) -> None:
    for data in (b"glTF" + bytes(100), b"[" * 100_000, b"{}", b"\xff\xfe", b'{"asset": 3}'):
        (tmp_path / "a.glb").write_bytes(data)
        with pytest.raises(DioramaError):
            read_glb(tmp_path / "a.glb")
    with pytest.raises(DioramaError):
        read_glb(tmp_path / "missing.glb")


def test_flipped_bytes_end_in_a_typed_error_or_an_asset(tmp_path: Path) -> None:
    rng, path, good = np.random.default_rng(0), tmp_path / "a.glb", small()
    for _ in range(300):
        data = bytearray(good)
        for place in rng.integers(12, len(data), 2):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with suppress(DioramaError):
            read_glb(path)


def test_weights_that_do_not_sum_to_one(tmp_path: Path) -> None:
    document, binary = opened(small())
    number = document["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"]
    start = document["bufferViews"][document["accessors"][number]["bufferView"]]["byteOffset"]
    changed = bytearray(binary)
    changed[start : start + 4] = struct.pack("<f", 0.4)
    (tmp_path / "a.glb").write_bytes(closed(document, bytes(changed)))
    with pytest.raises(DioramaError, match=r"sum to 0\.4"):
        read_glb(tmp_path / "a.glb")


def test_text_files_with_their_data_beside_or_within(tmp_path: Path) -> None:
    document, binary = opened(small())
    (tmp_path / "data.bin").write_bytes(binary)
    for uri in ("data.bin", "data:application/octet-stream;base64," + base64.b64encode(binary).decode()):
        document["buffers"][0]["uri"] = uri
        (tmp_path / "a.gltf").write_text(json.dumps(document))
        asset = read_glb(tmp_path / "a.gltf")
        assert asset.figures[0].skeleton.names == ("base", "tip")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/link.bin").symlink_to(tmp_path / "data.bin")
    document["buffers"][0]["uri"] = "link.bin"
    (tmp_path / "inside/a.gltf").write_text(json.dumps(document))
    with pytest.raises(DioramaError, match="outside"):
        read_glb(tmp_path / "inside/a.gltf")


def test_a_scaled_and_turned_scene(tmp_path: Path) -> None:
    """Armatures exported in centimetres under a node that scales and turns them, as game tools write them."""
    document, binary = opened(small())
    half = float(np.sqrt(0.5))
    document["nodes"].append({"name": "armature", "scale": [2, 2, 2], "rotation": [half, 0, 0, half], "children": [0]})
    document["scenes"][0]["nodes"] = [len(document["nodes"]) - 1, 2]
    (tmp_path / "a.glb").write_bytes(closed(document, binary))
    (tmp_path / "b.glb").write_bytes(small())
    scaled, plain = read_glb(tmp_path / "a.glb"), read_glb(tmp_path / "b.glb")
    upright = animate(plain.figures[0], plain.motions["bend"])
    turned_up = animate(scaled.figures[0], scaled.motions["bend"])
    assert np.abs(turned_up - 2 * upright @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])).max() < 1e-4


def test_meshes_without_a_skin_stand_where_the_file_puts_them(tmp_path: Path) -> None:
    mesh = finger().mesh
    write_glb(tmp_path / "a.glb", mesh)
    document, binary = opened((tmp_path / "a.glb").read_bytes())
    document["nodes"][0]["translation"] = [1, 2, 3]
    document["nodes"][0]["scale"] = [-1, 1, 1]
    (tmp_path / "a.glb").write_bytes(closed(document, binary))
    (found,) = read_glb(tmp_path / "a.glb").meshes
    assert np.abs(found.vertices - (mesh.vertices * [-1, 1, 1] + [1, 2, 3])).max() < 1e-6
    assert np.array_equal(np.sort(found.faces, axis=1), np.sort(mesh.faces, axis=1))
