"""Options of a rig: each has an effect, or is refused or told; nothing that the user gave is replaced in silence."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh
from diorama.core.progress import Silent
from diorama.errors import MediaError, UsageError
from diorama.figures.cast import load_cast
from diorama.media import store
from diorama.media.images import save_image
from diorama.media.mesh import read_glb, write_glb
from diorama.media.motion.bvh import write_bvh
from diorama.pipelines import animate_open, rig_body, rig_plain, rig_source
from diorama.pipelines import rig as rig_module
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_mesh import opened
from diorama.pipelines.rig_motion import motions_of
from diorama.pipelines.rig_source import Rigged, rigged_source
from diorama.rigging.swing import range_of_motion
from diorama.theatre.menagerie import random_creature

BODY: dict[str, Any] = {"who": "body"}


@cache
def _figure() -> Figure:
    return random_creature(np.random.default_rng(1), "furniture").figure


def _motion(frames: int) -> Motion:
    return range_of_motion(_figure().skeleton, fps=12)[:frames]


@pytest.mark.parametrize("name", ["range", "captured"])
def test_motions_that_are_given_and_seen_keep_beside_those_that_are_made(name: str, tmp_path: Path) -> None:
    write_bvh(tmp_path / f"{name}.bvh", _motion(3))
    found = Rigged(_figure(), {"captured": _motion(5)})
    motions = motions_of(found, RigConfig(motion=str(tmp_path / f"{name}.bvh")), Silent())
    other = {"range": "captured", "captured": "captured_2"}[name]
    last = {"range": "range_2", "captured": "range"}[name]
    assert list(motions) == [name, other, last]
    assert [len(motions[one]) for one in (name, other)] == [3, 5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BODY | {"edit": "a.json"}, "--who body with --edit"),
        (BODY | {"parts": 4, "mesh": "a.glb"}, "--who body with --parts and --mesh"),
        (BODY | {"skeleton": "a.bvh"}, "--who body with --skeleton"),
        (BODY | {"model": "net.safetensors"}, "--who body with --model"),
        (BODY | {"segmenter": "sam2-tiny"}, "--who body with --segmenter"),
        (BODY | {"box": (0.1, 0.1, 0.9, 0.9)}, "--who body with --box"),
        (BODY | {"subject": "object"}, "--who body with --subject object"),
        ({"skeleton": "a.bvh", "parts": 4}, "--skeleton with --parts"),
        ({"skeleton": "a.bvh", "edit": "a.json"}, "--skeleton with --edit"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RigConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"edit": "a.json"},
        {"parts": 4},
        {"mesh": "a.glb"},
        {"skeleton": "a.bvh"},
        {"model": "net.safetensors"},
        {"segmenter": "sam2-tiny"},
    ],
)
def test_whoever_asks_for_parts_gets_no_body(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shown(Exception):  # noqa: N818
        """The generator is asked."""

    def views(*_: Any) -> None:
        raise Shown

    monkeypatch.setattr(rig_source, "views_of_source", views)
    monkeypatch.setattr(rig_source, "_of_person", lambda *_: Rigged(_figure()))
    told = Silent()
    with pytest.raises(Shown):
        rigged_source(str(tmp_path / "in.png"), RigConfig(**options), told, tmp_path / "out.glb")
    (note,) = told.notes
    assert f"--{next(iter(options))}" in note
    assert rigged_source("in.png", RigConfig(), told, tmp_path / "out.glb").figure is _figure()
    with pytest.raises(UsageError, match=f"an actor of a scene with --{next(iter(options))}"):
        rigged_source("scene#person-1", RigConfig(**options), told, tmp_path / "out.glb")


def test_what_has_no_effect_on_a_body_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig_body, "body_of_photo", lambda *_: (_figure(), _motion(1)))
    save_image(tmp_path / "in.png", np.zeros((8, 8, 3), np.uint8))
    told, target = Silent(), tmp_path / "out.glb"
    rigged_source(str(tmp_path / "in.png"), RigConfig(), told, target)
    assert told.notes == []
    config = RigConfig(names="smpl", softness=0.5, height=2.0)
    rigged_source(str(tmp_path / "in.png"), config, told, target)
    assert told.notes == ["--names and --softness and --height: without effect on a fitted body"]


def test_the_scene_of_a_clip_lies_beside_the_model_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Actor:
        name = "person-1"

    def body(who: str, _: Any) -> tuple[Figure, Motion]:
        made.append(who)
        return _figure(), _motion(3)

    monkeypatch.setattr(animate_open, "decompose", lambda clip, folder, **_: made.append(Path(folder).name))
    monkeypatch.setattr(store, "read_actors", lambda *_, **__: [Actor()])
    monkeypatch.setattr(rig_body, "body_of_scene", body)
    (tmp_path / "cat.mp4").write_bytes(b"a clip")
    result = rig(tmp_path / "cat.mp4", tmp_path / "tom.glb", RigConfig(who="body", bare=True))
    assert made == ["tom_scene", f"{tmp_path / 'tom_scene'}#person-1"]
    assert any("tom_scene" in note for note in result.notes)


def test_parts_that_are_asked_for_come_before_the_skeleton_of_a_motion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = _figure().mesh
    high = (mesh.vertices[:, 1] > mesh.vertices[:, 1].mean()).astype(np.int64)
    monkeypatch.setattr(rig_plain, "parts_of_mesh", lambda *_: high)
    write_glb(tmp_path / "in.glb", Mesh(mesh.vertices, mesh.faces))
    write_bvh(tmp_path / "move.bvh", _motion(3))
    config = RigConfig(motion=str(tmp_path / "move.bvh"), parts=2)
    found = rigged_source(str(tmp_path / "in.glb"), config, Silent(), tmp_path / "out.glb")
    assert len(found.figure.parts) == 2
    own = rigged_source(str(tmp_path / "in.glb"), replace(config, parts=None), Silent(), tmp_path / "out.glb")
    assert own.figure.skeleton.names == _figure().skeleton.names


def test_names_for_joints_that_are_given_are_told_to_do_nothing(tmp_path: Path) -> None:
    mesh = _figure().mesh
    write_glb(tmp_path / "in.glb", Mesh(mesh.vertices, mesh.faces))
    write_bvh(tmp_path / "bones.bvh", _motion(2))
    config = RigConfig(skeleton=str(tmp_path / "bones.bvh"), names="mixamo")
    told = Silent()
    rigged_source(str(tmp_path / "in.glb"), config, told, tmp_path / "out.glb")
    assert told.notes == ["--names: without effect on joints that are given"]


def test_a_model_with_a_skin_keeps_it_and_gets_the_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig_module, "write_turn", lambda path, *_: path.write_bytes(b"a film"))
    figure = load_cast().figure(load_cast().names[0])
    write_glb(tmp_path / "in.glb", figure, {"own": range_of_motion(figure.skeleton, fps=12)[:4]})
    result = rig(tmp_path / "in.glb", tmp_path / "out.glb", RigConfig(motion="walk"))
    assert list(result.motions) == ["own", "walk"]
    assert 'data-newest="1"' in (tmp_path / "out.html").read_text(encoding="utf-8")
    made, given = read_glb(result.files[0]), read_glb(tmp_path / "in.glb")
    assert list(made.motions) == ["own", "walk"]
    assert np.array_equal(made.figures[0].skin_weights, given.figures[0].skin_weights)
    assert np.ptp(made.motions["walk"].rotations, axis=0).max() > 0.2
    assert {extra.suffix for extra in result.extras} == {".html", ".mp4"}
    assert any("keeps its skin" in note for note in result.notes)
    with pytest.raises(UsageError, match="a model with a skin and --parts"):
        rig(tmp_path / "in.glb", tmp_path / "no.glb", RigConfig(motion="walk", parts=3))
    monkeypatch.setattr(rig_module, "animate_glb", _cannot)
    with pytest.raises(MediaError, match="uneven"):  # never without the animations that it has
        rig(tmp_path / "in.glb", tmp_path / "no.glb", RigConfig(motion="walk", bare=True))
    assert not list(tmp_path.glob("no*"))


def _cannot(*_: object) -> None:
    raise MediaError("its joints hang under uneven scales")


def test_several_skins_on_one_skeleton_move_together(tmp_path: Path) -> None:
    figure = _figure()
    write_glb(tmp_path / "in.glb", [figure, figure])
    found = opened(tmp_path / "in.glb").figure
    assert found is not None
    assert len(found.mesh.vertices) == 2 * len(figure.mesh.vertices)


def test_folders_of_views_without_their_description_are_told_so(tmp_path: Path) -> None:
    save_image(tmp_path / "sheet.png", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "rgb").mkdir()
    with pytest.raises(UsageError, match=r"a folder of views without parts\.json"):
        rig(tmp_path, tmp_path.with_suffix(".glb"))


def test_a_dance_that_a_creature_cannot_follow_is_said_to_be_a_persons(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dances are a person's"):
        motions_of(Rigged(_figure()), RigConfig(motion="walk"), Silent())


def test_what_is_not_for_a_mesh_is_refused(tmp_path: Path) -> None:
    mesh = _figure().mesh
    write_glb(tmp_path / "in.glb", Mesh(mesh.vertices, mesh.faces))
    with pytest.raises(UsageError, match="--mesh with an input that is a mesh"):
        rig(tmp_path / "in.glb", tmp_path / "out.glb", RigConfig(mesh=str(tmp_path / "in.glb")))
    save_file({"unet.weight": torch.zeros(2)}, tmp_path / "sp4d.safetensors")
    with pytest.raises(UsageError, match="makes views of one picture"):
        rig(tmp_path / "in.glb", tmp_path / "out.glb", RigConfig(model=str(tmp_path / "sp4d.safetensors")))


def _textured(picture: np.ndarray, shift: float) -> Figure:
    """The furniture, somewhere, with a texture laid on from the front."""
    mesh = _figure().mesh
    low, size = mesh.vertices.min(axis=0), np.ptp(mesh.vertices, axis=0)
    uvs = ((mesh.vertices - low) / size)[:, :2].astype(np.float32)
    places = (mesh.vertices + np.float32([shift, 0, 0])).astype(np.float32)
    return replace(_figure(), mesh=Mesh(places, mesh.faces, uvs, mesh.faces, texture=picture))


def _without_skin(path: Path) -> None:
    """The last of several surfaces is bound to nothing any more, and so read as one of its own."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    del [node for node in document["nodes"] if "skin" in node][-1]["skin"]
    text = json.dumps(document, separators=(",", ":")).encode()
    path.write_bytes(data[:20] + text.ljust(length) + data[20 + length :])


@pytest.mark.parametrize(("other", "looks"), [(0, "one texture"), (1, "no looks")])
def test_what_a_model_loses_when_it_is_rigged_again_is_told(other: int, looks: str, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
    write_glb(tmp_path / "in.glb", [_textured(pictures[0], 0.0), _textured(pictures[other], 2.0)])
    _without_skin(tmp_path / "in.glb")
    write_bvh(tmp_path / "bones.bvh", _motion(2))
    config = RigConfig(skeleton=str(tmp_path / "bones.bvh"), again=True, bare=True)
    result = rig(tmp_path / "in.glb", tmp_path / "out.glb", config)
    assert any(f"written anew without its old skin and motions; of its materials {looks}" in n for n in result.notes)
    (figure,) = read_glb(tmp_path / "out.glb").figures
    assert (figure.mesh.texture is not None) == (other == 0)
    if figure.mesh.texture is not None:
        np.testing.assert_array_equal(figure.mesh.texture, pictures[0])
        assert figure.mesh.uvs is not None
        assert figure.mesh.uv_faces is not None
        wanted = _textured(pictures[0], 0.0).mesh
        assert wanted.uvs is not None
        corners = np.concatenate([wanted.uvs[wanted.faces]] * 2)
        np.testing.assert_allclose(figure.mesh.uvs[figure.mesh.uv_faces], corners, atol=1e-5)
