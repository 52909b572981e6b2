"""Actors come back bit for bit, alone and in scenes, and hostile files are refused."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.layers import Layer, LayeredVideo, Maps
from diorama.core.mesh import Mesh
from diorama.core.person import Track
from diorama.core.rotations import normalize
from diorama.core.video import Video
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media import actors as files
from diorama.media.actors import read_actor, write_actor
from diorama.media.atomic import content_hash
from diorama.media.store import read_actors, read_manifest, read_scene, write_scene

FRAMES, FIRST = 5, 1
Change = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


def figure(rng: np.random.Generator) -> Figure:
    rest = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    rest[:, :3, 3] = rng.normal(size=(3, 3))
    skeleton = Skeleton(("hips", "Kopf ü", "hand.L"), np.array([-1, 0, 0], np.int32), rest)
    mesh = Mesh(rng.normal(size=(6, 3)).astype(np.float32), rng.integers(0, 6, (4, 3), np.int32))
    weights = rng.random((6, 2)).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    joints = rng.integers(0, 3, (6, 2), np.int32)
    return Figure(skeleton, mesh, joints, weights, ("trunk", "arm"), np.array([0, 0, 1], np.int32))


def actor(name: str = "person-1", seed: int = 0, occluder: str | None = "ball") -> Actor:
    """Frames 1 to 5 of three joints, out of sight in frame 3."""
    rng = np.random.default_rng(seed)
    body, seen = figure(rng), np.array([1, 2, 4, 5], np.int64)
    low = rng.random((4, 2))
    landmarks = rng.random((4, 33, 3)).astype(np.float32)
    boxes = np.concatenate([low, low + 9], axis=1).astype(np.float32)
    track = Track(seed + 7, seen, boxes, rng.random(4).astype(np.float32), landmarks, landmarks - np.float32(0.5))
    turns = normalize(rng.normal(size=(FRAMES, 3, 4))).astype(np.float32)
    root = rng.normal(size=(3, FRAMES)).astype(np.float32).T  # not in the order of memory a file has
    viewmats = np.tile(np.eye(4), (FRAMES, 1, 1))
    viewmats[:, :3, 3] = rng.normal(size=(FRAMES, 3))
    Ks = np.tile(np.array([[50, 0, 8], [0, 50, 4.5], [0, 0, 1]], np.float32), (FRAMES, 1, 1))
    error = rng.random(FRAMES).astype(np.float32)
    error[2] = np.nan
    return Actor(
        *(name, seed + 1, "person", occluder, track, body, Motion(body.skeleton, turns, root, 30000 / 1001)),
        *(Cameras(viewmats, Ks, 9, 16), np.arange(FIRST, FIRST + FRAMES), error, np.isnan(error)),
        *(rng.random((FRAMES, 2)) < 0.5, rng.normal(size=4).astype(np.float32)),
    )


def assert_same(made: object, given: object) -> None:
    """Equal in type and every bit, down through the values."""
    assert type(made) is type(given)
    if isinstance(given, np.ndarray):
        assert (made.dtype, made.shape) == (given.dtype, given.shape)
        assert made.tobytes() == given.tobytes()
    elif hasattr(given, "__dataclass_fields__"):
        for name in given.__dataclass_fields__:
            assert_same(getattr(made, name), getattr(given, name))
    else:
        assert made == given


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_actor(tmp_path / "a.safetensors", actor())
    return tmp_path / "a.safetensors"


def rewritten(path: Path, change: Change) -> None:
    """Store the actor of `path` again with other arrays, or another note."""
    arrays = files._arrays_of(actor())
    note = {"diorama_actor": 1, **files._note_of(actor()).__dict__}
    change(arrays, note)
    path.write_bytes(save(arrays, {"actor": json.dumps(note)}))


def test_every_bit_comes_back(stored: Path) -> None:
    made = read_actor(stored)
    assert_same(made, actor())
    assert made.motion.skeleton is made.figure.skeleton
    assert made.figure.mesh.vertices.flags.writeable
    before = stored.read_bytes()
    write_actor(stored, made)
    assert stored.read_bytes() == before


def test_what_an_actor_may_lack(stored: Path) -> None:
    given = actor()
    given = replace(given, occluder=None, shape=given.shape[:0], track=replace(given.track, world=None))
    write_actor(stored, given)
    assert_same(read_actor(stored), given)


def test_the_body_is_naked(stored: Path) -> None:
    given = actor()
    colors = np.zeros((6, 3), np.uint8)
    dressed = replace(given.figure, mesh=replace(given.figure.mesh, colors=colors))
    write_actor(stored, replace(given, figure=dressed))
    assert_same(read_actor(stored), given)


def put(array: str, place: object, value: object) -> Change:
    def change(arrays: dict[str, np.ndarray], note: dict[str, Any]) -> None:
        arrays[array] = arrays[array].copy()
        arrays[array][place] = value

    return change


def swap(array: str, by: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda arrays, note: arrays.update({array: np.ascontiguousarray(by(arrays[array]))})


def say(key: str, value: object) -> Change:
    return lambda arrays, note: note.update({key: value})


HOSTILE = [
    (put("track.boxes", 0, np.nan), "boxes with NaN"),
    (put("track.frames", 2, 2), "do not rise"),
    (put("track.frames", 3, 2**63 - 1), "seen without a pose"),
    (put("motion.rotations", (0, 0), np.nan), "not finite"),
    (put("motion.rotations", (0, 0), 3e38), "unit length"),
    (put("cameras.viewmats", (1, 0, 0), np.nan), r"viewmats\[1\]"),
    (put("cameras.viewmats", (1, 0, 0), 2), "no rotation"),
    (put("cameras.Ks", (0, 0, 0), 0), "singular"),
    (put("figure.vertices", 0, np.inf), "not finite"),
    (put("figure.faces", 0, 6), r"beyond 6 vertices"),
    (put("figure.skin_joints", 0, -1), "skin joint"),
    (put("figure.skin_weights", 0, np.inf), "weights sum"),
    (put("figure.parents", 1, 2), "before its parent"),
    (put("figure.joint_parts", 0, 2), "joint parts"),
    (put("frames", 0, 0), "rise by one"),
    (put("error", 0, -1), "below 0"),
    (put("shape", 0, np.nan), "finite"),
    (swap("guessed", lambda a: np.full(5, 2, np.uint8).view(bool)), "neither true nor false"),
    (swap("track.scores", lambda a: a.astype(np.float64)), "track.scores: numbers of type F64, expected F32"),
    (swap("cameras.Ks", lambda a: a.astype(np.float16)), "cameras.Ks: numbers of type F16, expected F32 or F64"),
    (swap("figure.faces", lambda a: a.astype(np.int64)), "figure.faces: numbers of type I64, expected I32"),
    (swap("guessed", lambda a: a.astype(np.uint8)), "guessed: numbers of type U8, expected BOOL"),
    (swap("error", lambda a: a[1:]), r"(error|frames|motion).*: shape \[\d.*expected \[t = \d"),
    (swap("track.landmarks", lambda a: a[:, 1:]), r"track.landmarks: shape \[4, 32, 3\], expected \[s = 4, 33, 3\]"),
    (swap("motion.root", lambda a: a.ravel()), r"motion.root: shape \[15\]"),
    (swap("figure.faces", lambda a: a[:0]), "6 vertices and 0 faces"),
    (lambda arrays, note: arrays.pop("standing"), "standing: missing"),
    (lambda arrays, note: arrays.update(extra=np.zeros(2)), "extra: unknown key"),
    (lambda arrays, note: note.pop("fps"), "actor.fps: missing"),
    (say("surprise", 1), "actor.surprise: unknown key"),
    (say("fps", 0), "0.0 frames a second"),
    (say("name", ""), "0 characters"),
    (say("number", 0), "actor.number: 0 is outside"),
    (say("height", 2**40), "actor.height"),
    (say("joints", ["hips", "head"]), "2 names, 3 parents"),
    (say("joints", ["hips"] * 3), "two joints are called"),
    (say("joints", [""] * 5000), "5000 entries"),
    (say("layer", "x" * 500_000), "over the limit of 400000"),
    (say("layer", "x" * 1_100_000), "over the limit of 1000000"),
    (say("occluder", "person"), "before itself"),
]


@pytest.mark.parametrize(("change", "says"), HOSTILE)
def test_hostile_values(stored: Path, change: Change, says: str) -> None:
    rewritten(stored, change)
    with pytest.raises(DamagedMediaError, match=says) as caught:
        read_actor(stored)
    assert str(stored) in str(caught.value)


def test_newer_layouts_and_files_that_are_too_large(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", stored.stat().st_size - 1)
    for refused in (lambda: read_actor(stored), lambda: write_actor(stored, actor())):
        with pytest.raises(LimitError, match="over the limit"):
            refused()
    rewritten(stored, say("diorama_actor", 2))
    monkeypatch.setattr(files, "MOST_BYTES", 10**6)
    with pytest.raises(MediaError, match="update Diorama"):
        read_actor(stored)


def test_damaged_files(stored: Path) -> None:
    good = stored.read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = good[8 : 8 + length]
    twice = header.rstrip()[:-1] + b',"error":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}'
    for bad in (
        *(good[:-1], good + b"\0", good[:40], good[:3], b"\xff" * 40),
        good[:8] + header.replace(b'"shape":[5]', b'"shape":[9]', 1) + good[8 + length :],
        good[:8] + header.replace(b"data_offsets", b"data_offsetz", 1) + good[8 + length :],
        good[:8] + header.replace(b'"data_offsets":[0,', b'"data_offsets":[8,', 1) + good[8 + length :],
        good[:8] + b"[" * length + good[8 + length :],
        len(twice).to_bytes(8, "little") + twice + good[8 + length :],
        save(files._arrays_of(actor())),
        save(files._arrays_of(actor()), {"actor": "{", "more": ""}),
        save(files._arrays_of(actor()), {"actor": '{"diorama_actor": NaN}'}),
    ):
        stored.write_bytes(bad)
        with pytest.raises(DamagedMediaError):
            read_actor(stored)
    for place in range(0, 8 + length, 19):  # any byte of the header: read, or refused in a known way
        data = bytearray(good)
        data[place] ^= 0x15
        stored.write_bytes(data)
        with suppress(DamagedMediaError, MediaError):
            read_actor(stored)


def test_what_cannot_be_kept_is_not_written(tmp_path: Path) -> None:
    given = actor()
    skeleton = replace(given.figure.skeleton, names=("a\0", "b", "c"))
    body = replace(given.figure, skeleton=skeleton)
    unnamed = replace(given, figure=body, motion=replace(given.motion, skeleton=skeleton))
    foreign = replace(given, error=given.error.astype(">f4"))
    for bad, says in ((unnamed, "NUL"), (foreign, "error: numbers of type >f4")):
        with pytest.raises(UsageError, match=says):
            write_actor(tmp_path / "a", bad)
    assert list(tmp_path.iterdir()) == []


def layers() -> LayeredVideo:
    clip = Video.from_array(np.random.default_rng(0).integers(0, 255, (6, 9, 16, 3), np.uint8))
    alpha = Maps.from_array(np.zeros((6, 9, 16), np.uint8))
    return LayeredVideo((Layer("background", clip), Layer("person", clip, alpha), Layer("ball", clip, alpha)))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write_scene(tmp_path / "scene", layers(), actors=[actor(), actor("person-2", 1, None)])
    return tmp_path / "scene"


def test_scenes_keep_their_actors(scene: Path) -> None:
    first, second = read_actors(scene)
    assert_same(first, actor())
    assert_same(second, actor("person-2", 1, None))
    assert [layer.name for layer in read_scene(scene).layers] == ["background", "person", "ball"]
    assert [entry.file for entry in read_manifest(scene).actors] == ["actor0.safetensors", "actor1.safetensors"]


def edited(scene: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads((scene / "scene.json").read_text())
    change(table)
    (scene / "scene.json").write_text(json.dumps(table))


def relisted(scene: Path) -> None:
    """Make the manifest say what the actors' files now are."""
    found = {
        path.name: {"bytes": path.stat().st_size, "sha256": content_hash(path)} for path in scene.glob("*.safetensors")
    }
    edited(scene, lambda table: table["files"].update(found))


def test_scenes_of_schema_1_have_no_actors(scene: Path) -> None:
    def older(table: dict[str, Any]) -> None:
        table["diorama_scene"] = 1
        del table["actors"]

    edited(scene, older)
    assert read_actors(scene) == ()
    assert len(read_scene(scene).layers) == 3
    edited(scene, lambda table: table.update(actors=[]))
    with pytest.raises(MediaError, match="actors: unknown key"):
        read_actors(scene)
    edited(scene, lambda table: table.update(diorama_scene=2, actors=None))
    with pytest.raises(MediaError, match="actors: null"):
        read_actors(scene)


@pytest.mark.parametrize(
    ("given", "says", "error"),
    [
        ([actor(), actor(seed=1)], "two actors of this name", UsageError),
        ([replace(actor(), layer="nobody")], "no layer 'nobody' .* background, person, ball", UsageError),
        ([actor(occluder="tree")], "no layer 'tree'", UsageError),
        ([replace(actor(), frames=np.arange(2, 7), track=replace(actor().track, frames=np.array([2, 3, 5, 6])))],
         "frames up to 6 of a scene of 6", UsageError),
        ([actor(str(i)) for i in range(33)], "33 actors", LimitError),
    ],
)  # fmt: skip
def test_actors_that_do_not_fit_the_scene(
    tmp_path: Path, given: list[Actor], says: str, error: type[DioramaError]
) -> None:
    with pytest.raises(error, match=says):
        write_scene(tmp_path / "scene", layers(), actors=given)
    assert list(tmp_path.iterdir()) == []


def test_tampered_scenes(scene: Path, tmp_path: Path) -> None:
    one, two = scene / "actor0.safetensors", scene / "actor1.safetensors"
    good = one.read_bytes(), two.read_bytes()
    one.write_bytes(good[0][:-1] + b"\x07")
    with pytest.raises(DamagedMediaError, match="not what was stored"):
        read_actors(scene)
    one.write_bytes(good[0][:-9])
    with pytest.raises(DamagedMediaError, match="bytes, expected"):
        read_actors(scene, verify=False)
    relisted(scene)
    with pytest.raises(DamagedMediaError, match="cut off"):
        read_actors(scene)
    one.write_bytes(good[1]), two.write_bytes(good[0])
    relisted(scene)
    with pytest.raises(DamagedMediaError, match="holds 'person-2', expected 'person-1'"):
        read_actors(scene)
    two.write_bytes(good[1])
    for change, says in ((say("layer", "nobody"), "no layer 'nobody'"), (put("shape", 0, np.nan), "finite")):
        rewritten(one, change)
        relisted(scene)
        with pytest.raises(DamagedMediaError, match=says):
            read_actors(scene)
    edited(scene, lambda table: table.update(frames=3))
    one.write_bytes(good[0])
    relisted(scene)
    with pytest.raises(DamagedMediaError, match="frames up to 5 of a scene of 3"):
        read_actors(scene)
    shutil.move(one, tmp_path / "outside")
    one.symlink_to(tmp_path / "outside")
    with pytest.raises(DamagedMediaError, match="link"):
        read_actors(scene)


def actors_entry(place: int, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["actors"][place].update({key: value})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (actors_entry(0, "file", "elsewhere"), r"actors\[0\].file: 'elsewhere' is not among"),
        (actors_entry(0, "file", "../a"), r"actors\[0\].file: '../a' is not among"),
        (actors_entry(0, "name", "person-2"), "actors: two of one name"),
        (actors_entry(0, "name", 3), r"actors\[0\].name: an integer"),
        (actors_entry(1, "more", 3), r"actors\[1\].more: unknown key"),
        (lambda table: table.update(actors=table["actors"] * 17), "34 entries are over the limit of 32"),
        (lambda table: table.pop("actors"), "actors: missing"),
    ],
)
def test_hostile_manifests(scene: Path, change: Callable[[dict[str, Any]], None], says: str) -> None:
    edited(scene, change)
    with pytest.raises(MediaError, match=says):
        read_actors(scene)


def test_an_actor_that_names_another_file(scene: Path) -> None:
    edited(scene, actors_entry(0, "file", "clock.npy"))
    with pytest.raises(DamagedMediaError, match="no actor"):
        read_actors(scene)
