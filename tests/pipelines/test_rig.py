"""From views, meshes and pictures to models, whole: what is written, what is kept, what stands in the way."""

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
import torch

from diorama.core.figure import Figure
from diorama.core.mesh import Mesh
from diorama.core.progress import Silent
from diorama.diffusion.parts_generate import MadeViews, PartsGenerator
from diorama.diffusion.parts_net import PartsNet, PartsNetConfig
from diorama.diffusion.parts_relief import Relief
from diorama.errors import InterruptedRunError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.part_colors import part_colors
from diorama.figures.pose import animate
from diorama.media.images import load_image, save_image
from diorama.media.mesh import read_glb, write_glb
from diorama.media.motion.bvh import read_bvh
from diorama.media.read import open_media
from diorama.media.recipe import read_recipe
from diorama.pipelines import parts as parts_module
from diorama.pipelines import rig as module
from diorama.pipelines.part_views import PartViews, write_views
from diorama.pipelines.rig import RigResult, rig
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_film import Turn, frame_of, turn_of
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import Turntable, film
from diorama.train.export import write_weights

MODULES = [os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]
VALIDATOR = Path(__file__).parents[1] / "media" / "validate_gltf.js"
BARE: dict[str, Any] = {"cells": 48, "bare": True}
FRAMES, RADIUS = 3, float(np.sqrt(0.75))


@cache
def _figure() -> Figure:
    """A cupboard with two doors and a flap."""
    return random_creature(np.random.default_rng(1), "furniture").figure


@cache
def _table() -> Turntable:
    rng = np.random.default_rng(1)
    creature = random_creature(rng, "furniture")
    return film(creature.figure, random_motion(rng, creature, frames=FRAMES), views=8, size=96)


def _views(folder: Path, **arrays: Any) -> Path:
    table = _table()
    write_views(folder, PartViews(table.azimuths, table.elevation, RADIUS, 12.0, **arrays))
    return folder


def _painted() -> np.ndarray:
    table = _table()
    palette = np.concatenate([part_colors(table.centers, table.low, table.high), [[255, 255, 255]]])
    return palette.astype(np.uint8)[table.parts]


def _in_parts(figure: Figure) -> Mesh:
    """A figure's surface, each part in a colour of its own."""
    colors = np.random.default_rng(0).integers(30, 255, (len(figure.parts), 3), dtype=np.uint8)
    return Mesh(figure.mesh.vertices, figure.mesh.faces, colors=colors[_labels(figure)])


def _labels(figure: Figure) -> np.ndarray:
    return figure.joint_parts[figure.dense_weights.argmax(axis=1)]


def _write_ply(path: Path, mesh: Mesh) -> None:
    assert mesh.colors is not None
    head = ["ply", "format ascii 1.0", f"element vertex {len(mesh.vertices)}"]
    head += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    head += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header"]
    rows = [(*map(repr, map(float, v)), *map(str, c)) for v, c in zip(mesh.vertices, mesh.colors, strict=True)]
    lines = [*head, *map(" ".join, rows), *(f"3 {a} {b} {c}" for a, b, c in mesh.faces)]
    path.write_text("\n".join(lines) + "\n")


def _write_obj(path: Path, mesh: Mesh) -> None:
    assert mesh.colors is not None
    rows = zip(mesh.vertices, mesh.colors / 255, strict=True)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g} {r:.9g} {g:.9g} {b:.9g}" for (x, y, z), (r, g, b) in rows]
    path.write_text("\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in mesh.faces + 1)]) + "\n")


def _write_two_materials(path: Path, mesh: Mesh) -> None:
    """A plain GLB whose faces are shared out among two materials."""
    half = len(mesh.faces) // 2
    arrays = [mesh.vertices, mesh.faces[:half].astype(np.uint32), mesh.faces[half:].astype(np.uint32)]
    starts = np.cumsum([0, *(array.nbytes for array in arrays)]).tolist()
    kinds = [(5126, "VEC3", len(mesh.vertices), 34962), *((5125, "SCALAR", 3 * len(a), 34963) for a in arrays[1:])]
    low, high = (getattr(mesh.vertices, way)(axis=0).astype(float).tolist() for way in ("min", "max"))
    accessors: list[dict[str, Any]] = [
        {"bufferView": i, "componentType": kind, "type": shape, "count": count}
        for i, (kind, shape, count, _) in enumerate(kinds)
    ]
    accessors[0] |= {"min": low, "max": high}
    colors = [[0.8, 0.1, 0.1, 1], [0.1, 0.2, 0.9, 1]]
    looks = [{"baseColorFactor": color, "metallicFactor": 0.25} for color in colors]
    pieces = [{"attributes": {"POSITION": 0}, "indices": i, "material": 2 - i} for i in (1, 2)]
    document: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}]}
    document |= {"nodes": [{"mesh": 0, "name": "cupboard"}], "meshes": [{"primitives": pieces}]}
    document |= {"materials": [{"name": f"paint{i}", "pbrMetallicRoughness": look} for i, look in enumerate(looks)]}
    document |= {"accessors": accessors, "buffers": [{"byteLength": starts[-1]}]}
    document["bufferViews"] = [
        {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": kind[3]}
        for start, array, kind in zip(starts, arrays, kinds, strict=False)
    ]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(array.tobytes() for array in arrays)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks)


def _document(path: Path) -> dict[str, Any]:
    """The JSON of a GLB."""
    data = path.read_bytes()
    return dict(json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")]))


WRITERS: dict[str, Callable[[Path, Mesh], None]] = {".glb": write_glb, ".ply": _write_ply, ".obj": _write_obj}


def _small(path: Path) -> Path:
    """A generator that has learnt nothing."""
    torch.manual_seed(0)
    sizes = PartsNetConfig((16, 16, 32), depth=2)
    made = PartsGenerator(PartsNet(sizes), Relief(sizes))
    made.views.begin_parts()
    torch.nn.init.normal_(made.relief.branch.out.weight, std=0.02)
    write_weights(made, path)
    return path


def _issues(*paths: Path) -> list[Any]:
    """What the Khronos validator says of each file."""
    node = shutil.which("node")
    found = [folder for folder in MODULES if folder and (Path(folder) / "gltf-validator").is_dir()]
    if node is None or not found:
        pytest.skip("gltf-validator (npm) is not installed")
    environment = {**os.environ, "NODE_PATH": str(Path(found[0]).resolve())}
    run = subprocess.run([node, VALIDATOR, *paths], env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def _model(path: Path) -> tuple[Figure, dict[str, Any]]:
    asset = read_glb(path)
    return asset.figures[0], dict(asset.motions)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part views with looks, three frames."""
    return _views(tmp_path_factory.mktemp("views") / "views", images=_table().images, colored=_painted())


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RigResult:
    """Everything there is, with a shorter and smaller turntable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "turn_of", lambda figure, motion: turn_of(figure, motion, size=96, seconds=0.5))
        return rig(folder, tmp_path_factory.mktemp("made") / "thing.glb", RigConfig(cells=48, seed=3))


def test_part_views_become_a_model_that_moves_as_they_do(made: RigResult) -> None:
    (path,) = made.files
    figure, motions = _model(path)
    assert (made.parts, made.joints, made.vertices) == (4, 4, len(figure.mesh.vertices))
    assert made.motions == {name: len(motion) for name, motion in motions.items()}
    assert made.motions["captured"] == FRAMES
    low, high = figure.mesh.vertices.min(axis=0), figure.mesh.vertices.max(axis=0)
    assert low[1] == pytest.approx(0, abs=1e-4)
    assert high[1] == pytest.approx(1, abs=1e-4), "it stands on the ground, as tall as is asked"
    assert np.abs(figure.dense_weights.sum(axis=1) - 1).max() < 1e-6
    for motion in motions.values():
        assert np.abs(animate(figure, motion[:1])[0] - figure.mesh.vertices).max() < 0.05, "it begins near rest"
    (issues,) = _issues(path)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"][:5]


def test_beside_the_model_stand_motion_page_turntable_and_recipe(made: RigResult, folder: Path) -> None:
    (path,) = made.files
    assert sorted(extra.name for extra in made.extras) == ["thing.bvh", "thing.html", "thing.mp4"]
    left = {entry.name for entry in path.parent.iterdir()}
    assert left == {"thing.glb", "thing.glb.diorama.json", *(extra.name for extra in made.extras)}
    motion = read_bvh(path.with_suffix(".bvh"))
    assert (len(motion), motion.fps) == (FRAMES, pytest.approx(12, abs=0.01))
    assert motion.skeleton.names == read_glb(path).figures[0].skeleton.names
    page = path.with_suffix(".html").read_text()
    assert "<html" in page
    assert "three" in page
    assert len(page) > path.stat().st_size, "the model is in it"
    video = open_media(path.with_suffix(".mp4")).video
    assert (video.width, video.height) == (192, 96)
    first = video[:1].stack()[0]
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 20
    recipe = read_recipe(path)
    assert (recipe.command, recipe.seed, recipe.options["cells"]) == ("rig", 3, 48)
    assert [given.name for given in recipe.inputs] == ["parts.json"]


def test_a_turntable_shows_looks_and_parts_and_goes_round(made: RigResult) -> None:
    figure, motions = _model(made.files[0])
    turn: Turn = turn_of(figure, motions["range"], size=96, seconds=1.0)
    frames = [frame_of(turn, number) for number in (0, 6)]
    assert frames[0].shape == (96, 192, 3)
    inside = np.stack([(frame < 250).any(axis=2) for frame in frames])
    assert all(0.05 < half.mean() < 0.8 for frame in inside for half in (frame[:, :96], frame[:, 96:]))
    assert (inside[0] != inside[1]).mean() > 0.005
    assert np.abs(frames[0][:, :96].astype(int) - frames[0][:, 96:]).max() > 40, "looks and parts differ"


def test_the_same_seed_gives_the_same_bytes(folder: Path, made: RigResult, tmp_path: Path) -> None:
    """Law 24."""
    again = rig(folder, tmp_path / "thing.glb", RigConfig(**BARE, seed=3))
    assert again.files[0].read_bytes() == made.files[0].read_bytes()
    assert again.extras[0].read_bytes() == made.files[0].with_suffix(".bvh").read_bytes()


def test_the_motion_alone(folder: Path, tmp_path: Path) -> None:
    result = rig(folder, tmp_path / "out.bvh", RigConfig(**BARE))
    assert (result.files, result.extras) == ((tmp_path / "out.bvh",), ())
    assert len(read_bvh(tmp_path / "out.bvh")) == FRAMES
    assert not (tmp_path / "out.glb").exists()


def test_labels_and_silhouettes_with_a_skeleton(tmp_path: Path) -> None:
    table = _table()
    labelled = _views(tmp_path / "labels", labels=table.parts[:, :1].astype(np.int16))
    result = rig(labelled, tmp_path / "labels.glb", RigConfig(**BARE))
    assert (result.parts, set(result.motions)) == (4, {"range"})
    shapes = _views(tmp_path / "shapes", inside=table.alpha[:, :1])
    with pytest.raises(UsageError, match="views without parts"):
        rig(shapes, tmp_path / "shapes.glb", RigConfig(**BARE))
    bound = rig(shapes, tmp_path / "shapes.glb", RigConfig(**BARE, skeleton=str(result.files[0])))
    names = [_model(done.files[0])[0].skeleton.names for done in (bound, result)]
    assert names[0] == names[1], "the user's own joints are kept"


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
def test_a_mesh_in_colours_of_parts_keeps_its_vertices(suffix: str, tmp_path: Path) -> None:
    mesh = _in_parts(_figure())
    WRITERS[suffix](tmp_path / f"in{suffix}", mesh)
    result = rig(tmp_path / f"in{suffix}", tmp_path / "out.glb", RigConfig(**BARE, parts=None))
    figure, motions = _model(result.files[0])
    assert set(motions) == {"range"}
    assert np.allclose(figure.mesh.vertices, mesh.vertices, atol=1e-5)
    assert np.array_equal(figure.mesh.faces, mesh.faces)
    both = np.zeros((result.parts, len(_figure().parts)), int)
    np.add.at(both, (_labels(figure), _labels(_figure())), 1)
    assert result.parts == len(_figure().parts)
    assert both.max(axis=1).sum() > 0.97 * both.sum()


def test_a_plain_model_keeps_its_materials_and_takes_the_motion_of_its_file(tmp_path: Path) -> None:
    """Two materials, no colours that tell parts, and a BVH of joints that nobody's table knows."""
    captured = rig(_views(tmp_path / "v", colored=_painted()), tmp_path / "dance.bvh", RigConfig(**BARE)).files[0]
    _write_two_materials(tmp_path / "two.glb", _figure().mesh)
    told = Silent()
    result = rig(tmp_path / "two.glb", tmp_path / "out.glb", RigConfig(**BARE, motion=str(captured)), progress=told)
    assert told.notes == ["the mesh is bound to the skeleton of its motion"]
    before, after = _document(tmp_path / "two.glb"), _document(result.files[0])
    assert after["materials"] == before["materials"]
    assert [piece["material"] for piece in after["meshes"][0]["primitives"]] == [1, 0]
    assert all("JOINTS_0" in piece["attributes"] for piece in after["meshes"][0]["primitives"])
    figures = read_glb(result.files[0]).figures
    assert figures[0].skeleton.names == read_bvh(captured).skeleton.names
    assert result.motions["dance"] == FRAMES
    (issues,) = _issues(result.files[0])
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"][:5]


def test_views_may_rig_a_mesh_that_is_given(folder: Path, tmp_path: Path) -> None:
    mesh = _in_parts(_figure())
    moved = replace(
        mesh, vertices=(mesh.vertices[:, [2, 1, 0]] * [-3, 3, 3] + [5, 1, 0]).astype(np.float32), colors=None
    )
    write_glb(tmp_path / "own.glb", moved)
    told = Silent()
    result = rig(folder, tmp_path / "out.glb", RigConfig(**BARE, mesh=str(tmp_path / "own.glb")), progress=told)
    figure, motions = _model(result.files[0])
    assert any("overlaps" in note for note in told.notes)
    assert np.allclose(figure.mesh.vertices, moved.vertices, atol=1e-4)
    assert len(motions["captured"]) == FRAMES
    recipe = read_recipe(result.files[0])
    assert [given.name for given in recipe.inputs] == ["parts.json", "own.glb"]


def test_edits_counts_and_names(tmp_path: Path) -> None:
    write_glb(tmp_path / "in.glb", _in_parts(_figure()))
    first = rig(tmp_path / "in.glb", tmp_path / "a.glb", RigConfig(**BARE))
    names = _model(first.files[0])[0].parts
    edits = [{"merge": [names[0], names[1]], "into": "both"}, {"rename": names[2], "to": "flap"}, {"root": "flap"}]
    (tmp_path / "edits.json").write_text(json.dumps({"version": 1, "edits": edits}))
    changed = rig(tmp_path / "in.glb", tmp_path / "b.glb", RigConfig(**BARE, edit=str(tmp_path / "edits.json")))
    figure = _model(changed.files[0])[0]
    assert set(figure.parts) == {"both", "flap", names[3]}
    assert figure.skeleton.names[0] == "flap"
    for count in (2, 7):
        result = rig(tmp_path / "in.glb", tmp_path / f"{count}.glb", RigConfig(**BARE, parts=count))
        assert result.parts == count
    told = Silent()
    rig(tmp_path / "in.glb", tmp_path / "c.glb", RigConfig(**BARE, names="mixamo"), progress=told)
    assert any("not built like a person" in note for note in told.notes)


def test_people_walk_and_furniture_does_not(tmp_path: Path) -> None:
    person = load_cast().figure("Hana")
    write_glb(tmp_path / "hana.glb", _in_parts(person))
    result = rig(tmp_path / "hana.glb", tmp_path / "walk.glb", RigConfig(**BARE, motion="walk"))
    figure, motions = _model(result.files[0])
    assert next(iter(motions)) == "walk"
    assert {"Hips", "LeftUpLeg", "RightForeArm", "Head"} <= set(figure.skeleton.names)
    places = animate(figure, motions["walk"])
    assert 0.7 < np.ptp(places[..., 1], axis=1).mean() / np.ptp(figure.mesh.vertices[:, 1]) < 1.1
    assert np.abs(np.diff(places, axis=0)).max() > 0.01
    smpl = rig(tmp_path / "hana.glb", tmp_path / "smpl.bvh", RigConfig(**BARE, names="smpl", motion="walk"))
    assert "left_knee" in read_bvh(smpl.files[0]).skeleton.names
    write_glb(tmp_path / "box.glb", _in_parts(_figure()))
    with pytest.raises(UsageError, match=r"no joint for hips.*the joints here are part"):
        rig(tmp_path / "box.glb", tmp_path / "no.glb", RigConfig(**BARE, motion="walk"))
    assert not list(tmp_path.glob("*no*"))


def test_pictures_go_through_the_generator_and_its_views_become_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, shown = _table(), list[np.ndarray]()

    def truth(frames: np.ndarray, *_: Any) -> MadeViews:
        shown.append(frames)
        return MadeViews(table.images[:, :1], _painted()[:, :1], np.radians(table.azimuths))

    monkeypatch.setattr(parts_module, "embedded_views", truth)
    monkeypatch.setattr(module, "write_turn", lambda path, *_: path.write_bytes(b"a film"))
    save_image(tmp_path / "in.png", table.images[0, 0])
    how = RigConfig(**BARE | {"bare": False}, subject="object", guidance=(1.0, 1.2))
    result = rig(tmp_path / "in.png", tmp_path / "out.glb", how)
    sheet = load_image(tmp_path / "out_views.png")
    assert sheet.shape[1] > sheet.shape[0] > table.images.shape[2]
    assert any("guesses of a small network" in note for note in result.notes)
    assert shown[0].shape == (1, 128, 128, 3)
    assert result.parts == 4
    assert any("plain white background" in note for note in result.notes)
    recipe = read_recipe(result.files[0])
    assert ([given.name for given in recipe.inputs], recipe.options["guidance"]) == (["in.png"], "1.0 1.2")


def test_a_generator_in_a_file_says_the_same_each_time(tmp_path: Path) -> None:
    """One that has learnt nothing finds no object from all around in a picture, and one part in a mesh."""
    how = RigConfig(**BARE, model=str(_small(tmp_path / "net.safetensors")), subject="object", steps=1)
    save_image(tmp_path / "in.png", _table().images[0, 0])
    with pytest.raises(UsageError, match="in common"):
        rig(tmp_path / "in.png", tmp_path / "out.glb", how)
    assert not list(tmp_path.glob("*out*"))
    write_glb(tmp_path / "plain.glb", Mesh(_figure().mesh.vertices, _figure().mesh.faces))
    done = [rig(tmp_path / "plain.glb", tmp_path / name / "out.glb", how) for name in ("a", "b")]
    assert done[0].files[0].read_bytes() == done[1].files[0].read_bytes()
    assert "nothing says which parts the mesh has" in done[0].notes[0]


def test_what_exists_stays(tmp_path: Path) -> None:
    source = tmp_path / "in.glb"
    write_glb(source, _in_parts(_figure()))
    before = source.read_bytes()
    with pytest.raises(UsageError, match="the output is the input"):
        rig(source, source, RigConfig(**BARE), overwrite=True)
    with pytest.raises(UsageError, match=r"unknown output format '\.fbx'"):
        rig(source, tmp_path / "out.fbx", RigConfig(**BARE))
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        rig(source, tmp_path / "folder.glb", RigConfig(**BARE))
    rig(source, tmp_path / "out.glb", RigConfig(**BARE))
    with pytest.raises(UsageError, match="the output exists"):
        rig(source, tmp_path / "out.glb", RigConfig(**BARE))
    rig(source, tmp_path / "out.glb", RigConfig(**BARE, parts=2), overwrite=True)
    assert len(read_glb(tmp_path / "out.glb").figures[0].parts) == 2
    assert source.read_bytes() == before


def test_what_would_stand_beside_it_is_not_overwritten_either(folder: Path, tmp_path: Path) -> None:
    """``diorama rig cat.mp4 -o cat.glb`` must not write the turntable over the clip."""
    clip = tmp_path / "cat.mp4"
    clip.write_bytes(b"a clip")
    with pytest.raises(UsageError, match=r"the output is the input.*cat\.mp4"):
        rig(clip, tmp_path / "cat.glb", overwrite=True)
    with pytest.raises(UsageError, match=r"the output exists.*cat\.mp4"):
        rig(folder, tmp_path / "cat.glb")
    assert clip.read_bytes() == b"a clip"
    (tmp_path / "own.bvh").write_text("HIERARCHY")
    for how in (BARE, BARE | {"motion": str(tmp_path / "own.bvh")}):
        with pytest.raises(UsageError, match=r"the output (exists|is the input).*own\.bvh"):
            rig(folder, tmp_path / "own.glb", RigConfig(**how))


@pytest.mark.parametrize("place", ["turn_of", "rig_page", "motions_of", "write_bvh"])
def test_a_run_that_is_stopped_leaves_nothing(
    place: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, place, stop)
    with pytest.raises(InterruptedRunError, match="run the same command again"):
        rig(folder, tmp_path / "out.glb", RigConfig(cells=32))
    assert not list(tmp_path.iterdir())
