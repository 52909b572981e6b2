"""What other programs' glTF files hold: packed arrays, strips, several roots, curves, factors; and how much may be."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama.core.mesh import Mesh
from diorama.core.rotations import to_axis_angle
from diorama.errors import DamagedMediaError, DioramaError, LimitError
from diorama.media.mesh import Asset, _gltf_file, read_glb, write_glb

KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
SQUARE = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], np.float32)


class Model:
    """A glTF document in the making, its bytes in a data URI."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}
        self.bytes = b""

    def view(self, data: bytes) -> int:
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(data)})
        self.bytes += data
        return len(self.json["bufferViews"]) - 1

    def add(self, array: np.ndarray, **more: Any) -> int:
        entry = {"bufferView": self.view(array.tobytes()), "componentType": KINDS[array.dtype.str[1:]]}
        entry |= {"count": len(array), "type": SHAPES[array.shape[1:]], **more}
        self.json["accessors"].append(entry)
        return len(self.json["accessors"]) - 1

    def read(self, folder: Path) -> Asset:
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.bytes).decode()
        self.json["buffers"] = [{"byteLength": len(self.bytes), "uri": uri}]
        (folder / "a.gltf").write_text(json.dumps(self.json))
        return read_glb(folder / "a.gltf")


def flat(**primitive: Any) -> Model:
    """A square of four corners."""
    model = Model()
    model.json["nodes"] = [{"mesh": 0}]
    model.json["meshes"] = [{"primitives": [{"attributes": {"POSITION": model.add(SQUARE)}, "mode": 5, **primitive}]}]
    return model


def rigged(roots: int = 1) -> Model:
    """A square bound to two joints, one above the other or side by side; the second is a metre up."""
    model = flat()
    attributes = model.json["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = model.add(np.tile(np.array([0, 1, 0, 0], np.uint8), (4, 1)))
    attributes["WEIGHTS_0"] = model.add(np.tile(np.array([85, 170, 0, 0], np.uint8), (4, 1)), normalized=True)
    binds = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    binds[1, 3, 1] = -1  # stored column by column
    model.json["skins"] = [{"joints": [1, 2], "inverseBindMatrices": model.add(binds)}]
    model.json["nodes"] = [{"mesh": 0, "skin": 0}, {"name": "a"}, {"name": "b", "translation": [0, 1, 0]}]
    if roots == 1:
        model.json["nodes"][1]["children"] = [2]
    return model


def animated(model: Model, path: str, times: list[float], values: np.ndarray, style: str = "LINEAR") -> Model:
    sampler = {"input": model.add(np.array(times, np.float32)), "output": model.add(values), "interpolation": style}
    channel = {"sampler": 0, "target": {"node": 2, "path": path}}
    model.json["animations"] = [{"samplers": [sampler], "channels": [channel]}]
    return model


def test_strips_fans_and_lists_without_indices(tmp_path: Path) -> None:
    (strip,) = flat().read(tmp_path).meshes
    assert strip.faces.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert strip.colors is None
    (fan,) = flat(mode=6).read(tmp_path).meshes
    assert fan.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    (single,) = flat(mode=4).read(tmp_path).meshes
    assert single.faces.tolist() == [[0, 1, 2]]
    for kind in (np.uint8, np.uint16, np.uint32):
        model = flat(mode=4)
        indices = model.add(np.array([2, 1, 3, 0, 0, 1], kind))  # the second has no area
        model.json["meshes"][0]["primitives"][0]["indices"] = indices
        assert model.read(tmp_path).meshes[0].faces.tolist() == [[2, 1, 3]]
    assert flat(mode=0).read(tmp_path).meshes == ()


def test_interleaved_and_sparse_positions(tmp_path: Path) -> None:
    model = flat()
    model.json["bufferViews"][0]["byteStride"] = 16
    model.bytes = np.pad(SQUARE, ((0, 0), (0, 1))).tobytes()
    model.json["bufferViews"][0]["byteLength"] = len(model.bytes)
    places = {"bufferView": model.view(np.array([1, 3], np.uint16).tobytes()), "componentType": 5123}
    values = {"bufferView": model.view(np.full((2, 3), 7, np.float32).tobytes())}
    model.json["accessors"][0]["sparse"] = {"count": 2, "indices": places, "values": values}
    (mesh,) = model.read(tmp_path).meshes
    assert mesh.vertices.tolist() == [[0, 0, 0], [7, 7, 7], [0, 1, 0], [7, 7, 7]]
    model.bytes = model.bytes.replace(struct.pack("<2H", 1, 3), struct.pack("<2H", 3, 3))
    with pytest.raises(DamagedMediaError, match="overlap"):
        model.read(tmp_path)


def test_colours_are_linear_in_the_file(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (4, 3), np.uint8)
    write_glb(tmp_path / "a.glb", Mesh(SQUARE, np.array([(0, 1, 2), (1, 2, 3)], np.int32), colors=colors))
    assert np.array_equal(read_glb(tmp_path / "a.glb").meshes[0].colors, colors)
    model = flat(material=0)
    model.json["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0.2158605, 0, 1]}}]
    (mesh,) = model.read(tmp_path).meshes
    assert mesh.colors is not None
    assert mesh.colors.tolist() == [[255, 128, 0]] * 4
    uvs = model.add(np.zeros((4, 2), np.float32))
    model.json["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = uvs
    picture = io.BytesIO()
    Image.new("RGB", (2, 3), (255, 255, 255)).save(picture, "PNG")
    model.json["images"] = [{"bufferView": model.view(picture.getvalue()), "mimeType": "image/png"}]
    model.json["textures"] = [{"source": 0}]
    model.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
    (mesh,) = model.read(tmp_path).meshes
    assert mesh.texture is not None
    assert mesh.texture.shape == (3, 2, 3)
    assert (mesh.texture == [255, 128, 0]).all()


def test_packed_weights_and_several_sets(tmp_path: Path) -> None:
    model = rigged()
    (figure,) = model.read(tmp_path).figures
    assert figure.skin_joints[0].tolist() == [1, 0, 0, 0]
    assert figure.skin_weights[0, :2] == pytest.approx([2 / 3, 1 / 3])
    assert figure.skeleton.joints.tolist() == [[0, 0, 0], [0, 1, 0]]
    assert np.array_equal(figure.mesh.vertices, SQUARE)
    attributes = model.json["meshes"][0]["primitives"][0]["attributes"]
    attributes["WEIGHTS_0"] = model.add(np.tile(np.array([0.2, 0.2, 0, 0], np.float32), (4, 1)))
    attributes["JOINTS_1"] = attributes["JOINTS_0"]
    attributes["WEIGHTS_1"] = model.add(np.tile(np.array([0.1, 0.5, 0, 0], np.float32), (4, 1)))
    (figure,) = model.read(tmp_path).figures
    assert figure.dense_weights[0] == pytest.approx([0.3, 0.7])


def test_several_roots_hang_on_one_that_moves_with_the_larger(tmp_path: Path) -> None:
    model = rigged(roots=2)
    model.json["nodes"] += [{"name": "a"}]
    model.json["nodes"][2]["children"] = [3]
    model.json["skins"][0] = {"joints": [1, 2, 3]}
    shift = np.array([(0, 1, 0), (0, 1, 4)], np.float32)
    asset = animated(model, "translation", [0, 1], shift).read(tmp_path)
    (figure,) = asset.figures
    assert figure.skeleton.names == ("root", "a", "b", "a_2")
    assert figure.skeleton.parents.tolist() == [-1, 0, 0, 2]
    assert asset.motions["animation0"].root.tolist() == [[0, 0, 0], [0, 0, 4]]


@pytest.mark.parametrize("style", ["LINEAR", "STEP", "CUBICSPLINE"])
def test_curves_are_sampled_thirty_times_a_second(style: str, tmp_path: Path) -> None:
    keys = np.array([(0, 0, 0, 1), (0, 0, np.sin(0.5), np.cos(0.5)), (0, 0, 0, 1)], np.float32)
    if style == "CUBICSPLINE":
        keys = np.stack([0 * keys, keys, 0 * keys], axis=1).reshape(-1, 4)
    asset = animated(rigged(), "rotation", [1.0, 1.5, 2.5], keys, style).read(tmp_path)
    motion = asset.motions["animation0"]
    assert (motion.fps, len(motion)) == (30, 46)
    turn = to_axis_angle(motion.rotations[:, 1])[:, 2]
    assert turn[[0, 15, 45]] == pytest.approx([0, 1, 0], abs=1e-5)
    expected = {"LINEAR": 0.2, "STEP": 0.0, "CUBICSPLINE": 0.104}[style]  # 3 frames of 15: 3 s^2 - 2 s^3 of the way
    assert turn[3] == pytest.approx(expected, abs=5e-3)
    assert (motion.rotations[:, 0] == [1, 0, 0, 0]).all()


BROKEN = {
    "signed joints": (("accessors", 1, "componentType"), 5120, "whole numbers"),
    "joints as vectors": (("accessors", 1, "type"), "VEC3", "whole numbers"),
    "no weights": (("meshes", 0, "primitives", 0, "attributes", "WEIGHTS_0"), 99, r"accessors\[99\]"),
    "few binds": (("accessors", 3, "count"), 1, "1 bind matrices"),
    "flat positions": (("accessors", 0, "type"), "VEC2", "2 numbers an element"),
    "unknown scene": (("scenes",), [{"nodes": [9]}], r"nodes\[9\]"),
    "scene with a node twice": (("scenes",), [{"nodes": [0, 0]}], "twice"),
    "deep": (("extras",), [0], "no glTF document"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rigs(name: str, tmp_path: Path) -> None:
    keys, value, message = BROKEN[name]
    model = rigged()
    place: Any = model.json
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    if name == "deep":
        (tmp_path / "a.gltf").write_text('{"asset":' + "[" * 200_000)
        with pytest.raises(DioramaError, match=message):
            read_glb(tmp_path / "a.gltf")
        return
    with pytest.raises(DamagedMediaError, match=message):
        model.read(tmp_path)


@pytest.mark.parametrize("what", ["numbers in accessors", "vertices", "primitives", "joints", "joint poses"])
def test_a_file_is_not_read_beyond_its_budget(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = animated(rigged(), "translation", [0, 1], np.zeros((2, 3), np.float32))
    model.read(tmp_path)
    monkeypatch.setitem(_gltf_file.BUDGETS, what, 0)
    with pytest.raises(LimitError, match=f"more than 0 {what}"):
        model.read(tmp_path)


def test_limits_of_files_and_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat().read(tmp_path)
    with pytest.raises(LimitError, match="the limit is 0 MB"):
        read_glb(tmp_path / "a.gltf", max_bytes=100)
    sampler = animated(rigged(), "translation", [0, 5000], np.zeros((2, 3), np.float32), "STEP")
    with pytest.raises(LimitError, match="36000 frames"):
        sampler.read(tmp_path)
    monkeypatch.setattr(_gltf_file, "JSON_ITEMS", 10)
    with pytest.raises(LimitError, match="the limit is 10"):
        flat().read(tmp_path)
    monkeypatch.setattr(_gltf_file, "JSON_BYTES", 10)
    with pytest.raises(LimitError, match="the limit is 0 MB"):
        flat().read(tmp_path)
