"""A skeleton grafted onto a file that has none: nothing else of the file changes, and it moves as the figure does."""

import base64
import io
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.rotations import from_axis_angle
from diorama.figures.pose import animate
from diorama.media.mesh import read_glb, write_glb
from diorama.media.mesh.glb_graft import graft_glb

MODULES = [os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]
KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4"}


class Model:
    """A glTF document in the making."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", "copyright": "somebody"}, "accessors": []}
        self.json |= {"bufferViews": [], "meshes": [], "scene": 0}
        self.bytes = b""

    def view(self, data: bytes, **more: Any) -> int:
        self.bytes += bytes(-len(self.bytes) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(data), **more}
        self.json["bufferViews"].append(entry)
        self.bytes += data
        return len(self.json["bufferViews"]) - 1

    def add(self, array: np.ndarray, *, bounds: bool = False, **more: Any) -> int:
        view = {"byteStride": array.strides[0]} if array.dtype.itemsize < 4 and array.ndim > 1 else {}
        entry = {"bufferView": self.view(array.tobytes(), **view), "componentType": KINDS[array.dtype.str[1:]]}
        entry |= {"count": len(array), "type": SHAPES[array.shape[1:]], **more}
        if bounds:
            shown = array[:, :3] if array.ndim > 1 else array[:, None]
            entry |= {"min": shown.min(axis=0).tolist(), "max": shown.max(axis=0).tolist()}
        self.json["accessors"].append(entry)
        return len(self.json["accessors"]) - 1

    def mesh(self, *primitives: dict[str, Any], **more: Any) -> int:
        self.json["meshes"].append({"primitives": list(primitives), **more})
        return len(self.json["meshes"]) - 1

    def save(self, path: Path) -> Path:
        self.json["buffers"] = [{"byteLength": len(self.bytes), "name": "data"}]
        path.write_bytes(closed(self.json, self.bytes))
        return path


def closed(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    chunks = struct.pack("<2I", len(text), 0x4E4F534A) + text + struct.pack("<2I", len(binary), 0x004E4942) + binary
    return struct.pack("<3I", 0x46546C67, 2, 12 + len(chunks)) + chunks


def opened(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def views(path: Path) -> list[bytes]:
    document, binary = opened(path)
    return [binary[v.get("byteOffset", 0) :][: v["byteLength"]] for v in document["bufferViews"]]


def values(path: Path, number: int) -> np.ndarray:
    """A tightly packed accessor of our own."""
    document, _ = opened(path)
    entry = document["accessors"][number]
    kind = {code: np.dtype(name) for name, code in KINDS.items()}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
    return np.frombuffer(views(path)[entry["bufferView"]], kind).reshape(entry["count"], width)


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


def picture(shade: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 128, 255)).save(data, kind)
    return data.getvalue()


def block(seed: int, count: int = 4) -> np.ndarray:
    """Corners of some triangles."""
    return np.random.default_rng(seed).uniform(-1, 1, (3 * count, 3)).astype(np.float32)


def unit(array: np.ndarray) -> np.ndarray:
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


def dressed(model: Model, seed: int, **more: Any) -> dict[str, Any]:
    """An indexed primitive with everything that a viewer draws it with."""
    places, rng = block(seed), np.random.default_rng(seed + 99)
    tangents = np.concatenate([unit(rng.normal(size=(12, 3))), np.ones((12, 1))], axis=1).astype(np.float32)
    colors = rng.integers(0, 256, (12, 4)).astype(np.uint8)
    attributes = {
        "POSITION": model.add(places, bounds=True),
        "NORMAL": model.add(unit(rng.normal(size=(12, 3)))),
        "TANGENT": model.add(tangents),
        "TEXCOORD_0": model.add(rng.uniform(size=(12, 2)).astype(np.float32)),
        "TEXCOORD_1": model.add(rng.integers(0, 65535, (12, 2)).astype(np.uint16), normalized=True),
        "COLOR_0": model.add(colors, normalized=True),
    }
    indices = model.add(np.array([0, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11], np.uint16))  # one without area
    return {"attributes": attributes, "indices": indices, **more}


def rich() -> Model:
    """Two materials, a normal map, nested, mirrored, instanced and odd meshes, a camera, an animation, two scenes."""
    model = Model()
    kept = [{"bufferView": model.view(picture(i)), "mimeType": "image/png"} for i in range(3)]
    samplers = [{"magFilter": 9728, "wrapS": 33071}]
    textures = [{"source": i, "sampler": 0} for i in range(3)]
    rough = {"baseColorTexture": {"index": 0}, "metallicRoughnessTexture": {"index": 2, "texCoord": 1}}
    materials: list[dict[str, Any]] = [
        {"name": "skin", "normalTexture": {"index": 1, "scale": 0.5}, "pbrMetallicRoughness": rough},
        {"name": "eye", "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0.5, 1]}, "alphaMode": "BLEND"},
    ]
    model.json |= {"images": kept, "samplers": samplers, "textures": textures, "materials": materials}
    morph = model.add(block(5) * np.float32(0.1), bounds=True)
    body = model.mesh(
        dressed(model, 0, material=0, targets=[{"POSITION": morph}], extras={"id": 7}),
        dressed(model, 1, material=1, targets=[{"POSITION": morph}]),
        weights=[0.0],
        extras={"targetNames": ["grin"]},
    )
    shared = model.add(block(2, 2), bounds=True)
    odd = model.mesh(
        {"attributes": {"POSITION": shared}},  # no indices
        {"attributes": {"POSITION": shared}, "mode": 5},
        {"attributes": {"POSITION": shared}, "mode": 6, "indices": model.add(np.array([5, 4, 3, 2], np.uint8))},
        {"attributes": {"POSITION": shared}, "mode": 3},  # a line
        {"attributes": {"POSITION": shared}, "indices": model.add(np.array([1, 1, 2], np.uint8))},  # without area
    )
    packed = np.pad((block(3, 1) * 8000).astype(np.int16), ((0, 0), (0, 1)))
    small = model.add(packed, bounds=True, type="VEC3")
    sparse = model.add(block(4, 1), bounds=True)
    entry = model.json["accessors"][sparse]
    places, new = np.array([1], np.uint16), np.array([[0.5, 0.25, -0.5]], np.float32)
    entry["sparse"] = {"count": 1, "indices": {"bufferView": model.view(places.tobytes()), "componentType": 5123}}
    entry["sparse"]["values"] = {"bufferView": model.view(new.tobytes())}
    full = block(4, 1)
    full[1] = new
    entry |= {"min": full.min(axis=0).tolist(), "max": full.max(axis=0).tolist()}
    coarse = model.mesh({"attributes": {"POSITION": small}}, {"attributes": {"POSITION": sparse}})
    half = float(np.sqrt(0.5))
    swap = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 1.0]  # mirrors
    model.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1}}]
    model.json["nodes"] = [
        {"name": "top", "translation": [0, 1, 0], "rotation": [half, 0, 0, half], "children": [1, 4, 7]},
        {"name": "body", "mesh": body, "scale": [1, 2, 0.5], "children": [2, 3], "extras": {"tag": "b"}},
        {"name": "mirrored", "mesh": body, "scale": [-1, 1, 1], "translation": [3, 0, 0], "weights": [0.5]},
        {"name": "eyes", "camera": 0, "translation": [0, 0, 1]},
        {"name": "odd", "mesh": odd, "matrix": swap},
        {"name": "plain", "mesh": odd},
        {"name": "elsewhere", "mesh": odd, "translation": [9, 9, 9]},
        {"name": "coarse", "mesh": coarse, "scale": [0.001, 0.001, 0.001]},
        {"name": "still", "mesh": body},
    ]
    model.json["scenes"] = [{"nodes": [0, 5, 8]}, {"name": "other", "nodes": [6, 5]}]
    clock = model.add(np.array([0, 1], np.float32), bounds=True)
    grin, slide = model.add(np.array([0, 1], np.float32)), model.add(np.zeros((2, 3), np.float32))
    samplers = [{"input": clock, "output": grin}, {"input": clock, "output": slide}]
    channels = [
        {"sampler": 0, "target": {"node": 1, "path": "weights"}},
        {"sampler": 1, "target": {"node": 1, "path": "translation"}},
    ]
    model.json["animations"] = [{"name": "bend", "samplers": samplers, "channels": channels}]
    model.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point"}]}}
    model.json["nodes"][1]["extensions"] = {"KHR_lights_punctual": {"light": 0}}
    model.json["meshes"][body]["primitives"][0]["extensions"] = {"ACME_notes": {"text": "été"}}
    model.json["extensionsUsed"] = ["KHR_mesh_quantization", "KHR_lights_punctual", "ACME_notes"]
    model.json["extensionsRequired"] = ["KHR_mesh_quantization"]
    model.json["extras"] = {"made by": "hand"}
    return model


def square(**node: Any) -> Model:
    """Four corners of two triangles, a node."""
    model = Model()
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], np.float32)
    number = model.mesh({"attributes": {"POSITION": model.add(corners, bounds=True)}, "mode": 5})
    model.json["nodes"] = [{"mesh": number, **node}]
    model.json["scenes"] = [{"nodes": [0]}]
    return model


def bound(path: Path, seed: int = 0) -> Figure:
    """The meshes of a file as one figure of five turned joints, weights at random."""
    meshes, rng = read_glb(path).meshes, np.random.default_rng(seed)
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    mesh = Mesh(np.concatenate([mesh.vertices for mesh in meshes]), faces.astype(np.int32))
    rest = np.tile(np.eye(4, dtype=np.float32), (5, 1, 1))
    rest[:, :3, 3] = rng.uniform(-1, 1, (5, 3))
    for joint in range(5):
        c, s = np.cos(joint), np.sin(joint)
        rest[joint, :3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    names = ("body", "b", "c", "d", "e")
    skeleton = Skeleton(names, np.array([-1, 0, 1, 0, 3], np.int32), rest)
    joints = np.argsort(rng.uniform(size=(starts[-1], 5)), axis=1)[:, :4].astype(np.int32)
    weights = rng.dirichlet(np.ones(4), starts[-1]).astype(np.float32)
    weights[::3] = 0.75, 0.25, 0, 0
    joints[::3, 2:] = 0
    return Figure(skeleton, mesh, joints, weights, names, np.arange(5, dtype=np.int32))


def waving(skeleton: Skeleton, frames: int = 3) -> Motion:
    rng = np.random.default_rng(1)
    turns = from_axis_angle(rng.normal(0, 0.5, (frames, len(skeleton), 3)))
    return Motion(skeleton, turns.astype(np.float32), rng.normal(size=(frames, 3)).astype(np.float32), 10.0)


def test_the_validator_has_nothing_to_say(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    motions = {"bend": waving(figure.skeleton), "still": waving(figure.skeleton, 1)}
    graft_glb(source, tmp_path / "a.glb", figure, motions)
    plain = square(rotation=[1, 0, 0, 0]).save(tmp_path / "square.glb")
    graft_glb(plain, tmp_path / "b.glb", bound(plain))
    for issues in validated(source, tmp_path / "a.glb", tmp_path / "b.glb"):
        found = [m for m in issues["messages"] if m["severity"] < 2]
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), found[:5]


def test_the_surface_at_rest_and_its_weights_come_back(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    graft_glb(source, tmp_path / "a.glb", figure, {"wave": waving(figure.skeleton)})
    back = read_glb(tmp_path / "a.glb")
    assert not back.meshes
    vertices = np.concatenate([part.mesh.vertices for part in back.figures])
    box = np.ptp(figure.mesh.vertices, axis=0).max()
    assert np.abs(vertices - figure.mesh.vertices).max() < 1e-6 * box
    for part, mesh in zip(back.figures, read_glb(source).meshes, strict=True):
        assert np.array_equal(part.mesh.faces, mesh.faces)
        assert np.abs(part.skeleton.rest - figure.skeleton.rest).max() < 1e-6
        assert part.skeleton.names == figure.skeleton.names
    weights = np.concatenate([part.dense_weights for part in back.figures])
    assert np.abs(weights - figure.dense_weights).max() < 1e-6


def test_a_posed_vertex_is_where_the_figure_has_it(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    motion = waving(figure.skeleton)
    graft_glb(source, tmp_path / "a.glb", figure, {"wave": motion})
    back = read_glb(tmp_path / "a.glb")
    assert set(back.motions) == {"wave"}
    motions = [Motion(part.skeleton, motion.rotations, motion.root, 10.0) for part in back.figures]
    moved = np.concatenate([animate(part, own) for part, own in zip(back.figures, motions, strict=True)], axis=1)
    assert np.abs(moved - animate(figure, motion)).max() < 1e-5
    again = back.motions["wave"]
    assert np.abs(animate(back.figures[0], again) - moved[:, : len(back.figures[0].mesh.vertices)]).max() < 1e-5


def test_skinning_by_the_formula_of_the_format(tmp_path: Path) -> None:
    """Without the reader: sum of weight times joint times inverse bind times stored position."""
    source = square(scale=[-2, 1, 1], translation=[1, 2, 3]).save(tmp_path / "source.glb")
    figure = bound(source)
    graft_glb(source, tmp_path / "a.glb", figure)
    document, _ = opened(tmp_path / "a.glb")
    node = document["nodes"][0]
    assert set(node) == {"mesh", "skin"}
    skin, (primitive,) = document["skins"][0], document["meshes"][node["mesh"]]["primitives"]
    places = values(tmp_path / "a.glb", primitive["attributes"]["POSITION"])
    binds = values(tmp_path / "a.glb", skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    joints = values(tmp_path / "a.glb", primitive["attributes"]["JOINTS_0"])
    weights = values(tmp_path / "a.glb", primitive["attributes"]["WEIGHTS_0"])
    assert skin["joints"] == [1, 2, 3, 4, 5]
    assert [document["nodes"][joint]["name"] for joint in skin["joints"]] == list(figure.skeleton.names)
    shifted = figure.skeleton.rest + np.array([[0, 0, 0, 5], [0] * 4, [0] * 4, [0] * 4], np.float32)
    moved = np.einsum("vk,vkij,vj->vi", weights, (shifted @ binds)[joints], np.insert(places, 3, 1, axis=1))[:, :3]
    assert np.abs(moved - figure.mesh.vertices - [5, 0, 0]).max() < 1e-5
    indices = values(tmp_path / "a.glb", primitive["indices"]).reshape(-1, 3)
    assert primitive["mode"] == 4
    assert np.array_equal(indices, figure.mesh.faces)  # which the reader turned around for the mirror


def test_everything_else_stays(tmp_path: Path) -> None:
    model = rich()
    source = model.save(tmp_path / "source.glb")
    figure = bound(source)
    graft_glb(source, tmp_path / "a.glb", figure, {"bend": waving(figure.skeleton)})
    before, after = json.loads(json.dumps(model.json)), opened(tmp_path / "a.glb")[0]
    for key in (
        "asset",
        "images",
        "samplers",
        "textures",
        "materials",
        "cameras",
        "extensions",
        "extensionsUsed",
        "extras",
    ):
        assert after[key] == before[key]
    for key in ("accessors", "bufferViews"):
        assert after[key][: len(before[key])] == before[key]
    assert views(tmp_path / "a.glb")[: len(before["bufferViews"])] == views(source)
    assert opened(tmp_path / "a.glb")[1].startswith(model.bytes)
    assert after["buffers"][0]["name"] == "data"
    grafted = {node["name"]: node for node in after["nodes"] if "skin" in node}
    assert list(grafted) == ["body", "mirrored", "odd", "plain", "coarse", "still"]
    assert grafted["body"]["extras"] == {"tag": "b"}
    assert grafted["mirrored"]["weights"] == [0.5]
    assert [after["nodes"].index(grafted[name]) for name in ("body", "odd", "still")] == [1, 4, 8]
    for name, node in grafted.items():
        old = before["meshes"][next(n for n in before["nodes"] if n["name"] == name)["mesh"]]
        new = after["meshes"][node["mesh"]]
        assert new.get("extras") == old.get("extras")
        for primitive, kept in zip(new["primitives"], old["primitives"], strict=True):
            assert kept["attributes"].items() <= primitive["attributes"].items()
            turned = {"indices", "mode", "attributes"} if name in ("mirrored", "odd") else {"attributes"}
            assert {k: v for k, v in kept.items() if k not in turned}.items() <= primitive.items()
    unshown = after["nodes"][6]
    assert unshown == before["nodes"][6]
    assert after["meshes"][unshown["mesh"]] == before["meshes"][unshown["mesh"]]


def test_what_hung_on_a_mesh_stays_in_its_place(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    graft_glb(source, tmp_path / "a.glb", figure, {"bend": waving(figure.skeleton)})
    document, _ = opened(tmp_path / "a.glb")
    nodes, (own, ours) = document["nodes"], document["animations"]
    (stand,) = nodes[0]["children"]  # the others hold nothing but meshes
    light = {"KHR_lights_punctual": {"light": 0}}
    assert nodes[stand] == {"name": "body", "scale": [1, 2, 0.5], "children": [3], "extensions": light}
    assert nodes[3]["camera"] == 0
    assert [channel["target"]["node"] for channel in own["channels"]] == [1, stand]
    assert (own["name"], ours["name"]) == ("bend", "bend_2")
    root = ours["channels"][-1]["target"]["node"]
    assert document["scenes"][0]["nodes"] == [0, 5, 8, 1, 2, 4, 7, root]
    assert document["scenes"][1]["nodes"] == [6, 5, root]


def test_neighbours_in_one_place_share_a_skin(tmp_path: Path) -> None:
    model = square()
    model.json["nodes"] += [{"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]}, {"mesh": 0}]
    model.json["scenes"] = [{"nodes": [0, 1, 2, 3]}]
    source = model.save(tmp_path / "source.glb")
    figure = bound(source)
    graft_glb(source, tmp_path / "a.glb", figure)
    document, _ = opened(tmp_path / "a.glb")
    assert [node["skin"] for node in document["nodes"][:4]] == [0, 0, 1, 2]
    assert [node["mesh"] for node in document["nodes"][:4]] == [0, 1, 2, 3]
    assert document["skins"][0]["inverseBindMatrices"] == document["skins"][2]["inverseBindMatrices"]
    back = np.concatenate([part.mesh.vertices for part in read_glb(tmp_path / "a.glb").figures])
    assert np.abs(back - figure.mesh.vertices).max() < 1e-6


def test_points_and_lines_follow_the_nearest_vertex(tmp_path: Path) -> None:
    model = square()
    cloud = np.array([(1.1, 0, 0), (0, 1.2, 0.1), (9, 9, 0)], np.float32)
    model.mesh({"attributes": {"POSITION": model.add(cloud, bounds=True)}, "mode": 0})
    model.json["nodes"].append({"mesh": 1})
    model.json["scenes"][0]["nodes"].append(1)
    source = model.save(tmp_path / "source.glb")
    graft_glb(source, tmp_path / "a.glb", bound(source))
    document, _ = opened(tmp_path / "a.glb")
    surface, points = (mesh["primitives"][0]["attributes"] for mesh in document["meshes"])
    for key in ("JOINTS_0", "WEIGHTS_0"):
        expected = values(tmp_path / "a.glb", surface[key])[[1, 2, 3]]
        assert np.array_equal(values(tmp_path / "a.glb", points[key]), expected)


def test_several_figures_and_more_than_four_joints(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    one = figure.mesh.vertices[:10]
    faces = np.array([(0, 1, 2)], np.int32)
    many = np.full((10, 5), 0.15, np.float32)
    many[:, 2] = 0.4
    joints = np.tile(np.arange(5, dtype=np.int32), (10, 1))
    parts = [
        Figure(figure.skeleton, Mesh(one, faces), joints, many, figure.parts, figure.joint_parts),
        Figure(
            figure.skeleton,
            Mesh(figure.mesh.vertices[10:], faces),
            figure.skin_joints[10:],
            figure.skin_weights[10:],
            figure.parts,
            figure.joint_parts,
        ),
    ]
    graft_glb(source, tmp_path / "a.glb", parts)
    back = read_glb(tmp_path / "a.glb").figures[0]
    assert back.skin_weights[0] == pytest.approx(np.array([0.4, 0.15, 0.15, 0.15]) / 0.85)
    assert np.abs(back.dense_weights[10:20] - figure.dense_weights[10:20]).max() < 1e-6


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    source = rich().save(tmp_path / "source.glb")
    figure = bound(source)
    for name in "ab":
        graft_glb(source, tmp_path / name, figure, {"wave": waving(figure.skeleton)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_beside_a_text_file_are_taken_in(tmp_path: Path) -> None:
    model = rich()
    folder = tmp_path / "inside"
    folder.mkdir()
    extra = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], np.float32)
    place = {"bufferView": len(model.json["bufferViews"]), "componentType": 5126, "count": 3, "type": "VEC3"}
    model.json["bufferViews"].append({"buffer": 1, "byteOffset": 4, "byteLength": 36})
    model.json["accessors"].append(place | {"min": [0, 0, 0], "max": [1, 1, 0]})
    model.json["nodes"].append(
        {"mesh": model.mesh({"attributes": {"POSITION": len(model.json["accessors"]) - 1}}), "name": "beside"}
    )
    del model.json["scenes"], model.json["scene"]
    uri = "data:application/octet-stream;base64," + base64.b64encode(bytes(4) + extra.tobytes() + b"tail").decode()
    first = {"byteLength": len(model.bytes), "uri": "the%20data.bin"}
    model.json["buffers"] = [first, {"byteLength": 40, "uri": uri}]
    (folder / "the data.bin").write_bytes(model.bytes + b"rest")
    for name, kind in (("normal map.jpg", "JPEG"), ("rough.webp", "WEBP")):
        (folder / name).write_bytes(picture(0, kind))
        model.json["images"].append({"uri": name})
    model.json["images"].append({"uri": "data:image/png;base64," + base64.b64encode(picture(9)).decode()})
    (folder / "a.gltf").write_text(json.dumps(model.json))
    figure = bound(folder / "a.gltf")
    graft_glb(folder / "a.gltf", tmp_path / "a.glb", figure, name="beast")
    document, _ = opened(tmp_path / "a.glb")
    taken = views(tmp_path / "a.glb")
    assert [image["mimeType"] for image in document["images"][3:]] == ["image/jpeg", "image/webp", "image/png"]
    for image, data in zip(document["images"][3:], (picture(0, "JPEG"), picture(0, "WEBP"), picture(9)), strict=True):
        assert "uri" not in image
        assert taken[image["bufferView"]] == data
    assert taken[place["bufferView"]] == extra.tobytes()
    assert len(document["buffers"]) == 1
    assert (document["scene"], document["scenes"][0]["name"]) == (0, "beast")
    back = np.concatenate([part.mesh.vertices for part in read_glb(tmp_path / "a.glb").figures])
    assert np.abs(back - figure.mesh.vertices).max() < 1e-5
    (issues,) = validated(tmp_path / "a.glb")
    found = {message["code"] for message in issues["messages"] if message["severity"] < 2}
    assert found == {"VALUE_NOT_IN_LIST", "IMAGE_NON_ENABLED_MIME_TYPE"}  # of the WebP, which needs an extension


def test_a_written_mesh_of_ours_takes_a_skeleton(tmp_path: Path) -> None:
    mesh = Mesh(block(0), np.arange(12, dtype=np.int32).reshape(4, 3), colors=np.full((12, 3), 90, np.uint8))
    write_glb(tmp_path / "mesh.glb", mesh)
    figure = bound(tmp_path / "mesh.glb")
    graft_glb(tmp_path / "mesh.glb", tmp_path / "a.glb", figure, {"wave": waving(figure.skeleton)})
    asset = read_glb(tmp_path / "a.glb")
    assert np.array_equal(asset.figures[0].mesh.vertices, mesh.vertices)
    assert len(asset.motions["wave"]) == 3
