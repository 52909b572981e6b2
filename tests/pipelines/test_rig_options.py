"""Options of a rig: each has an effect, or is refused or told; nothing that the user gave is replaced in silence."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh
from diorama.core.progress import Silent
from diorama.errors import UsageError
from diorama.media import store
from diorama.media.images import save_image
from diorama.media.mesh import read_glb, write_glb
from diorama.media.motion.bvh import write_bvh
from diorama.pipelines import animate_open, rig_body, rig_plain, rig_source
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig
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
    assert rigged_source(str(tmp_path / "in.png"), RigConfig(), told, target).notes == ()
    config = RigConfig(names="smpl", softness=0.5, height=2.0)
    found = rigged_source(str(tmp_path / "in.png"), config, told, target)
    assert found.notes == ("--names and --softness and --height: without effect on a fitted body",)
    assert tuple(told.notes) == found.notes


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
    monkeypatch.setattr(rig_plain, "parts_of_mesh", lambda *_: (high, ()))
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
    found = rigged_source(str(tmp_path / "in.glb"), config, told, tmp_path / "out.glb")
    assert found.notes == ("--names: without effect on joints that are given",)
    assert tuple(told.notes) == found.notes


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
