"""What people give that is no object, no parts, no mesh or no motion: one clear error each, or a fallback that is told.

Two million faces: rigged once by hand (a torus of 2.0 M faces in 12 parts, `-o out.glb --bare`): 58 s and 4.2 GB on one
busy core of the machine this was written on. Files above `MOST_FACES` are refused before anything is made of them.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diorama.core.figure import Figure
from diorama.core.mesh import Mesh
from diorama.core.progress import Silent
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.figures.part_colors import part_colors
from diorama.media.mesh import read_glb, write_glb
from diorama.pipelines import rig_mesh
from diorama.pipelines.part_views import PartViews, write_views
from diorama.pipelines.rig import RigResult, rig
from diorama.pipelines.rig_config import RigConfig
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import Turntable, film

Change = Callable[[Path], None]


@cache
def _figure() -> Figure:
    return random_creature(np.random.default_rng(1), "furniture").figure


@cache
def _table() -> Turntable:
    rng = np.random.default_rng(1)
    creature = random_creature(rng, "furniture")
    return film(creature.figure, random_motion(rng, creature, frames=2), views=8, size=96)


@cache
def _painted() -> np.ndarray:
    table = _table()
    palette = np.concatenate([part_colors(table.centers, table.low, table.high), [[255, 255, 255]]])
    return palette.astype(np.uint8)[table.parts]


def _views(folder: Path, views: int = 8, **arrays: Any) -> Path:
    table = _table()
    write_views(folder, PartViews(table.azimuths[:views], table.elevation, float(np.sqrt(0.75)), 12.0, **arrays))
    return folder


@cache
def _mesh() -> Mesh:
    """Furniture, each part in a colour of its own."""
    figure = _figure()
    colors = np.random.default_rng(0).integers(30, 255, (len(figure.parts), 3), dtype=np.uint8)
    labels = figure.joint_parts[figure.dense_weights.argmax(axis=1)]
    return Mesh(figure.mesh.vertices, figure.mesh.faces, colors=colors[labels])


def _write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> Path:
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    head += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    rows = np.zeros(len(vertices), [("place", "<f4", 3), ("color", "u1", 3)])
    rows["place"], rows["color"] = vertices, colors
    corners = np.zeros(len(faces), [("count", "u1"), ("corner", "<i4", 3)])
    corners["count"], corners["corner"] = 3, faces
    path.write_bytes("\n".join(head).encode() + rows.tobytes() + corners.tobytes())
    return path


def _ply(path: Path, **changes: Any) -> Path:
    whole = {"vertices": _mesh().vertices, "faces": _mesh().faces, "colors": _mesh().colors}
    return _write_ply(path, **(whole | changes))


def _glb(path: Path, change: Callable[[dict[str, Any]], object], binary: Callable[[bytes], bytes | None]) -> Path:
    """The coloured mesh as a GLB, with another document or other bytes."""
    write_glb(path, _mesh())
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document, body = json.loads(data[20 : 20 + length]), binary(data[28 + length :])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += b"" if body is None else struct.pack("<II", len(body), 0x004E4942) + body
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)
    return path


def _rig(source: Path, folder: Path, **options: Any) -> tuple[RigResult, list[str]]:
    """A quick run, and what was told; NaN and other warnings of numpy are errors under pytest."""
    told = Silent()
    output = folder / options.pop("name", "out.glb")
    with np.errstate(invalid="raise", divide="raise"):
        return rig(source, output, RigConfig(**{"cells": 40, "bare": True} | options), progress=told), told.notes


def _refused(kind: type[DioramaError], said: str, source: Path, folder: Path, **options: Any) -> None:
    with pytest.raises(kind, match=said) as caught:
        _rig(source, folder, **options)
    assert caught.value.fix or kind is DamagedMediaError, "it says what to do"
    assert not list(folder.glob("*out.glb*")), "nothing is left"


def _side_by_side() -> np.ndarray:
    """Two objects in each picture."""
    small = _painted()[:, :, ::2, ::2]
    upper = np.concatenate([small, small], axis=3)
    return np.ascontiguousarray(np.concatenate([upper, np.full_like(upper, 255)], axis=2))


def _without(view: int | slice, frame: int | slice) -> np.ndarray:
    found = _painted().copy()
    found[view, frame] = 255
    return found


NOTHING = {
    "white": (lambda: np.full_like(_painted(), 255), "without an object"),
    "nearly white on white": (
        lambda: np.where(_table().alpha[..., None], np.uint8(252), np.uint8(255)).repeat(3, -1),
        "without an object",
    ),
    "noise": (lambda: np.random.default_rng(0).integers(0, 255, _painted().shape, np.uint8), "even colour"),
    "two objects": (_side_by_side, "surface in common that fills [0-9]+%.*one object in all of them"),
    "no object in the first frame": (lambda: _without(slice(None), 0), "0 of 8 views.*first frame"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_part_maps_without_an_object(name: str, tmp_path: Path) -> None:
    make, said = NOTHING[name]
    _refused(UsageError, said, _views(tmp_path / "views", colored=make()), tmp_path)


def test_one_view_is_too_few_and_two_are_enough(tmp_path: Path) -> None:
    _refused(UsageError, "1 of 1 views", _views(tmp_path / "one", 1, colored=_painted()[:1, :1]), tmp_path)
    assert _rig(_views(tmp_path / "two", 2, colored=_painted()[:2, :1]), tmp_path)[0].parts == 4


def test_labels_and_silhouettes_that_show_nothing(tmp_path: Path) -> None:
    empty = np.full(_table().parts.shape, -1, np.int16)
    _refused(UsageError, "part numbers without an object", _views(tmp_path / "labels", labels=empty), tmp_path)
    shapes = _views(tmp_path / "mask", inside=np.zeros_like(_table().alpha))
    _refused(UsageError, "views without parts", shapes, tmp_path)
    write_glb(tmp_path / "bones.glb", _figure())
    _refused(UsageError, "0 of 8 views", shapes, tmp_path, skeleton=str(tmp_path / "bones.glb"))


def test_one_colour_is_one_part_and_that_is_told(tmp_path: Path) -> None:
    plain = np.where(_table().alpha[..., None], np.uint8([90, 40, 200]), np.uint8(255))[:, :1]
    result, notes = _rig(_views(tmp_path / "views", colored=plain), tmp_path)
    assert (result.parts, result.joints) == (1, 1)
    assert any("one part only" in note for note in notes)
    result, notes = _rig(tmp_path / "views", tmp_path, parts=3, name="three.glb")
    assert result.parts == 3
    assert not notes


def test_views_and_frames_that_show_nothing_are_left_out_and_told(tmp_path: Path) -> None:
    result, notes = _rig(_views(tmp_path / "views", colored=_without(3, slice(None))), tmp_path)
    assert notes == ["nothing is seen in view 3: it is left out"]
    assert result.notes == tuple(notes)
    _, notes = _rig(_views(tmp_path / "frames", colored=_without(slice(None), 1)), tmp_path, name="b.glb")
    assert len(notes) == 1
    assert "they hold the pose before" in notes[0]


def test_views_in_another_order_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    creature = random_creature(rng, "quadruped")
    table = film(creature.figure, random_motion(rng, creature, frames=1), views=8, size=96)
    order = np.random.default_rng(3).permutation(8)
    labels = np.ascontiguousarray(table.parts[order]).astype(np.int16)
    views = PartViews(table.azimuths, table.elevation, float(np.sqrt(0.75)), 12.0, labels=labels)
    write_views(tmp_path / "views", views)
    _, notes = _rig(tmp_path / "views", tmp_path)
    assert any("of the views only: one object in all of them" in note for note in notes)


def _twice(path: Path) -> None:
    told = json.loads((path / "parts.json").read_text())
    told["azimuths"][1] = told["azimuths"][0] + 360
    (path / "parts.json").write_text(json.dumps(told))


FOLDERS: dict[str, tuple[Change, type[DioramaError], str]] = {
    "a picture less": (
        lambda path: (path / "parts/view03/frame0000.png").unlink(),
        DamagedMediaError,
        r"is missing.*view03.frame0000",
    ),
    "a direction twice": (_twice, UsageError, "two views from 0 degrees"),
    "broken": (lambda path: (path / "parts.json").write_text('{"diorama":') and None, DamagedMediaError, "JSON"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_views_that_are_not_whole(name: str, tmp_path: Path) -> None:
    change, kind, said = FOLDERS[name]
    folder = _views(tmp_path / "views", colored=_painted()[:, :1])
    change(folder)
    _refused(kind, said, folder, tmp_path)


def _picture(share: float) -> np.ndarray:
    picture = np.full((96, 96, 4), 255, np.uint8)
    picture[..., 3] = round(255 * share)
    return picture


PICTURES = {
    "transparent": (_picture(0), "transparent everywhere"),
    "white": (_picture(1)[..., :3], "no subject|nothing"),
    "white on white": (np.where(np.indices((96, 96))[0, ..., None] > 40, 254, 255).repeat(3, -1), "no subject|nothing"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_nothing(name: str, tmp_path: Path) -> None:
    picture, said = PICTURES[name]
    assert cv2.imwrite(str(tmp_path / "in.png"), picture.astype(np.uint8))
    _refused(UsageError, said, tmp_path / "in.png", tmp_path, subject="object")


def _islands() -> dict[str, np.ndarray]:
    mesh, count = _mesh(), len(_mesh().vertices)
    away = mesh.vertices + np.array([3, 0, 0], np.float32)
    assert mesh.colors is not None
    return {
        "vertices": np.concatenate([mesh.vertices, away]),
        "faces": np.concatenate([mesh.faces, mesh.faces + count]),
        "colors": np.concatenate([mesh.colors, np.tile(np.uint8([1, 2, 3]), (count, 1))]),
    }


def _collapsed() -> np.ndarray:
    vertices, faces = _mesh().vertices.copy(), _mesh().faces
    vertices[faces[:300, 1]] = vertices[faces[:300, 0]]
    return vertices


def _crossing() -> np.ndarray:
    """Edges with more than two faces, faces twice, faces turned around."""
    faces = _mesh().faces
    fins = np.stack([faces[:20, 0], faces[:20, 1], faces[100:120, 2]], axis=1)
    return np.concatenate([faces, faces[:50], faces[50:99, ::-1], fins])


ODD: dict[str, tuple[Callable[[], dict[str, np.ndarray]], int]] = {
    "open": (lambda: {"faces": _mesh().faces[::2]}, 4),
    "not manifold": (lambda: {"faces": _crossing()}, 4),
    "of several pieces, one far away": (_islands, 5),
    "with faces without area": (lambda: {"vertices": _collapsed()}, 4),
    "with a part that no face holds": (lambda: _islands() | {"faces": _mesh().faces}, 5),
    "flat": (lambda: {"vertices": _mesh().vertices * np.float32([1, 1, 0])}, 4),
    "tiny": (lambda: {"vertices": _mesh().vertices * np.float32(1e-6)}, 4),
    "huge": (lambda: {"vertices": _mesh().vertices * np.float32(1e6)}, 4),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_meshes_are_rigged_nevertheless(name: str, tmp_path: Path) -> None:
    change, parts = ODD[name]
    changes = change()
    result, _ = _rig(_ply(tmp_path / "in.ply", **changes), tmp_path)
    figure = read_glb(result.files[0]).figures[0]
    assert result.parts == parts
    assert result.vertices == len(changes.get("vertices", _mesh().vertices))
    assert np.isfinite(figure.skeleton.joints).all()
    assert np.abs(figure.skin_weights.sum(axis=1) - 1).max() < 1e-6


SURFACELESS = {
    "a point": lambda: {"vertices": np.zeros_like(_mesh().vertices)},
    "a line": lambda: {"vertices": _mesh().vertices * np.float32([0, 1, 0])},
    "faces of one vertex": lambda: {"faces": np.repeat(_mesh().faces[:, :1], 3, axis=1)},
}


@pytest.mark.parametrize("name", SURFACELESS)
def test_meshes_without_any_area_are_refused(name: str, tmp_path: Path) -> None:
    source = _ply(tmp_path / "in.ply", **SURFACELESS[name]())
    _refused(UsageError, "none of [0-9]+ faces has an area", source, tmp_path)


def test_too_many_faces_and_numbers_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vertices = _mesh().vertices.copy()
    vertices[5] = np.nan
    _refused(DamagedMediaError, "not finite", _ply(tmp_path / "nan.ply", vertices=vertices), tmp_path)
    _refused(DamagedMediaError, "a face with vertex", _ply(tmp_path / "far.ply", faces=_mesh().faces + 9999), tmp_path)
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    _refused(DamagedMediaError, "not finite", tmp_path / "nan.obj", tmp_path)
    assert rig_mesh.MOST_FACES >= 2_000_000
    monkeypatch.setattr(rig_mesh, "MOST_FACES", 1000)
    _refused(LimitError, "at most 1000", _ply(tmp_path / "many.ply"), tmp_path)


def test_a_skin_that_is_there_stays_unless_asked(tmp_path: Path) -> None:
    write_glb(tmp_path / "in.glb", replace(_figure(), mesh=_mesh()))
    _refused(UsageError, "has a skin already.*--motion.*--again", tmp_path / "in.glb", tmp_path)
    result, _ = _rig(tmp_path / "in.glb", tmp_path, again=True)
    asset = read_glb(result.files[0])
    assert (len(asset.figures), result.parts) == (1, 4)
    assert asset.figures[0].skeleton.names != _figure().skeleton.names


def _needs(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document.update(extensionsUsed=[name], extensionsRequired=[name])


def _same(data: bytes) -> bytes:
    return data


def _scrambled(data: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(data))


FILES: dict[str, tuple[Any, Any, type[DioramaError], str]] = {
    "buffer missing": (lambda d: d["buffers"][0].update(uri="gone.bin"), lambda _: None, MediaError, "gone.bin"),
    "buffer elsewhere": (lambda d: d["buffers"][0].update(uri="../x.bin"), lambda _: None, MediaError, "outside its"),
    "no buffer": (lambda d: None, lambda _: None, DamagedMediaError, "has no data"),
    "scrambled": (lambda d: None, _scrambled, DamagedMediaError, "breaks the rules of glTF"),
    "encrypted": (_needs("XX_encrypted_buffers"), _same, MediaError, "needs XX_encrypted_buffers"),
    "Draco": (_needs("KHR_draco_mesh_compression"), _same, MediaError, "needs KHR_draco.*without compression"),
    "points": (lambda d: d["meshes"][0]["primitives"][0].update(mode=0), _same, UsageError, "no surface"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore:.*points or lines")
def test_models_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    change, binary, kind, said = FILES[name]
    _refused(kind, said, _glb(tmp_path / "in.glb", change, binary), tmp_path)


def test_a_model_that_cannot_be_kept_is_written_anew_and_that_is_told(tmp_path: Path) -> None:
    def optional(document: dict[str, Any]) -> None:
        document["extensionsUsed"] = ["KHR_draco_mesh_compression"]
        given = {"bufferView": 0, "attributes": {"POSITION": 0}}
        document["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": given}

    result, notes = _rig(_glb(tmp_path / "in.glb", optional, _same), tmp_path)
    assert "surface and colours are written anew" in notes[0]
    figure = read_glb(result.files[0]).figures[0]
    assert figure.mesh.colors is not None
    assert np.array_equal(figure.mesh.faces, _mesh().faces)


EDITS = {
    "cycle": ([{"reparent": "A", "under": "B"}, {"reparent": "B", "under": "A"}], UsageError, "cycle|hangs on"),
    "itself": ([{"reparent": "part1", "under": "part1"}], UsageError, r"under itself.*edit 1"),
    "unknown part": ([{"rename": "wing", "to": "x"}], UsageError, "no part called 'wing'"),
    "unknown edit": ([{"paint": "part1"}], UsageError, "edit 1"),
    "not a number": ('{"version": 1, "edits": [{"move": "part1", "to": [NaN, 0, 0]}]}', MediaError, "not a number"),
    "broken": ("{", MediaError, "no JSON"),
    "another version": ('{"version": 9, "edits": []}', UsageError, "version 9"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_that_cannot_be_done(name: str, tmp_path: Path) -> None:
    edits, kind, said = EDITS[name]
    source = _ply(tmp_path / "in.ply")
    if name == "cycle":
        skeleton = read_glb(_rig(source, tmp_path, name="first.glb")[0].files[0]).figures[0].skeleton
        child = next(joint for joint, parent in enumerate(skeleton.parents) if parent == 0)
        edits = [{"reparent": skeleton.names[0], "under": skeleton.names[child]}]
    text = edits if isinstance(edits, str) else json.dumps({"version": 1, "edits": edits})
    (tmp_path / "edits.json").write_text(text)
    _refused(kind, said, source, tmp_path, edit=str(tmp_path / "edits.json"))


def test_bones_that_nobody_knows(tmp_path: Path) -> None:
    source = _ply(tmp_path / "in.ply")
    _refused(UsageError, r"no joint for hips.*the joints here are part.*a person's", source, tmp_path, motion="walk")
    _refused(UsageError, "no motion 'fly away'.*walk", source, tmp_path, motion="fly away")
    _refused(UsageError, "a skeleton of the kind '.ply'", source, tmp_path, skeleton=str(source))
    write_glb(tmp_path / "still.glb", _mesh())
    _refused(UsageError, "no skeleton in it", source, tmp_path, skeleton=str(tmp_path / "still.glb"))
    _refused(MediaError, "without animation", source, tmp_path, motion=str(tmp_path / "still.glb"))
    _refused(MediaError, "no such file", source, tmp_path, skeleton=str(tmp_path / "gone.bvh"))
    _refused(UsageError, "nothing moves in it.*--motion", source, tmp_path, name="out.bvh")


def test_a_mesh_of_something_else_than_the_views_show(tmp_path: Path) -> None:
    folder = _views(tmp_path / "views", colored=_painted()[:, :1])
    snake = random_creature(np.random.default_rng(1), "fish_or_snake").figure.mesh
    write_glb(tmp_path / "snake.glb", Mesh(snake.vertices, snake.faces))
    said = r"overlaps the views by [0-9]+% at best.*--mesh"
    _refused(UsageError, said, folder, tmp_path, mesh=str(tmp_path / "snake.glb"))
    _refused(MediaError, "no such file.*--mesh", folder, tmp_path, mesh=str(tmp_path / "gone.glb"))
    (tmp_path / "snake.fbx").touch()
    _refused(UsageError, "a mesh of the kind '.fbx'", folder, tmp_path, mesh=str(tmp_path / "snake.fbx"))


def test_files_that_are_missing_or_none_are_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diorama.pipelines.rig.rigged_source", lambda *_: pytest.fail("began"))
    folder = _views(tmp_path / "views", colored=_painted()[:, :1])
    (tmp_path / "none.json").write_text("hello")
    _refused(MediaError, "no JSON", folder, tmp_path, edit=str(tmp_path / "none.json"))
    for option, said in (("skeleton", "--skeleton"), ("mask", "--mask"), ("edit", ""), ("motion", "--motion")):
        _refused(MediaError, f"no such file.*{said}", folder, tmp_path, **{option: str(tmp_path / "gone.bvh")})
    _refused(MediaError, "no such file", tmp_path / "gone.png", tmp_path)
    folder.rename(tmp_path / "views #1")  # a name with the mark of actors is still a name
    with pytest.raises(pytest.fail.Exception, match="began"):
        _rig(tmp_path / "views #1", tmp_path)


@pytest.mark.parametrize("name", ["in.glb", "in.ply", "in.obj", "in.png"])
def test_files_that_are_no_such_files_or_are_not_there(name: str, tmp_path: Path) -> None:
    _refused(MediaError, "no such file", tmp_path / name, tmp_path)
    (tmp_path / name).write_text("hello")
    _refused(MediaError, "no glTF document|no PLY file|no faces|not a recognised|no image", tmp_path / name, tmp_path)


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _refused(MediaError, "without images", tmp_path / "empty", tmp_path)
