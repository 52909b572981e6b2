"""Motions added to a file that has a skin: nothing else of the file changes, and its own nodes move as they should."""

import copy
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion
from diorama.errors import MediaError, UsageError
from diorama.figures.pose import animate
from diorama.media.mesh import animate_glb, read_glb, write_glb
from diorama.theatre.menagerie import random_creature

MODULES = [os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]
Change = Callable[[dict[str, Any]], object]


@cache
def _figure() -> Figure:
    return random_creature(np.random.default_rng(3), "quadruped").figure


def _moves(figure: Figure) -> Motion:
    rng = np.random.default_rng(0)
    turns = rng.normal(size=(5, len(figure.skeleton), 4)) * 0.2 + [1, 0, 0, 0]
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    return Motion(figure.skeleton, turns.astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32), 12.0)


def _parsed(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def _closed(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<2I", len(text), 0x4E4F534A) + text + struct.pack("<2I", len(binary), 0x004E4942) + binary
    return struct.pack("<3I", 0x46546C67, 2, 12 + len(chunks)) + chunks


def _under(document: dict[str, Any], **node: Any) -> None:
    """Hang the skeleton on a node of another unit and other axes, as exporters do."""
    document["nodes"].append({"name": "Armature", "children": [0], **node})
    roots = document["scenes"][0]["nodes"]
    roots[roots.index(0)] = len(document["nodes"]) - 1


def _between(document: dict[str, Any]) -> None:
    """A node that is no joint between two that are."""
    child = document["nodes"][0]["children"][0]
    document["nodes"].append({"name": "helper", "children": [child], "translation": [0.1, 0, 0], "scale": [2, 2, 2]})
    document["nodes"][0]["children"][0] = len(document["nodes"]) - 1


def _as_matrix(document: dict[str, Any]) -> None:
    node = document["nodes"][1]
    (x, y, z), scale = node.pop("translation"), 1.5
    node.pop("rotation", None)
    node["matrix"] = [scale, 0, 0, 0, 0, 0, scale, 0, 0, -scale, 0, 0, x, y, z, 1]


def _two_trees(document: dict[str, Any]) -> None:
    """The joints below the root are those of the skin, without the root."""
    (skin,) = document["skins"]
    children = document["nodes"][0]["children"]
    document["nodes"].append({"name": "other tree", "children": [children.pop()]})
    document["scenes"][0]["nodes"].append(len(document["nodes"]) - 1)
    skin.pop("skeleton", None)


def _mirrored_twice(document: dict[str, Any]) -> None:
    document["nodes"][1]["scale"] = [-1, -1, 1]


def _twice(document: dict[str, Any]) -> None:
    """The same joints once more, for a second mesh, as exporters write clothes."""
    count = len(document["nodes"])
    for node in copy.deepcopy(document["nodes"]):
        node["children"] = [count + child for child in node.pop("children", [])] or None
        document["nodes"].append({key: value for key, value in node.items() if value is not None})
    skin = copy.deepcopy(document["skins"][0])
    skin["joints"] = [count + joint for joint in skin["joints"]]
    skin.pop("skeleton", None)
    document["skins"].append(skin)
    for node in document["nodes"][count:]:
        if "skin" in node:
            node["skin"] = 1
    document["scenes"][0]["nodes"] += [count + root for root in document["scenes"][0]["nodes"]]


CHANGES: dict[str, Change] = {
    "as written": lambda _: None,
    "centimetres, Z up": lambda d: _under(d, scale=[0.01] * 3, rotation=[-(0.5**0.5), 0, 0, 0.5**0.5]),
    "a node between": _between,
    "a matrix": _as_matrix,
    "two trees": _two_trees,
    "mirrored twice": _mirrored_twice,
    "the joints twice": _twice,
}


def _saved(path: Path, change: Change) -> Path:
    write_glb(path, _figure())
    document, binary = _parsed(path)
    change(document)
    path.write_bytes(_closed(document, binary))
    return path


@pytest.mark.parametrize("name", CHANGES)
def test_the_nodes_of_the_file_move_as_the_motion_says(name: str, tmp_path: Path) -> None:
    source, target = _saved(tmp_path / "in.glb", CHANGES[name]), tmp_path / "out.glb"
    figure, *_ = read_glb(source).figures
    motion = _moves(figure)
    if figure.skeleton.names[0] == "root":  # of several trees: readers know no turn of it
        motion.rotations[:, 0] = 1, 0, 0, 0
    animate_glb(source, target, {"hop": motion})
    made = read_glb(target)
    size = float(np.ptp(figure.mesh.vertices, axis=0).max())
    assert np.abs(made.figures[0].mesh.vertices - figure.mesh.vertices).max() < 1e-5 * size
    there = animate(made.figures[0], made.motions["hop"])
    assert np.abs(there - animate(figure, motion)).max() < 1e-4 * max(size, 1)
    moved = {channel["target"]["node"] for channel in _parsed(target)[0]["animations"][0]["channels"]}
    nodes = {joint for skin in _parsed(target)[0]["skins"] for joint in skin["joints"]}
    assert moved == nodes, "all joints turn, those of every skin"


def test_a_motion_that_moves_nothing_is_an_animation_nevertheless(tmp_path: Path) -> None:
    source = _saved(tmp_path / "in.glb", CHANGES["as written"])
    (figure,) = read_glb(source).figures
    still = replace(_moves(figure), rotations=np.tile(np.float32([1, 0, 0, 0]), (5, len(figure.skeleton), 1)))
    animate_glb(source, tmp_path / "out.glb", {"still": replace(still, root=np.zeros((5, 3), np.float32))})
    assert list(read_glb(tmp_path / "out.glb").motions) == ["still"]


def test_everything_else_stays_and_names_do_not_collide(tmp_path: Path) -> None:
    first, second = tmp_path / "a.glb", tmp_path / "b.glb"
    motion = _moves(_figure())
    write_glb(first, _figure(), {"hop": motion[:2]})
    own = read_glb(first).figures[0].skeleton
    animate_glb(first, second, {"hop": replace(motion, skeleton=own)})
    before, data = _parsed(first)
    after, more = _parsed(second)
    assert more.startswith(data)
    for kind in before:
        if kind not in ("buffers", "bufferViews", "accessors", "animations"):
            assert after[kind] == before[kind]
    assert [entry["name"] for entry in after["animations"]] == ["hop", "hop_2"]
    assert after["animations"][0] == before["animations"][0]


def test_the_validator_has_nothing_to_say(tmp_path: Path) -> None:
    modules = next((folder for folder in MODULES if (Path(folder) / "gltf-validator").is_dir()), None)
    if modules is None or shutil.which("node") is None:
        pytest.skip("no gltf-validator")
    source = _saved(tmp_path / "in.glb", CHANGES["a matrix"])
    animate_glb(source, tmp_path / "out.glb", {"hop": _moves(read_glb(source).figures[0])})
    script = Path(__file__).with_name("validate_gltf.js")
    environment = {**os.environ, "NODE_PATH": str(Path(modules).resolve())}
    said = subprocess.run(
        ["node", str(script), str(tmp_path / "out.glb")], capture_output=True, text=True, check=True, env=environment
    )
    report = json.loads(said.stdout)
    assert (report["numErrors"], report["numWarnings"]) == (0, 0)


def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out.glb"
    source = _saved(tmp_path / "flat.glb", lambda d: _under(d, scale=[1, 1, 0.5]))
    with pytest.raises(MediaError, match="uneven scales"):
        animate_glb(source, target, {"hop": _moves(read_glb(source).figures[0])})
    source = _saved(tmp_path / "in.glb", lambda _: None)
    other = random_creature(np.random.default_rng(5), "biped").figure
    with pytest.raises(UsageError, match="no skin with the joints of the motions"):
        animate_glb(source, target, {"hop": _moves(other)})
    write_glb(tmp_path / "bare.glb", _figure().mesh)
    with pytest.raises(UsageError, match="no skin"):
        animate_glb(tmp_path / "bare.glb", target, {"hop": _moves(_figure())})
    assert not list(tmp_path.glob("*out*"))
